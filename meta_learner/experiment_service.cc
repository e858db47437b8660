#include "meta_learner/experiment_service.h"

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/hash.h"
#include "common/rpc/status.h"
#include "common/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "mentor/v1/experiment_service.grpc.pb.h"
#include "meta_learner/executor.h"

namespace mentor::meta_learner {
namespace {

using S = v1::Experiment;

constexpr int kThreads = 2;
// Of violations in one answer: trailers of HTTP/2 are short.
constexpr size_t kViolationBytesMax = 1500;

// ^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$
bool IsExperimentId(std::string_view id) {
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (id.empty() || id.size() > 63 || !lower(id.front()) || id.back() == '-') return false;
  for (const char c : id) {
    if (!lower(c) && !digit(c) && c != '-') return false;
  }
  return true;
}

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
  return MakeError(absl::StatusCode::kUnavailable, Reason::kDraining,
                   "the meta-learner is stopping; try again soon");
}

}  // namespace

class ExperimentService::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(Options options, Metrics* metrics)
      : options_(std::move(options)),
        watch_streams_(metrics->Gauge("mentor_watch_streams", "Streams of WatchExperiment.")),
        replay_mismatches_(
            metrics->Counter("mentor_store_replay_mismatch_total",
                             "Results that a replayed outer step computed differently.")),
        executor_(kThreads, options_.calls_waiting_max),
        handlers_(this) {
    for (int state = v1::Experiment::State_MIN + 1; state <= v1::Experiment::State_MAX; ++state) {
      by_state_[static_cast<State>(state)] =
          &metrics->Gauge("mentor_experiments", "Experiments.",
                          {{"state", std::string(StateText(static_cast<State>(state)))}});
    }
  }

  // After construction, since callbacks hold weak pointers.
  void Start() {
    subscription_ = options_.store->Subscribe([weak = weak_from_this()](const std::string& name) {
      if (const auto self = weak.lock()) self->Changed(name);
    });
    UpdateGauges();
  }

  grpc::Service* service() { return &handlers_; }
  void Stop();

 private:
  class Watch;

  // gRPC's side: every call becomes a task.
  class Handlers : public v1::ExperimentService::CallbackService {
   public:
    explicit Handlers(Impl* impl) : impl_(impl) {}

    grpc::ServerUnaryReactor* CreateExperiment(grpc::CallbackServerContext* context,
                                               const v1::CreateExperimentRequest* request,
                                               v1::Experiment* response) override {
      return impl_->Call(context, request, response, &Impl::Create);
    }
    grpc::ServerUnaryReactor* GetExperiment(grpc::CallbackServerContext* context,
                                            const v1::GetExperimentRequest* request,
                                            v1::Experiment* response) override {
      return impl_->Call(context, request, response, &Impl::Get);
    }
    grpc::ServerUnaryReactor* ListExperiments(grpc::CallbackServerContext* context,
                                              const v1::ListExperimentsRequest* request,
                                              v1::ListExperimentsResponse* response) override {
      return impl_->Call(context, request, response, &Impl::List);
    }
    grpc::ServerUnaryReactor* CancelExperiment(grpc::CallbackServerContext* context,
                                               const v1::CancelExperimentRequest* request,
                                               v1::Experiment* response) override {
      return impl_->Call(context, request, response, &Impl::Cancel);
    }
    grpc::ServerWriteReactor<v1::WatchExperimentResponse>* WatchExperiment(
        grpc::CallbackServerContext* context, const v1::WatchExperimentRequest* request) override {
      return impl_->StartWatch(request->name());
    }

   private:
    Impl* const impl_;
  };

  template <typename Request, typename Response>
  grpc::ServerUnaryReactor* Call(grpc::CallbackServerContext* context, const Request* request,
                                 Response* response,
                                 absl::StatusOr<Response> (Impl::*method)(const Request&)) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    const bool posted = executor_.Post([this, reactor, request, response, method] {
      absl::StatusOr<Response> answer = (this->*method)(*request);
      if (answer.ok()) *response = *std::move(answer);
      reactor->Finish(rpc::ToGrpc(answer.status()));
    });
    if (!posted) reactor->Finish(rpc::ToGrpc(WhyNotPosted()));
    return reactor;
  }
  absl::Status WhyNotPosted() {
    if (stopping_) return Draining();
    return MakeError(
        absl::StatusCode::kResourceExhausted, Reason::kQueueFull,
        absl::StrFormat("%d calls wait already; try again soon", options_.calls_waiting_max));
  }

  absl::StatusOr<v1::Experiment> Create(const v1::CreateExperimentRequest& request);
  absl::StatusOr<v1::Experiment> Get(const v1::GetExperimentRequest& request);
  absl::StatusOr<v1::ListExperimentsResponse> List(const v1::ListExperimentsRequest& request);
  absl::StatusOr<v1::Experiment> Cancel(const v1::CancelExperimentRequest& request);
  grpc::ServerWriteReactor<v1::WatchExperimentResponse>* StartWatch(const std::string& name);
  void WatchEnded(const std::shared_ptr<Watch>& watch);

  void Changed(const std::string& name);
  void UpdateGauges();

  // Fixed after construction; they look after their own locking.
  const Options options_;
  prometheus::Gauge& watch_streams_;
  prometheus::Counter& replay_mismatches_;
  std::map<State, prometheus::Gauge*> by_state_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> gauges_due_ = false;  // An update is in line.
  Executor executor_;
  Handlers handlers_;
  // Guarded by mutex_.
  std::mutex mutex_;
  std::set<std::shared_ptr<Watch>> watches_;
  std::unique_ptr<ExperimentStore::Subscription> subscription_;
};

// One stream. It sends the newest state when the one before is out, so a slow watcher costs one
// message of memory and misses states in between, never the last one.
class ExperimentService::Impl::Watch : public grpc::ServerWriteReactor<v1::WatchExperimentResponse>,
                                       public std::enable_shared_from_this<Watch> {
 public:
  Watch(std::shared_ptr<Impl> impl, std::string name)
      : impl_(std::move(impl)), name_(std::move(name)) {}

  const std::string& name() const { return name_; }

  // Something of the experiment changed, or the watch begins.
  void Changed() {
    const std::lock_guard lock(mutex_);
    if (busy_) {
      changed_ = true;
      return;
    }
    busy_ = true;
    PostRefresh();
  }

  void End(const absl::Status& status) {
    const std::lock_guard lock(mutex_);
    EndLocked(rpc::ToGrpc(status));
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok && !end_) end_ = grpc::Status::CANCELLED;
    if (end_) {
      FinishLocked();
    } else {
      NextLocked();
    }
  }
  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    EndLocked(grpc::Status::CANCELLED);
  }
  void OnDone() override {
    std::shared_ptr<Watch> self;
    {
      const std::lock_guard lock(mutex_);
      self = shared_from_this();
    }
    impl_->WatchEnded(self);
  }

 private:
  void PostRefresh() {
    if (!impl_->executor_.PostAlways([self = shared_from_this()] { self->Refresh(); })) {
      EndLocked(rpc::ToGrpc(Draining()));
    }
  }

  void Refresh() {
    absl::StatusOr<v1::Experiment> experiment = impl_->options_.store->Get(name_);
    if (experiment.ok()) {
      if (const auto error = MENTOR_FAILPOINT("api.watch.send"))
        experiment = absl::UnavailableError(*error);
    }
    const std::lock_guard lock(mutex_);
    if (end_) return;
    if (!experiment.ok()) {
      EndLocked(rpc::ToGrpc(experiment.status()));
      return;
    }
    std::string bytes = experiment->SerializeAsString();
    if (bytes == sent_) {
      NextLocked();
      return;
    }
    sent_ = std::move(bytes);
    if (IsFinal(experiment->state())) end_ = grpc::Status::OK;  // After this message.
    *response_.mutable_experiment() = *std::move(experiment);
    writing_ = true;
    StartWrite(&response_);
  }

  // With mutex_ held, as all that follow. Nothing is under way: looks again when something changed
  // meanwhile.
  void NextLocked() {
    if (changed_) {
      changed_ = false;
      PostRefresh();
    } else {
      busy_ = false;
    }
  }
  void EndLocked(const grpc::Status& status) {
    if (end_) return;
    end_ = status;
    if (!writing_) FinishLocked();
  }
  void FinishLocked() { Finish(*end_); }

  // Fixed after construction.
  const std::shared_ptr<Impl> impl_;
  const std::string name_;
  // Guarded by mutex_.
  std::mutex mutex_;
  bool busy_ = false;     // A refresh is in line or at work, or its message on its way.
  bool changed_ = false;  // Meanwhile.
  bool writing_ = false;
  std::optional<grpc::Status> end_;  // Set: nothing follows but the message being written.
  std::string sent_;                 // The last experiment sent.
  v1::WatchExperimentResponse response_;
};

void ExperimentService::Impl::Stop() {
  stopping_ = true;
  std::set<std::shared_ptr<Watch>> watches;
  std::unique_ptr<ExperimentStore::Subscription> subscription;
  {
    const std::lock_guard lock(mutex_);
    watches = watches_;
    subscription = std::move(subscription_);
  }
  subscription.reset();
  for (const auto& watch : watches) watch->End(Draining());
  executor_.Stop();
}

absl::StatusOr<v1::Experiment> ExperimentService::Impl::Create(
    const v1::CreateExperimentRequest& request) {
  Violations violations;
  if (!request.experiment_id().empty() && !IsExperimentId(request.experiment_id())) {
    violations.Add(
        "experiment_id",
        absl::StrFormat("is '%s'; give a letter, then letters, digits and dashes, all lower "
                        "case, at most 63, no dash at the end",
                        request.experiment_id().substr(0, 100)));
  }
  if (!request.request_id().empty() && !IsUuid(request.request_id())) {
    violations.Add("request_id",
                   absl::StrFormat("is '%s'; give a UUID", request.request_id().substr(0, 100)));
  }
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
      const std::string name = "experiments/" + request.experiment_id();
      if (options_.store->Get(name).ok()) {
        return MakeError(absl::StatusCode::kAlreadyExists, Reason::kAlreadyExists,
                         name + " exists already; choose another id, or leave it out",
                         {{"name", name}});
      }
    }
    v1::Experiment experiment;
    *experiment.mutable_spec() = WithDefaults(request.experiment().spec());
    return experiment;
  }
  v1::CreateExperimentRequest body = request;
  body.clear_request_id();
  absl::StatusOr<v1::Experiment> experiment =
      options_.store->Create({.spec = request.experiment().spec(),
                              .id = request.experiment_id(),
                              .request_id = request.request_id(),
                              .request_hash = Sha256Hex(CanonicalText(body))});
  if (experiment.ok() && options_.wake) options_.wake();
  return experiment;
}

absl::StatusOr<v1::Experiment> ExperimentService::Impl::Get(
    const v1::GetExperimentRequest& request) {
  return options_.store->Get(request.name());
}

absl::StatusOr<v1::ListExperimentsResponse> ExperimentService::Impl::List(
    const v1::ListExperimentsRequest& request) {
  MENTOR_ASSIGN_OR_RETURN(ExperimentPage page,
                          options_.store->List(request.page_size(), request.page_token()));
  v1::ListExperimentsResponse response;
  for (v1::Experiment& experiment : page.experiments)
    *response.add_experiments() = std::move(experiment);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::Experiment> ExperimentService::Impl::Cancel(
    const v1::CancelExperimentRequest& request) {
  const std::string& name = request.name();
  // The scheduler may move it between the look and the transition; each round it is further, so the
  // loop ends.
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, options_.store->Get(name));
    const State state = experiment.state();
    if (state == S::STATE_CANCELLED || state == S::STATE_CANCELLING) return experiment;
    if (IsFinal(state)) {
      return MakeError(
          absl::StatusCode::kFailedPrecondition, Reason::kIllegalTransition,
          absl::StrFormat("%s is %s already; there is nothing to cancel", name, StateText(state)),
          {{"state", std::string(StateText(state))}, {"verb", "cancel"}});
    }
    if (const auto error = MENTOR_FAILPOINT("api.cancel.before_state"))
      return absl::UnavailableError(*error);
    const bool at_work = state == S::STATE_RUNNING;
    auto moved = options_.store->Transition(name, {state},
                                            at_work ? S::STATE_CANCELLING : S::STATE_CANCELLED);
    if (moved.ok() && at_work && options_.cancel) options_.cancel(name);
    if (!absl::IsFailedPrecondition(moved.status())) return moved;
  }
}

grpc::ServerWriteReactor<v1::WatchExperimentResponse>* ExperimentService::Impl::StartWatch(
    const std::string& name) {
  auto watch = std::make_shared<Watch>(shared_from_this(), name);
  absl::Status refused;
  {
    const std::lock_guard lock(mutex_);
    if (watches_.size() >= options_.watches_max) {
      refused = MakeError(
          absl::StatusCode::kResourceExhausted, Reason::kQueueFull,
          absl::StrFormat("%d watches are open already; try again later", options_.watches_max));
    }
    if (stopping_) refused = Draining();
    watches_.insert(watch);  // Kept until OnDone in any case.
    watch_streams_.Set(static_cast<double>(watches_.size()));
  }
  if (refused.ok()) {
    watch->Changed();
  } else {
    watch->End(refused);
  }
  return watch.get();
}

void ExperimentService::Impl::WatchEnded(const std::shared_ptr<Watch>& watch) {
  const std::lock_guard lock(mutex_);
  watches_.erase(watch);
  watch_streams_.Set(static_cast<double>(watches_.size()));
}

void ExperimentService::Impl::Changed(const std::string& name) {
  std::vector<std::shared_ptr<Watch>> watches;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& watch : watches_) {
      if (watch->name() == name) watches.push_back(watch);
    }
  }
  for (const auto& watch : watches) watch->Changed();
  if (!gauges_due_.exchange(true)) {
    executor_.PostAlways([this] {
      gauges_due_ = false;
      UpdateGauges();
    });
  }
}

void ExperimentService::Impl::UpdateGauges() {
  const auto counts = options_.store->CountByState();
  if (!counts.ok()) return;
  for (const auto& [state, gauge] : by_state_) {
    const auto count = counts->find(state);
    gauge->Set(count == counts->end() ? 0 : static_cast<double>(count->second));
  }
  const std::lock_guard lock(mutex_);  // Two updates at once would count a mismatch twice.
  replay_mismatches_.Increment(static_cast<double>(options_.store->replay_mismatches()) -
                               replay_mismatches_.Value());
}

ExperimentService::ExperimentService(Options options, Metrics* metrics)
    : impl_(std::make_shared<Impl>(std::move(options), metrics)) {
  impl_->Start();
}

ExperimentService::~ExperimentService() {
  Stop();
}

grpc::Service* ExperimentService::service() {
  return impl_->service();
}

void ExperimentService::Stop() {
  impl_->Stop();
}

}  // namespace mentor::meta_learner
