#include "learner/rollout/rollout_server.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include <absl/strings/str_format.h>
#include <google/protobuf/util/time_util.h>

#include "common/check.h"
#include "common/failed_step.h"
#include "common/failpoint.h"
#include "common/hash.h"
#include "common/history.h"
#include "common/hosts.h"
#include "common/log.h"
#include "common/protocol.h"
#include "common/resources/names.h"
#include "common/result_hash.h"
#include "common/rpc/call_metrics.h"
#include "common/status.h"
#include "common/uuid.h"

namespace mentor::learner {
namespace {

// An environment's state is some kilobytes.
constexpr size_t kStateBytesMax = 4 << 20;
constexpr size_t kErrorBytesMax = 4096;
// Shards whose step counts are kept for progress bars.
constexpr size_t kShardsRemembered = 256;

template <typename Number>
bool AllFinite(const std::string& bytes) {
  for (size_t i = 0; i < bytes.size(); i += sizeof(Number)) {
    Number value;
    std::memcpy(&value, bytes.data() + i, sizeof(Number));
    if (!std::isfinite(value)) return false;
  }
  return true;
}

absl::Status CheckTensor(const char* name, const v1::Tensor& tensor, v1::Tensor::DType dtype,
                         std::initializer_list<int64_t> shape, char greatest_flag = 1) {
  if (tensor.dtype() != dtype) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: type %s, expected %s", name,
                                                      v1::Tensor::DType_Name(tensor.dtype()),
                                                      v1::Tensor::DType_Name(dtype)));
  }
  if (!std::equal(tensor.shape().begin(), tensor.shape().end(), shape.begin(), shape.end())) {
    const auto text = [](const auto& sizes) {
      std::string text;
      for (const int64_t size : sizes) text += (text.empty() ? "[" : ", ") + std::to_string(size);
      return text.empty() ? "[]" : text + "]";
    };
    // A peer may send any number of axes.
    if (tensor.shape_size() > 8)
      return absl::InvalidArgumentError(absl::StrFormat("%s: %d axes", name, tensor.shape_size()));
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: shape %s, expected %s", name, text(tensor.shape()), text(shape)));
  }
  size_t bytes = dtype == v1::Tensor::DTYPE_FLOAT64   ? 8
                 : dtype == v1::Tensor::DTYPE_FLOAT32 ? 4
                                                      : 1;
  for (const int64_t size : shape) bytes *= static_cast<size_t>(size);
  if (tensor.data().size() != bytes) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: %u bytes, expected %u", name, tensor.data().size(), bytes));
  }
  bool good = true;
  if (dtype == v1::Tensor::DTYPE_FLOAT64) good = AllFinite<double>(tensor.data());
  if (dtype == v1::Tensor::DTYPE_FLOAT32) good = AllFinite<float>(tensor.data());
  if (!good) return absl::InvalidArgumentError(absl::StrFormat("%s: a number is not finite", name));
  if (dtype == v1::Tensor::DTYPE_UINT8) {
    good = std::all_of(tensor.data().begin(), tensor.data().end(),
                       [greatest_flag](char flag) { return flag >= 0 && flag <= greatest_flag; });
    if (!good)
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: a flag is not 0 to %d", name, greatest_flag));
  }
  return absl::OkStatus();
}

// Checks that flags have the right sizes: no step has both, and each end has its observation where
// the unit asks for it.
absl::Status CheckEnds(const v1::Unit& unit, const v1::Trajectory& trajectory) {
  const std::string& terminations = trajectory.terminations().data();
  const std::string& truncations = trajectory.truncations().data();
  for (size_t i = 0; i < truncations.size(); ++i) {
    if (truncations[i] != 0 && terminations[i] != 0) {
      return absl::InvalidArgumentError(
          absl::StrFormat("truncations: step %u terminated, so no limit cut it short", i));
    }
  }
  if (unit.return_final_observations()) {
    return CheckTensor("final_observations", trajectory.final_observations(),
                       v1::Tensor::DTYPE_FLOAT32,
                       {std::count(truncations.begin(), truncations.end(), 1) +
                            static_cast<int64_t>(terminations.size()) -
                            std::count(terminations.begin(), terminations.end(), 0),
                        static_cast<int64_t>(unit.policy().observation_size())});
  }
  if (trajectory.has_final_observations())
    return absl::InvalidArgumentError("final_observations: the unit did not ask for them");
  return absl::OkStatus();
}

absl::Status Stopping() {
  return MakeError(Reason::kDraining, "the learner is stopping");
}
absl::Status Cancelled(uint64_t shard) {
  return absl::CancelledError(absl::StrFormat("shard %u is cancelled", shard));
}
absl::Status Violation(std::string_view message) {
  return MakeError(Reason::kProtocolViolation, message);
}

std::string NameOf(const UnitKey& key) {
  return history::UnitName(key.shard, key.iteration, key.agent, key.part);
}

// Names of UnitDispatcher::Outcome in the history, in its order.
constexpr const char* kOutcomeNames[] = {"accepted", "duplicate", "divergent",
                                         "late",     "failed",    "rejected"};

// Counters never decrease, so they can say what the dispatcher has counted so far.
void RaiseTo(uint64_t count, prometheus::Counter* counter) {
  counter->Increment(static_cast<double>(count) - counter->Value());
}

// Records that a collection's results go into its segment.
void RecordConsumed(const std::vector<v1::Result>& results) {
  if (!history::On()) return;
  Sha256 hash;
  for (const v1::Result& result : results) hash.Update(result.result_hash());
  const v1::UnitId& id = results.front().id();
  history::Write("consumed", {{"unit_shard", id.shard()},
                              {"iteration", id.iteration()},
                              {"units", results.size()},
                              {"hash", history::Digest(hash.Finish())}});
}

v1::WorkResponse CancelMessage(const UnitKey& key) {
  v1::WorkResponse message;
  *message.mutable_cancel_unit()->mutable_id() = ToProto(key);
  return message;
}

UnitDispatcher::Options WithClock(UnitDispatcher::Options options) {
  if (!options.now) {
    options.now = [] {
      return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch());
    };
  }
  return options;
}

}  // namespace

absl::Status ValidateResult(const v1::Unit& unit, const v1::Result& result) {
  const int64_t n = unit.steps(), d = unit.policy().observation_size(),
                a = unit.policy().action_size();
  const v1::Trajectory& t = result.trajectory();
  MENTOR_RETURN_IF_ERROR(
      CheckTensor("observations", t.observations(), v1::Tensor::DTYPE_FLOAT32, {n, d}));
  MENTOR_RETURN_IF_ERROR(CheckTensor("actions", t.actions(), v1::Tensor::DTYPE_FLOAT32, {n, a}));
  MENTOR_RETURN_IF_ERROR(CheckTensor("log_probs", t.log_probs(), v1::Tensor::DTYPE_FLOAT32, {n}));
  MENTOR_RETURN_IF_ERROR(CheckTensor("rewards", t.rewards(), v1::Tensor::DTYPE_FLOAT64, {n}));
  MENTOR_RETURN_IF_ERROR(CheckTensor("successes", t.successes(), v1::Tensor::DTYPE_UINT8, {n}));
  MENTOR_RETURN_IF_ERROR(
      CheckTensor("terminations", t.terminations(), v1::Tensor::DTYPE_UINT8, {n}, kStepFailed));
  MENTOR_RETURN_IF_ERROR(CheckTensor("truncations", t.truncations(), v1::Tensor::DTYPE_UINT8, {n}));
  MENTOR_RETURN_IF_ERROR(CheckEnds(unit, t));
  MENTOR_RETURN_IF_ERROR(
      CheckTensor("next_observation", t.next_observation(), v1::Tensor::DTYPE_FLOAT32, {d}));
  if (t.has_labels())
    MENTOR_RETURN_IF_ERROR(CheckTensor("labels", t.labels(), v1::Tensor::DTYPE_FLOAT32, {n, a}));
  const std::string& state = result.final_state();
  if (state.size() > kStateBytesMax) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "final_state: %u bytes, at most %u are allowed", state.size(), kStateBytesMax));
  }
  if (!unit.return_state() && !state.empty())
    return absl::InvalidArgumentError("final_state: the unit did not ask for it");
  // The end of an episode leaves no state to carry on.
  if (unit.return_state() && state.empty() && n > 0 && t.terminations().data().back() == 0 &&
      t.truncations().data().back() == 0) {
    return absl::InvalidArgumentError("final_state: is missing");
  }
  for (const double seconds :
       {result.cpu_seconds(), result.policy_cpu_seconds(), result.work_seconds()}) {
    if (!(seconds >= 0 && seconds < 1e9))
      return absl::InvalidArgumentError("cpu_seconds or work_seconds: not a time");
  }
  if (ResultHash(t, state) != result.result_hash()) {
    return absl::InvalidArgumentError(
        "result_hash: is not that of the trajectory and the final state");
  }
  return absl::OkStatus();
}

// One actor's stream.
struct RolloutServer::Session {
  std::shared_ptr<WorkStream> stream;
  // Fixed before the first message.
  ActorId id{0};
  // Guarded by the server's mutex_.
  v1::Hello hello;
  bool welcomed = false;
  bool leaving = false;
  bool rejected = false;
  bool replaced = false;  // Another stream of the same actor replaced it.
  google::protobuf::Timestamp connect_time = google::protobuf::util::TimeUtil::GetCurrentTime();
  uint64_t units = 0;  // Units whose results were used.
  // Since the last Peers: steps, and seconds at work by experiment.
  uint64_t new_steps = 0;
  std::map<std::string, double> work_seconds = {};
};

struct RolloutServer::Instruments {
  explicit Instruments(Metrics* metrics) {
    const auto counters = [&](const char* name, const char* help, const char* label,
                              std::initializer_list<const char*> values) {
      std::map<std::string, prometheus::Counter*> family;
      for (const char* value : values)
        family[value] = &metrics->Counter(name, help, {{label, value}});
      return family;
    };
    results = counters("mentor_rollout_results_total", "Results by what became of them.", "outcome",
                       {"used", "duplicate", "late", "error", "rejected"});
    rejected =
        counters("mentor_rollout_rejected_total", "Streams ended for a broken rule.", "reason",
                 {"hello", "mismatch", "credit", "unexpected", "result", "message"});
    reissued = counters("mentor_rollout_reissued_total", "Units given out again.", "reason",
                        {"lost", "leaving", "lagging", "silent", "error"});
    deaths = counters("mentor_rollout_peer_deaths_total", "Actors lost.", "cause",
                      {"heartbeat", "closed", "violation", "replaced"});
    quarantines =
        &metrics->Counter("mentor_rollout_quarantines_total",
                          "Actors kept away for a while, because they failed or held up others.");
    quarantined = &metrics->Gauge("mentor_rollout_peers_quarantined", "Actors kept away now.");
    divergence = &metrics->Counter(
        "mentor_rollout_divergence_total",
        "Results that differ from the first one of their unit: exactness is broken.");
    outstanding = &metrics->Gauge("mentor_rollout_units_outstanding", "Units that actors hold.");
    ready = &metrics->Gauge("mentor_rollout_units_ready", "Units that wait for an actor.");
    backlog = &metrics->Gauge("mentor_rollout_unit_backlog", "Units that are not done.");
    peers = &metrics->Gauge("mentor_rollout_peers", "Connected actors.");
    turnaround = &metrics->Histogram("mentor_rollout_unit_turnaround_seconds",
                                     "From sending a unit to its first result.", UnitBuckets());
    stream = rpc::MakeStreamMetrics(metrics, "RolloutService/Work");
    stream.round_trip_seconds = &metrics->Histogram("mentor_rollout_peer_rtt_seconds",
                                                    "Round trip of heartbeats.", RpcBuckets());
  }

  std::map<std::string, prometheus::Counter*> results, rejected, reissued, deaths;
  prometheus::Counter *divergence, *quarantines;
  prometheus::Gauge *outstanding, *ready, *backlog, *peers, *quarantined;
  prometheus::Histogram* turnaround;
  rpc::StreamMetrics stream;
};

RolloutServer::RolloutServer(Options options, Metrics* metrics)
    : options_([&] {
        options.dispatcher = WithClock(std::move(options.dispatcher));
        return std::move(options);
      }()),
      instruments_(std::make_unique<Instruments>(metrics)),
      server_uid_(NewUuid()),
      dispatcher_(options_.dispatcher),
      catalogue_hash_(options_.catalogue_hash),
      numeric_fingerprint_(options_.numeric_fingerprint),
      lag_watch_([this] { WatchLag(); }) {
  MENTOR_HISTORY("serves", {{"border", "actors"}, {"server", server_uid_}});
}

RolloutServer::~RolloutServer() {
  Stop();
  lag_watch_.join();
  MutexLock lock(mutex_);
  while (!sessions_.empty() || !running_.empty()) changed_.Wait(lock);
}

void RolloutServer::Stop() {
  std::vector<std::shared_ptr<WorkStream>> streams;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    for (const auto& [id, session] : sessions_) streams.push_back(session->stream);
    changed_.NotifyAll();
    lag_changed_.NotifyAll();
  }
  for (const auto& stream : streams) stream->Close(Stopping());
  bundles_.Stop();
}

int RolloutServer::actors() const {
  MutexLock lock(mutex_);
  return static_cast<int>(std::count_if(sessions_.begin(), sessions_.end(), [](const auto& entry) {
    return entry.second->welcomed && !entry.second->leaving;
  }));
}

int RolloutServer::answering_actors() const {
  const MutexLock lock(mutex_);
  return static_cast<int>(std::count_if(
      sessions_.begin(), sessions_.end(),
      [&](const auto& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return entry.second->welcomed && !entry.second->leaving && dispatcher_.Answers(entry.first);
      }));
}

uint64_t RolloutServer::UnitsWaiting(const std::set<std::string>& env_hosts) const {
  MutexLock lock(mutex_);
  return stopping_ ? 0 : dispatcher_.NumReadyFor(env_hosts);
}

std::string RolloutServer::MissingHost(uint64_t shard) const {
  MutexLock lock(mutex_);
  return dispatcher_.MissingHost(shard);
}

std::string RolloutServer::catalogue_hash() const {
  MutexLock lock(mutex_);
  return catalogue_hash_;
}

std::string RolloutServer::numeric_fingerprint() const {
  MutexLock lock(mutex_);
  return numeric_fingerprint_;
}

uint64_t RolloutServer::StepsDone(uint64_t shard) const {
  MutexLock lock(mutex_);
  const auto steps = steps_done_.find(shard);
  return steps == steps_done_.end() ? 0 : steps->second;
}

void RolloutServer::Expect(const std::string& catalogue_hash,
                           const std::string& numeric_fingerprint) {
  std::vector<std::pair<std::shared_ptr<Session>, absl::Status>> wrong;
  {
    MutexLock lock(mutex_);
    if (!catalogue_hash.empty()) catalogue_hash_ = catalogue_hash;
    if (!numeric_fingerprint.empty()) numeric_fingerprint_ = numeric_fingerprint;
    for (const auto& [id, session] : sessions_) {
      if (!session->welcomed) continue;
      if (absl::Status status = CheckFleet(session->hello); !status.ok())
        wrong.emplace_back(session, std::move(status));
    }
  }
  for (const auto& [session, status] : wrong) Reject(session, "mismatch", status);
}

// --- Streams. Handlers run on gRPC's threads and must not wait.

grpc::ServerBidiReactor<v1::WorkRequest, v1::WorkResponse>* RolloutServer::Work(
    grpc::CallbackServerContext* context) {
  rpc::StreamOptions stream_options = options_.stream;
  stream_options.metrics = instruments_->stream;
  auto session = std::make_shared<Session>();
  session->stream = WorkStream::Make(context, stream_options);
  WorkStream* const stream = session->stream.get();
  bool stopping;
  {
    MutexLock lock(mutex_);
    session->id = ActorId{next_actor_++};
    sessions_[session->id] = session;
    stopping = stopping_;
  }
  // The end of the stream destroys the handlers, and the session with them.
  stream->Start(
      {.on_message = [this,
                      session](v1::WorkRequest message) { OnMessage(session, std::move(message)); },
       .on_closed = [this, session](const absl::Status& status) { OnClosed(session, status); }});
  if (stopping) stream->Close(Stopping());
  return stream->reactor();
}

grpc::ServerUnaryReactor* RolloutServer::GetLoad(grpc::CallbackServerContext* context,
                                                 const v1::GetLoadRequest* request,
                                                 v1::GetLoadResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const absl::Status status = CheckSimulatorNames("hosts", request->hosts());
  if (status.ok())
    response->set_units_waiting(UnitsWaiting({request->hosts().begin(), request->hosts().end()}));
  reactor->Finish(rpc::ToGrpc(status));
  return reactor;
}

void RolloutServer::Reject(const std::shared_ptr<Session>& session, const std::string& reason,
                           const absl::Status& status) {
  std::string peer;
  {
    MutexLock lock(mutex_);
    session->rejected = true;
    peer = session->hello.peer_uid();
    // A mismatch of builds is not the actor's fault.
    if (session->welcomed && reason != "mismatch") dispatcher_.Refuse(session->id);
  }
  instruments_->rejected.at(reason)->Increment();
  MENTOR_LOG_EVERY(std::chrono::seconds(1), kWarning, "actor rejected",
                   {{"peer", peer}, {"why", status}});
  session->stream->Close(status);
}

void RolloutServer::OnMessage(const std::shared_ptr<Session>& session, v1::WorkRequest message) {
  {
    MutexLock lock(mutex_);
    if (session->rejected) return;
    if (!session->welcomed && !message.has_hello()) {
      lock.Unlock();
      return Reject(session, "hello", Violation("the first message must be Hello"));
    }
  }
  switch (message.message_case()) {
    case v1::WorkRequest::kHello:
      return OnHello(session, message.hello());
    case v1::WorkRequest::kCredit: {
      absl::Status status;
      {
        MutexLock lock(mutex_);
        status = dispatcher_.Offer(session->id, message.credit().units());
      }
      if (!status.ok()) return Reject(session, "credit", status);
      return Dispatch();
    }
    case v1::WorkRequest::kResult:
      return OnResult(session, std::move(*message.mutable_result()));
    case v1::WorkRequest::kLeaving: {
      {
        MutexLock lock(mutex_);
        session->leaving = actors_changed_ = true;
        dispatcher_.Leaving(session->id);
      }
      return Dispatch();
    }
    default:
      return Reject(session, "message",
                    Violation("an empty message, or one that this version does not know"));
  }
}

std::vector<v1::Peer> RolloutServer::Peers() {
  using google::protobuf::util::TimeUtil;
  std::vector<v1::Peer> peers;
  MutexLock lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::max(1.0, std::chrono::duration<double>(now - peers_since_).count());
  peers_since_ = now;
  for (auto& [id, session] : sessions_) {
    if (!session->welcomed) continue;
    v1::Peer& peer = peers.emplace_back();
    const v1::Hello& hello = session->hello;
    peer.set_name(ActorName(hello.peer_uid()));
    peer.set_host(hello.host());
    peer.set_build(hello.build());
    peer.set_threads(hello.threads());
    peer.set_catalogue_hash(hello.catalogue_hash());
    *peer.mutable_hosts() = hello.hosts();
    peer.set_draining(session->leaving);
    peer.set_units(session->units);
    peer.set_work(static_cast<uint32_t>(dispatcher_.NumHeld(id)));
    peer.set_quarantined(!dispatcher_.Answers(id));
    peer.set_strikes(static_cast<uint32_t>(dispatcher_.StandingOf(id)->strikes()));
    peer.set_env_steps_per_second(static_cast<double>(std::exchange(session->new_steps, 0)) /
                                  seconds);
    std::vector<std::pair<double, std::string>> time;
    for (const auto& [experiment, worked] : std::exchange(session->work_seconds, {}))
      time.emplace_back(worked / (seconds * std::max(1U, hello.threads())), experiment);
    std::sort(time.rbegin(), time.rend());
    for (const auto& [share, experiment] : time) {
      v1::ExperimentTime* const part = peer.add_time();
      part->set_experiment(experiment);
      part->set_share(std::min(1.0, share));
    }
    *peer.mutable_connect_time() = session->connect_time;
    if (const auto round_trip = session->stream->RoundTrip())
      *peer.mutable_round_trip() = TimeUtil::NanosecondsToDuration(round_trip->count());
  }
  return peers;
}

bool RolloutServer::Drain(const std::string& name) {
  std::shared_ptr<WorkStream> stream;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, session] : sessions_) {
      if (session->welcomed && ActorName(session->hello.peer_uid()) == name)
        stream = session->stream;
    }
  }
  if (stream == nullptr) return false;
  v1::WorkResponse message;
  message.mutable_drain();
  return stream->Send(std::move(message));
}

absl::Status RolloutServer::CheckFleet(const v1::Hello& hello) const {
  if (!catalogue_hash_.empty() && hello.catalogue_hash() != catalogue_hash_) {
    return MakeError(Reason::kCatalogueMismatch,
                     absl::StrFormat("the actor's catalogue of environments is %s (build %s), "
                                     "expected %s: run one build everywhere",
                                     hello.catalogue_hash(), hello.build(), catalogue_hash_),
                     {{"expected", catalogue_hash_}, {"got", hello.catalogue_hash()}});
  }
  if (!numeric_fingerprint_.empty() && hello.numeric_fingerprint() != numeric_fingerprint_) {
    return MakeError(
        Reason::kNumericMismatch,
        absl::StrFormat("the actor's numeric fingerprint is %s (build %s), expected %s: another "
                        "processor, libm, MuJoCo or build computes other last bits",
                        hello.numeric_fingerprint(), hello.build(), numeric_fingerprint_),
        {{"expected", numeric_fingerprint_}, {"got", hello.numeric_fingerprint()}});
  }
  return absl::OkStatus();
}

void RolloutServer::OnHello(const std::shared_ptr<Session>& session, const v1::Hello& hello) {
  if (const absl::Status status = CheckHello(hello); !status.ok()) {
    const bool other_version = ReasonOf(status) == ReasonName(Reason::kProtocolVersion);
    return Reject(session, other_version ? "mismatch" : "hello", status);
  }
  absl::Status status;
  bool twice;
  std::shared_ptr<Session> before;  // Another stream of the same process.
  {
    MutexLock lock(mutex_);
    twice = session->welcomed;
    if (!twice) {
      session->hello = hello;
      status = CheckFleet(hello);
      if (status.ok()) {
        for (const auto& [id, other] : sessions_) {
          if (other->welcomed && other->hello.peer_uid() == hello.peer_uid()) before = other;
        }
        // A connection that broke half-way goes unnoticed for a while, so the newer stream counts.
        if (before != nullptr) before->replaced = true;
        session->welcomed = actors_changed_ = true;
        dispatcher_.AddActor(session->id,
                             {.uid = hello.peer_uid(),
                              .host = hello.host(),
                              .env_hosts = {hello.hosts().begin(), hello.hosts().end()},
                              .threads = hello.threads()});
        instruments_->peers->Increment();
        // The first actor sets the values that others must equal.
        if (catalogue_hash_.empty()) catalogue_hash_ = hello.catalogue_hash();
        if (numeric_fingerprint_.empty()) numeric_fingerprint_ = hello.numeric_fingerprint();
        SetGauges();
      }
    }
  }
  if (before != nullptr) {
    before->stream->Close(MakeError(absl::StatusCode::kAlreadyExists, Reason::kProtocolViolation,
                                    "another connection has the same peer_uid"));
  }
  if (twice) return Reject(session, "hello", Violation("hello came twice"));
  if (!status.ok()) return Reject(session, "mismatch", status);
  MENTOR_LOG(kInfo, "actor connected",
             {{"peer", hello.peer_uid()},
              {"host", hello.host()},
              {"threads", hello.threads()},
              {"build", hello.build()}});
  v1::WorkResponse message;
  v1::Welcome* welcome = message.mutable_welcome();
  welcome->set_server_uid(server_uid_);
  welcome->set_stream_uid(std::to_string(static_cast<uint64_t>(session->id)));
  welcome->set_heartbeat_ms(static_cast<uint32_t>(options_.stream.heartbeat.count()));
  welcome->set_dead_after_ms(static_cast<uint32_t>(options_.stream.dead_after.count()));
  session->stream->Send(std::move(message));
}

void RolloutServer::OnResult(const std::shared_ptr<Session>& session, v1::Result result) {
  MENTOR_FAILPOINT("learner.result.received");
  const UnitKey key = ToKey(result.id());
  std::shared_ptr<const v1::Unit> unit;
  {
    MutexLock lock(mutex_);
    unit = dispatcher_.Held(session->id, key);
  }
  if (unit == nullptr) {
    instruments_->results.at("rejected")->Increment();
    return Reject(session, "unexpected",
                  Violation("a result of " + ToString(key) + ", which this actor does not hold"));
  }
  // Without the lock: reading and hashing hundreds of kilobytes takes time.
  if (result.error().empty()) {
    if (const absl::Status status = ValidateResult(*unit, result); !status.ok()) {
      instruments_->results.at("rejected")->Increment();
      return Reject(session, "result",
                    Violation("result of " + ToString(key) + ": " + std::string(status.message())));
    }
  } else {
    if (result.error().size() > kErrorBytesMax) result.mutable_error()->resize(kErrorBytesMax);
    if (!(result.work_seconds() >= 0 && result.work_seconds() < 1e9)) result.clear_work_seconds();
  }
  const std::string error = result.error();
  const double work_seconds = result.work_seconds();
  const std::string hash = history::On() ? history::Digest(result.result_hash()) : "";
  const uint32_t attempt = result.attempt();
  UnitDispatcher::Outcome outcome;
  {
    MutexLock lock(mutex_);
    outcome = dispatcher_.Accept(session->id, std::move(result));
    if (work_seconds > 0) session->work_seconds[unit->share().experiment()] += work_seconds;
    MENTOR_HISTORY(kOutcomeNames[static_cast<size_t>(outcome)],
                   {{"unit", NameOf(key)},
                    {"attempt", attempt},
                    {"actor", session->hello.peer_uid()},
                    {"hash", hash}});
    if (outcome == UnitDispatcher::Outcome::kUsed) {
      // Counted before the caller of RunUnits continues.
      instruments_->results.at("used")->Increment();
      steps_done_[key.shard] += unit->steps();
      ++session->units;
      session->new_steps += unit->steps();
      if (steps_done_.size() > kShardsRemembered) steps_done_.erase(steps_done_.begin());
      instruments_->turnaround->Observe(
          std::chrono::duration<double>(dispatcher_.last_turnaround()).count());
    }
    if (dispatcher_.Settled(key.shard)) changed_.NotifyAll();
  }
  switch (outcome) {
    case UnitDispatcher::Outcome::kUsed:
      break;
    case UnitDispatcher::Outcome::kDivergent:
      instruments_->divergence->Increment();
      MENTOR_LOG(kError,
                 "two results of one unit differ: exactness is broken, look for an actor of "
                 "another build or a faulty machine",
                 {{"experiment", unit->share().experiment()}, {"unit", ToString(key)}});
      [[fallthrough]];
    case UnitDispatcher::Outcome::kDuplicate:
      MENTOR_FAILPOINT("learner.result.duplicate");
      instruments_->results.at("duplicate")->Increment();
      break;
    case UnitDispatcher::Outcome::kLate:
      instruments_->results.at("late")->Increment();
      break;
    case UnitDispatcher::Outcome::kError:
      instruments_->results.at("error")->Increment();
      lag_changed_.NotifyAll();  // The new unit may lag sooner than the others.
      MENTOR_LOG_EVERY(std::chrono::seconds(1), kWarning, "a unit failed at an actor",
                       {{"unit", ToString(key)}, {"why", error}});
      break;
    case UnitDispatcher::Outcome::kUnexpected:
      break;  // The stream ended in between.
  }
  Dispatch();
}

void RolloutServer::OnClosed(const std::shared_ptr<Session>& session, const absl::Status& status) {
  bool welcomed, expected;
  {
    MutexLock lock(mutex_);
    welcomed = std::exchange(session->welcomed, false);
    expected = (session->leaving && status.ok()) || stopping_;
    if (welcomed) {
      actors_changed_ = true;
      instruments_->peers->Decrement();
      dispatcher_.RemoveActor(session->id);
    }
    SetGauges();
    if (welcomed && !expected) {
      const char* cause = session->replaced                                     ? "replaced"
                          : session->rejected                                   ? "violation"
                          : ReasonOf(status) == ReasonName(Reason::kPeerSilent) ? "heartbeat"
                                                                                : "closed";
      instruments_->deaths.at(cause)->Increment();
    }
  }
  if (welcomed) {
    MENTOR_LOG(kInfo, expected ? "actor left" : "actor lost",
               {{"peer", session->hello.peer_uid()}, {"why", status}});
  }
  Dispatch();
  // The destructor waits for this: no access to the server after the lock.
  MutexLock lock(mutex_);
  sessions_.erase(session->id);
  changed_.NotifyAll();
}

void RolloutServer::SetGauges() {
  const auto [ready, outstanding] = dispatcher_.counts();
  instruments_->ready->Set(static_cast<double>(ready));
  instruments_->outstanding->Set(static_cast<double>(outstanding));
  instruments_->backlog->Set(static_cast<double>(ready + outstanding));
  for (const auto& [reason, count] : dispatcher_.reissued())
    RaiseTo(count, instruments_->reissued.at(reason));
  RaiseTo(dispatcher_.quarantines(), instruments_->quarantines);
  instruments_->quarantined->Set(static_cast<double>(dispatcher_.NumInQuarantine()));
}

void RolloutServer::Dispatch() {
  std::vector<std::pair<std::shared_ptr<WorkStream>, UnitDispatcher::Assignment>> out;
  {
    MutexLock lock(mutex_);
    for (auto& assignment : dispatcher_.Assign()) {
      const auto session = sessions_.find(assignment.actor);
      MENTOR_CHECK(session != sessions_.end());
      out.emplace_back(session->second->stream, std::move(assignment));
    }
    SetGauges();
    // A quarantine may end before anything that WatchLag knows of.
    if ((!out.empty() && watch_is_idle_) || dispatcher_.HasStruck()) {
      watch_is_idle_ = false;
      lag_changed_.NotifyAll();
    }
  }
  TellOfChanges();
  for (const auto& [stream, assignment] : out) {
    v1::WorkResponse message;
    *message.mutable_unit() = *assignment.unit;
    message.mutable_unit()->set_attempt(assignment.attempt);
    MENTOR_HISTORY("assigned", {{"unit", NameOf(assignment.key)}, {"attempt", assignment.attempt}});
    MENTOR_FAILPOINT("learner.unit.before_send");
    // If the stream has just ended, OnClosed gives the unit to another.
    stream->Send(std::move(message));
  }
}

void RolloutServer::TellOfChanges() {
  {
    const MutexLock lock(mutex_);
    const uint64_t ended = dispatcher_.checks_ended();
    // Without an actor that can make them, open checks hold nothing up.
    if (std::exchange(checks_told_, ended) != ended || dispatcher_.num_checks() > 0)
      changed_.NotifyAll();
    if (!std::exchange(actors_changed_, false) && !dispatcher_.HasFoundOut()) return;
  }
  const MutexLock lock(listener_mutex_);
  if (on_change_) on_change_();
}

void RolloutServer::OnChange(std::function<void()> callback) {
  const MutexLock lock(listener_mutex_);
  on_change_ = std::move(callback);
}

std::vector<UnitDispatcher::FoundOut> RolloutServer::TakeFoundOut() {
  const MutexLock lock(mutex_);
  return dispatcher_.TakeFoundOut();
}

// Reassigns units that begin to lag or are lost while no message comes.
void RolloutServer::WatchLag() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    const auto next = dispatcher_.NextChange();
    if (!next) {
      watch_is_idle_ = true;
      while (!stopping_ && watch_is_idle_) lag_changed_.Wait(lock);
      continue;
    }
    const auto wait = *next - options_.dispatcher.now();
    lag_changed_.WaitFor(lock, wait, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      const auto sooner = dispatcher_.NextChange();
      return stopping_ || (sooner && *sooner < *next);
    });
    if (stopping_) return;
    lock.Unlock();
    Dispatch();
    lock.Lock();
  }
}

// --- The caller's side.

absl::StatusOr<std::vector<v1::Result>> RolloutServer::RunUnits(std::vector<v1::Unit> units,
                                                                const std::atomic<bool>& cancel) {
  if (units.empty()) return std::vector<v1::Result>();
  const uint64_t shard = units.front().id().shard();
  {
    MutexLock lock(mutex_);
    if (stopping_) return Stopping();
    if (cancel) return Cancelled(shard);
    if (std::string why = dispatcher_.TaintOf(shard); !why.empty()) return absl::AbortedError(why);
    MENTOR_RETURN_IF_ERROR(dispatcher_.Add(shard, std::move(units)));
    running_.insert(shard);
  }
  Dispatch();
  MutexLock lock(mutex_);
  while (!stopping_ && !cancelled_.contains(shard) && !dispatcher_.Settled(shard)) {
    changed_.Wait(lock);
  }
  absl::StatusOr<std::vector<v1::Result>> results;
  if (stopping_) {
    results = Stopping();
  } else if (cancelled_.contains(shard)) {
    results = Cancelled(shard);
  } else {
    results = *dispatcher_.Take(shard);
    if (results.ok()) RecordConsumed(*results);
  }
  // Actors that still hold a unit of a failed or cancelled shard need not finish it.
  std::vector<std::pair<std::shared_ptr<WorkStream>, UnitKey>> holders;
  if (!results.ok()) {
    for (const auto& [actor, key] : dispatcher_.Cancel(shard)) {
      const auto session = sessions_.find(actor);
      if (session != sessions_.end()) holders.emplace_back(session->second->stream, key);
    }
  }
  SetGauges();
  lock.Unlock();
  for (const auto& [stream, key] : holders) stream->Send(CancelMessage(key));
  // The destructor waits for this: no access to the server after the lock.
  lock.Lock();
  cancelled_.erase(shard);
  running_.erase(shard);
  changed_.NotifyAll();
  return results;
}

void RolloutServer::ForgetChecks(uint64_t shard) {
  const MutexLock lock(mutex_);
  dispatcher_.EndChecks(shard);
}

absl::Status RolloutServer::StillGood(uint64_t shard) const {
  const MutexLock lock(mutex_);
  const std::string why = dispatcher_.TaintOf(shard);
  return why.empty() ? absl::OkStatus() : absl::AbortedError(why);
}

absl::Status RolloutServer::AwaitChecks(uint64_t shard, const std::atomic<bool>& cancel) {
  MutexLock lock(mutex_);
  running_.insert(shard);
  while (!stopping_ && !cancel && dispatcher_.TaintOf(shard).empty() &&
         dispatcher_.HasOpenChecks(shard)) {
    changed_.Wait(lock);
  }
  SetGauges();
  const std::string why = dispatcher_.TaintOf(shard);
  absl::Status status;
  if (stopping_) {
    status = Stopping();
  } else if (cancel) {
    status = Cancelled(shard);
  } else if (!why.empty()) {
    status = absl::AbortedError(why);
  }
  // The destructor waits for this, as for RunUnits.
  cancelled_.erase(shard);
  running_.erase(shard);
  changed_.NotifyAll();
  return status;
}

void RolloutServer::Cancel(uint64_t shard) {
  MutexLock lock(mutex_);
  if (!running_.contains(shard)) return;
  cancelled_.insert(shard);
  changed_.NotifyAll();
}

}  // namespace mentor::learner
