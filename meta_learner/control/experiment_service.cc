#include "meta_learner/control/experiment_service.h"

#include <atomic>
#include <chrono>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/mutex.h"
#include "common/resources/names.h"
#include "common/resources/states.h"
#include "common/status.h"
#include "mentor/v1/experiment_service.grpc.pb.h"
#include "meta_learner/control/calls.h"
#include "meta_learner/control/creation.h"
#include "meta_learner/control/logs.h"
#include "meta_learner/control/methods.h"
#include "meta_learner/store/lease.h"

namespace mentor::meta_learner {
namespace {

using google::protobuf::Empty;

// How often streams check their clocks.
constexpr auto kTick = std::chrono::seconds(1);

const google::protobuf::MethodDescriptor* MethodOf(const std::string& name) {
  const auto* found =
      v1::CreateExperimentRequest::descriptor()->file()->service(0)->FindMethodByName(name);
  MENTOR_CHECK(found != nullptr);
  return found;
}

// Returns NOT_LEADER for a change that failed because of another writer: the leader can make it.
template <typename Response>
absl::StatusOr<Response> AsCallersKnow(absl::StatusOr<Response> answer) {
  if (!answer.ok() && ReasonOf(answer.status()) == ReasonName(Reason::kInUse)) return NotLeader("");
  return answer;
}

}  // namespace

// Holds calls that delete a running experiment by force; each is answered when its experiment is
// gone. methods.h and the scheduler do the deletion itself. Thread-safe.
class PendingDeletes {
 public:
  explicit PendingDeletes(Records* records) : records_(records) {}

  // Takes over the call. Returns false after Stop: the caller must answer it.
  bool Add(grpc::ServerUnaryReactor* reactor, const v1::Experiment& experiment) {
    const MutexLock lock(mutex_);
    if (stopped_) return false;
    pending_.push_back({reactor, experiment.name(), experiment.uid()});
    return true;
  }

  // Answers the calls whose experiment is gone. Must be called after each change of the store.
  void Look() {
    // Holds the lock throughout. Otherwise this Look would miss a call that a concurrent Look is
    // checking against an older state of the store.
    const MutexLock lock(mutex_);
    std::erase_if(pending_, [&](const Pending& waiting) {
      const auto now = records_->Get(waiting.name);
      const bool gone = (now.ok() && now->uid() != waiting.uid) || absl::IsNotFound(now.status());
      if (gone) waiting.reactor->Finish(grpc::Status::OK);
      return gone;
    });
  }

  // Answers all remaining calls with this status.
  void Stop(const absl::Status& status) {
    const MutexLock lock(mutex_);
    stopped_ = true;
    for (const Pending& waiting : pending_) waiting.reactor->Finish(rpc::ToGrpc(status));
    pending_.clear();
  }

 private:
  struct Pending {
    grpc::ServerUnaryReactor* reactor;
    std::string name, uid;
  };

  Records* const records_;
  // Guarded by mutex_.
  Mutex mutex_;
  std::vector<Pending> pending_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

// The gRPC side: maps methods to functions, and does the service's own work.
class ExperimentService::Impl : public v1::ExperimentService::Service {
 public:
  Impl(Options options, Metrics* metrics)
      : options_(std::move(options)),
        records_(&options_.store->records),
        results_(&options_.store->results),
        files_(&options_.store->files),
        streams_open_(metrics->Gauge("mentor_watch_streams", "Streams to users.")),
        lag_events_(metrics->Histogram("mentor_watch_lag_events",
                                       "Changes that a watcher had to catch up with at once.",
                                       {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000})),
        replay_mismatches_(
            metrics->Counter("mentor_store_replay_mismatch_total",
                             "Results that a replayed outer step computed differently.")),
        commit_seconds_(metrics->Histogram("mentor_store_commit_seconds",
                                           "Transactions that wrote, their sync included.",
                                           RpcBuckets())),
        calls_(options_),
        creation_(&options_),
        deletes_(records_) {
    for (const State state : AllStates()) {
      by_state_[state] =
          &metrics->Gauge("mentor_experiments", "Experiments.", {{"state", StateText(state)}});
    }
    RegisterMethods();
    records_->OnCommit([this](double seconds) { commit_seconds_.Observe(seconds); });
    subscription_ = records_->Subscribe([this](const Records::Notice& notice) { Changed(notice); });
    if (!options_.refusal) UpdateGauges();
    ticker_ = std::thread([this] { Tick(); });
  }
  ~Impl() { Stop(); }
  void Stop();

 private:
  void RegisterMethods();
  // Requests come as bytes: their length must be checked here, before gRPC would parse them.
  void Register(const char* method, grpc::internal::MethodHandler* handler);
  grpc::ServerUnaryReactor* DeleteExperiment(grpc::CallbackServerContext* context,
                                             const grpc::ByteBuffer& received);
  // As in calls.h, for a method of this service.
  absl::Status MayAnswer(const std::string& method) const {
    return meta_learner::MayAnswer(options_, *MethodOf(method));
  }
  void Changed(const Records::Notice& notice);
  void Tick();
  void UpdateGauges();

  // Fixed after construction; the objects do their own locking.
  const Options options_;
  Records* const records_;
  Results* const results_;
  RunFiles* const files_;
  prometheus::Gauge& streams_open_;
  prometheus::Histogram& lag_events_;
  prometheus::Counter& replay_mismatches_;
  prometheus::Histogram& commit_seconds_;
  std::map<State, prometheus::Gauge*> by_state_;
  std::atomic<bool> gauges_due_ = false;  // An update is queued.
  Calls calls_;
  ExperimentCreation creation_;
  PendingDeletes deletes_;
  // Guarded by mutex_.
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<Records::Subscription> subscription_ ABSL_GUARDED_BY(mutex_);
  // Last member, so that it stops first.
  std::thread ticker_;
};

// Registers a method and the expression that answers it. The expression is a StatusOr<Response>
// made of `request`, `caller`, `cancel` and members; a thread of Calls evaluates it.
#define MENTOR_UNARY(cost, method, Request, Response, ...)                                      \
  Register(#method, new CallbackUnaryHandler<grpc::ByteBuffer, Response>(                       \
                        [this](grpc::CallbackServerContext* context,                            \
                               const grpc::ByteBuffer* received, Response* response) {          \
                          return calls_.Unary<Request>(                                         \
                              Calls::Cost::cost, context, *received, response,                  \
                              [this](const Request& request, const rpc::Caller& caller,         \
                                     const Calls::Cancel* cancel) -> absl::StatusOr<Response> { \
                                MENTOR_RETURN_IF_ERROR(MayAnswer(#method));                     \
                                return AsCallersKnow<Response>(__VA_ARGS__);                    \
                              });                                                               \
                        }));
// The same for a stream; the expression is the function that produces its messages.
#define MENTOR_STREAM(cost, method, Request, Response, ...)                                     \
  Register(#method,                                                                             \
           new CallbackServerStreamingHandler<grpc::ByteBuffer, grpc::ByteBuffer>(              \
               [this](grpc::CallbackServerContext* context, const grpc::ByteBuffer* received) { \
                 return calls_.Stream<Request, Response>(                                       \
                     Calls::Cost::cost, context, *received,                                     \
                     [this](const Request& request, const Calls::Cancel* cancel)                \
                         -> absl::StatusOr<PullStream<Response>::Produce> {                     \
                       MENTOR_RETURN_IF_ERROR(MayAnswer(#method));                              \
                       return __VA_ARGS__;                                                      \
                     });                                                                        \
               }));
void ExperimentService::Impl::RegisterMethods() {
  using grpc::internal::CallbackServerStreamingHandler;
  using grpc::internal::CallbackUnaryHandler;
  MENTOR_UNARY(kHeavy, CreateExperiment, v1::CreateExperimentRequest, v1::Experiment,
               request.validate_only()
                   ? creation_.Create(request, caller.name)
                   : Audited(caller, "CreateExperiment", ExperimentName(request.experiment_id()),
                             creation_.Create(request, caller.name)))
  MENTOR_UNARY(kSlow, CloneExperiment, v1::CloneExperimentRequest, v1::Experiment,
               Audited(caller, "CloneExperiment", ExperimentName(request.experiment_id()),
                       creation_.Clone(request, caller.name, cancel)))
  MENTOR_UNARY(kHeavy, ParseSpec, v1::ParseSpecRequest, v1::ParseSpecResponse,
               meta_learner::ParseSpec(request))

  MENTOR_UNARY(kLight, GetExperiment, v1::GetExperimentRequest, v1::Experiment,
               records_->Get(request.name()))
  MENTOR_UNARY(kLight, ListExperiments, v1::ListExperimentsRequest, v1::ListExperimentsResponse,
               meta_learner::ListExperiments(records_, request))
  MENTOR_STREAM(kLight, WatchExperiments, v1::WatchExperimentsRequest, v1::WatchExperimentsResponse,
                meta_learner::WatchExperiments(records_, request, &lag_events_))

  MENTOR_UNARY(kLight, UpdateExperiment, v1::UpdateExperimentRequest, v1::Experiment,
               Audited(caller, "UpdateExperiment", request.experiment().name(),
                       meta_learner::UpdateExperiment(options_, request, caller)))
  MENTOR_UNARY(kLight, PauseExperiment, v1::PauseExperimentRequest, v1::Experiment,
               Audited(caller, "PauseExperiment", request.name(),
                       meta_learner::PauseExperiment(options_, request, caller)))
  MENTOR_UNARY(kLight, ResumeExperiment, v1::ResumeExperimentRequest, v1::Experiment,
               Audited(caller, "ResumeExperiment", request.name(),
                       meta_learner::ResumeExperiment(options_, request, caller)))
  MENTOR_UNARY(kLight, CancelExperiment, v1::CancelExperimentRequest, v1::Experiment,
               Audited(caller, "CancelExperiment", request.name(),
                       meta_learner::CancelExperiment(options_, request, caller)))
  // Registered by hand, since the answer may have to wait.
  Register("DeleteExperiment",
           new CallbackUnaryHandler<grpc::ByteBuffer, Empty>(
               [this](grpc::CallbackServerContext* context, const grpc::ByteBuffer* received,
                      Empty* /*response*/) { return DeleteExperiment(context, *received); }));

  MENTOR_UNARY(kLight, QueryMetrics, v1::QueryMetricsRequest, v1::QueryMetricsResponse,
               meta_learner::QueryMetrics(records_, results_, request))
  MENTOR_UNARY(kLight, ListMetrics, v1::ListMetricsRequest, v1::ListMetricsResponse,
               meta_learner::ListMetrics(records_, results_, request))
  MENTOR_STREAM(kLight, WatchMetrics, v1::WatchMetricsRequest, v1::WatchMetricsResponse,
                meta_learner::WatchMetrics(records_, results_, request))
  MENTOR_STREAM(kLight, WatchLogs, v1::WatchLogsRequest, v1::WatchLogsResponse,
                meta_learner::WatchLogs(records_, files_, request))

  MENTOR_UNARY(kLight, ListCheckpoints, v1::ListCheckpointsRequest, v1::ListCheckpointsResponse,
               meta_learner::ListCheckpoints(records_, results_, request))
  MENTOR_UNARY(kLight, GetCheckpoint, v1::GetCheckpointRequest, v1::Checkpoint,
               meta_learner::GetCheckpoint(records_, results_, request))
  MENTOR_UNARY(kLight, UpdateCheckpoint, v1::UpdateCheckpointRequest, v1::Checkpoint,
               Audited(caller, "UpdateCheckpoint", request.checkpoint().name(),
                       meta_learner::UpdateCheckpoint(records_, results_, request, caller)))
  MENTOR_STREAM(kFiles, DownloadCheckpoint, v1::DownloadRequest, v1::DownloadResponse,
                meta_learner::DownloadCheckpoint(options_.store, request, cancel))
  MENTOR_UNARY(kFiles, ListArtifacts, v1::ListArtifactsRequest, v1::ListArtifactsResponse,
               meta_learner::ListArtifacts(records_, files_, request, cancel))
  MENTOR_STREAM(kFiles, DownloadArtifact, v1::DownloadRequest, v1::DownloadResponse,
                meta_learner::DownloadArtifact(records_, files_, request, cancel))
  MENTOR_UNARY(kLight, ListCatalogue, v1::ListCatalogueRequest, v1::ListCatalogueResponse,
               meta_learner::ListCatalogue(request))
  MENTOR_UNARY(kHeavy, ListTasks, v1::ListTasksRequest, v1::ListTasksResponse,
               meta_learner::ListTasks(request))
  MENTOR_UNARY(kLight, ListShards, v1::ListShardsRequest, v1::ListShardsResponse,
               meta_learner::ListShards(options_, request))
  MENTOR_UNARY(kLight, ListPeers, v1::ListPeersRequest, v1::ListPeersResponse,
               meta_learner::ListPeers(options_, request))
  MENTOR_UNARY(
      kLight, DrainPeer, v1::DrainPeerRequest, Empty,
      Audited(caller, "DrainPeer", request.name(), meta_learner::DrainPeer(options_, request)))
  MENTOR_CHECK(has_callback_methods() && !has_synchronous_methods());
}
#undef MENTOR_UNARY
#undef MENTOR_STREAM

void ExperimentService::Impl::Register(const char* method, grpc::internal::MethodHandler* handler) {
  MarkMethodRawCallback(MethodOf(method)->index(), handler);
}

void ExperimentService::Impl::Stop() {
  std::unique_ptr<Records::Subscription> subscription;
  {
    const MutexLock lock(mutex_);
    if (std::exchange(stopping_, true)) return;
    calls_.BeginStop();
    subscription = std::move(subscription_);
    changed_.NotifyAll();
  }
  subscription.reset();
  records_->OnCommit(nullptr);
  ticker_.join();
  calls_.Stop();
  deletes_.Stop(Draining());
}

grpc::ServerUnaryReactor* ExperimentService::Impl::DeleteExperiment(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer& received) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto work = [this, reactor](const v1::DeleteExperimentRequest& request,
                                    const rpc::Caller& caller) {
    if (const absl::Status may = MayAnswer("DeleteExperiment"); !may.ok())
      return reactor->Finish(rpc::ToGrpc(may));
    const auto before = records_->Get(request.name());
    absl::Status status = meta_learner::DeleteExperiment(options_, request, caller);
    const bool on_its_way = absl::IsUnavailable(status) && ReasonOf(status).empty() && before.ok();
    Audit(caller, "DeleteExperiment", request.name(), on_its_way ? absl::OkStatus() : status);
    if (on_its_way) {
      // The experiment is stopping. The answer follows when it is gone, which may already be the
      // case.
      if (deletes_.Add(reactor, *before)) return deletes_.Look();
      status = Draining();
    }
    reactor->Finish(rpc::ToGrpc(status));
  };
  calls_.Post<v1::DeleteExperimentRequest>(Calls::Cost::kLight, context, reactor, received, work);
  return reactor;
}

void ExperimentService::Impl::Changed(const Records::Notice& notice) {
  calls_.PokeStreams();
  if (!notice.durable || gauges_due_.exchange(true)) return;
  calls_.PostAlways([this] {
    gauges_due_ = false;
    UpdateGauges();
    deletes_.Look();
  });
}

void ExperimentService::Impl::Tick() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    changed_.WaitFor(lock, kTick,
                     [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
    if (stopping_) return;
    lock.Unlock();
    calls_.PokeStreams();
    streams_open_.Set(static_cast<double>(calls_.num_streams()));
    lock.Lock();
  }
}

void ExperimentService::Impl::UpdateGauges() {
  const auto counts = records_->CountByState();
  if (!counts.ok()) return;
  for (const auto& [state, gauge] : by_state_) {
    const auto count = counts->find(state);
    gauge->Set(count == counts->end() ? 0 : static_cast<double>(count->second));
  }
  const MutexLock lock(mutex_);  // Two concurrent updates would count a mismatch twice.
  replay_mismatches_.Increment(static_cast<double>(results_->replay_mismatches()) -
                               replay_mismatches_.Value());
}

ExperimentService::ExperimentService(Options options, Metrics* metrics)
    : impl_(std::make_unique<Impl>(std::move(options), metrics)) {}

ExperimentService::~ExperimentService() = default;

grpc::Service* ExperimentService::service() {
  return impl_.get();
}

void ExperimentService::Stop() {
  impl_->Stop();
}

}  // namespace mentor::meta_learner
