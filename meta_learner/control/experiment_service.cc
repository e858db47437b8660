#include "meta_learner/control/experiment_service.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/util/time_util.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/hash.h"
#include "common/mutex.h"
#include "common/resources/names.h"
#include "common/resources/states.h"
#include "common/rpc/auth.h"
#include "common/rpc/rate_limit.h"
#include "common/rpc/status.h"
#include "common/spec/canonical.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "mentor/v1/experiment_service.grpc.pb.h"
#include "meta_learner/control/catalogue.h"
#include "meta_learner/control/executor.h"
#include "meta_learner/control/files.h"
#include "meta_learner/control/filter.h"
#include "meta_learner/control/logs.h"
#include "meta_learner/control/metrics_query.h"
#include "meta_learner/control/settings.h"
#include "meta_learner/control/streams.h"
#include "meta_learner/control/watch.h"
#include "meta_learner/rules/experiment_metrics.h"
#include "meta_learner/store/paging.h"

namespace mentor::meta_learner {
namespace {

using S = v1::Experiment;
using google::protobuf::Empty;
using google::protobuf::util::TimeUtil;

constexpr int kThreads = 2;
// Length of the violations in one answer: trailers of HTTP/2 are short.
constexpr size_t kViolationBytesMax = 1500;
constexpr size_t kReasonBytesMax = 1000;
constexpr uint32_t kPointsDefault = 1000, kPointsMax = 10'000;
// What callers are told where waiting helps: for a line that moves, and for one that stands.
constexpr auto kRetrySoon = std::chrono::seconds(1), kRetryLater = std::chrono::seconds(30);
// How often streams look at their clocks.
constexpr auto kTick = std::chrono::seconds(1);

// As many violations as an answer carries, and how many more there are.
absl::Status ShortStatus(const Violations& violations) {
  Violations shown;
  size_t bytes = 0;
  for (const Violation& violation : violations.list()) {
    bytes += violation.field.size() + violation.description.size() + 8;
    if (bytes > kViolationBytesMax && !shown.empty()) {
      shown.Add("experiment", absl::StrFormat("has %d more violations; mend these first",
                                              violations.list().size() - shown.list().size()));
      break;
    }
    shown.Add(violation.field, violation.description.substr(0, kViolationBytesMax));
  }
  return ToStatus(shown);
}

absl::Status Draining() {
  return WithRetryDelay(MakeError(absl::StatusCode::kUnavailable, Reason::kDraining,
                                  "the meta-learner is stopping; try again soon"),
                        kRetrySoon);
}

absl::Status IllegalTransition(const v1::Experiment& experiment, std::string_view verb) {
  return MakeError(absl::StatusCode::kFailedPrecondition, Reason::kIllegalTransition,
                   absl::StrFormat("%s is %s; there is nothing to %s", experiment.name(),
                                   StateText(experiment.state()), verb),
                   {{"state", StateText(experiment.state())}, {"verb", std::string(verb)}});
}

// The state on the way to CANCELLED; false of one that is there, on its way, or ended otherwise.
bool Cancel(v1::Experiment* experiment) {
  switch (experiment->state()) {
    case S::STATE_QUEUED:
    case S::STATE_PAUSED:
      experiment->set_state(S::STATE_CANCELLED);
      return true;
    case S::STATE_RUNNING:
    case S::STATE_PAUSING:
      experiment->set_state(S::STATE_CANCELLING);
      return true;
    default:
      return false;
  }
}

absl::Status BadName(std::string_view field, std::string_view name, std::string_view form) {
  Violations violations;
  violations.Add(
      std::string(field),
      absl::StrFormat("is '%s'; give %s", std::string(name.substr(0, 100)), std::string(form)));
  return ToStatus(violations);
}

void CheckRequestId(const std::string& request_id, Violations* violations) {
  if (!request_id.empty() && !IsUuid(request_id)) {
    violations->Add("request_id",
                    absl::StrFormat("is '%s'; give a UUID", request_id.substr(0, 100)));
  }
}

void CheckExperimentId(const std::string& id, Violations* violations) {
  if (!id.empty() && !IsExperimentId(id)) {
    violations->Add("experiment_id",
                    absl::StrFormat("is '%s'; give a letter, then letters, digits and dashes, all "
                                    "lower case, at most 63, no dash at the end",
                                    id.substr(0, 100)));
  }
}

// Under which a repeated request is known again: another caller's is another request.
template <typename Request>
std::string HashOfRequest(const Request& request, const std::string& caller) {
  Request body = request;
  body.clear_request_id();
  return Sha256Hex(caller + "\n" + CanonicalText(body));
}

v1::Checkpoint ToResource(const std::string& experiment, const CheckpointRow& row) {
  v1::Checkpoint checkpoint;
  checkpoint.set_name(CheckpointName(experiment, row.outer_step));
  checkpoint.set_outer_step(row.outer_step);
  checkpoint.set_size_bytes(row.size_bytes);
  checkpoint.set_sha256(row.sha256);
  checkpoint.set_state_hash(row.state_hash);
  *checkpoint.mutable_create_time() = TimeUtil::NanosecondsToTimestamp(row.create_time_ns);
  checkpoint.set_pinned(row.pinned);
  checkpoint.set_etag(absl::StrCat("W/", row.pinned ? "1" : "0", row.sha256.substr(0, 16)));
  return checkpoint;
}

}  // namespace

class ExperimentService::Impl {
 public:
  Impl(Options options, Metrics* metrics)
      : options_(std::move(options)),
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
        streams_(std::make_shared<StreamRegistry>(options_.streams_max,
                                                  options_.streams_per_caller_max)),
        limiter_(options_.rate),
        executor_(kThreads, options_.calls_waiting_max),
        logs_(options_.store),
        handlers_(this) {
    for (const State state : AllStates()) {
      by_state_[state] =
          &metrics->Gauge("mentor_experiments", "Experiments.", {{"state", StateText(state)}});
    }
    options_.store->OnCommit([this](double seconds) { commit_seconds_.Observe(seconds); });
    subscription_ = options_.store->Subscribe(
        [this](const ExperimentStore::Notice& notice) { Changed(notice); });
    UpdateGauges();
    ticker_ = std::thread([this] { Tick(); });
  }
  ~Impl() { Stop(); }

  grpc::Service* service() { return &handlers_; }
  void Stop();

 private:
  using Caller = rpc::Caller;

  template <typename Request, typename Response>
  using Method = absl::StatusOr<Response> (Impl::*)(const Request&, const Caller&);

  template <typename Request, typename Response>
  grpc::ServerUnaryReactor* Call(grpc::CallbackServerContext* context, const Request* request,
                                 Response* response, Method<Request, Response> method) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    Post(context, reactor, [this, reactor, request, response, method](const Caller& caller) {
      absl::StatusOr<Response> answer = (this->*method)(*request, caller);
      if (answer.ok()) *response = std::move(*answer);
      reactor->Finish(rpc::ToGrpc(answer.status()));
    });
    return reactor;
  }
  // The work of a call, unless its caller makes too many or the line is full: then its end.
  void Post(grpc::CallbackServerContext* context, grpc::ServerUnaryReactor* reactor,
            std::function<void(const Caller&)> work) {
    Caller caller = rpc::CallerOf(*context);
    if (const absl::Status admitted = limiter_.Admit(caller.name); !admitted.ok()) {
      reactor->Finish(rpc::ToGrpc(admitted));
      return;
    }
    const bool posted =
        executor_.Post([work = std::move(work), caller = std::move(caller)] { work(caller); });
    if (!posted) reactor->Finish(rpc::ToGrpc(WhyNotPosted()));
  }
  absl::Status WhyNotPosted() {
    if (stopping_) return Draining();
    return WithRetryDelay(MakeError(absl::StatusCode::kResourceExhausted, Reason::kQueueFull,
                                    absl::StrFormat("%d calls wait already; try again soon",
                                                    options_.calls_waiting_max)),
                          kRetrySoon);
  }

  // `open` looks into the store, so it runs as the first piece of work of the stream.
  template <typename Response>
  using Open = std::function<absl::StatusOr<typename PullStream<Response>::Produce>()>;
  template <typename Response>
  grpc::ServerWriteReactor<Response>* Stream(grpc::CallbackServerContext* context,
                                             Open<Response> open) {
    const Caller caller = rpc::CallerOf(*context);
    auto* reactor =
        PullStream<Response>::Start(streams_, &executor_, caller.name,
                                    [admitted = limiter_.Admit(caller.name), open = std::move(open),
                                     produce = typename PullStream<Response>::Produce()](
                                        Response* response) mutable -> absl::StatusOr<Produced> {
                                      if (!produce) {
                                        MENTOR_RETURN_IF_ERROR(admitted);
                                        MENTOR_ASSIGN_OR_RETURN(produce, open());
                                      }
                                      return produce(response);
                                    });
    return reactor;
  }

  class Handlers;
  // gRPC's side: every call becomes a task, every stream a producer.
#define MENTOR_UNARY(method, Request, Response)                                                  \
  grpc::ServerUnaryReactor* method(grpc::CallbackServerContext* context, const Request* request, \
                                   Response* response) override {                                \
    return impl_->Call(context, request, response, &Impl::method);                               \
  }
#define MENTOR_STREAM(method, Request, Response)                                        \
  grpc::ServerWriteReactor<Response>* method(grpc::CallbackServerContext* context,      \
                                             const Request* request) override {         \
    return impl_->Stream<Response>(                                                     \
        context, [impl = impl_, request = *request] { return impl->method(request); }); \
  }
  class Handlers : public v1::ExperimentService::CallbackService {
   public:
    explicit Handlers(Impl* impl) : impl_(impl) {}

    MENTOR_UNARY(CreateExperiment, v1::CreateExperimentRequest, v1::Experiment)
    MENTOR_UNARY(GetExperiment, v1::GetExperimentRequest, v1::Experiment)
    MENTOR_UNARY(ListExperiments, v1::ListExperimentsRequest, v1::ListExperimentsResponse)
    MENTOR_UNARY(UpdateExperiment, v1::UpdateExperimentRequest, v1::Experiment)
    MENTOR_UNARY(PauseExperiment, v1::PauseExperimentRequest, v1::Experiment)
    MENTOR_UNARY(ResumeExperiment, v1::ResumeExperimentRequest, v1::Experiment)
    MENTOR_UNARY(CancelExperiment, v1::CancelExperimentRequest, v1::Experiment)
    MENTOR_UNARY(CloneExperiment, v1::CloneExperimentRequest, v1::Experiment)
    MENTOR_UNARY(QueryMetrics, v1::QueryMetricsRequest, v1::QueryMetricsResponse)
    MENTOR_UNARY(ListMetrics, v1::ListMetricsRequest, v1::ListMetricsResponse)
    MENTOR_UNARY(ListCheckpoints, v1::ListCheckpointsRequest, v1::ListCheckpointsResponse)
    MENTOR_UNARY(GetCheckpoint, v1::GetCheckpointRequest, v1::Checkpoint)
    MENTOR_UNARY(UpdateCheckpoint, v1::UpdateCheckpointRequest, v1::Checkpoint)
    MENTOR_UNARY(ListArtifacts, v1::ListArtifactsRequest, v1::ListArtifactsResponse)
    MENTOR_UNARY(ListShards, v1::ListShardsRequest, v1::ListShardsResponse)
    MENTOR_UNARY(ListCatalogue, v1::ListCatalogueRequest, v1::ListCatalogueResponse)
    MENTOR_UNARY(ListTasks, v1::ListTasksRequest, v1::ListTasksResponse)
    MENTOR_UNARY(ListPeers, v1::ListPeersRequest, v1::ListPeersResponse)
    MENTOR_UNARY(DrainPeer, v1::DrainPeerRequest, Empty)
    MENTOR_STREAM(WatchExperiments, v1::WatchExperimentsRequest, v1::WatchExperimentsResponse)
    MENTOR_STREAM(WatchMetrics, v1::WatchMetricsRequest, v1::WatchMetricsResponse)
    MENTOR_STREAM(WatchLogs, v1::WatchLogsRequest, v1::WatchLogsResponse)
    MENTOR_STREAM(DownloadCheckpoint, v1::DownloadRequest, v1::DownloadResponse)
    MENTOR_STREAM(DownloadArtifact, v1::DownloadRequest, v1::DownloadResponse)

    grpc::ServerUnaryReactor* DeleteExperiment(grpc::CallbackServerContext* context,
                                               const v1::DeleteExperimentRequest* request,
                                               Empty* /*response*/) override {
      return impl_->StartDelete(context, *request);
    }

   private:
    Impl* const impl_;
  };
#undef MENTOR_UNARY
#undef MENTOR_STREAM

  absl::StatusOr<v1::Experiment> CreateExperiment(const v1::CreateExperimentRequest& request,
                                                  const Caller& caller);
  absl::StatusOr<v1::Experiment> GetExperiment(const v1::GetExperimentRequest& request,
                                               const Caller&) {
    return options_.store->Get(request.name());
  }
  absl::StatusOr<v1::ListExperimentsResponse> ListExperiments(
      const v1::ListExperimentsRequest& request, const Caller&);
  absl::StatusOr<v1::Experiment> UpdateExperiment(const v1::UpdateExperimentRequest& request,
                                                  const Caller&);
  absl::StatusOr<v1::Experiment> PauseExperiment(const v1::PauseExperimentRequest& request,
                                                 const Caller&);
  absl::StatusOr<v1::Experiment> ResumeExperiment(const v1::ResumeExperimentRequest& request,
                                                  const Caller&);
  absl::StatusOr<v1::Experiment> CancelExperiment(const v1::CancelExperimentRequest& request,
                                                  const Caller&);
  absl::StatusOr<v1::Experiment> CloneExperiment(const v1::CloneExperimentRequest& request,
                                                 const Caller& caller);
  absl::StatusOr<v1::QueryMetricsResponse> QueryMetrics(const v1::QueryMetricsRequest& request,
                                                        const Caller&);
  absl::StatusOr<v1::ListMetricsResponse> ListMetrics(const v1::ListMetricsRequest& request,
                                                      const Caller&);
  absl::StatusOr<v1::ListCheckpointsResponse> ListCheckpoints(
      const v1::ListCheckpointsRequest& request, const Caller&);
  absl::StatusOr<v1::Checkpoint> GetCheckpoint(const v1::GetCheckpointRequest& request,
                                               const Caller&);
  absl::StatusOr<v1::Checkpoint> UpdateCheckpoint(const v1::UpdateCheckpointRequest& request,
                                                  const Caller&);
  absl::StatusOr<v1::ListArtifactsResponse> ListArtifacts(const v1::ListArtifactsRequest& request,
                                                          const Caller&);
  absl::StatusOr<v1::ListShardsResponse> ListShards(const v1::ListShardsRequest& request,
                                                    const Caller&);
  absl::StatusOr<v1::ListCatalogueResponse> ListCatalogue(const v1::ListCatalogueRequest& request,
                                                          const Caller&) {
    return meta_learner::ListCatalogue(request);
  }
  absl::StatusOr<v1::ListTasksResponse> ListTasks(const v1::ListTasksRequest& request,
                                                  const Caller&) {
    return meta_learner::ListTasks(request);
  }
  absl::StatusOr<v1::ListPeersResponse> ListPeers(const v1::ListPeersRequest&, const Caller&);
  absl::StatusOr<Empty> DrainPeer(const v1::DrainPeerRequest& request, const Caller&);

  absl::StatusOr<PullStream<v1::WatchExperimentsResponse>::Produce> WatchExperiments(
      const v1::WatchExperimentsRequest& request) {
    return meta_learner::WatchExperiments(options_.store, request, &lag_events_);
  }
  absl::StatusOr<PullStream<v1::WatchMetricsResponse>::Produce> WatchMetrics(
      const v1::WatchMetricsRequest& request) {
    return meta_learner::WatchMetrics(options_.store, request);
  }
  absl::StatusOr<PullStream<v1::WatchLogsResponse>::Produce> WatchLogs(
      const v1::WatchLogsRequest& request) {
    return meta_learner::WatchLogs(options_.store, request);
  }
  absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> DownloadCheckpoint(
      const v1::DownloadRequest& request);
  absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> DownloadArtifact(
      const v1::DownloadRequest& request);

  grpc::ServerUnaryReactor* StartDelete(grpc::CallbackServerContext* context,
                                        const v1::DeleteExperimentRequest& request);
  // OK: gone. UNAVAILABLE without a reason: on its way.
  absl::Status Delete(const v1::DeleteExperimentRequest& request);

  // Changes the store, then wakes what runs the experiment.
  absl::StatusOr<v1::Experiment> Change(const std::string& name, const std::string& etag,
                                        const ExperimentStore::Edit& edit);
  absl::Status CheckRoom(const std::string& owner);
  absl::StatusOr<std::pair<v1::Experiment, CheckpointRow>> FindCheckpoint(const std::string& name,
                                                                          const char* field);
  void Changed(const ExperimentStore::Notice& notice);
  void Tick();
  void UpdateGauges();
  void FinishDeletes();

  // A force-delete that waits until its experiment is gone.
  struct PendingDelete {
    grpc::ServerUnaryReactor* reactor;
    std::string name, uid;
  };

  // Fixed after construction; they look after their own locking.
  const Options options_;
  prometheus::Gauge& streams_open_;
  prometheus::Histogram& lag_events_;
  prometheus::Counter& replay_mismatches_;
  prometheus::Histogram& commit_seconds_;
  std::map<State, prometheus::Gauge*> by_state_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> gauges_due_ = false;  // An update is in line.
  const std::shared_ptr<StreamRegistry> streams_;
  rpc::RateLimiter limiter_;
  Executor executor_;
  ExperimentLogs logs_;
  Handlers handlers_;
  Mutex create_mutex_;  // Held from a look at quotas to the row that uses them.
  // Guarded by mutex_.
  Mutex mutex_;
  CondVar changed_;
  std::unique_ptr<ExperimentStore::Subscription> subscription_ ABSL_GUARDED_BY(mutex_);
  std::vector<PendingDelete> deletes_ ABSL_GUARDED_BY(mutex_);
  // Last, so that it stops first.
  std::thread ticker_;
};

void ExperimentService::Impl::Stop() {
  std::unique_ptr<ExperimentStore::Subscription> subscription;
  {
    const MutexLock lock(mutex_);
    if (stopping_.exchange(true)) return;
    subscription = std::move(subscription_);
    changed_.NotifyAll();
  }
  subscription.reset();
  options_.store->OnCommit(nullptr);
  ticker_.join();
  streams_->Stop(Draining());
  executor_.Stop();
  const MutexLock lock(mutex_);
  for (PendingDelete& pending : deletes_) pending.reactor->Finish(rpc::ToGrpc(Draining()));
  deletes_.clear();
}

// ---- Making.

absl::Status ExperimentService::Impl::CheckRoom(const std::string& owner) {
  if (options_.check_room) MENTOR_RETURN_IF_ERROR(options_.check_room());
  MENTOR_ASSIGN_OR_RETURN(const auto counts, options_.store->CountByState());
  const auto queued = counts.find(S::STATE_QUEUED);
  if (queued != counts.end() && queued->second >= options_.queued_max) {
    return WithRetryDelay(
        MakeError(absl::StatusCode::kResourceExhausted, Reason::kQueueFull,
                  absl::StrFormat("%d experiments are in the queue already, at most %d are "
                                  "allowed; try again when some have ended",
                                  queued->second, options_.queued_max)),
        kRetryLater);
  }
  if (options_.per_owner.queued == 0 && options_.per_owner.checkpoint_bytes == 0)
    return absl::OkStatus();
  MENTOR_ASSIGN_OR_RETURN(const auto usage, options_.store->Usage());
  const auto own = usage.find(owner);
  if (own == usage.end()) return absl::OkStatus();
  const auto refuse = [&](const std::string& what) {
    return WithRetryDelay(
        MakeError(absl::StatusCode::kResourceExhausted, Reason::kQuotaExceeded,
                  absl::StrFormat("'%s' has %s", owner, what), {{"owner", owner}}),
        kRetryLater);
  };
  if (options_.per_owner.queued > 0 && own->second.queued >= options_.per_owner.queued) {
    return refuse(
        absl::StrFormat("%d experiments in the queue, at most %d are allowed; wait, or "
                        "cancel some",
                        own->second.queued, options_.per_owner.queued));
  }
  if (options_.per_owner.checkpoint_bytes > 0 &&
      own->second.checkpoint_bytes >= options_.per_owner.checkpoint_bytes) {
    return refuse(
        absl::StrFormat("%d bytes of checkpoints, %d are allowed; delete experiments, or "
                        "shorten their retention",
                        own->second.checkpoint_bytes, options_.per_owner.checkpoint_bytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Experiment> ExperimentService::Impl::CreateExperiment(
    const v1::CreateExperimentRequest& request, const Caller& caller) {
  Violations violations;
  CheckExperimentId(request.experiment_id(), &violations);
  CheckRequestId(request.request_id(), &violations);
  CheckSettings(request.experiment(), "experiment.", &violations);
  if (!request.experiment().has_spec()) {
    violations.Add("experiment.spec", "is missing; set it");
  } else if (request.experiment().spec().ByteSizeLong() > kSpecBytesMax) {
    violations.Add("experiment.spec",
                   absl::StrFormat("has %d bytes; give at most %d",
                                   request.experiment().spec().ByteSizeLong(), kSpecBytesMax));
  } else {
    Violations of_spec;
    CheckSpec(request.experiment().spec(), &of_spec, options_.check_spec);
    for (const Violation& violation : of_spec.list()) {
      violations.Add("experiment.spec." + violation.field, violation.description);
    }
  }
  MENTOR_RETURN_IF_ERROR(ShortStatus(violations));

  if (request.validate_only()) {
    if (!request.experiment_id().empty()) {
      const std::string name = ExperimentName(request.experiment_id());
      if (options_.store->Get(name).ok()) {
        return MakeError(
            absl::StatusCode::kAlreadyExists, Reason::kAlreadyExists,
            absl::StrFormat("%s exists already; choose another id, or leave it out", name),
            {{"name", name}});
      }
    }
    MENTOR_RETURN_IF_ERROR(CheckRoom(caller.name));
    v1::Experiment experiment = request.experiment();
    *experiment.mutable_spec() = WithDefaults(request.experiment().spec());
    experiment.clear_name();
    experiment.clear_uid();
    return experiment;
  }
  const NewExperiment submitted{.experiment = request.experiment(),
                                .id = request.experiment_id(),
                                .owner = caller.name,
                                .request_id = request.request_id(),
                                .request_hash = HashOfRequest(request, caller.name)};
  absl::StatusOr<v1::Experiment> experiment;
  {
    const MutexLock lock(create_mutex_);
    const absl::Status room = CheckRoom(caller.name);
    // A repeated request has its answer, room or not.
    if (!room.ok() && request.request_id().empty()) return room;
    if (!room.ok()) {
      MENTOR_ASSIGN_OR_RETURN(std::optional<v1::Experiment> answer,
                              options_.store->Answered(submitted));
      if (!answer) return room;
      return *std::move(answer);
    }
    experiment = options_.store->Create(submitted);
  }
  if (experiment.ok() && options_.wake) options_.wake();
  return experiment;
}

absl::StatusOr<v1::Experiment> ExperimentService::Impl::CloneExperiment(
    const v1::CloneExperimentRequest& request, const Caller& caller) {
  Violations violations;
  CheckExperimentId(request.experiment_id(), &violations);
  CheckRequestId(request.request_id(), &violations);
  MENTOR_RETURN_IF_ERROR(ShortStatus(violations));
  MENTOR_ASSIGN_OR_RETURN(const auto source,
                          FindCheckpoint(request.source_checkpoint(), "source_checkpoint"));
  const v1::Experiment& experiment = source.first;
  const std::vector<std::string> overrides(request.spec_overrides().begin(),
                                           request.spec_overrides().end());
  const v1::ExperimentSpec spec =
      ParseSpec(PrintSpec(experiment.spec()), overrides, &violations, options_.check_spec);
  MENTOR_RETURN_IF_ERROR(ShortStatus(violations));
  MENTOR_ASSIGN_OR_RETURN(Checkpoint checkpoint, ReadCheckpoint(source.second.path));
  if (options_.check_checkpoint)
    options_.check_checkpoint(experiment.spec(), WithDefaults(spec), checkpoint, &violations);
  MENTOR_RETURN_IF_ERROR(ShortStatus(violations));
  checkpoint.spec_hash = SpecHash(WithDefaults(spec));

  v1::Experiment fresh;
  *fresh.mutable_spec() = spec;
  fresh.set_display_name(experiment.display_name());
  *fresh.mutable_labels() = experiment.labels();
  fresh.set_priority(experiment.priority());
  fresh.set_weight(experiment.weight());
  if (experiment.has_retention()) *fresh.mutable_retention() = experiment.retention();
  fresh.set_retries_max(experiment.retries_max());
  fresh.set_source_checkpoint(request.source_checkpoint());
  absl::StatusOr<v1::Experiment> clone;
  {
    const MutexLock lock(create_mutex_);
    MENTOR_RETURN_IF_ERROR(CheckRoom(caller.name));
    clone = options_.store->Create(
        {.experiment = fresh,
         .id = request.experiment_id(),
         .owner = caller.name,
         .request_id = request.request_id(),
         .request_hash = HashOfRequest(request, caller.name),
         .fill_folder = [&](const std::string& uid, const std::filesystem::path& folder) {
           checkpoint.experiment_uid = uid;
           return WriteCheckpoint(folder / "checkpoints", checkpoint).status();
         }});
  }
  if (clone.ok() && options_.wake) options_.wake();
  return clone;
}

// ---- Looking.

absl::StatusOr<v1::ListExperimentsResponse> ExperimentService::Impl::ListExperiments(
    const v1::ListExperimentsRequest& request, const Caller&) {
  MENTOR_ASSIGN_OR_RETURN(ExperimentFilter filter, ParseFilter(request.filter()));
  MENTOR_ASSIGN_OR_RETURN(
      ExperimentPage page,
      options_.store->List({.page_size = request.page_size(),
                            .page_token = request.page_token(),
                            .matches = std::move(filter),
                            .order_by = request.order_by(),
                            .key = request.order_by() + "\n" + request.filter()}));
  v1::ListExperimentsResponse response;
  for (v1::Experiment& experiment : page.experiments)
    *response.add_experiments() = std::move(experiment);
  response.set_next_page_token(page.next_page_token);
  response.set_total_size(static_cast<int32_t>(page.total_size));
  response.set_resume_token(MakeResumeToken(*options_.store, page.revision));
  return response;
}

absl::StatusOr<v1::QueryMetricsResponse> ExperimentService::Impl::QueryMetrics(
    const v1::QueryMetricsRequest& request, const Caller&) {
  Violations violations;
  if (request.max_points() > kPointsMax) {
    violations.Add("max_points",
                   absl::StrFormat("is %d; give at most %d", request.max_points(), kPointsMax));
  }
  if (request.step_max() != 0 && request.step_max() < request.step_min()) {
    violations.Add("step_max", absl::StrFormat("is %d, less than step_min %d", request.step_max(),
                                               request.step_min()));
  }
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, options_.store->Get(request.name()));
  const std::set<std::string> metrics(request.metrics().begin(), request.metrics().end());
  MENTOR_ASSIGN_OR_RETURN(
      const auto points,
      options_.store->Points(experiment.uid(), metrics, request.step_min(),
                             request.step_max() == 0 ? UINT32_MAX : request.step_max()));
  return MergePoints(points, request.max_points() == 0 ? kPointsDefault : request.max_points());
}

absl::StatusOr<v1::ListMetricsResponse> ExperimentService::Impl::ListMetrics(
    const v1::ListMetricsRequest& request, const Caller&) {
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, options_.store->Get(request.name()));
  MENTOR_ASSIGN_OR_RETURN(const auto points, options_.store->Points(experiment.uid()));
  return DescribeMetrics(points, AllMetrics(WithDefaults(experiment.spec()).rule().name()));
}

absl::StatusOr<v1::ListShardsResponse> ExperimentService::Impl::ListShards(
    const v1::ListShardsRequest& request, const Caller&) {
  if (!request.parent().empty())
    MENTOR_RETURN_IF_ERROR(options_.store->Get(request.parent()).status());
  v1::ListShardsResponse response;
  if (!options_.shards) return response;
  for (v1::ShardInfo& shard : options_.shards(request.parent()))
    *response.add_shards() = std::move(shard);
  return response;
}

absl::StatusOr<v1::ListPeersResponse> ExperimentService::Impl::ListPeers(
    const v1::ListPeersRequest&, const Caller&) {
  v1::ListPeersResponse response;
  if (!options_.peers) return response;
  for (v1::Peer& peer : options_.peers()) *response.add_peers() = std::move(peer);
  return response;
}

absl::StatusOr<Empty> ExperimentService::Impl::DrainPeer(const v1::DrainPeerRequest& request,
                                                         const Caller&) {
  if (!options_.drain) return absl::UnimplementedError("there is no fleet here");
  MENTOR_RETURN_IF_ERROR(options_.drain(request.name()));
  return Empty();
}

// ---- Changing.

absl::StatusOr<v1::Experiment> ExperimentService::Impl::UpdateExperiment(
    const v1::UpdateExperimentRequest& request, const Caller&) {
  static const std::set<std::string> settable = {"display_name", "labels",   "priority",   "weight",
                                                 "retention",    "deadline", "retries_max"};
  Violations violations;
  std::set<std::string> paths;
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "*") {
      paths.insert(settable.begin(), settable.end());
    } else if (settable.contains(path)) {
      paths.insert(path);
    } else {
      violations.Add("update_mask",
                     absl::StrFormat("has '%s', which never changes; give some of "
                                     "%s",
                                     path.substr(0, 100), absl::StrJoin(settable, ", ")));
    }
  }
  if (request.update_mask().paths().empty())
    violations.Add("update_mask", "is empty; name the fields to change");
  const v1::Experiment& wanted = request.experiment();
  CheckSettings(wanted, "experiment.", &violations);
  MENTOR_RETURN_IF_ERROR(ShortStatus(violations));
  return Change(wanted.name(), wanted.etag(), [&](v1::Experiment* experiment) {
    if (paths.contains("display_name")) experiment->set_display_name(wanted.display_name());
    if (paths.contains("labels")) *experiment->mutable_labels() = wanted.labels();
    if (paths.contains("priority")) {
      experiment->set_priority(wanted.priority() == v1::PRIORITY_UNSPECIFIED ? v1::PRIORITY_NORMAL
                                                                             : wanted.priority());
    }
    if (paths.contains("weight")) experiment->set_weight(std::max(1u, wanted.weight()));
    if (paths.contains("retention")) *experiment->mutable_retention() = wanted.retention();
    if (paths.contains("retries_max")) experiment->set_retries_max(wanted.retries_max());
    if (paths.contains("deadline")) {
      if (wanted.has_deadline()) {
        *experiment->mutable_deadline() = wanted.deadline();
      } else {
        experiment->clear_deadline();
      }
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Experiment> ExperimentService::Impl::Change(const std::string& name,
                                                               const std::string& etag,
                                                               const ExperimentStore::Edit& edit) {
  auto changed = options_.store->Change(name, etag, edit);
  if (changed.ok() && options_.look) options_.look(*changed);
  return changed;
}

absl::StatusOr<v1::Experiment> ExperimentService::Impl::PauseExperiment(
    const v1::PauseExperimentRequest& request, const Caller&) {
  if (const auto error = MENTOR_FAILPOINT("api.pause.before_state"))
    return absl::UnavailableError(*error);
  return Change(request.name(), request.etag(), [](v1::Experiment* experiment) -> absl::Status {
    switch (experiment->state()) {
      case S::STATE_QUEUED:
        experiment->set_state(S::STATE_PAUSED);
        break;
      case S::STATE_RUNNING:
        experiment->set_state(S::STATE_PAUSING);
        break;
      case S::STATE_PAUSING:
      case S::STATE_PAUSED:
        break;
      default:
        return IllegalTransition(*experiment, "pause");
    }
    // Also of one that waits for room on the disk: it waits for its user now.
    experiment->set_pause_reason(S::PAUSE_REASON_USER);
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Experiment> ExperimentService::Impl::ResumeExperiment(
    const v1::ResumeExperimentRequest& request, const Caller&) {
  if (const auto error = MENTOR_FAILPOINT("api.resume.before_state"))
    return absl::UnavailableError(*error);
  return Change(request.name(), request.etag(), [](v1::Experiment* experiment) -> absl::Status {
    switch (experiment->state()) {
      case S::STATE_PAUSED:
        experiment->set_state(S::STATE_QUEUED);
        return absl::OkStatus();
      case S::STATE_QUEUED:
      case S::STATE_RUNNING:
        return absl::OkStatus();
      default:
        return IllegalTransition(*experiment, "resume");
    }
  });
}

absl::StatusOr<v1::Experiment> ExperimentService::Impl::CancelExperiment(
    const v1::CancelExperimentRequest& request, const Caller&) {
  if (request.reason().size() > kReasonBytesMax) {
    return BadName("reason", absl::StrFormat("%d bytes", request.reason().size()),
                   absl::StrFormat("at most %d bytes", kReasonBytesMax));
  }
  if (const auto error = MENTOR_FAILPOINT("api.cancel.before_state"))
    return absl::UnavailableError(*error);
  return Change(request.name(), request.etag(), [&](v1::Experiment* experiment) -> absl::Status {
    if (Cancel(experiment)) {
      experiment->clear_error();
      if (!request.reason().empty())
        *experiment->mutable_error() = StatusToProto(absl::CancelledError(request.reason()));
      return absl::OkStatus();
    }
    const bool cancelled =
        experiment->state() == S::STATE_CANCELLING || experiment->state() == S::STATE_CANCELLED;
    return cancelled ? absl::OkStatus() : IllegalTransition(*experiment, "cancel");
  });
}

grpc::ServerUnaryReactor* ExperimentService::Impl::StartDelete(
    grpc::CallbackServerContext* context, const v1::DeleteExperimentRequest& request) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  Post(context, reactor, [this, reactor, request](const Caller&) {
    const auto before = options_.store->Get(request.name());
    absl::Status status = Delete(request);
    if (absl::IsUnavailable(status) && ReasonOf(status).empty() && before.ok()) {
      // It is being stopped; the answer follows when it is gone.
      const MutexLock lock(mutex_);
      if (!stopping_) {
        deletes_.push_back({reactor, request.name(), before->uid()});
        return;
      }
      status = Draining();
    }
    reactor->Finish(rpc::ToGrpc(status));
  });
  return reactor;
}

absl::Status ExperimentService::Impl::Delete(const v1::DeleteExperimentRequest& request) {
  if (request.force()) {
    const auto cancelled =
        Change(request.name(), request.etag(), [](v1::Experiment* experiment) -> absl::Status {
          Cancel(experiment);
          // Whoever ends it sees to the rest, also after a restart.
          if (experiment->state() == S::STATE_CANCELLING)
            experiment->mutable_retention()->mutable_ttl()->set_nanos(1);
          return absl::OkStatus();
        });
    if (absl::IsNotFound(cancelled.status()) && request.allow_missing()) return absl::OkStatus();
    MENTOR_RETURN_IF_ERROR(cancelled.status());
    if (cancelled->state() == S::STATE_CANCELLING) return absl::UnavailableError("on its way");
  }
  absl::Status status =
      options_.store->Delete(request.name(), request.force() ? "" : request.etag());
  if (absl::IsNotFound(status) && request.allow_missing()) return absl::OkStatus();
  return status;
}

void ExperimentService::Impl::FinishDeletes() {
  std::vector<PendingDelete> pending;
  {
    const MutexLock lock(mutex_);
    pending.swap(deletes_);
  }
  for (PendingDelete& waiting : pending) {
    const auto now = options_.store->Get(waiting.name);
    if ((now.ok() && now->uid() != waiting.uid) || absl::IsNotFound(now.status())) {
      waiting.reactor->Finish(grpc::Status::OK);
      continue;
    }
    const MutexLock lock(mutex_);
    deletes_.push_back(std::move(waiting));
  }
}

// ---- Files.

absl::StatusOr<std::pair<v1::Experiment, CheckpointRow>> ExperimentService::Impl::FindCheckpoint(
    const std::string& name, const char* field) {
  const auto parsed = ParseCheckpointName(name);
  if (!parsed)
    return BadName(field, name, "experiments/{experiment}/checkpoints/{outer update, 8 digits}");
  MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, options_.store->Get(parsed->first));
  MENTOR_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> rows,
                          options_.store->Checkpoints(experiment.uid()));
  for (const CheckpointRow& row : rows) {
    if (row.outer_step == parsed->second) return std::pair(std::move(experiment), row);
  }
  return MakeError(absl::StatusCode::kNotFound, Reason::kNotFound,
                   absl::StrFormat("there is no %s; ListCheckpoints names those that exist", name),
                   {{"name", name}});
}

absl::StatusOr<v1::ListCheckpointsResponse> ExperimentService::Impl::ListCheckpoints(
    const v1::ListCheckpointsRequest& request, const Caller&) {
  Violations violations;
  const int page_size = PageSize(request.page_size(), &violations);
  const auto after = ParseCheckpointName(request.page_token());
  if (!request.page_token().empty() && (!after || after->first != request.parent())) {
    return MakeError(absl::StatusCode::kInvalidArgument, Reason::kPageTokenMismatch,
                     "page_token belongs to another experiment; leave it out to begin with the "
                     "first page");
  }
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, options_.store->Get(request.parent()));
  MENTOR_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> rows,
                          options_.store->Checkpoints(experiment.uid()));
  v1::ListCheckpointsResponse response;
  for (const CheckpointRow& row : rows) {
    if (after && row.outer_step <= after->second) continue;
    if (response.checkpoints_size() == page_size) {
      response.set_next_page_token(response.checkpoints(page_size - 1).name());
      break;
    }
    *response.add_checkpoints() = ToResource(experiment.name(), row);
  }
  return response;
}

absl::StatusOr<v1::Checkpoint> ExperimentService::Impl::GetCheckpoint(
    const v1::GetCheckpointRequest& request, const Caller&) {
  MENTOR_ASSIGN_OR_RETURN(const auto found, FindCheckpoint(request.name(), "name"));
  return ToResource(found.first.name(), found.second);
}

absl::StatusOr<v1::Checkpoint> ExperimentService::Impl::UpdateCheckpoint(
    const v1::UpdateCheckpointRequest& request, const Caller&) {
  Violations violations;
  for (const std::string& path : request.update_mask().paths()) {
    if (path != "pinned") {
      violations.Add("update_mask", absl::StrFormat("has '%s'; only 'pinned' can be changed",
                                                    path.substr(0, 100)));
    }
  }
  if (request.update_mask().paths().empty())
    violations.Add("update_mask", "is empty; give 'pinned'");
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  const v1::Checkpoint& wanted = request.checkpoint();
  MENTOR_ASSIGN_OR_RETURN(const auto found, FindCheckpoint(wanted.name(), "checkpoint.name"));
  const v1::Checkpoint before = ToResource(found.first.name(), found.second);
  MENTOR_RETURN_IF_ERROR(CheckEtag(before.name(), wanted.etag(), before.etag()));
  MENTOR_ASSIGN_OR_RETURN(
      const CheckpointRow row,
      options_.store->PinCheckpoint(found.first.uid(), found.second.outer_step, wanted.pinned()));
  return ToResource(found.first.name(), row);
}

absl::StatusOr<PullStream<v1::DownloadResponse>::Produce>
ExperimentService::Impl::DownloadCheckpoint(const v1::DownloadRequest& request) {
  MENTOR_ASSIGN_OR_RETURN(const auto found, FindCheckpoint(request.name(), "name"));
  return Download(found.second.path, request.offset());
}

absl::StatusOr<v1::ListArtifactsResponse> ExperimentService::Impl::ListArtifacts(
    const v1::ListArtifactsRequest& request, const Caller&) {
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, options_.store->Get(request.parent()));
  MENTOR_ASSIGN_OR_RETURN(
      const std::vector<v1::Artifact> artifacts,
      meta_learner::ListArtifacts(options_.store->ExperimentFolder(experiment.uid()),
                                  experiment.name()));
  v1::ListArtifactsResponse response;
  for (const v1::Artifact& artifact : artifacts) *response.add_artifacts() = artifact;
  return response;
}

absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> ExperimentService::Impl::DownloadArtifact(
    const v1::DownloadRequest& request) {
  const auto parsed = ParseArtifactName(request.name());
  if (!parsed) return BadName("name", request.name(), "experiments/{experiment}/artifacts/{path}");
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, options_.store->Get(parsed->first));
  const std::filesystem::path folder = options_.store->ExperimentFolder(experiment.uid());
  // Only what ListArtifacts names: links lead nowhere.
  MENTOR_ASSIGN_OR_RETURN(const std::vector<v1::Artifact> artifacts,
                          meta_learner::ListArtifacts(folder, experiment.name()));
  const bool known =
      std::any_of(artifacts.begin(), artifacts.end(),
                  [&](const v1::Artifact& artifact) { return artifact.name() == request.name(); });
  if (!known) {
    return MakeError(absl::StatusCode::kNotFound, Reason::kNotFound,
                     absl::StrFormat("there is no %s; ListArtifacts names those that exist",
                                     request.name().substr(0, 200)),
                     {{"name", request.name().substr(0, 200)}});
  }
  return Download(ArtifactPath(folder, parsed->second), request.offset());
}

// ---- Changes and time.

void ExperimentService::Impl::Changed(const ExperimentStore::Notice& notice) {
  streams_->PokeAll();
  if (!notice.durable || gauges_due_.exchange(true)) return;
  executor_.PostAlways([this] {
    gauges_due_ = false;
    UpdateGauges();
    FinishDeletes();
  });
}

void ExperimentService::Impl::Tick() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    changed_.WaitFor(lock, kTick,
                     [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_.load(); });
    if (stopping_) return;
    lock.Unlock();
    streams_->PokeAll();
    streams_open_.Set(static_cast<double>(streams_->size()));
    lock.Lock();
  }
}

void ExperimentService::Impl::UpdateGauges() {
  const auto counts = options_.store->CountByState();
  if (!counts.ok()) return;
  for (const auto& [state, gauge] : by_state_) {
    const auto count = counts->find(state);
    gauge->Set(count == counts->end() ? 0 : static_cast<double>(count->second));
  }
  const MutexLock lock(mutex_);  // Two updates at once would count a mismatch twice.
  replay_mismatches_.Increment(static_cast<double>(options_.store->replay_mismatches()) -
                               replay_mismatches_.Value());
}

ExperimentService::ExperimentService(Options options, Metrics* metrics)
    : impl_(std::make_unique<Impl>(std::move(options), metrics)) {}

ExperimentService::~ExperimentService() = default;

grpc::Service* ExperimentService::service() {
  return impl_->service();
}

void ExperimentService::Stop() {
  impl_->Stop();
}

}  // namespace mentor::meta_learner
