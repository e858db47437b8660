#include "meta_learner/control/experiment_service.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "common/rpc/server.h"
#include "common/rpc/status.h"
#include "common/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "google/rpc/error_details.pb.h"
#include "mentor/v1/experiment_service.grpc.pb.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

using namespace mentor;
using namespace mentor::meta_learner;
using mentor::testing::TempFolder;
using S = v1::Experiment;

namespace {

constexpr std::chrono::seconds kPatience{20};

// A store with its service behind a real server, which can be stopped and started again on the same
// folder.
class Fixture {
 public:
  explicit Fixture(size_t watches_max = 256) : watches_max_(watches_max) { Start(); }
  ~Fixture() { Stop(); }

  void Start() {
    auto opened = OpenStore(folder_.path());
    REQUIRE(opened.ok());
    store_ = *std::move(opened);
    metrics_ = Metrics::Create();
    service_ = std::make_unique<ExperimentService>(
        ExperimentService::Options{.store = store_.get(),
                                   .check_spec =
                                       [](const v1::ExperimentSpec& spec, Violations* violations) {
                                         if (spec.benchmark().name() != "point_reach") {
                                           violations->Add("benchmark.name",
                                                           "is unknown; give point_reach");
                                         }
                                       },
                                   .wake = [this] { ++wakes_; },
                                   .cancel = [this](const std::string& name) { cancelled_ = name; },
                                   .watches_max = watches_max_},
        metrics_.get());
    auto server = rpc::Server::Start({}, {service_->service()});
    REQUIRE(server.ok());
    server_ = *std::move(server);
    stub_ = v1::ExperimentService::NewStub(server_->InProcessChannel());
  }
  void Stop() {
    if (service_ == nullptr) return;
    service_->Stop();
    stub_.reset();
    server_->Shutdown(std::chrono::seconds(5));
    server_.reset();
    service_.reset();
    store_.reset();
  }

  absl::StatusOr<v1::Experiment> Create(const v1::CreateExperimentRequest& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    v1::Experiment response;
    const absl::Status status =
        rpc::FromGrpc(stub_->CreateExperiment(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  absl::StatusOr<v1::Experiment> Create(const std::string& id) {
    v1::CreateExperimentRequest request;
    request.set_experiment_id(id);
    *request.mutable_experiment()->mutable_spec() = *LoadSpec("benchmark { name: 'point_reach' }");
    return Create(request);
  }
  absl::StatusOr<v1::Experiment> Get(const std::string& name) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    v1::GetExperimentRequest request;
    request.set_name(name);
    v1::Experiment response;
    const absl::Status status = rpc::FromGrpc(stub_->GetExperiment(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  absl::StatusOr<v1::Experiment> Cancel(const std::string& name) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    v1::CancelExperimentRequest request;
    request.set_name(name);
    v1::Experiment response;
    const absl::Status status =
        rpc::FromGrpc(stub_->CancelExperiment(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  absl::StatusOr<v1::ListExperimentsResponse> List(int page_size,
                                                   const std::string& page_token = "") {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    v1::ListExperimentsRequest request;
    request.set_page_size(page_size);
    request.set_page_token(page_token);
    v1::ListExperimentsResponse response;
    const absl::Status status = rpc::FromGrpc(stub_->ListExperiments(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

  v1::ExperimentService::Stub* stub() { return stub_.get(); }
  ExperimentStore* store() { return store_.get(); }
  ExperimentService* service() { return service_.get(); }
  Metrics* metrics() { return metrics_.get(); }
  int wakes() const { return wakes_; }
  const std::string& cancelled() const { return cancelled_; }

 private:
  const size_t watches_max_;
  const TempFolder folder_;
  std::atomic<int> wakes_ = 0;
  std::string cancelled_;  // Read after the call that wrote it has returned.
  std::unique_ptr<ExperimentStore> store_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<ExperimentService> service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::ExperimentService::Stub> stub_;
};

// A watch read by a thread of its own, so that a test can wait for what arrives.
class Watcher {
 public:
  Watcher(v1::ExperimentService::Stub* stub, const std::string& name) {
    context_.set_deadline(std::chrono::system_clock::now() + kPatience);
    v1::WatchExperimentRequest request;
    request.set_name(name);
    reader_ = stub->WatchExperiment(&context_, request);
    thread_ = std::thread([this] {
      v1::WatchExperimentResponse response;
      while (reader_->Read(&response)) {
        const std::lock_guard lock(mutex_);
        received_.push_back(response.experiment());
        changed_.notify_all();
      }
      const absl::Status status = rpc::FromGrpc(reader_->Finish());
      const std::lock_guard lock(mutex_);
      status_ = status;
      changed_.notify_all();
    });
  }
  ~Watcher() {
    context_.TryCancel();
    thread_.join();
  }

  // Waits until one that was received satisfies the condition.
  template <typename Condition>
  bool WaitFor(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] {
      return std::any_of(received_.begin(), received_.end(), condition);
    });
  }
  bool WaitForState(State state) {
    return WaitFor([&](const v1::Experiment& experiment) { return experiment.state() == state; });
  }
  absl::Status WaitForEnd() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return status_.has_value(); }))
      return absl::UnknownError("no end");
    return *status_;
  }
  std::vector<v1::Experiment> received() {
    const std::lock_guard lock(mutex_);
    return received_;
  }
  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchExperimentResponse>> reader_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<v1::Experiment> received_;
  std::optional<absl::Status> status_;
  std::thread thread_;
};

google::rpc::BadRequest BadRequestOf(const absl::Status& status) {
  google::rpc::BadRequest details;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  REQUIRE(payload);
  REQUIRE(details.ParseFromString(std::string(*payload)));
  return details;
}

}  // namespace

TEST_CASE("experiment service: create, get, list, and the scheduler is woken", "[loopback]") {
  Fixture fixture;
  const auto made = fixture.Create("one");
  REQUIRE(made.ok());
  CHECK(made->name() == "experiments/one");
  CHECK(made->state() == S::STATE_QUEUED);
  CHECK(made->spec().agent().epochs() == 64);
  CHECK(fixture.wakes() == 1);
  CHECK(fixture.Get("experiments/one")->SerializeAsString() == made->SerializeAsString());
  CHECK(fixture.Create("")->name().find("experiments/exp-") == 0);
  const auto first = fixture.List(1);
  REQUIRE(first->experiments_size() == 1);
  const auto second = fixture.List(1, first->next_page_token());
  REQUIRE(second->experiments_size() == 1);
  CHECK(second->experiments(0).name() == "experiments/one");
  CHECK(second->next_page_token().empty());
}

TEST_CASE(
    "experiment service: a bad request is answered with every violation, for people and programs",
    "[loopback]") {
  Fixture fixture;
  v1::CreateExperimentRequest request;
  request.set_experiment_id("-Bad");
  request.set_request_id("17");
  auto* spec = request.mutable_experiment()->mutable_spec();
  spec->mutable_benchmark()->set_name("nowhere");
  spec->mutable_agent()->set_gamma(2);
  spec->mutable_rule()->set_shard_lifetimes(7);
  const absl::Status status = fixture.Create(request).status();
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  CHECK(ReasonOf(status) == "INVALID_FIELD");
  std::vector<std::string> fields;
  const google::rpc::BadRequest details = BadRequestOf(status);
  for (const auto& violation : details.field_violations()) {
    fields.push_back(violation.field());
    CHECK_FALSE(violation.description().empty());
  }
  CHECK(fields == std::vector<std::string>{
                      "experiment_id", "request_id", "experiment.spec.agent.gamma",
                      "experiment.spec.rule.shard_lifetimes", "experiment.spec.benchmark.name"});
  CHECK(std::string(status.message())
            .find("experiment.spec.agent.gamma: is 2; give a finite number from 0 to 1") !=
        std::string::npos);

  CHECK(BadRequestOf(fixture.Create(v1::CreateExperimentRequest()).status())
            .field_violations(0)
            .field() == "experiment.spec");
  CHECK(fixture.List(10)->experiments_size() == 0);
  CHECK(fixture.wakes() == 0);
}

TEST_CASE("experiment service: more violations than an answer carries are counted", "[loopback]") {
  Fixture fixture;
  v1::CreateExperimentRequest request;
  auto* spec = request.mutable_experiment()->mutable_spec();
  spec->mutable_benchmark()->set_name("point_reach");
  for (int i = 0; i < 90; ++i) spec->mutable_rule()->add_option()->set_name("a");
  const auto details = BadRequestOf(fixture.Create(request).status());
  REQUIRE(details.field_violations_size() > 5);
  const auto& last = details.field_violations(details.field_violations_size() - 1);
  CHECK(last.description() == "has " + std::to_string(90 - (details.field_violations_size() - 1)) +
                                  " more violations; mend these first");
}

TEST_CASE("experiment service: ids", "[loopback]") {
  Fixture fixture;
  for (const std::string& id : std::vector<std::string>{"a", "a1", "a-1", std::string(63, 'a')}) {
    INFO(id);
    CHECK(fixture.Create(id).ok());
  }
  for (const std::string& id : std::vector<std::string>{"A", "1a", "-a", "a-", "a_b", "a/b", "a b",
                                                        std::string(64, 'a'), "\xc3\xa4"}) {
    INFO(id);
    CHECK(fixture.Create(id).status().code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(ReasonOf(fixture.Create("a").status()) == "ALREADY_EXISTS");
}

TEST_CASE("experiment service: validate_only checks everything and writes nothing", "[loopback]") {
  Fixture fixture;
  REQUIRE(fixture.Create("one").ok());
  v1::CreateExperimentRequest request;
  request.set_validate_only(true);
  *request.mutable_experiment()->mutable_spec() = *LoadSpec("benchmark { name: 'point_reach' }");
  const auto checked = fixture.Create(request);
  REQUIRE(checked.ok());
  CHECK(checked->name().empty());
  CHECK(checked->uid().empty());
  CHECK(checked->spec().agent().has_epochs());
  request.set_experiment_id("one");
  CHECK(ReasonOf(fixture.Create(request).status()) == "ALREADY_EXISTS");
  request.mutable_experiment()->mutable_spec()->mutable_benchmark()->set_name("nowhere");
  CHECK(ReasonOf(fixture.Create(request).status()) == "INVALID_FIELD");
  CHECK(fixture.List(10)->experiments_size() == 1);
}

TEST_CASE("experiment service: a repeated request is answered as before, also by the next process",
          "[loopback]") {
  Fixture fixture;
  v1::CreateExperimentRequest request;
  request.set_request_id(NewUuid());
  *request.mutable_experiment()->mutable_spec() = *LoadSpec("benchmark { name: 'point_reach' }");
  const auto first = fixture.Create(request);
  REQUIRE(first.ok());
  REQUIRE(fixture.Cancel(first->name()).ok());
  CHECK(fixture.Create(request)->SerializeAsString() == first->SerializeAsString());
  fixture.Stop();
  fixture.Start();
  CHECK(fixture.Create(request)->SerializeAsString() == first->SerializeAsString());
  CHECK(fixture.List(10)->experiments_size() == 1);
  request.set_experiment_id("other");
  CHECK(ReasonOf(fixture.Create(request).status()) == "REQUEST_ID_REUSED");
}

TEST_CASE("experiment service: cancel from every state", "[loopback]") {
  Fixture fixture;
  ExperimentStore* store = fixture.store();
  CHECK(ReasonOf(fixture.Cancel("experiments/none").status()) == "NOT_FOUND");

  REQUIRE(fixture.Create("queued").ok());
  CHECK(fixture.Cancel("experiments/queued")->state() == S::STATE_CANCELLED);
  const auto once = fixture.Get("experiments/queued");
  CHECK(fixture.Cancel("experiments/queued")->SerializeAsString() ==
        once->SerializeAsString());  // Changes nothing.

  REQUIRE(fixture.Create("paused").ok());
  REQUIRE(store->Transition("experiments/paused", {S::STATE_QUEUED}, S::STATE_PAUSED).ok());
  CHECK(fixture.Cancel("experiments/paused")->state() == S::STATE_CANCELLED);
  CHECK(fixture.cancelled().empty());

  REQUIRE(fixture.Create("running").ok());
  REQUIRE(store->Transition("experiments/running", {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  CHECK(fixture.Cancel("experiments/running")->state() == S::STATE_CANCELLING);
  CHECK(fixture.cancelled() == "experiments/running");
  CHECK(fixture.Cancel("experiments/running")->state() == S::STATE_CANCELLING);

  for (const State final : {S::STATE_SUCCEEDED, S::STATE_FAILED}) {
    const std::string id = "final" + std::to_string(final), name = "experiments/" + id;
    REQUIRE(fixture.Create(id).ok());
    REQUIRE(store->Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
    REQUIRE(store->Transition(name, {S::STATE_RUNNING}, final).ok());
    const absl::Status refused = fixture.Cancel(name).status();
    CHECK(refused.code() == absl::StatusCode::kFailedPrecondition);
    CHECK(ReasonOf(refused) == "ILLEGAL_TRANSITION");
    CHECK(MetadataOf(refused, "state") == std::string(StateText(final)));
  }
}

TEST_CASE("experiment service: a watch sees every phase and ends with the final state",
          "[loopback]") {
  Fixture fixture;
  ExperimentStore* store = fixture.store();
  const std::string name = fixture.Create("one")->name();
  REQUIRE(fixture.Create("another").ok());
  Watcher watcher(fixture.stub(), name);
  REQUIRE(watcher.WaitForState(S::STATE_QUEUED));
  REQUIRE(store->Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  REQUIRE(watcher.WaitForState(S::STATE_RUNNING));
  v1::Progress progress;
  progress.set_outer_updates(3);
  REQUIRE(store->SetProgress(name, "meta-training", progress).ok());
  REQUIRE(watcher.WaitFor([](const v1::Experiment& experiment) {
    return experiment.activity() == "meta-training" && experiment.progress().outer_updates() == 3;
  }));
  REQUIRE(store->Transition("experiments/another", {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  REQUIRE(store->Transition(name, {S::STATE_RUNNING}, S::STATE_FAILED, "why").ok());
  CHECK(watcher.WaitForEnd().ok());
  const auto received = watcher.received();
  CHECK(received.back().state() == S::STATE_FAILED);
  CHECK(received.back().error() == "why");
  for (const auto& experiment : received) CHECK(experiment.name() == name);
}

TEST_CASE(
    "experiment service: a watch of a final experiment says so and ends; of none, it is refused",
    "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.Create("one")->name();
  REQUIRE(fixture.Cancel(name).ok());
  Watcher watcher(fixture.stub(), name);
  CHECK(watcher.WaitForEnd().ok());
  CHECK(watcher.received().size() == 1);
  Watcher none(fixture.stub(), "experiments/none");
  CHECK(ReasonOf(none.WaitForEnd()) == "NOT_FOUND");
}

TEST_CASE("experiment service: under a storm of changes every watcher gets the last one",
          "[loopback]") {
  Fixture fixture;
  ExperimentStore* store = fixture.store();
  const std::string name = fixture.Create("one")->name();
  REQUIRE(store->Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (int i = 0; i < 8; ++i) watchers.push_back(std::make_unique<Watcher>(fixture.stub(), name));
  v1::Progress progress;
  for (int step = 1; step <= 500; ++step) {
    progress.set_env_steps(step);
    REQUIRE(store->SetProgress(name, "meta-training", progress).ok());
    if (step % 50 == 0) watchers[step / 50 % 4]->Cancel();  // Some go away in the middle of it.
  }
  REQUIRE(store->Transition(name, {S::STATE_RUNNING}, S::STATE_SUCCEEDED).ok());
  for (int i = 4; i < 8; ++i) {
    CHECK(watchers[i]->WaitForEnd().ok());
    const auto received = watchers[i]->received();
    CHECK(received.back().state() == S::STATE_SUCCEEDED);
    for (size_t k = 1; k < received.size(); ++k) {
      CHECK(received[k].progress().env_steps() >=
            received[k - 1].progress().env_steps());  // Never back.
    }
  }
}

TEST_CASE("experiment service: watches are limited, and one that ends makes room", "[loopback]") {
  Fixture fixture(/*watches_max=*/1);
  const std::string name = fixture.Create("one")->name();
  {
    Watcher first(fixture.stub(), name);
    REQUIRE(first.WaitForState(S::STATE_QUEUED));
    Watcher second(fixture.stub(), name);
    const absl::Status refused = second.WaitForEnd();
    CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
    CHECK(ReasonOf(refused) == "QUEUE_FULL");
    REQUIRE(fixture.Cancel(name).ok());
    CHECK(first.WaitForEnd().ok());
  }
  // The server forgets the first one in its own time.
  for (int attempt = 0;; ++attempt) {
    Watcher third(fixture.stub(), name);
    const absl::Status status = third.WaitForEnd();
    if (status.ok()) break;
    REQUIRE(attempt < 10000);
  }
}

TEST_CASE("experiment service: stopping ends watches and refuses calls with DRAINING",
          "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.Create("one")->name();
  Watcher watcher(fixture.stub(), name);
  REQUIRE(watcher.WaitForState(S::STATE_QUEUED));
  fixture.service()->Stop();
  const absl::Status ended = watcher.WaitForEnd();
  CHECK(ended.code() == absl::StatusCode::kUnavailable);
  CHECK(ReasonOf(ended) == "DRAINING");
  CHECK(ReasonOf(fixture.Get(name).status()) == "DRAINING");
  CHECK(ReasonOf(fixture.Create("two").status()) == "DRAINING");
  Watcher late(fixture.stub(), name);
  CHECK(ReasonOf(late.WaitForEnd()) == "DRAINING");
}

TEST_CASE("experiment service: experiments are counted by state", "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.Create("one")->name();
  REQUIRE(fixture.Create("two").ok());
  REQUIRE(fixture.Cancel(name).ok());
  fixture.service()->Stop();  // What is in line is finished first.
  const std::string text = fixture.metrics()->Text();
  INFO(text);
  CHECK(text.find("mentor_experiments{state=\"QUEUED\"} 1") != text.npos);
  CHECK(text.find("mentor_experiments{state=\"CANCELLED\"} 1") != text.npos);
  CHECK(text.find("mentor_experiments{state=\"RUNNING\"} 0") != text.npos);
  CHECK(text.find("mentor_store_replay_mismatch_total 0") != text.npos);
}
