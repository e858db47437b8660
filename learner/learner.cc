#include "learner/learner.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "common/history.h"
#include "common/log.h"
#include "common/machine_memory.h"
#include "common/protocol.h"
#include "common/rpc/keep_open.h"
#include "shards/learner_fingerprint.h"
#include "shards/tensor_proto.h"

namespace mentor::learner {
namespace {

// Shards that run at once; more of them wait.
constexpr size_t kThreadsMax = 64;
constexpr std::chrono::milliseconds kRefusedWait{10'000};
// Longest time from the last shard of a drained learner to its end: the queue may still hold
// hundreds of megabytes. Missing heartbeats end a silent meta-learner's stream sooner.
constexpr std::chrono::milliseconds kLeaveWithin{30'000};

// Longest time from a device's failure to the end of the process.
constexpr std::chrono::milliseconds kTellWithin{5'000};
// The same for a process that was told to end.
constexpr std::chrono::milliseconds kSayGoodbyeWithin{2'000};

// Shards are reported after kReportEvery, or at once when an actor comes or goes; the fleet every
// second time, or when it has changed.
constexpr std::chrono::milliseconds kReportEvery{950}, kReportsApart{50};
constexpr int kLooksPerFleetReport = 2;

}  // namespace

Learner::Options Learner::WithFingerprint(Options options) {
  if (options.device_name.empty()) options.device_name = options.device.name;
  if (options.fingerprint.empty()) options.fingerprint = shards::LearnerFingerprint(options.device);
  return options;
}

Learner::Learner(Options options, Metrics* metrics)
    : options_(WithFingerprint(std::move(options))),
      pool_(std::make_shared<agents::WorkerPool>(options_.num_threads)),
      shards_(metrics->Counter("mentor_learner_shards_total", "Shards run to their end.")),
      nonfinite_(metrics->Counter("mentor_learner_nonfinite_updates_total",
                                  "Agent updates skipped because a loss was not finite.")),
      updates_(metrics->Counter("mentor_learner_updates_total",
                                "Updates of agents: one agent, one inner iteration.")),
      signal_seconds_(metrics->Histogram("mentor_learner_update_seconds",
                                         "CPU time of learning, a shard, by phase.", UnitBuckets(),
                                         {{"phase", "signal"}})),
      update_seconds_(metrics->Histogram("mentor_learner_update_seconds",
                                         "CPU time of learning, a shard, by phase.", UnitBuckets(),
                                         {{"phase", "ppo"}})),
      last_update_(metrics->Gauge("mentor_learner_last_update_timestamp_seconds",
                                  "When an inner iteration was last completed; before the first "
                                  "one, when the learner started.")),
      learning_seconds_(metrics->Counter("mentor_learner_learning_seconds_total",
                                         "Wall time with a shard at work on signals and updates.")),
      hidden_seconds_(metrics->Counter("mentor_learner_hidden_seconds_total",
                                       "Learning time during which another shard was simulating.")),
      waiting_seconds_(metrics->Counter("mentor_learner_waiting_seconds_total",
                                        "Wall time in which all running shards wait for actors.")),
      idle_seconds_(
          metrics->Counter("mentor_learner_idle_seconds_total", "Wall time without any shard.")),
      queue_items_(metrics->Gauge("mentor_queue_items", "Items that wait.", {{"queue", "shards"}})),
      queue_capacity_(metrics->Gauge("mentor_queue_capacity_items", "Items that may wait.",
                                     {{"queue", "shards"}})) {
  last_update_.SetToCurrentTime();
  queue_capacity_.Set(options_.shard_slots);
  if (options_.device.monitor != nullptr) {
    device_lost_ =
        options_.device.monitor->OnLost([this](const absl::Status& why) { TellDeviceLost(why); });
  }
  options_.rollout->OnChange([this] {
    TakeBackEnded();
    const MutexLock lock(mutex_);
    fleet_changed_ = true;
    changed_.NotifyAll();
  });
  const MutexLock lock(mutex_);
  threads_.emplace_back([this] { Connect(); });
  threads_.emplace_back([this] { ReportProgress(); });
}

Learner::~Learner() {
  Stop();
}

void Learner::Stop() {
  std::shared_ptr<Connection> connection;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    connection = connection_;
    queue_.clear();
    for (auto& [id, job] : running_) CancelLocked(job.get());
    changed_.NotifyAll();
  }
  reconnector_.Stop();
  options_.rollout->OnChange(nullptr);
  if (connection != nullptr) {
    SayGoodbye(connection.get());
    connection->stream->Close(absl::CancelledError("the learner is stopping"));
  }
  std::vector<std::thread> threads;
  {
    const MutexLock lock(mutex_);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

void Learner::SayGoodbye(Connection* connection) {
  {
    const MutexLock lock(mutex_);
    if (!connection->welcomed || connection->closed) return;
  }
  v1::RunRequest message;
  message.mutable_leaving();
  connection->stream->Send(std::move(message));
  connection->stream->Close(absl::OkStatus());
  MutexLock lock(mutex_);
  changed_.WaitFor(lock, kSayGoodbyeWithin,
                   [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return connection->closed; });
}

void Learner::CancelLocked(Job* job) {
  job->cancel = true;
  options_.rollout->Cancel(job->unit_shard);
}

void Learner::Connect() {
  rpc::KeepOpen<v1::ShardService, v1::RunRequest, v1::RunResponse>(
      &reconnector_,
      {.server = "meta-learner",
       .flag = "--meta_learner",
       .address = options_.meta_learner_address,
       .channel = options_.meta_learner,
       .on_ended = options_.on_meta_learner_ended,
       .refused_wait = kRefusedWait,
       .stream = {.close_within = kLeaveWithin, .message_bytes_max = rpc::kShardMessageBytesMax},
       .hello =
           [this] {
             v1::RunRequest message;
             v1::Hello& hello = *message.mutable_hello();
             hello = NewHello();
             hello.set_peer_uid(options_.rollout->uid());
             hello.set_threads(static_cast<uint32_t>(options_.num_threads));
             hello.set_numeric_fingerprint(options_.fingerprint);
             hello.set_cpu_fingerprint(shards::LearnerFingerprint());
             hello.set_memory_bytes(options_.memory_bytes.value_or(MachineMemoryBytes()));
             hello.set_device(options_.device_name);
             if (options_.device.kind != kernels::DeviceKind::kCpu &&
                 options_.device.monitor != nullptr)
               hello.set_device_memory_bytes(options_.device.monitor->memory_bytes());
             hello.set_device_in_memory(options_.device.kind == kernels::DeviceKind::kEmulated);
             hello.set_shard_slots(static_cast<uint32_t>(options_.shard_slots));
             return message;
           },
       .on_open = [this](std::shared_ptr<ShardStream> stream) { return Open(std::move(stream)); }},
      [](auto* stub, auto* context, auto* reactor) { stub->Run(context, reactor); });
}

std::optional<Learner::ShardStream::Handlers> Learner::Open(std::shared_ptr<ShardStream> stream) {
  auto connection = std::make_shared<Connection>();
  connection->stream = std::move(stream);
  const MutexLock lock(mutex_);
  if (stopping_) return std::nullopt;
  connection_ = connection;
  return ShardStream::Handlers{
      .on_message = [this, connection](
                        v1::RunResponse message) { OnMessage(connection, std::move(message)); },
      .on_closed =
          [this, connection](const absl::Status&) {
            {
              const MutexLock lock(mutex_);
              connection->closed = true;
              connection_ = nullptr;
              // The meta-learner gives the shards of a lost stream again.
              std::erase_if(queue_, [&](const auto& job) { return job->connection == connection; });
              for (auto& [id, job] : running_) {
                if (job->connection == connection) CancelLocked(job.get());
              }
              changed_.NotifyAll();
              if (draining_) reconnector_.Stop();  // Another stream would bring more work.
            }
            LeaveWhenDrained();
          }};
}

void Learner::OnMessage(const std::shared_ptr<Connection>& connection, v1::RunResponse message) {
  switch (message.message_case()) {
    case v1::RunResponse::kWelcome:
      reconnector_.Connected();
      MENTOR_LOG(kInfo, "connected to the meta-learner");
      {
        const MutexLock lock(mutex_);
        connection->welcomed = fleet_changed_ = true;
        connection->server = message.welcome().server_uid();
        changed_.NotifyAll();
      }
      options_.rollout->Expect(message.welcome().catalogue_hash(),
                               message.welcome().numeric_fingerprint());
      TakeBackEnded();
      return;
    case v1::RunResponse::kSignalWeights: {
      auto meta_parameters = shards::FromProto(message.signal_weights().weights(),
                                               "meta-parameters", torch::kFloat32, {-1});
      if (!meta_parameters.ok()) {
        connection->stream->Close(meta_parameters.status());
        return;
      }
      const MutexLock lock(mutex_);
      connection->signal_version = message.signal_weights().version();
      connection->meta_parameters = *std::move(meta_parameters);
      return;
    }
    case v1::RunResponse::kShard:
      return Take(connection, std::move(*message.mutable_shard()));
    case v1::RunResponse::kAck: {
      const MutexLock lock(mutex_);
      for (auto& [id, job] : running_) {
        if (job->connection == connection && job->shard.shard_id() == message.ack().shard_id()) {
          job->acknowledged = std::max(
              job->acknowledged, message.ack().iteration() + 1 - job->shard.first_iteration());
        }
      }
      changed_.NotifyAll();
      return;
    }
    case v1::RunResponse::kDropShard:
      return Drop(connection, message.drop_shard());
    case v1::RunResponse::kDrainActor:
      options_.rollout->Drain(message.drain_actor().name());
      return;
    case v1::RunResponse::kDrain: {
      {
        const MutexLock lock(mutex_);
        draining_ = true;
      }
      LeaveWhenDrained();
      return;
    }
    default:
      return;  // From a newer version.
  }
}

void Learner::Take(const std::shared_ptr<Connection>& connection, v1::Shard shard) {
  auto job = std::make_shared<Job>();
  job->shard = std::move(shard);
  job->connection = connection;
  const MutexLock lock(mutex_);
  if (stopping_) return;
  if (connection->signal_version == job->shard.signal_version())
    job->meta_parameters = connection->meta_parameters;
  job->unit_shard = next_unit_shard_++;
  MENTOR_HISTORY("received", {{"server", connection->server},
                              {"shard", job->shard.shard_id()},
                              {"epoch", job->shard.epoch()},
                              {"experiment", job->shard.experiment()},
                              {"unit_shard", job->unit_shard}});
  queue_.push_back(std::move(job));
  // The meta-learner decides how many shards the learner gets at once. They may exceed its slots
  // when others make no room.
  if (queue_.size() > static_cast<size_t>(idle_workers_) && threads_.size() < kThreadsMax)
    threads_.emplace_back([this] { Work(); });
  changed_.NotifyAll();
}

void Learner::Drop(const std::shared_ptr<Connection>& connection, const v1::DropShard& dropped) {
  const auto is_dropped = [&](const Job& job) {
    return job.connection == connection && job.shard.shard_id() == dropped.shard_id() &&
           job.shard.epoch() == dropped.epoch();
  };
  {
    const MutexLock lock(mutex_);
    std::erase_if(queue_, [&](const auto& job) { return is_dropped(*job); });
    for (auto& [id, job] : running_) {
      if (is_dropped(*job)) CancelLocked(job.get());
    }
    changed_.NotifyAll();
  }
  LeaveWhenDrained();
}

void Learner::TellDeviceLost(const absl::Status& why) {
  reconnector_.Stop();
  MutexLock lock(mutex_);
  const std::shared_ptr<Connection> connection = connection_;
  if (connection == nullptr) return;
  lock.Unlock();
  v1::RunRequest message;
  std::string reason(why.message().substr(0, kPeerTextBytesMax));
  std::ranges::replace_if(
      reason, [](char c) { return c < ' ' || c > '~'; }, '?');
  message.mutable_device_lost()->set_reason(std::move(reason));
  connection->stream->Send(std::move(message));
  connection->stream->Close(absl::OkStatus());
  lock.Lock();
  changed_.WaitFor(lock, kTellWithin,
                   [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return connection->closed; });
}

void Learner::LeaveWhenDrained() {
  std::shared_ptr<Connection> connection;
  {
    const MutexLock lock(mutex_);
    if (!draining_ || drained_ || stopping_ || !queue_.empty() || !running_.empty()) return;
    connection = connection_;
    drained_ = connection == nullptr;
  }
  if (connection != nullptr) {
    // The end of the last shard may still be queued. It goes out first, and the meta-learner closes
    // the stream when it has read everything; then on_closed comes back here.
    connection->stream->Close(absl::OkStatus());
    return;
  }
  MENTOR_LOG(kInfo, "drained");
  if (options_.on_drained) options_.on_drained();
}

void Learner::Work() {
  MutexLock lock(mutex_);
  while (true) {
    ++idle_workers_;
    while (!stopping_ && queue_.empty()) changed_.Wait(lock);
    --idle_workers_;
    if (stopping_) return;
    const std::shared_ptr<Job> job = queue_.front();
    queue_.pop_front();
    running_[job->unit_shard] = job;
    lock.Unlock();
    CountPhase(/*learning=*/+1, /*simulating=*/0);
    RunJob(job);
    CountPhase(/*learning=*/-1, /*simulating=*/0);
    lock.Lock();
    running_.erase(job->unit_shard);
    lock.Unlock();
    LeaveWhenDrained();
    lock.Lock();
  }
}

void Learner::CountPhase(int learning, int simulating) {
  const MutexLock lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - phase_since_).count();
  if (num_learning_ > 0) learning_seconds_.Increment(seconds);
  if (num_learning_ > 0 && num_simulating_ > 0) hidden_seconds_.Increment(seconds);
  if (num_learning_ == 0)
    (num_simulating_ > 0 ? waiting_seconds_ : idle_seconds_).Increment(seconds);
  queue_items_.Set(static_cast<double>(queue_.size()));
  phase_since_ = now;
  num_learning_ += learning;
  num_simulating_ += simulating;
}

void Learner::ReportProgress() {
  MutexLock lock(mutex_);
  int looks = 0;
  std::shared_ptr<Connection> told;  // The stream of the last fleet report,
  int told_actors = 0;               // and its number of actors.
  while (!stopping_) {
    // Without its only actor this learner should get no shard, so the meta-learner hears at once.
    changed_.WaitFor(lock, kReportsApart,
                     [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
    changed_.WaitFor(lock, kReportEvery, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stopping_ || fleet_changed_;
    });
    if (stopping_) return;
    fleet_changed_ = false;
    const std::map<uint64_t, std::shared_ptr<Job>> running = running_;
    const std::shared_ptr<Connection> connection =
        connection_ != nullptr && connection_->welcomed ? connection_ : nullptr;
    lock.Unlock();
    CountPhase(/*learning=*/0, /*simulating=*/0);  // Counts a long phase while it lasts.
    const int actors = options_.rollout->answering_actors();
    const bool changed = connection != told || actors != told_actors;
    if (connection != nullptr && (changed || ++looks % kLooksPerFleetReport == 0)) {
      told = connection;
      told_actors = actors;
      v1::RunRequest message;
      for (v1::Peer& peer : options_.rollout->Peers())
        *message.mutable_fleet()->add_actors() = std::move(peer);
      message.mutable_fleet();
      connection->stream->Send(std::move(message));
    }
    for (const auto& [unit_shard, job] : running) {
      v1::RunRequest message;
      message.mutable_progress()->set_shard_id(job->shard.shard_id());
      message.mutable_progress()->set_env_steps(options_.rollout->StepsDone(unit_shard));
      message.mutable_progress()->set_actors(static_cast<uint32_t>(actors));
      message.mutable_progress()->set_missing_host(options_.rollout->MissingHost(unit_shard));
      job->connection->stream->Send(std::move(message));
    }
    lock.Lock();
  }
}

}  // namespace mentor::learner
