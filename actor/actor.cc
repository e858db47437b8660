#include "actor/actor.h"

#include <algorithm>
#include <string>
#include <utility>

#include "actor/unit_runner.h"
#include "common/failpoint.h"
#include "common/history.h"
#include "common/log.h"
#include "common/protocol.h"
#include "common/resources/names.h"
#include "common/rpc/keep_open.h"
#include "common/status.h"
#include "common/wait.h"
#include "envs/environment.h"
#include "envs/fingerprint.h"
#include "envs/host/host_list.h"

namespace mentor::actor {
namespace {

// Units in hand for each thread: one at work, one waiting, so that no thread waits for the wire.
constexpr uint32_t kUnitsPerThread = 2;
constexpr std::chrono::milliseconds kRefusedWait{60'000};
constexpr std::chrono::milliseconds kIdleSlice{1'000};

std::string NameOf(const v1::UnitId& id) {
  return history::UnitName(id.shard(), id.iteration(), id.agent(), id.part());
}

v1::WorkRequest CreditMessage(uint32_t units) {
  v1::WorkRequest message;
  message.mutable_credit()->set_units(units);
  return message;
}

}  // namespace

struct Actor::Connection {
  std::shared_ptr<WorkStream> stream;
  // Guarded by the actor's mutex_.
  uint32_t credit = 0;       // Units that the learner may still send.
  std::string learner = {};  // Its uid; fixed before the first unit.
  int running = 0;           // Units at work.
  bool welcomed = false;
  // It goes to another learner.
  std::optional<std::chrono::steady_clock::time_point> leaving_since = {};
};

struct Actor::Instruments {
  explicit Instruments(Metrics* metrics)
      : env_steps(metrics->Counter("mentor_actor_env_steps_total", "Environment steps.")),
        units_ok(
            metrics->Counter("mentor_actor_units_total", "Units by outcome.", {{"outcome", "ok"}})),
        units_error(metrics->Counter("mentor_actor_units_total", "Units by outcome.",
                                     {{"outcome", "error"}})),
        units_cancelled(metrics->Counter("mentor_actor_units_total", "Units by outcome.",
                                         {{"outcome", "cancelled"}})),
        unit_seconds(
            metrics->Histogram("mentor_actor_unit_seconds", "Wall time of a unit.", UnitBuckets())),
        step_seconds(metrics->Counter("mentor_actor_thread_state_seconds_total",
                                      "Time of worker threads by state.", {{"state", "step"}})),
        policy_seconds(metrics->Counter("mentor_actor_thread_state_seconds_total",
                                        "Time of worker threads by state.", {{"state", "policy"}})),
        encode_seconds(metrics->Counter("mentor_actor_thread_state_seconds_total",
                                        "Time of worker threads by state.", {{"state", "encode"}})),
        idle_seconds(metrics->Counter("mentor_actor_thread_state_seconds_total",
                                      "Time of worker threads by state.", {{"state", "idle"}})),
        connected(metrics->Gauge("mentor_actor_connected", "1 while the learner gives work.")),
        queue_items(metrics->Gauge("mentor_queue_items", "Items that wait.", {{"queue", "units"}})),
        queue_capacity(metrics->Gauge("mentor_queue_capacity_items", "Items that may wait.",
                                      {{"queue", "units"}})),
        queue_wait(metrics->Histogram("mentor_queue_wait_seconds",
                                      "From arrival to the start of work.", UnitBuckets(),
                                      {{"queue", "units"}})) {}

  prometheus::Counter& env_steps;
  prometheus::Counter& units_ok;
  prometheus::Counter& units_error;
  prometheus::Counter& units_cancelled;
  prometheus::Histogram& unit_seconds;
  prometheus::Counter& step_seconds;
  prometheus::Counter& policy_seconds;
  prometheus::Counter& encode_seconds;
  prometheus::Counter& idle_seconds;
  prometheus::Gauge& connected;
  prometheus::Gauge& queue_items;
  prometheus::Gauge& queue_capacity;
  prometheus::Histogram& queue_wait;
};

Actor::Actor(Options options, Metrics* metrics)
    : options_(std::move(options)), instruments_(std::make_unique<Instruments>(metrics)) {
  instruments_->queue_capacity.Set(static_cast<double>(kUnitsPerThread) * options_.threads);
  connector_ = std::thread([this] { Connect(); });
  for (int i = 0; i < options_.threads; ++i) workers_.emplace_back([this] { Work(); });
  if (options_.learners != nullptr)
    scout_ = std::jthread([this](const std::stop_token& stop) { Look(stop); });
}

Actor::~Actor() {
  Stop();
}

void Actor::Stop() {
  reconnector_.Stop();
  scout_.request_stop();
  std::shared_ptr<Connection> connection;
  bool told_to_leave = false;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    draining_ = true;
    told_to_leave = told_to_leave_;
    connection = connection_;
    if (connection != nullptr) LeaveLocked(connection);
    changed_.WaitFor(lock, options_.drain_deadline,
                     [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return running_ == 0; });
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (connection != nullptr) connection->stream->Close(absl::OkStatus());
  if (options_.interrupt) options_.interrupt();
  connector_.join();
  for (std::thread& worker : workers_) worker.join();
  scout_ = {};
  if (told_to_leave) MENTOR_LOG(kInfo, "drained");
}

void Actor::LeaveLocked(const std::shared_ptr<Connection>& connection) {
  if (connection->leaving_since) return;
  connection->leaving_since = std::chrono::steady_clock::now();
  v1::WorkRequest leaving;
  leaving.mutable_leaving();
  connection->stream->Send(std::move(leaving));
  // The learner gives them to others.
  const size_t dropped =
      std::erase_if(queue_, [&](const Task& task) { return task.connection == connection; });
  instruments_->units_cancelled.Increment(static_cast<double>(dropped));
  instruments_->queue_items.Set(static_cast<double>(queue_.size()));
}

void Actor::Look(const std::stop_token& stop) {
  uint64_t units_before = 0;
  while (!StopRequestedWithin(stop, options_.look_every)) {
    std::shared_ptr<Connection> connection;
    bool idle = false, overdue = false;
    {
      const MutexLock lock(mutex_);
      connection = connection_;
      if (connection == nullptr || !connection->welcomed || draining_) continue;
      idle = running_ == 0 && std::exchange(units_before, units_) == units_;
      overdue =
          connection->leaving_since &&
          std::chrono::steady_clock::now() - *connection->leaving_since >= options_.drain_deadline;
      if (connection->leaving_since && !overdue) continue;
    }
    if (!overdue) {
      if (!options_.learners->Look(idle, stop)) continue;
      const MutexLock lock(mutex_);
      if (draining_) return;
      LeaveLocked(connection);
      if (connection->running > 0) continue;
    }
    connection->stream->Close(absl::OkStatus());
  }
}

void Actor::Connect() {
  rpc::KeepOpen<v1::RolloutService, v1::WorkRequest, v1::WorkResponse>(
      &reconnector_,
      {.server = "learner",
       .channel =
           [this] {
             return options_.learners != nullptr ? options_.learners->channel()
                                                 : options_.channel();
           },
       .on_ended =
           [this](const absl::Status& status) {
             if (options_.learners != nullptr) options_.learners->Ended(status);
           },
       .refused_wait = kRefusedWait,
       .wait = options_.learners != nullptr ? std::function([this] { return WaitForLearner(); })
                                            : nullptr,
       .hello =
           [this] {
             v1::WorkRequest message;
             v1::Hello& hello = *message.mutable_hello();
             hello = NewHello();
             hello.set_peer_uid(options_.uid);
             hello.set_threads(static_cast<uint32_t>(options_.threads));
             hello.set_catalogue_hash(envs::CatalogueHash());
             hello.set_numeric_fingerprint(envs::NumericFingerprint());
             for (const std::string& host : envs::HostNames()) hello.add_hosts(host);
             return message;
           },
       .on_open = [this](std::shared_ptr<WorkStream> stream) { return Open(std::move(stream)); }},
      [](auto* stub, auto* context, auto* reactor) { stub->Work(context, reactor); });
}

bool Actor::WaitForLearner() {
  while (!reconnector_.stopped()) {
    const std::chrono::milliseconds wait = options_.learners->Next();
    if (wait.count() == 0) return true;
    reconnector_.WaitFor(wait);
  }
  return false;
}

std::optional<Actor::WorkStream::Handlers> Actor::Open(std::shared_ptr<WorkStream> stream) {
  auto connection = std::make_shared<Connection>();
  connection->stream = std::move(stream);
  const MutexLock lock(mutex_);
  if (draining_) return std::nullopt;
  connection_ = connection;
  return WorkStream::Handlers{
      .on_message = [this, connection](
                        v1::WorkResponse message) { OnMessage(connection, std::move(message)); },
      .on_closed =
          [this, connection](const absl::Status&) {
            const MutexLock lock(mutex_);
            instruments_->connected.Set(0);
            connection_ = nullptr;
            // Units of a lost stream are the learner's to give again; those at work end unheard.
            std::erase_if(queue_, [&](const Task& task) { return task.connection == connection; });
            instruments_->queue_items.Set(static_cast<double>(queue_.size()));
          }};
}

void Actor::OnMessage(const std::shared_ptr<Connection>& connection, v1::WorkResponse message) {
  switch (message.message_case()) {
    case v1::WorkResponse::kWelcome: {
      reconnector_.Connected();
      instruments_->connected.Set(1);
      const std::string address =
          options_.learners != nullptr ? options_.learners->Connected() : "";
      MENTOR_LOG(kInfo, "connected to a learner",
                 {{"learner", LearnerName(message.welcome().server_uid())}, {"address", address}});
      const uint32_t units = kUnitsPerThread * static_cast<uint32_t>(options_.threads);
      {
        const MutexLock lock(mutex_);
        connection->credit += units;
        connection->learner = message.welcome().server_uid();
        connection->welcomed = true;
      }
      connection->stream->Send(CreditMessage(units));
      return;
    }
    case v1::WorkResponse::kUnit: {
      MENTOR_FAILPOINT("actor.unit.received");
      MutexLock lock(mutex_);
      // On its way when this actor said that it leaves: the learner has given it to another one.
      if (connection->leaving_since) return;
      if (connection->credit == 0) {
        lock.Unlock();
        connection->stream->Close(MakeError(absl::StatusCode::kInvalidArgument,
                                            Reason::kCreditExceeded,
                                            "the learner sent more units than it was asked for"));
        return;
      }
      --connection->credit;
      MENTOR_HISTORY("received", {{"unit", NameOf(message.unit().id())},
                                  {"attempt", message.unit().attempt()},
                                  {"server", connection->learner}});
      ++units_;
      queue_.push_back(
          {std::move(*message.mutable_unit()), connection, std::chrono::steady_clock::now()});
      instruments_->queue_items.Set(static_cast<double>(queue_.size()));
      changed_.NotifyAll();
      return;
    }
    case v1::WorkResponse::kCancelUnit: {
      const v1::UnitId& id = message.cancel_unit().id();
      v1::WorkRequest answer;
      {
        const MutexLock lock(mutex_);
        const auto task = std::find_if(queue_.begin(), queue_.end(), [&](const Task& task) {
          return task.connection == connection && task.unit.id().shard() == id.shard() &&
                 task.unit.id().iteration() == id.iteration() &&
                 task.unit.id().agent() == id.agent() && task.unit.id().part() == id.part();
        });
        if (task == queue_.end()) return;  // At work: its result is dropped over there.
        answer.mutable_result()->set_attempt(task->unit.attempt());
        queue_.erase(task);
        instruments_->queue_items.Set(static_cast<double>(queue_.size()));
        ++connection->credit;
      }
      instruments_->units_cancelled.Increment();
      // Every unit is answered, so both sides agree on what is out.
      *answer.mutable_result()->mutable_id() = id;
      answer.mutable_result()->set_error("cancelled");
      connection->stream->Send(std::move(answer));
      connection->stream->Send(CreditMessage(1));
      return;
    }
    case v1::WorkResponse::kDrain: {
      {
        const MutexLock lock(mutex_);
        told_to_leave_ = true;
      }
      if (options_.on_drain) options_.on_drain();
      return;
    }
    default:
      return;  // From a newer version.
  }
}

void Actor::Work() {
  UnitRunner runner;
  MutexLock lock(mutex_);
  while (true) {
    // In slices, so that a thread without work is seen to be idle.
    auto idle_since = std::chrono::steady_clock::now();
    const auto count_idle = [&] {
      const auto now = std::chrono::steady_clock::now();
      instruments_->idle_seconds.Increment(std::chrono::duration<double>(now - idle_since).count());
      idle_since = now;
    };
    while (!changed_.WaitFor(lock, kIdleSlice, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stopping_ || !queue_.empty();
    }))
      count_idle();
    if (stopping_) return;
    count_idle();
    const Task task = std::move(queue_.front());
    queue_.pop_front();
    instruments_->queue_items.Set(static_cast<double>(queue_.size()));
    ++running_;
    ++task.connection->running;
    lock.Unlock();

    const auto start = std::chrono::steady_clock::now();
    instruments_->queue_wait.Observe(std::chrono::duration<double>(start - task.received).count());
    v1::WorkRequest message;
    *message.mutable_result() = runner.Run(task.unit);
    const v1::Result& result = message.result();
    instruments_->unit_seconds.Observe(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    if (result.error().empty()) {
      instruments_->units_ok.Increment();
      instruments_->env_steps.Increment(task.unit.steps());
      instruments_->policy_seconds.Increment(result.policy_cpu_seconds());
      instruments_->encode_seconds.Increment(runner.encode_seconds());
      instruments_->step_seconds.Increment(std::max(
          0.0, result.cpu_seconds() - result.policy_cpu_seconds() - runner.encode_seconds()));
    } else {
      instruments_->units_error.Increment();
      MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning, "a unit failed",
                       {{"why", result.error()}});
    }
    MENTOR_FAILPOINT("actor.result.before_send");
    {
      const MutexLock guard(mutex_);
      ++task.connection->credit;
    }
    MENTOR_HISTORY("sent", {{"unit", NameOf(result.id())},
                            {"attempt", result.attempt()},
                            {"server", task.connection->learner},
                            {"hash", history::Digest(result.result_hash())},
                            {"error", result.error()}});
    task.connection->stream->Send(std::move(message));
    task.connection->stream->Send(CreditMessage(1));
    MENTOR_FAILPOINT("actor.result.after_send");

    lock.Lock();
    --running_;
    if (running_ == 0) changed_.NotifyAll();
    if (--task.connection->running == 0 && task.connection->leaving_since && !draining_) {
      lock.Unlock();
      task.connection->stream->Close(absl::OkStatus());
      lock.Lock();
    }
  }
}

}  // namespace mentor::actor
