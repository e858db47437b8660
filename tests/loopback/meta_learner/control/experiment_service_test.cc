#include "meta_learner/control/experiment_service.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mutex.h"
#include "common/rpc/auth.h"
#include "common/rpc/channel.h"
#include "common/rpc/grpc_status.h"
#include "common/rpc/server.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "google/rpc/error_details.pb.h"
#include "mentor/v1/experiment_service.grpc.pb.h"
#include "meta_learner/control/logs.h"
#include "meta_learner/control/methods.h"
#include "tests/fake_control.h"
#include "tests/objects.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using namespace mentor::meta_learner;
using mentor::testing::TempFolder;
using S = v1::Experiment;

constexpr std::chrono::seconds kPatience{20};
constexpr char kSpec[] = "benchmark { name: 'point_reach' }";

// A store with its service behind a real server, which can be stopped and started again on the same
// folder.
class Fixture : private testing::FakeSpecs, private testing::FakeOperations {
 public:
  struct Limits {
    size_t streams_max = 256;
    int64_t queued_max = 10'000;
    Quotas per_owner = {};
    size_t heavy_calls_waiting_max = 256;
    std::function<void()> while_checking = {};  // Called in the check of each spec.
    // Called with what a call has changed.
    std::function<void(const v1::Experiment&)> on_look = {};
    std::string tokens = {};                 // File; callers then have none until Become.
    uint32_t hidden_units_max = UINT32_MAX;  // Arithmetic of agents that some learner has.
    std::shared_ptr<ObjectStore> objects = {};
    std::vector<v1::Peer> peers = {};
    std::vector<v1::ShardInfo> shards = {};
    std::function<absl::Status()> check_room = {};
  };
  Fixture() : Fixture(Limits()) {}
  explicit Fixture(const Limits& limits) : limits_(limits) { Start(); }
  ~Fixture() { Stop(); }

  void Start() {
    store_ = OpenStore({.folder = folder_.path(), .objects = limits_.objects}).value();
    logs_ = std::make_unique<ExperimentLogs>(&store_->records, &store_->files);
    metrics_ = Metrics::Create();
    service_ = std::make_unique<ExperimentService>(
        ExperimentService::Options{.store = store_.get(),
                                   .specs = this,
                                   .operations = this,
                                   .queued_max = limits_.queued_max,
                                   .per_owner = limits_.per_owner,
                                   .heavy_calls_waiting_max = limits_.heavy_calls_waiting_max,
                                   .streams_per_caller_max = limits_.streams_max},
        metrics_.get());
    rpc::ServerOptions options;
    options.tokens = limits_.tokens;
    auto server = rpc::Server::Start(options, {service_->service()});
    REQUIRE(server.ok());
    server_ = *std::move(server);
    stub_ = v1::ExperimentService::NewStub(server_->InProcessChannel());
  }
  // From now on, calls carry the token of this file.
  void Become(const std::string& token_file) {
    stub_ = v1::ExperimentService::NewStub(
        rpc::MakeChannel({.address = server_->address(), .token_file = token_file}).value());
  }
  // The stub of another program, with its own connection.
  std::unique_ptr<v1::ExperimentService::Stub> OtherStub() {
    return v1::ExperimentService::NewStub(
        rpc::MakeChannel({.address = server_->address()}).value());
  }
  void Stop() {
    if (service_ == nullptr) return;
    service_->Stop();
    stub_.reset();
    server_->Shutdown(std::chrono::seconds(5));
    server_.reset();
    service_.reset();
    logs_.reset();
    store_.reset();
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::ExperimentService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    Response response;
    const absl::Status status = rpc::FromGrpc((stub_.get()->*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  // Calls a method whose request names an experiment.
  template <typename Request, typename Response>
  absl::StatusOr<Response> CallOn(grpc::Status (v1::ExperimentService::Stub::*method)(
                                      grpc::ClientContext*, const Request&, Response*),
                                  const std::string& name, const std::string& etag = "") {
    Request request;
    request.set_name(name);
    if constexpr (requires { request.set_etag(etag); }) request.set_etag(etag);
    return Call(method, request);
  }
  // Everything that a stream says until it ends.
  template <typename Request, typename Response>
  absl::Status Read(std::unique_ptr<grpc::ClientReader<Response>> (
                        v1::ExperimentService::Stub::*method)(grpc::ClientContext*, const Request&),
                    const Request& request, std::vector<Response>* responses) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    const auto reader = (stub_.get()->*method)(&context, request);
    Response response;
    while (reader->Read(&response)) responses->push_back(response);
    return rpc::FromGrpc(reader->Finish());
  }

  using Stub = v1::ExperimentService::Stub;
  absl::StatusOr<v1::Experiment> Create(const v1::CreateExperimentRequest& request) {
    return Call(&Stub::CreateExperiment, request);
  }
  absl::StatusOr<v1::Experiment> Create(const std::string& id) {
    v1::CreateExperimentRequest request;
    request.set_experiment_id(id);
    *request.mutable_experiment()->mutable_spec() = *LoadSpec(kSpec);
    return Create(request);
  }
  absl::StatusOr<v1::Experiment> Get(const std::string& name) {
    return CallOn<v1::GetExperimentRequest>(&Stub::GetExperiment, name);
  }
  absl::StatusOr<v1::Experiment> Cancel(const std::string& name) {
    return CallOn<v1::CancelExperimentRequest>(&Stub::CancelExperiment, name);
  }
  absl::StatusOr<v1::Experiment> Pause(const std::string& name) {
    return CallOn<v1::PauseExperimentRequest>(&Stub::PauseExperiment, name);
  }
  absl::StatusOr<v1::Experiment> Resume(const std::string& name) {
    return CallOn<v1::ResumeExperimentRequest>(&Stub::ResumeExperiment, name);
  }
  absl::Status Delete(const std::string& name, bool force = false) {
    v1::DeleteExperimentRequest request;
    request.set_name(name);
    request.set_force(force);
    return Call(&Stub::DeleteExperiment, request).status();
  }
  absl::StatusOr<v1::ListExperimentsResponse> List(int page_size,
                                                   const std::string& page_token = "") {
    v1::ListExperimentsRequest request;
    request.set_page_size(page_size);
    request.set_page_token(page_token);
    return Call(&Stub::ListExperiments, request);
  }
  // A new experiment in this state.
  std::string CreateIn(State state) {
    const std::string name = Create("in-" + std::to_string(++created_))->name();
    const auto step = [&](State from, State to) {
      REQUIRE(store()->records.Transition(name, {from}, to).ok());
    };
    if (state == S::STATE_QUEUED) return name;
    if (state == S::STATE_PAUSED || state == S::STATE_CANCELLED) {
      step(S::STATE_QUEUED, state);
      return name;
    }
    step(S::STATE_QUEUED, S::STATE_RUNNING);
    if (state != S::STATE_RUNNING) step(S::STATE_RUNNING, state);
    return name;
  }

  // Writes a checkpoint of this experiment and records it.
  void AddCheckpoint(const std::string& uid, uint32_t step, const std::string& weights = "w") {
    const auto info = WriteCheckpoint(store()->files.CheckpointFolder(uid),
                                      {.experiment_uid = uid,
                                       .outer_step = step,
                                       .spec_hash = SpecHash(*LoadSpec(kSpec)),
                                       .build = "b",
                                       .sections = {{"weights", weights}}});
    REQUIRE(info.ok());
    REQUIRE(store()->results.RecordOuterStep(uid, {.step = step, .checkpoint = *info}).ok());
  }

  v1::ExperimentService::Stub* stub() { return stub_.get(); }
  Store* store() { return store_.get(); }
  ExperimentService* service() { return service_.get(); }
  Metrics* metrics() { return metrics_.get(); }
  const std::string& looked_at() const { return looked_at_; }

 private:
  void Check(const v1::ExperimentSpec& spec, Violations* violations) override {
    if (limits_.while_checking) limits_.while_checking();
    if (spec.benchmark().name() != "point_reach")
      violations->Add("benchmark.name", "is unknown; give point_reach");
  }
  void CheckFleet(const v1::ExperimentSpec& spec, Violations* violations) override {
    if (spec.agent().hidden_units() > limits_.hidden_units_max)
      violations->Add("agent.hidden_units", "no learner has room for them");
  }
  void Describe(const v1::ExperimentSpec& /*spec*/, v1::Experiment* experiment) override {
    for (const char* name : {"seg0", "reward_mean/*"}) experiment->add_reported_numbers(name);
  }
  absl::Status CheckRoom() override {
    return limits_.check_room ? limits_.check_room() : absl::OkStatus();
  }
  void Look(const v1::Experiment& experiment) override {
    looked_at_ = experiment.name();
    if (limits_.on_look) limits_.on_look(experiment);
  }
  std::vector<v1::ShardInfo> Shards(const std::string& /*experiment*/) override {
    return limits_.shards;
  }
  std::vector<v1::Peer> Peers() override { return limits_.peers; }

  const Limits limits_;
  int created_ = 0;
  const TempFolder folder_;
  std::string looked_at_;  // Read after the call that wrote it has returned.
  std::unique_ptr<Store> store_;
  std::unique_ptr<ExperimentLogs> logs_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<ExperimentService> service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::ExperimentService::Stub> stub_;
};

// A watch that a separate thread reads, so that a test can wait for arrivals.
class Watcher {
 public:
  using Event = v1::WatchExperimentsResponse;

  Watcher(v1::ExperimentService::Stub* stub, const v1::WatchExperimentsRequest& request) {
    context_.set_deadline(std::chrono::system_clock::now() + kPatience);
    reader_ = stub->WatchExperiments(&context_, request);
    thread_ = std::thread([this] {
      Event response;
      while (reader_->Read(&response)) {
        const MutexLock lock(mutex_);
        received_.push_back(response);
        changed_.NotifyAll();
      }
      const absl::Status status = rpc::FromGrpc(reader_->Finish());
      const MutexLock lock(mutex_);
      status_ = status;
      changed_.NotifyAll();
    });
  }
  Watcher(v1::ExperimentService::Stub* stub, const std::string& name)
      : Watcher(stub, RequestOf(name)) {}
  ~Watcher() {
    context_.TryCancel();
    thread_.join();
  }

  static v1::WatchExperimentsRequest RequestOf(const std::string& name, bool progress = false) {
    v1::WatchExperimentsRequest request;
    if (!name.empty()) request.add_names(name);
    request.set_progress(progress);
    return request;
  }

  // Waits until one that was received satisfies the condition.
  template <typename Condition>
  bool WaitFor(Condition condition) {
    MutexLock lock(mutex_);
    return changed_.WaitFor(lock, kPatience, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return std::any_of(received_.begin(), received_.end(), condition);
    });
  }
  bool WaitForState(State state) {
    return WaitFor([&](const Event& event) { return event.experiment().state() == state; });
  }
  absl::Status WaitForEnd() {
    MutexLock lock(mutex_);
    if (!changed_.WaitFor(lock, kPatience, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
          return status_.has_value();
        }))
      return absl::UnknownError("no end");
    return *status_;
  }
  std::vector<Event> received() {
    const MutexLock lock(mutex_);
    return received_;
  }
  std::string last_token() {
    const MutexLock lock(mutex_);
    for (auto event = received_.rbegin(); event != received_.rend(); ++event) {
      if (!event->resume_token().empty()) return event->resume_token();
    }
    return "";
  }
  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<Event>> reader_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<Event> received_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> status_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

google::rpc::BadRequest BadRequestOf(const absl::Status& status) {
  google::rpc::BadRequest details;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  REQUIRE(payload);
  REQUIRE(details.ParseFromString(std::string(*payload)));
  return details;
}

TEST_CASE("experiment service: create, get, list, and the scheduler is woken", "[loopback]") {
  Fixture fixture;
  const auto made = fixture.Create("one");
  REQUIRE(made.ok());
  CHECK(made->name() == "experiments/one");
  CHECK(made->state() == S::STATE_QUEUED);
  CHECK(made->spec().agent().epochs() == 64);
  CHECK(fixture.looked_at() == made->name());
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
  CHECK(fixture.looked_at().empty());
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

TEST_CASE("experiment service: a deadline that the store cannot keep is refused", "[loopback]") {
  Fixture fixture;
  v1::CreateExperimentRequest request;
  *request.mutable_experiment()->mutable_spec() = *LoadSpec("benchmark { name: 'point_reach' }");
  auto* deadline = request.mutable_experiment()->mutable_deadline();
  deadline->set_seconds(9'223'372'035);  // Early on the last day.
  const auto created = fixture.Create(request);
  REQUIRE(created.ok());
  CHECK(created->deadline().seconds() == 9'223'372'035);
  deadline->set_seconds(19'880'899'200);  // 2600.
  const absl::Status far = fixture.Create(request).status();
  REQUIRE(ReasonOf(far) == "INVALID_FIELD");
  CHECK(BadRequestOf(far).field_violations(0).field() == "experiment.deadline");
  CHECK(testing::Contains(std::string(far.message()), "2262-04-11"));
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
  REQUIRE(checked->reported_numbers_size() == 2);
  CHECK(checked->reported_numbers(1) == "reward_mean/*");
  request.mutable_experiment()->add_reported_numbers("what a client says is not read");
  CHECK(fixture.Create(request)->reported_numbers_size() == 2);
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

TEST_CASE("experiment service: every verb from every state", "[loopback]") {
  Fixture fixture;
  constexpr State kRefused = S::STATE_UNSPECIFIED;
  struct Row {
    State from;
    State pause, resume, cancel;
    bool may_delete;
  };
  const std::vector<Row> table = {
      {S::STATE_QUEUED, S::STATE_PAUSED, S::STATE_QUEUED, S::STATE_CANCELLED, false},
      {S::STATE_RUNNING, S::STATE_PAUSING, S::STATE_RUNNING, S::STATE_CANCELLING, false},
      {S::STATE_PAUSING, S::STATE_PAUSING, kRefused, S::STATE_CANCELLING, false},
      {S::STATE_PAUSED, S::STATE_PAUSED, S::STATE_QUEUED, S::STATE_CANCELLED, false},
      {S::STATE_CANCELLING, kRefused, kRefused, S::STATE_CANCELLING, false},
      {S::STATE_CANCELLED, kRefused, kRefused, S::STATE_CANCELLED, true},
      {S::STATE_SUCCEEDED, kRefused, kRefused, kRefused, true},
      {S::STATE_FAILED, kRefused, kRefused, kRefused, true},
  };
  REQUIRE(table.size() == AllStates().size());
  for (const Row& row : table) {
    const auto check = [&](const char* verb, State expected, auto call) {
      const std::string name = fixture.CreateIn(row.from);
      INFO(verb << " " << StateText(row.from));
      const absl::StatusOr<v1::Experiment> answer = call(name);
      if (expected == kRefused) {
        CHECK(answer.status().code() == absl::StatusCode::kFailedPrecondition);
        CHECK(ReasonOf(answer.status()) == "ILLEGAL_TRANSITION");
        CHECK(MetadataOf(answer.status(), "state") == std::string(StateText(row.from)));
        CHECK(MetadataOf(answer.status(), "verb") == verb);
        CHECK(fixture.Get(name)->state() == row.from);
        return;
      }
      REQUIRE(answer.ok());
      CHECK(answer->state() == expected);
      // Repeating changes nothing.
      CHECK(call(name)->SerializeAsString() == answer->SerializeAsString());
    };
    check("pause", row.pause, [&](const std::string& name) { return fixture.Pause(name); });
    check("resume", row.resume, [&](const std::string& name) { return fixture.Resume(name); });
    check("cancel", row.cancel, [&](const std::string& name) { return fixture.Cancel(name); });
    const std::string name = fixture.CreateIn(row.from);
    const absl::Status deleted = fixture.Delete(name);
    CHECK(deleted.ok() == row.may_delete);
    CHECK(fixture.Get(name).ok() != row.may_delete);
    if (!row.may_delete) CHECK(ReasonOf(deleted) == "ILLEGAL_TRANSITION");
  }
  for (const auto& status :
       {fixture.Pause("experiments/none").status(), fixture.Resume("experiments/none").status(),
        fixture.Cancel("experiments/none").status(), fixture.Delete("experiments/none")})
    CHECK(ReasonOf(status) == "NOT_FOUND");
  const std::string running = fixture.CreateIn(S::STATE_RUNNING);
  REQUIRE(fixture.Pause(running).ok());
  CHECK(fixture.looked_at() == running);
  CHECK(fixture.Get(running)->pause_reason() == S::PAUSE_REASON_USER);
}

TEST_CASE("experiment service: an etag that is not the current one changes nothing", "[loopback]") {
  Fixture fixture;
  const v1::Experiment made = *fixture.Create("one");
  const auto on = [&](const std::string& etag) {
    return fixture.CallOn<v1::PauseExperimentRequest>(&Fixture::Stub::PauseExperiment, made.name(),
                                                      etag);
  };
  CHECK(ReasonOf(on("W/other").status()) == "ETAG_MISMATCH");
  CHECK(on("W/other").status().code() == absl::StatusCode::kAborted);
  CHECK(fixture.Get(made.name())->etag() == made.etag());
  CHECK(on(made.etag())->state() == S::STATE_PAUSED);
}

TEST_CASE("experiment service: a cancellation has its reason", "[loopback]") {
  Fixture fixture;
  v1::CancelExperimentRequest request;
  request.set_name(fixture.CreateIn(S::STATE_RUNNING));
  request.set_reason("a better seed");
  const auto cancelled = fixture.Call(&Fixture::Stub::CancelExperiment, request);
  CHECK(cancelled->error().message() == "a better seed");
  request.set_reason(std::string(2000, 'x'));
  CHECK(ReasonOf(fixture.Call(&Fixture::Stub::CancelExperiment, request).status()) ==
        "INVALID_FIELD");
  // The error of an earlier try is not shown.
  const std::string retried = fixture.CreateIn(S::STATE_RUNNING);
  REQUIRE(fixture.store()
              ->records
              .Transition(retried, {S::STATE_RUNNING}, S::STATE_QUEUED,
                          absl::InternalError("the try before"))
              .ok());
  REQUIRE(fixture.Get(retried)->has_error());
  CHECK_FALSE(fixture.Cancel(retried)->has_error());
}

TEST_CASE("experiment service: deletion by force waits for the end", "[loopback]") {
  Fixture fixture;
  const std::string queued = fixture.CreateIn(S::STATE_QUEUED);
  CHECK(fixture.Delete(queued, /*force=*/true).ok());
  CHECK(ReasonOf(fixture.Get(queued).status()) == "NOT_FOUND");
  v1::DeleteExperimentRequest request;
  request.set_name(queued);
  CHECK(ReasonOf(fixture.Call(&Fixture::Stub::DeleteExperiment, request).status()) == "NOT_FOUND");
  request.set_allow_missing(true);
  CHECK(fixture.Call(&Fixture::Stub::DeleteExperiment, request).ok());

  const std::string running = fixture.CreateIn(S::STATE_RUNNING);
  absl::Status status = absl::UnknownError("not answered");
  std::thread caller([&] { status = fixture.Delete(running, /*force=*/true); });
  // Does what the scheduler does: the experiment ends, and expires at once.
  Watcher watcher(fixture.stub(), running);
  CHECK(watcher.WaitForState(S::STATE_CANCELLING));
  REQUIRE(
      fixture.store()->records.Transition(running, {S::STATE_CANCELLING}, S::STATE_CANCELLED).ok());
  const auto expired = fixture.store()->records.Expired(INT64_MAX);
  REQUIRE(expired->size() == 1);
  REQUIRE(fixture.store()->records.Delete(running, "").ok());
  caller.join();
  CHECK(status.ok());
  CHECK(watcher.WaitFor([](const Watcher::Event& event) {
    return event.event() == v1::WatchExperimentsResponse::EVENT_DELETED;
  }));
}

TEST_CASE("experiment service: a deletion is answered though it was quick, and its name is taken",
          "[loopback]") {
  Store* store = nullptr;
  Fixture::Limits limits;
  // Before the answer can begin to wait.
  limits.on_look = [&store](const v1::Experiment& experiment) {
    if (experiment.state() != S::STATE_CANCELLING) return;
    const std::string name = experiment.name();
    CHECK(store->records.Transition(name, {S::STATE_CANCELLING}, S::STATE_CANCELLED).ok());
    CHECK(store->records.Delete(name, "").ok());
    CHECK(store->records.Create(testing::SmallExperiment("again")).ok());
  };
  Fixture fixture(limits);
  store = fixture.store();
  REQUIRE(fixture.Create("again").ok());
  const std::string name = "experiments/again";
  REQUIRE(store->records.Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  CHECK(fixture.Delete(name, /*force=*/true).ok());
  CHECK(fixture.Get(name)->state() == S::STATE_QUEUED);
}

// Captures stderr while it lives.
class Stderr {
 public:
  Stderr() : kept_(dup(2)) {
    const int file = open(path().c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    dup2(file, 2);
    close(file);
  }
  ~Stderr() { Restore(); }
  // The lines with this text.
  std::vector<std::string> Lines(std::string_view with) {
    Restore();
    std::vector<std::string> lines;
    std::ifstream file(path());
    for (std::string line; std::getline(file, line);) {
      if (line.find(with) != line.npos) lines.push_back(line);
    }
    return lines;
  }

 private:
  std::string path() const { return folder_.path() / "stderr"; }
  void Restore() {
    if (kept_ < 0) return;
    dup2(kept_, 2);
    close(std::exchange(kept_, -1));
  }

  const TempFolder folder_;
  int kept_;
};

TEST_CASE(
    "experiment service: one's own is changed, another's by admins alone, each with its line (D13)",
    "[loopback]") {
  const TempFolder folder;
  const auto path = [&](const std::string& name) { return (folder.path() / name).string(); };
  std::string lines;
  for (const auto& [name, role] :
       {std::pair("ann", v1::ROLE_OPERATOR), std::pair("bob", v1::ROLE_OPERATOR),
        std::pair("root", v1::ROLE_ADMIN)}) {
    const auto token = rpc::MakeToken(role, name).value();
    lines += token.line + "\n";
    REQUIRE(WriteFileAtomically(path(name), token.token.Reveal() + "\n").ok());
  }
  REQUIRE(WriteFileAtomically(path("tokens"), lines).ok());
  Fixture::Limits limits;
  limits.tokens = path("tokens");
  Fixture fixture(limits);
  using Stub = Fixture::Stub;
  const auto as = [&](const char* name) { fixture.Become(path(name)); };
  const auto refused = [](const absl::Status& status) {
    return absl::IsPermissionDenied(status) && ReasonOf(status) == "NOT_OWNER";
  };

  Stderr log;
  as("ann");
  REQUIRE(fixture.Create("a")->owner() == "ann");
  const std::string name = "experiments/a";
  REQUIRE(fixture.store()->records.Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  const std::string uid = fixture.Get(name)->uid();
  fixture.AddCheckpoint(uid, 1);

  as("bob");
  CHECK(fixture.Get(name).ok());
  CHECK(refused(fixture.Pause(name).status()));
  CHECK(refused(fixture.Cancel(name).status()));
  CHECK(refused(fixture.Resume(name).status()));
  CHECK(refused(fixture.Delete(name, /*force=*/true)));
  CHECK(refused(fixture.Delete(name)));
  v1::UpdateExperimentRequest update;
  update.mutable_experiment()->set_name(name);
  update.mutable_experiment()->set_weight(100);
  update.mutable_update_mask()->add_paths("weight");
  CHECK(refused(fixture.Call(&Stub::UpdateExperiment, update).status()));
  v1::UpdateCheckpointRequest pin;
  pin.mutable_checkpoint()->set_name(name + "/checkpoints/00000001");
  pin.mutable_checkpoint()->set_pinned(true);
  pin.mutable_update_mask()->add_paths("pinned");
  CHECK(refused(fixture.Call(&Stub::UpdateCheckpoint, pin).status()));
  CHECK(fixture.Get(name)->state() == S::STATE_RUNNING);
  CHECK(fixture.Get(name)->weight() == 1);

  as("ann");
  CHECK(fixture.Pause(name)->state() == S::STATE_PAUSING);
  CHECK(fixture.Call(&Stub::UpdateCheckpoint, pin)->pinned());
  as("root");
  CHECK(fixture.Cancel(name)->state() == S::STATE_CANCELLING);
  REQUIRE(
      fixture.store()->records.Transition(name, {S::STATE_CANCELLING}, S::STATE_CANCELLED).ok());
  CHECK(fixture.Delete(name).ok());

  const auto audit = log.Lines("\"logger\":\"audit\"");
  const auto count = [&](const std::string& who, const std::string& method,
                         const std::string& outcome) {
    return std::count_if(audit.begin(), audit.end(), [&](const std::string& line) {
      return line.find("\"severity\":\"info\"") != line.npos &&
             line.find("\"who\":\"" + who + "\"") != line.npos &&
             line.find("\"method\":\"" + method + "\"") != line.npos &&
             line.find("\"object\":\"experiments/a") != line.npos &&
             line.find("\"outcome\":\"" + outcome) != line.npos;
    });
  };
  CHECK(count("ann", "CreateExperiment", "OK\"") == 1);
  CHECK(count("bob", "DeleteExperiment", "PERMISSION_DENIED") == 2);
  CHECK(count("bob", "UpdateCheckpoint", "PERMISSION_DENIED") == 1);
  CHECK(count("ann", "PauseExperiment", "OK\"") == 1);
  CHECK(count("root", "CancelExperiment", "OK\"") == 1);
  CHECK(count("root", "DeleteExperiment", "OK\"") == 1);
  CHECK(audit.size() == 12);
}

TEST_CASE("experiment service: one request_id of two callers is two requests", "[loopback]") {
  const TempFolder folder;
  std::string lines;
  for (const char* name : {"ann", "bob"}) {
    const auto token = rpc::MakeToken(v1::ROLE_OPERATOR, name).value();
    lines += token.line + "\n";
    REQUIRE(WriteFileAtomically(folder.path() / name, token.token.Reveal() + "\n").ok());
  }
  REQUIRE(WriteFileAtomically(folder.path() / "tokens", lines).ok());
  Fixture::Limits limits;
  limits.tokens = (folder.path() / "tokens").string();
  Fixture fixture(limits);
  v1::CreateExperimentRequest request;
  request.set_request_id(NewUuid());
  *request.mutable_experiment()->mutable_spec() = *LoadSpec("benchmark { name: 'point_reach' }");
  const auto create = [&](const char* name) {
    fixture.Become((folder.path() / name).string());
    return fixture.Create(request).value();
  };
  const v1::Experiment anns = create("ann"), bobs = create("bob");
  CHECK(anns.owner() == "ann");
  CHECK(bobs.owner() == "bob");
  CHECK(bobs.uid() != anns.uid());
  CHECK(create("ann").uid() == anns.uid());
  CHECK(create("bob").uid() == bobs.uid());
}

TEST_CASE("experiment service: what is unset in an update takes its default", "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.Create("one")->name();
  v1::UpdateExperimentRequest request;
  request.mutable_experiment()->set_name(name);
  request.mutable_experiment()->set_weight(7);
  request.mutable_experiment()->mutable_deadline()->set_seconds(4'000'000'000);
  request.mutable_experiment()->set_priority(v1::PRIORITY_HIGH);
  request.mutable_update_mask()->add_paths("*");
  auto changed = fixture.Call(&Fixture::Stub::UpdateExperiment, request);
  REQUIRE(changed.ok());
  CHECK(changed->weight() == 7);
  CHECK(changed->has_deadline());
  request.clear_experiment();
  request.mutable_experiment()->set_name(name);
  changed = fixture.Call(&Fixture::Stub::UpdateExperiment, request);
  REQUIRE(changed.ok());
  CHECK(changed->weight() == 1);
  CHECK_FALSE(changed->has_deadline());
  CHECK(changed->priority() == v1::PRIORITY_NORMAL);
}

TEST_CASE("experiment service: what waits for the disk waits for its user when paused",
          "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  REQUIRE(fixture.store()
              ->records
              .Change(name, "",
                      [](v1::Experiment* experiment) {
                        experiment->set_state(S::STATE_PAUSED);
                        experiment->set_pause_reason(S::PAUSE_REASON_DISK_FULL);
                        return absl::OkStatus();
                      })
              .ok());
  CHECK(fixture.Get(name)->pause_reason() == S::PAUSE_REASON_DISK_FULL);
  CHECK(fixture.Pause(name)->pause_reason() == S::PAUSE_REASON_USER);
  const auto resumed = fixture.Resume(name);
  CHECK(resumed->pause_reason() == S::PAUSE_REASON_UNSPECIFIED);
}

TEST_CASE("experiment service: at its owner's storage quota nothing goes on", "[loopback]") {
  Fixture fixture(Fixture::Limits{.per_owner = {.checkpoint_bytes = 10}});
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  const std::string uid = fixture.store()->records.Get(name)->uid();
  fixture.AddCheckpoint(uid, 3);
  REQUIRE(fixture.store()->records.Transition(name, {S::STATE_RUNNING}, S::STATE_PAUSED).ok());
  CHECK(ReasonOf(fixture.Resume(name).status()) == "QUOTA_EXCEEDED");
  CHECK(fixture.Get(name)->state() == S::STATE_PAUSED);
  REQUIRE(fixture.store()->results.ReleaseCheckpoints(uid, {3}).ok());
  CHECK(fixture.Resume(name)->state() == S::STATE_QUEUED);
}

TEST_CASE("experiment service: on a full disk nothing begins and nothing goes on", "[loopback]") {
  std::atomic<bool> full = false;
  Fixture::Limits limits;
  limits.check_room = [&] {
    return full ? MakeError(Reason::kDiskFull, "no room") : absl::OkStatus();
  };
  Fixture fixture(limits);
  const std::string paused = fixture.CreateIn(S::STATE_PAUSED);
  const std::string queued = fixture.CreateIn(S::STATE_QUEUED);
  const std::string running = fixture.CreateIn(S::STATE_RUNNING);
  const std::string ended = fixture.CreateIn(S::STATE_CANCELLED);
  full = true;
  CHECK(ReasonOf(fixture.Create("new").status()) == "DISK_FULL");
  CHECK(ReasonOf(fixture.Resume(paused).status()) == "DISK_FULL");
  CHECK(fixture.Get(paused)->state() == S::STATE_PAUSED);
  // Where nothing is to be resumed, the disk is not the cause.
  CHECK(fixture.Resume(queued)->state() == S::STATE_QUEUED);
  CHECK(fixture.Resume(running)->state() == S::STATE_RUNNING);
  CHECK(ReasonOf(fixture.Resume(ended).status()) == "ILLEGAL_TRANSITION");
  // Calls that make room, or wait for it, still work.
  CHECK(fixture.Pause(queued)->state() == S::STATE_PAUSED);
  CHECK(fixture.Cancel(queued)->state() == S::STATE_CANCELLED);
  CHECK(fixture.Delete(ended).ok());
  full = false;
  CHECK(fixture.Resume(paused)->state() == S::STATE_QUEUED);
}

TEST_CASE("experiment service: update changes what the mask names and nothing else", "[loopback]") {
  Fixture fixture;
  const v1::Experiment made = *fixture.Create("one");
  v1::UpdateExperimentRequest request;
  request.mutable_experiment()->set_name(made.name());
  request.mutable_experiment()->set_priority(v1::PRIORITY_HIGH);
  request.mutable_experiment()->set_weight(5);
  (*request.mutable_experiment()->mutable_labels())["team"] = "a";
  request.mutable_update_mask()->add_paths("priority");
  request.mutable_update_mask()->add_paths("labels");
  const auto update = [&] { return fixture.Call(&Fixture::Stub::UpdateExperiment, request); };
  auto changed = update();
  REQUIRE(changed.ok());
  CHECK(changed->priority() == v1::PRIORITY_HIGH);
  CHECK(changed->labels().at("team") == "a");
  CHECK(changed->weight() == 1);
  CHECK(fixture.looked_at() == made.name());
  request.mutable_experiment()->set_etag(made.etag());
  CHECK(ReasonOf(update().status()) == "ETAG_MISMATCH");
  request.mutable_experiment()->set_etag(changed->etag());
  request.mutable_update_mask()->add_paths("weight");
  CHECK(update()->weight() == 5);
  request.mutable_experiment()->clear_etag();

  request.mutable_update_mask()->add_paths("spec");
  CHECK(BadRequestOf(update().status()).field_violations(0).field() == "update_mask");
  request.mutable_update_mask()->clear_paths();
  CHECK(BadRequestOf(update().status()).field_violations(0).field() == "update_mask");
  request.mutable_update_mask()->add_paths("*");
  request.mutable_experiment()->set_weight(101);
  request.mutable_experiment()->set_retries_max(1000);
  request.mutable_experiment()->set_display_name(std::string(300, 'x'));
  (*request.mutable_experiment()->mutable_labels())["No Key"] = "b";
  request.mutable_experiment()->mutable_retention()->mutable_ttl()->set_seconds(-1);
  request.mutable_experiment()->mutable_deadline()->set_seconds(1000);
  std::set<std::string> fields;
  const google::rpc::BadRequest details = BadRequestOf(update().status());
  for (const auto& violation : details.field_violations()) fields.insert(violation.field());
  CHECK(fields == std::set<std::string>{"experiment.weight", "experiment.retries_max",
                                        "experiment.display_name", "experiment.labels.No Key",
                                        "experiment.retention.ttl", "experiment.deadline"});
  CHECK(fixture.Get(made.name())->weight() == 5);
}

TEST_CASE("experiment service: filters and orders of lists", "[loopback]") {
  Fixture fixture;
  for (const char* id : {"b", "a", "c"}) REQUIRE(fixture.Create(id).ok());
  REQUIRE(fixture.Cancel("experiments/b").ok());
  v1::ListExperimentsRequest request;
  request.set_filter("state=QUEUED AND benchmark=point_reach");
  request.set_order_by("create_time desc");
  request.set_page_size(1);
  const auto list = [&] { return fixture.Call(&Fixture::Stub::ListExperiments, request); };
  const auto first = list();
  REQUIRE(first->experiments_size() == 1);
  CHECK(first->experiments(0).name() == "experiments/c");
  CHECK(first->total_size() == 2);
  request.set_page_token(first->next_page_token());
  CHECK(list()->experiments(0).name() == "experiments/a");
  CHECK(list()->next_page_token().empty());
  request.set_filter("state=RUNNING");
  CHECK(ReasonOf(list().status()) == "PAGE_TOKEN_MISMATCH");
  request.clear_page_token();
  CHECK(list()->total_size() == 0);
  request.set_filter("state=SLEEPING");
  CHECK(BadRequestOf(list().status()).field_violations(0).field() == "filter");
}

constexpr size_t kAnswerBytesMax = 5 << 20;

// Items of all pages; each page is bounded and none is empty.
template <typename Request, typename Response, typename Items>
std::vector<std::string> NamesOnPages(Fixture* fixture,
                                      grpc::Status (v1::ExperimentService::Stub::*method)(
                                          grpc::ClientContext*, const Request&, Response*),
                                      Request request, int pages, Items items) {
  std::vector<std::string> names;
  do {
    const auto page = fixture->Call(method, request);
    INFO(page.status().ToString());
    REQUIRE(page.ok());
    CHECK(page->ByteSizeLong() < kAnswerBytesMax);
    CHECK_FALSE(items(*page).empty());
    for (const auto& item : items(*page)) names.push_back(item.name());
    request.set_page_token(page->next_page_token());
    --pages;
  } while (!request.page_token().empty());
  CHECK(pages == 0);
  return names;
}

TEST_CASE("experiment service: a page of a list ends where its bytes do", "[loopback]") {
  Fixture::Limits limits;
  for (int i = 0; i < 6; ++i) {
    limits.peers.emplace_back().set_name(absl::StrCat("actors/", i));
    limits.peers.back().set_host(std::string(1'500'000, 'h'));
    limits.shards.emplace_back().set_name(absl::StrCat("experiments/a/shards/", i));
    limits.shards.back().set_learner(std::string(1'500'000, 'l'));
  }
  Fixture fixture(limits);
  std::vector<std::string> expected;
  for (int i = 0; i < 6; ++i) {
    NewExperiment made = testing::SmallExperiment(absl::StrCat("x", i));
    (*made.experiment.mutable_labels())["k"] = std::string(1'500'000, 'v');
    REQUIRE(fixture.store()->records.Create(made).ok());
    expected.push_back(absl::StrCat("experiments/x", i));
  }
  using Stub = Fixture::Stub;
  const auto experiments = [](const auto& page) { return page.experiments(); };
  v1::ListExperimentsRequest list;
  list.set_page_size(1000);
  CHECK(NamesOnPages(&fixture, &Stub::ListExperiments, list, 3, experiments) == expected);
  list.set_filter("state=QUEUED");
  CHECK(NamesOnPages(&fixture, &Stub::ListExperiments, list, 3, experiments) == expected);
  list.set_order_by("create_time desc");
  CHECK(NamesOnPages(&fixture, &Stub::ListExperiments, list, 3, experiments) ==
        std::vector<std::string>(expected.rbegin(), expected.rend()));
  CHECK(fixture.Call(&Stub::ListExperiments, list)->total_size() == 6);
  list.set_page_size(1);
  CHECK(NamesOnPages(&fixture, &Stub::ListExperiments, list, 6, experiments).size() == 6);

  const auto peers = NamesOnPages(&fixture, &Stub::ListPeers, v1::ListPeersRequest(), 3,
                                  [](const v1::ListPeersResponse& page) {
                                    CHECK(page.total_size() == 6);
                                    return page.peers();
                                  });
  REQUIRE(peers.size() == 6);
  CHECK(peers[5] == "actors/5");
  const auto shards = NamesOnPages(&fixture, &Stub::ListShards, v1::ListShardsRequest(), 3,
                                   [](const auto& page) { return page.shards(); });
  REQUIRE(shards.size() == 6);
  CHECK(shards[5] == "experiments/a/shards/5");
  v1::ListPeersRequest wrong;
  wrong.set_page_token(fixture.Call(&Stub::ListShards, v1::ListShardsRequest())->next_page_token());
  CHECK(ReasonOf(fixture.Call(&Stub::ListPeers, wrong).status()) == "PAGE_TOKEN_MISMATCH");
}

TEST_CASE("experiment service: artifacts come by pages", "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  const std::string uid = fixture.store()->records.Get(name)->uid();
  REQUIRE(fixture.store()->files.PrepareFolder(uid).ok());
  // The service writes its log of the experiment at some time from now on.
  std::ofstream(fixture.store()->files.ExperimentFolder(uid) / "log.jsonl", std::ios::app);
  v1::ListArtifactsRequest request;
  request.set_parent(name);
  const auto all = fixture.Call(&Fixture::Stub::ListArtifacts, request);
  REQUIRE(all.ok());
  CHECK(all->next_page_token().empty());
  REQUIRE(all->artifacts_size() > 1);
  request.set_page_size(1);
  const auto names =
      NamesOnPages(&fixture, &Fixture::Stub::ListArtifacts, request, all->artifacts_size(),
                   [](const auto& page) { return page.artifacts(); });
  REQUIRE(names.size() == static_cast<size_t>(all->artifacts_size()));
  for (int i = 0; i < all->artifacts_size(); ++i) CHECK(names[i] == all->artifacts(i).name());
}

TEST_CASE("experiment service: any number of artifacts is listed, and each is found",
          "[loopback]") {
  constexpr int kFiles = 10'050;
  const auto objects = std::make_shared<testing::MemoryObjects>();
  Fixture fixture({.objects = objects});
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  const std::string uid = fixture.store()->records.Get(name)->uid();
  const auto folder = fixture.store()->files.ExperimentFolder(uid) / "artifacts";
  std::filesystem::create_directories(folder);
  for (int i = 0; i < kFiles; ++i) std::ofstream(folder / absl::StrFormat("file-%05d", i));
  // Files that only the bucket has are between them and behind them.
  objects->objects["experiments/" + uid + "/artifacts/file-00000-b"] = "bucket";
  objects->objects["experiments/" + uid + "/zz.csv"] = "last";
  v1::ListArtifactsRequest request;
  request.set_parent(name);
  std::vector<std::string> names;
  do {
    const auto page = fixture.Call(&Fixture::Stub::ListArtifacts, request);
    REQUIRE(page.ok());
    for (const v1::Artifact& artifact : page->artifacts()) names.push_back(artifact.name());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  CHECK(std::is_sorted(names.begin(), names.end()));
  CHECK(std::count_if(names.begin(), names.end(), [&](const std::string& listed) {
          return listed.starts_with(name + "/artifacts/file-");
        }) == kFiles + 1);
  CHECK(names.back() == name + "/artifacts/zz.csv");
  for (const auto& [file, bytes] : std::map<std::string, std::string>{
           {"file-10049", ""}, {"file-00000-b", "bucket"}, {"zz.csv", "last"}}) {
    v1::DownloadRequest download;
    download.set_name(name + "/artifacts/" + file);
    std::vector<v1::DownloadResponse> pieces;
    CHECK(fixture.Read(&Fixture::Stub::DownloadArtifact, download, &pieces).ok());
    REQUIRE_FALSE(pieces.empty());
    CHECK(pieces.front().data() == bytes);
  }
}

// Answers on command, or when no caller waits any more.
class HangingObjects : public testing::MemoryObjects {
 public:
  absl::StatusOr<std::vector<ObjectInfo>> List(const std::string& prefix,
                                               const Cancel* cancel) override {
    {
      MutexLock lock(mutex_);
      ++waiting_;
      changed_.NotifyAll();
      while (hangs_ && !(cancel != nullptr && *cancel))
        changed_.WaitFor(lock, std::chrono::milliseconds(10));
      --waiting_;
      changed_.NotifyAll();
      if (hangs_) return absl::CancelledError("interrupted");
    }
    return MemoryObjects::List(prefix, cancel);
  }
  void Hang(bool hangs) {
    const MutexLock lock(mutex_);
    hangs_ = hangs;
    changed_.NotifyAll();
  }
  // True once this number of calls waits.
  bool Waiting(int calls) {
    MutexLock lock(mutex_);
    return changed_.WaitFor(lock, kPatience,
                            [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return waiting_ == calls; });
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool hangs_ ABSL_GUARDED_BY(mutex_) = false;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST_CASE("experiment service: a bucket that does not answer holds up nobody who does not need it",
          "[loopback]") {
  const auto objects = std::make_shared<HangingObjects>();
  Fixture fixture({.objects = objects});
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  objects->Hang(true);
  // More than one caller's may be at work.
  std::vector<grpc::ClientContext> contexts(6);
  std::vector<std::thread> callers;
  v1::ListArtifactsRequest request;
  request.set_parent(name);
  for (grpc::ClientContext& context : contexts) {
    callers.emplace_back([&] {
      v1::ListArtifactsResponse response;
      fixture.stub()->ListArtifacts(&context, request, &response);
    });
  }
  CHECK(objects->Waiting(2));
  CHECK(fixture.Get(name).ok());
  CHECK(fixture.List(10).ok());
  CHECK(fixture.Pause(name).ok());
  for (grpc::ClientContext& context : contexts) context.TryCancel();
  for (std::thread& caller : callers) caller.join();
  CHECK(objects->Waiting(0));
  // So does a download whose caller goes.
  grpc::ClientContext context;
  v1::DownloadRequest download;
  download.set_name(name + "/artifacts/none");
  const auto reader = fixture.stub()->DownloadArtifact(&context, download);
  CHECK(objects->Waiting(1));
  context.TryCancel();
  CHECK(reader->Finish().error_code() == grpc::StatusCode::CANCELLED);
  CHECK(objects->Waiting(0));
  objects->Hang(false);
  CHECK(fixture.Call(&Fixture::Stub::ListArtifacts, request).ok());
}

TEST_CASE("experiment service: a download that goes on is hashed a piece at a time", "[loopback]") {
  const TempFolder folder;
  const std::string bytes(3'000'000, 'w');
  REQUIRE(WriteFileAtomically(folder.path() / "file", bytes).ok());
  const auto next = Download(folder.path() / "file", 2'999'990);
  REQUIRE(next.ok());
  v1::DownloadResponse response;
  CHECK(*(*next)(&response) == Produced::kAgain);
  CHECK(*(*next)(&response) == Produced::kAgain);
  CHECK(*(*next)(&response) == Produced::kMessage);
  CHECK(response.data() == std::string(10, 'w'));
  CHECK(*(*next)(&response) == Produced::kLast);
  CHECK(response.sha256() == Sha256Hex(bytes));
}

TEST_CASE("experiment service: the queue has an end, for all and for one owner", "[loopback]") {
  Fixture all({.queued_max = 2});
  REQUIRE(all.Create("a").ok());
  v1::CreateExperimentRequest request;
  request.set_request_id(NewUuid());
  *request.mutable_experiment()->mutable_spec() = *LoadSpec("benchmark { name: 'point_reach' }");
  const auto second = all.Create(request);
  REQUIRE(second.ok());
  CHECK(ReasonOf(all.Create("c").status()) == "QUEUE_FULL");
  CHECK(all.Create("c").status().code() == absl::StatusCode::kResourceExhausted);
  CHECK(all.Create(request)->name() == second->name());  // A repeated request has its answer.
  REQUIRE(all.Cancel("experiments/a").ok());
  CHECK(all.Create("c").ok());
  Fixture one({.per_owner = {.queued = 1}});
  REQUIRE(one.Create("a").ok());
  CHECK(ReasonOf(one.Create("b").status()) == "QUOTA_EXCEEDED");
}

TEST_CASE("experiment service: pausing makes no room in the queue (D11)", "[loopback]") {
  for (const bool for_all : {true, false}) {
    INFO("limit of all " << for_all);
    Fixture fixture(for_all ? Fixture::Limits{.queued_max = 3}
                            : Fixture::Limits{.per_owner = {.queued = 3}});
    const std::string reason = for_all ? "QUEUE_FULL" : "QUOTA_EXCEEDED";
    for (const char* id : {"a", "b", "c"}) {
      REQUIRE(fixture.Create(id).ok());
      REQUIRE(fixture.Pause("experiments/" + std::string(id)).ok());
    }
    const absl::Status refused = fixture.Create("d").status();
    CHECK(ReasonOf(refused) == reason);
    CHECK(std::string(refused.message()).find("3 experiments") != std::string::npos);
    CHECK(std::string(refused.message()).find("paused") != std::string::npos);
    // So a resume never brings more experiments into the queue than are allowed.
    for (const char* id : {"a", "b", "c"})
      CHECK(fixture.Resume("experiments/" + std::string(id)).ok());
    CHECK(ReasonOf(fixture.Create("d").status()) == reason);
    // A running experiment does not wait. When it is paused it comes on top, and still counts.
    Store* store = fixture.store();
    REQUIRE(store->records.Transition("experiments/a", {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
    CHECK(fixture.Create("d").ok());
    REQUIRE(store->records.Transition("experiments/a", {S::STATE_RUNNING}, S::STATE_PAUSING).ok());
    REQUIRE(store->records.Transition("experiments/a", {S::STATE_PAUSING}, S::STATE_PAUSED).ok());
    CHECK(ReasonOf(fixture.Create("e").status()) == reason);
    CHECK(fixture.Resume("experiments/a").ok());
    for (const char* id : {"a", "b"})
      REQUIRE(fixture.Cancel("experiments/" + std::string(id)).ok());
    CHECK(fixture.Create("e").ok());
  }
}

TEST_CASE("experiment service: while specs are checked, other calls are answered (D6)",
          "[loopback]") {
  Mutex mutex;
  CondVar changed;
  int checking = 0;
  bool released = false;
  Fixture fixture({.heavy_calls_waiting_max = 2, .while_checking = [&] {
                     MutexLock lock(mutex);
                     ++checking;
                     changed.NotifyAll();
                     changed.WaitFor(lock, kPatience, [&] { return released; });
                   }});
  v1::CreateExperimentRequest request;
  request.set_validate_only(true);
  *request.mutable_experiment()->mutable_spec() = *LoadSpec("benchmark { name: 'point_reach' }");
  std::atomic<int> valid = 0;
  std::vector<std::thread> callers;
  const auto validate = [&] { valid += fixture.Create(request).ok(); };
  // Two specs are checked at once, as many as there are threads for it.
  for (int i = 0; i < 2; ++i) callers.emplace_back(validate);
  {
    MutexLock lock(mutex);
    REQUIRE(changed.WaitFor(lock, kPatience, [&] { return checking == 2; }));
  }
  CHECK(fixture.List(10).ok());
  CHECK(fixture.Call(&Fixture::Stub::ListCatalogue, v1::ListCatalogueRequest()).ok());
  // Two of three more find a place in the queue, and the third is refused. Its end shows which one
  // it is.
  std::atomic<int> refused = 0;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      const absl::Status status = fixture.Create(request).status();
      valid += status.ok();
      if (ReasonOf(status) != "QUEUE_FULL") return;
      const MutexLock lock(mutex);
      ++refused;
      changed.NotifyAll();
    });
  }
  {
    MutexLock lock(mutex);
    CHECK(changed.WaitFor(lock, kPatience, [&] { return refused == 1; }));
    released = true;
    changed.NotifyAll();
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(valid == 4);
  CHECK(refused == 1);
}

TEST_CASE("experiment service: requests are bounded in bytes, and in memory once read (D6)",
          "[loopback]") {
  Fixture fixture;
  v1::UpdateExperimentRequest update;
  update.mutable_experiment()->set_name(fixture.Create("one")->name());
  update.mutable_update_mask()->add_paths("display_name");
  const auto status = [&] {
    return fixture.Call(&Fixture::Stub::UpdateExperiment, update).status();
  };
  CHECK(status().ok());
  // Two bytes each on the wire, a hundred and more in memory.
  auto* sets = update.mutable_experiment()->mutable_spec()->mutable_benchmark();
  for (int i = 0; i < 600'000; ++i) sets->add_task_set();
  CHECK(ReasonOf(status()) == "MESSAGE_TOO_LONG");
  CHECK(std::string(status().message()).find("bytes of memory") != std::string::npos);
  update.mutable_experiment()->clear_spec();
  update.mutable_experiment()->set_display_name(std::string(2 << 20, 'a'));
  CHECK(ReasonOf(status()) == "MESSAGE_TOO_LONG");
  CHECK(std::string(status().message()).find("give at most 1310720") != std::string::npos);
  v1::WatchExperimentsRequest watch;
  for (int i = 0; i < 1'000'000; ++i) watch.add_names("");
  CHECK(ReasonOf(Watcher(fixture.stub(), watch).WaitForEnd()) == "MESSAGE_TOO_LONG");
}

TEST_CASE("experiment service: tasks come by pages, and only those of the page are made (D6)",
          "[loopback]") {
  Fixture fixture;
  v1::ListTasksRequest request;
  request.mutable_benchmark()->set_name("custom");
  for (const auto& [name, split] : {std::pair("near", v1::TRAIN), std::pair("far", v1::TEST)}) {
    v1::TaskSetSpec& set = *request.mutable_benchmark()->add_task_set();
    set.set_environment("point_reach");
    set.set_name(name);
    set.set_split(split);
    set.set_goals(10'000);
  }
  const auto list = [&] { return fixture.Call(&Fixture::Stub::ListTasks, request); };
  const auto whole = list();
  INFO(whole.status().ToString());
  REQUIRE(whole.ok());
  CHECK(whole->total_size() == 20'000);
  CHECK(whole->tasks_size() == 50);
  CHECK(whole->next_page_token() == "50");
  // A page across the border of two sets.
  request.set_page_size(4);
  request.set_page_token("9998");
  const auto middle = list();
  REQUIRE(middle->tasks_size() == 4);
  for (int i = 0; i < 4; ++i) {
    const v1::TaskInfo& task = middle->tasks(i);
    CHECK(task.name() == "benchmarks/custom/tasks/" + std::to_string(9998 + i));
    CHECK(task.split() == (i < 2 ? "train" : "test"));
    CHECK(task.parameters_size() == 2);
  }
  CHECK(middle->next_page_token() == "10002");
  request.set_page_token("19998");
  CHECK(list()->tasks_size() == 2);
  CHECK(list()->next_page_token().empty());
  // Each of 2,500 tasks had its own 7 kB of wrappers, which took 1.3 GB.
  v1::ListTasksRequest wrapped;
  wrapped.mutable_benchmark()->set_name("mt50");
  for (int i = 0; i < 3500; ++i) wrapped.mutable_benchmark()->add_wrapper();
  const auto refused = BadRequestOf(fixture.Call(&Fixture::Stub::ListTasks, wrapped).status());
  CHECK(refused.field_violations(0).field() == "benchmark.wrapper");
  CHECK(refused.field_violations(0).description() == "has 3500 entries; give at most 100");
}

TEST_CASE("experiment service: a watch tells what is there, then every change once, in order",
          "[loopback]") {
  Fixture fixture;
  Store* store = fixture.store();
  const std::string name = fixture.Create("one")->name();
  Watcher watcher(fixture.stub(), "");
  using E = v1::WatchExperimentsResponse;
  REQUIRE(watcher.WaitFor([](const E& event) { return event.event() == E::EVENT_BOOKMARK; }));
  REQUIRE(fixture.Create("two").ok());
  REQUIRE(store->records.Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  REQUIRE(store->results.RecordOuterStep(store->records.Get(name)->uid(), {.step = 1}).ok());
  REQUIRE(store->records.Transition(name, {S::STATE_RUNNING}, S::STATE_SUCCEEDED).ok());
  REQUIRE(fixture.Delete(name).ok());
  REQUIRE(watcher.WaitFor([](const E& event) { return event.event() == E::EVENT_DELETED; }));
  const auto describe = [](const std::vector<E>& events) {
    std::vector<std::string> told;
    for (const E& event : events) {
      told.push_back(E::Event_Name(event.event()).substr(6) + " " + event.experiment().name() +
                     " " + std::string(StateText(event.experiment().state())));
    }
    return told;
  };
  CHECK(describe(watcher.received()) ==
        std::vector<std::string>{
            "CREATED experiments/one QUEUED", "BOOKMARK  UNSPECIFIED",
            "CREATED experiments/two QUEUED", "UPDATED experiments/one RUNNING",
            "UPDATED experiments/one RUNNING", "UPDATED experiments/one SUCCEEDED",
            "DELETED experiments/one SUCCEEDED"});
  // From any token on, exactly what came after it.
  const std::vector<E> all = watcher.received();
  for (size_t i = 1; i < all.size(); ++i) {
    v1::WatchExperimentsRequest request;
    request.set_resume_token(all[i].resume_token());
    Watcher resumed(fixture.stub(), request);
    if (i + 1 < all.size()) {
      REQUIRE(resumed.WaitFor([](const E& event) { return event.event() == E::EVENT_DELETED; }));
    }
    const std::vector<std::string> rest = describe(resumed.received());
    const std::vector<std::string> expected = describe({all.begin() + i + 1, all.end()});
    CHECK(rest == expected);
  }
  // The list's token works too, also in the next process.
  const std::string token = fixture.List(10)->resume_token();
  fixture.Stop();
  fixture.Start();
  REQUIRE(fixture.Create("three").ok());
  v1::WatchExperimentsRequest request;
  request.set_resume_token(token);
  Watcher resumed(fixture.stub(), request);
  REQUIRE(resumed.WaitForState(S::STATE_QUEUED));
  CHECK(describe(resumed.received()) ==
        std::vector<std::string>{"CREATED experiments/three QUEUED"});
}

TEST_CASE("experiment service: a watch of some names tells of no others", "[loopback]") {
  Fixture fixture;
  REQUIRE(fixture.Create("one").ok());
  REQUIRE(fixture.Create("before").ok());
  Watcher watcher(fixture.stub(), "experiments/one");
  REQUIRE(watcher.WaitForState(S::STATE_QUEUED));
  REQUIRE(fixture.Create("after").ok());
  REQUIRE(fixture.Cancel("experiments/one").ok());
  REQUIRE(watcher.WaitForState(S::STATE_CANCELLED));
  for (const auto& event : watcher.received()) {
    if (event.has_experiment()) CHECK(event.experiment().name() == "experiments/one");
  }
}

TEST_CASE("experiment service: bad tokens and names of a watch", "[loopback]") {
  Fixture fixture;
  REQUIRE(fixture.Create("one").ok());
  const std::string token = fixture.List(10)->resume_token();
  const auto end = [&](const std::vector<std::string>& names, const std::string& resume) {
    v1::WatchExperimentsRequest request;
    for (const std::string& name : names) request.add_names(name);
    request.set_resume_token(resume);
    return ReasonOf(Watcher(fixture.stub(), request).WaitForEnd());
  };
  CHECK(end({"experiments/none"}, "") == "NOT_FOUND");
  CHECK(end({}, "x") == "INVALID_FIELD");
  CHECK(end({"experiments/one"}, token) == "INVALID_FIELD");  // A token for other names.
  CHECK(end(std::vector<std::string>(101, "experiments/one"), "") == "INVALID_FIELD");
  REQUIRE(fixture.Cancel("experiments/one").ok());
  REQUIRE(fixture.Delete("experiments/one").ok());
  REQUIRE(fixture.store()->records.CompactEvents(1, INT64_MAX / 2).ok());
  CHECK(end({}, token) == "WATCH_COMPACTED");
  Fixture other;
  REQUIRE(other.Create("one").ok());
  CHECK(end({}, other.List(10)->resume_token()) == "WATCH_COMPACTED");
}

TEST_CASE("experiment service: progress comes without a token, when it is asked for",
          "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  Watcher quiet(fixture.stub(), name);
  Watcher watcher(fixture.stub(), Watcher::RequestOf(name, /*progress=*/true));
  REQUIRE(watcher.WaitForState(S::STATE_RUNNING));
  v1::Progress progress;
  for (int steps = 1; steps <= 100; ++steps) {
    progress.set_env_steps(static_cast<uint64_t>(steps));
    REQUIRE(fixture.store()->records.SetProgress(name, "meta-training", progress).ok());
  }
  using E = v1::WatchExperimentsResponse;
  REQUIRE(watcher.WaitFor([](const E& event) {
    return event.event() == E::EVENT_PROGRESS && event.experiment().progress().env_steps() == 100;
  }));
  uint64_t before = 0;
  for (const E& event : watcher.received()) {
    if (event.event() != E::EVENT_PROGRESS) continue;
    CHECK(event.resume_token().empty());
    CHECK(event.experiment().activity() == "meta-training");
    CHECK(event.experiment().progress().env_steps() > before);  // Never back, never twice.
    before = event.experiment().progress().env_steps();
  }
  for (const E& event : quiet.received()) CHECK(event.event() != E::EVENT_PROGRESS);
}

TEST_CASE("experiment service: a watcher that is cut off again and again misses nothing",
          "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  const std::string uid = fixture.store()->records.Get(name)->uid();
  constexpr uint32_t kSteps = 400;
  std::thread changes([&] {
    for (uint32_t step = 1; step <= kSteps; ++step) {
      OuterStep outer{.step = step};
      outer.progress.set_outer_updates(step);
      REQUIRE(fixture.store()->results.RecordOuterStep(uid, outer).ok());
    }
  });
  std::vector<uint32_t> seen;
  std::string token;
  for (int round = 0; seen.empty() || seen.back() < kSteps; ++round) {
    REQUIRE(round < 10'000);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    v1::WatchExperimentsRequest request = Watcher::RequestOf(name);
    request.set_resume_token(token);
    const auto reader = fixture.stub()->WatchExperiments(&context, request);
    v1::WatchExperimentsResponse event;
    for (int i = 0; i <= round % 7 && reader->Read(&event); ++i) {
      if (event.resume_token().empty()) continue;  // Experiments from before the stream began.
      token = event.resume_token();
      if (event.event() == v1::WatchExperimentsResponse::EVENT_BOOKMARK) continue;
      seen.push_back(event.experiment().progress().outer_updates());
    }
    context.TryCancel();
    while (reader->Read(&event)) {
    }
    reader->Finish();
  }
  changes.join();
  // From the first acknowledged change on, each exactly once.
  for (size_t i = 1; i < seen.size(); ++i) CHECK(seen[i] == seen[i - 1] + 1);
}

TEST_CASE("experiment service: streams are limited by caller, and one that ends makes room",
          "[loopback]") {
  Fixture fixture({.streams_max = 1});
  const std::string name = fixture.Create("one")->name();
  {
    Watcher first(fixture.stub(), name);
    REQUIRE(first.WaitForState(S::STATE_QUEUED));
    Watcher second(fixture.stub(), name);
    const absl::Status refused = second.WaitForEnd();
    CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
    CHECK(ReasonOf(refused) == "QUEUE_FULL");
  }
  // The server notices the end of the first one in its own time.
  for (int attempt = 0;; ++attempt) {
    v1::WatchLogsRequest request;
    request.set_name(name);
    std::vector<v1::WatchLogsResponse> lines;
    if (fixture.Read(&Fixture::Stub::WatchLogs, request, &lines).ok()) break;
    REQUIRE(attempt < 10000);
  }
}

TEST_CASE("experiment service: without credentials streams are limited by connection (C6)",
          "[loopback]") {
  Fixture fixture({.streams_max = 1});
  const std::string name = fixture.Create("one")->name();
  const auto one = fixture.OtherStub(), two = fixture.OtherStub();
  Watcher first(one.get(), name);
  REQUIRE(first.WaitForState(S::STATE_QUEUED));
  CHECK(ReasonOf(Watcher(one.get(), name).WaitForEnd()) == "QUEUE_FULL");
  Watcher other(two.get(), name);
  CHECK(other.WaitForState(S::STATE_QUEUED));
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

TEST_CASE("experiment service: metrics, whole, merged, and as they come", "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  const std::string uid = fixture.store()->records.Get(name)->uid();
  const auto record = [&](uint32_t step) {
    REQUIRE(fixture.store()
                ->results
                .RecordOuterStep(uid, {.step = step,
                                       .results = {{"loss", 1.0 / step}, {"odd", std::nan("")}},
                                       .timings = {{"wall_seconds", 2.0}}})
                .ok());
  };
  for (uint32_t step = 1; step <= 10; ++step) record(step);
  v1::QueryMetricsRequest request;
  request.set_name(name);
  request.add_metrics("loss");
  auto answer = fixture.Call(&Fixture::Stub::QueryMetrics, request);
  REQUIRE(answer->series_size() == 1);
  CHECK(answer->series(0).steps_size() == 10);
  CHECK(answer->series(0).mean(1) == 0.5);
  request.set_max_points(5);
  answer = fixture.Call(&Fixture::Stub::QueryMetrics, request);
  REQUIRE(answer->series(0).steps_size() == 5);
  CHECK(answer->series(0).mean(0) == 0.75);
  CHECK(answer->series(0).min(0) == 0.5);
  CHECK(answer->series(0).max(0) == 1);
  CHECK(answer->series(0).count(4) == 2);
  CHECK(answer->series(0).steps(4) == 9);
  request.set_max_points(1);
  answer = fixture.Call(&Fixture::Stub::QueryMetrics, request);
  REQUIRE(answer->series(0).steps_size() == 1);
  CHECK(answer->series(0).count(0) == 10);
  request.set_max_points(5);
  request.set_step_min(3);
  request.set_step_max(4);
  CHECK(fixture.Call(&Fixture::Stub::QueryMetrics, request)->series(0).steps_size() == 2);
  request.set_step_max(2);
  CHECK(ReasonOf(fixture.Call(&Fixture::Stub::QueryMetrics, request).status()) == "INVALID_FIELD");
  request.set_step_max(0);
  request.set_max_points(10'001);
  CHECK(ReasonOf(fixture.Call(&Fixture::Stub::QueryMetrics, request).status()) == "INVALID_FIELD");

  const auto known = fixture.CallOn<v1::ListMetricsRequest>(&Fixture::Stub::ListMetrics, name);
  REQUIRE(known->descriptors_size() == 3);
  CHECK(known->descriptors(0).name() == "loss");
  CHECK(known->descriptors(0).last() == 0.1);
  CHECK(known->descriptors(0).last_step() == 10);
  CHECK(known->descriptors(2).unit() == "s");

  v1::WatchMetricsRequest watch;
  watch.set_name(name);
  watch.add_metrics("loss");
  watch.set_after_step(8);
  std::vector<v1::WatchMetricsResponse> points;
  absl::Status status;
  std::thread reader([&] { status = fixture.Read(&Fixture::Stub::WatchMetrics, watch, &points); });
  record(11);
  REQUIRE(fixture.store()->results.RecordPoints(uid, 11, {{"late", 1}}, {}).ok());
  REQUIRE(fixture.store()->records.Transition(name, {S::STATE_RUNNING}, S::STATE_SUCCEEDED).ok());
  reader.join();
  CHECK(status.ok());
  REQUIRE(points.size() == 3);
  for (uint32_t i = 0; i < 3; ++i) {
    CHECK(points[i].step() == 9 + i);
    CHECK(points[i].values().at("loss") == 1.0 / (9 + i));
    CHECK(points[i].values_size() == 1);
  }
}

TEST_CASE("experiment service: many points of many metrics come by pages, or are refused",
          "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  const std::string uid = fixture.store()->records.Get(name)->uid();
  constexpr int kMetrics = 560;
  constexpr uint32_t kSteps = 300;
  std::map<std::string, double> values;
  for (int i = 0; i < kMetrics; ++i) values[absl::StrCat("success_episode_", i)] = 0.5 + i;
  for (uint32_t step = 1; step <= kSteps; ++step)
    REQUIRE(fixture.store()->results.RecordPoints(uid, step, values, {}).ok());
  v1::QueryMetricsRequest request;
  request.set_name(name);
  request.set_max_points(10'000);
  const absl::Status refused = fixture.Call(&Fixture::Stub::QueryMetrics, request).status();
  CHECK(ReasonOf(refused) == "MESSAGE_TOO_LONG");
  CHECK(testing::Contains(std::string(refused.message()), "name fewer metrics, lower max_points"));
  request.set_page_size(1000);
  std::vector<std::string> metrics;
  do {
    const auto page = fixture.Call(&Fixture::Stub::QueryMetrics, request);
    REQUIRE(page.ok());
    CHECK(page->ByteSizeLong() < kAnswerBytesMax);
    for (const v1::MetricSeries& series : page->series()) {
      metrics.push_back(series.metric());
      CHECK(series.steps_size() == static_cast<int>(kSteps));
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  REQUIRE(metrics.size() == kMetrics);
  for (int i = 0; i < kMetrics; ++i) CHECK(metrics[i] == absl::StrCat("success_episode_", i));
  // Few points of each metric need no pages.
  request.clear_page_size();
  request.set_max_points(10);
  CHECK(fixture.Call(&Fixture::Stub::QueryMetrics, request)->series_size() == kMetrics);
}

TEST_CASE("experiment service: metrics in natural order; a wrong name gets the nearest",
          "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  OuterStep step{.step = 1, .results = {{"own", 1}}};
  for (int i = 1; i <= 11; ++i) step.results[absl::StrCat("success_episode_", i)] = 0.5;
  REQUIRE(fixture.store()
              ->results.RecordOuterStep(fixture.store()->records.Get(name)->uid(), step)
              .ok());

  const auto known = fixture.CallOn<v1::ListMetricsRequest>(&Fixture::Stub::ListMetrics, name);
  REQUIRE(known->descriptors_size() == 12);
  CHECK(known->descriptors(2).name() == "success_episode_2");
  CHECK(known->descriptors(11).name() == "success_episode_11");

  v1::QueryMetricsRequest request;
  request.set_name(name);
  for (const char* good : {"own", "success_episode_3", "success_episode_99", "meta_return"}) {
    *request.mutable_metrics() = {};
    request.add_metrics(good);
    CHECK(fixture.Call(&Fixture::Stub::QueryMetrics, request).ok());
  }
  request.add_metrics("meta_retrun");
  const absl::Status wrong = fixture.Call(&Fixture::Stub::QueryMetrics, request).status();
  CHECK(ReasonOf(wrong) == "NOT_FOUND");
  // Names without values would be refused next.
  CHECK(testing::Contains(std::string(wrong.message()),
                          "has no metric 'meta_retrun'; known: own, success_episode_1, "));
  v1::WatchMetricsRequest after_all;
  after_all.set_name(name);
  after_all.set_after_step(UINT32_MAX);
  std::vector<v1::WatchMetricsResponse> none;
  CHECK(ReasonOf(fixture.Read(&Fixture::Stub::WatchMetrics, after_all, &none)) == "INVALID_FIELD");
  v1::WatchMetricsRequest watch;
  watch.set_name(name);
  watch.add_metrics("meta_retrun");
  std::vector<v1::WatchMetricsResponse> points;
  CHECK(ReasonOf(fixture.Read(&Fixture::Stub::WatchMetrics, watch, &points)) == "NOT_FOUND");
}

TEST_CASE("experiment service: checkpoints and artifacts are listed, pinned and downloaded",
          "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  const std::string uid = fixture.store()->records.Get(name)->uid();
  REQUIRE(fixture.store()->files.PrepareFolder(uid).ok());
  const std::string bytes(3'000'000, 'w');
  for (uint32_t step : {1u, 2u}) fixture.AddCheckpoint(uid, step, bytes);
  v1::ListCheckpointsRequest list;
  list.set_parent(name);
  list.set_page_size(1);
  const auto first = fixture.Call(&Fixture::Stub::ListCheckpoints, list);
  REQUIRE(first->checkpoints_size() == 1);
  CHECK(first->checkpoints(0).name() == name + "/checkpoints/00000001");
  list.set_page_token(first->next_page_token());
  const auto second = fixture.Call(&Fixture::Stub::ListCheckpoints, list);
  CHECK(second->checkpoints(0).outer_step() == 2);
  CHECK(second->next_page_token().empty());
  list.set_page_token("x");
  CHECK(ReasonOf(fixture.Call(&Fixture::Stub::ListCheckpoints, list).status()) ==
        "PAGE_TOKEN_MISMATCH");
  list.set_parent(fixture.CreateIn(S::STATE_QUEUED));
  list.set_page_token(first->next_page_token());  // The other one's.
  CHECK(ReasonOf(fixture.Call(&Fixture::Stub::ListCheckpoints, list).status()) ==
        "PAGE_TOKEN_MISMATCH");

  v1::UpdateCheckpointRequest update;
  *update.mutable_checkpoint() = first->checkpoints(0);
  update.mutable_checkpoint()->set_pinned(true);
  update.mutable_update_mask()->add_paths("pinned");
  CHECK(fixture.Call(&Fixture::Stub::UpdateCheckpoint, update)->pinned());
  CHECK(ReasonOf(fixture.Call(&Fixture::Stub::UpdateCheckpoint, update).status()) ==
        "ETAG_MISMATCH");
  CHECK(fixture
            .CallOn<v1::GetCheckpointRequest>(&Fixture::Stub::GetCheckpoint,
                                              name + "/checkpoints/00000001")
            ->pinned());

  const std::string file =
      *ReadFile(fixture.store()->files.CheckpointFolder(uid) / "00000001.ckpt", 10'000'000);
  const auto download = [&](const std::string& what, uint64_t offset, auto method) {
    v1::DownloadRequest request;
    request.set_name(what);
    request.set_offset(offset);
    std::vector<v1::DownloadResponse> pieces;
    const absl::Status status = fixture.Read(method, request, &pieces);
    if (!status.ok()) return ReasonOf(status);
    std::string got;
    for (const auto& piece : pieces) {
      CHECK(piece.data().size() <= 1 << 20);
      CHECK(piece.offset() == offset + got.size());
      if (!piece.data().empty()) CHECK(piece.crc32c() == Crc32c(piece.data()));
      got += piece.data();
    }
    CHECK(pieces.back().size_bytes() == offset + got.size());
    return got + "|" + pieces.back().sha256();
  };
  const std::string whole = "|" + Sha256Hex(file);
  for (const uint64_t offset : {uint64_t{0}, uint64_t{5}, uint64_t{2'500'000}, file.size()}) {
    CHECK((download(name + "/checkpoints/00000001", offset, &Fixture::Stub::DownloadCheckpoint) ==
           file.substr(offset) + whole));
  }
  CHECK(download(name + "/checkpoints/00000001", file.size() + 1,
                 &Fixture::Stub::DownloadCheckpoint) == "INVALID_FIELD");
  CHECK(download(name + "/checkpoints/00000009", 0, &Fixture::Stub::DownloadCheckpoint) ==
        "NOT_FOUND");
  CHECK(download(name + "/checkpoints/x", 0, &Fixture::Stub::DownloadCheckpoint) ==
        "INVALID_FIELD");

  const auto evaluation = fixture.store()->files.ExperimentFolder(uid) / "artifacts/evaluation";
  std::filesystem::create_directories(evaluation);
  std::ofstream(evaluation / "table.csv") << "a,b";
  v1::ListArtifactsRequest artifacts;
  artifacts.set_parent(name);
  const auto listed = fixture.Call(&Fixture::Stub::ListArtifacts, artifacts);
  // The log of its creation arrives when it is written.
  REQUIRE(listed->artifacts_size() >= 3);
  CHECK(listed->artifacts(0).name() == name + "/artifacts/evaluation/table.csv");
  CHECK(listed->artifacts().rbegin()->name() == name + "/artifacts/spec.txtpb");
  CHECK(listed->artifacts().rbegin()->media_type() == "text/plain");
  CHECK(download(name + "/artifacts/evaluation/table.csv", 0, &Fixture::Stub::DownloadArtifact) ==
        "a,b|" + Sha256Hex("a,b"));
  const std::string spec =
      *ReadFile(fixture.store()->files.ExperimentFolder(uid) / "spec.txtpb", 10000);
  CHECK(download(name + "/artifacts/spec.txtpb", 0, &Fixture::Stub::DownloadArtifact) ==
        spec + "|" + Sha256Hex(spec));
  for (const char* outside : {"/artifacts/../../FORMAT", "/artifacts//etc/passwd", "/artifacts/"})
    CHECK(download(name + outside, 0, &Fixture::Stub::DownloadArtifact) == "INVALID_FIELD");
  std::filesystem::create_symlink("/etc/passwd",
                                  fixture.store()->files.ExperimentFolder(uid) / "link.txt");
  CHECK(download(name + "/artifacts/link.txt", 0, &Fixture::Stub::DownloadArtifact) == "NOT_FOUND");
  CHECK(download(name + "/artifacts/checkpoints/00000001.ckpt", 0,
                 &Fixture::Stub::DownloadArtifact) == "NOT_FOUND");
}

TEST_CASE("experiment service: a checkpoint of something else is neither cloned nor downloaded",
          "[loopback]") {
  Fixture fixture;
  const auto file = [&](const std::string& name, uint32_t step) {
    return fixture.store()->files.CheckpointFolder(fixture.store()->records.Get(name)->uid()) /
           CheckpointFileName(step);
  };
  const std::string one = fixture.CreateIn(S::STATE_RUNNING),
                    two = fixture.CreateIn(S::STATE_RUNNING);
  for (const uint32_t step : {1u, 2u})
    fixture.AddCheckpoint(fixture.store()->records.Get(one)->uid(), step);
  fixture.AddCheckpoint(fixture.store()->records.Get(two)->uid(), 2);
  const std::string whole = *ReadFile(file(one, 2), 10'000);
  std::string flipped = whole;
  flipped[whole.size() / 2] ^= 1;
  const auto clone = [&] {
    v1::CloneExperimentRequest request;
    request.set_source_checkpoint(one + "/checkpoints/00000002");
    return fixture.Call(&Fixture::Stub::CloneExperiment, request).status();
  };
  const auto download = [&] {
    v1::DownloadRequest request;
    request.set_name(one + "/checkpoints/00000002");
    std::vector<v1::DownloadResponse> pieces;
    return fixture.Read(&Fixture::Stub::DownloadCheckpoint, request, &pieces);
  };
  for (const std::string& bytes :
       {*ReadFile(file(two, 2), 10'000), *ReadFile(file(one, 1), 10'000), flipped}) {
    REQUIRE(WriteFileAtomically(file(one, 2), bytes).ok());
    const absl::Status refused = clone();
    CHECK(ReasonOf(refused) == "INVALID_FIELD");
    CHECK(testing::Contains(std::string(refused.message()), one + "/checkpoints/00000002"));
    CHECK(ReasonOf(download()) == "DATA_LOSS");
  }
  REQUIRE(WriteFileAtomically(file(one, 2), whole).ok());
  CHECK(clone().ok());
  CHECK(download().ok());
}

TEST_CASE("experiment service: a clone begins from a checkpoint with another spec", "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  const std::string uid = fixture.store()->records.Get(name)->uid();
  fixture.AddCheckpoint(uid, 3);
  v1::UpdateExperimentRequest urgent;
  urgent.mutable_experiment()->set_name(name);
  urgent.mutable_experiment()->set_priority(v1::PRIORITY_HIGH);
  urgent.mutable_update_mask()->add_paths("priority");
  REQUIRE(fixture.Call(&Fixture::Stub::UpdateExperiment, urgent).ok());
  v1::CloneExperimentRequest request;
  request.set_source_checkpoint(name + "/checkpoints/00000003");
  request.set_experiment_id("clone");
  request.add_spec_overrides("rule.outer_updates=77");
  request.set_request_id(NewUuid());
  const auto clone = fixture.Call(&Fixture::Stub::CloneExperiment, request);
  INFO(clone.status().ToString());
  REQUIRE(clone.ok());
  CHECK(clone->name() == "experiments/clone");
  CHECK(clone->source_checkpoint() == request.source_checkpoint());
  CHECK(clone->priority() == v1::PRIORITY_HIGH);
  CHECK(clone->spec().rule().outer_updates() == 77);
  const auto scan = FindNewestWhole(fixture.store()->files.CheckpointFolder(clone->uid()),
                                    clone->uid(), SpecHash(clone->spec()));
  REQUIRE(scan->newest);
  CHECK(scan->newest->sections.at("weights") == "w");
  CHECK(fixture.Call(&Fixture::Stub::CloneExperiment, request)->uid() == clone->uid());

  request.set_request_id("");
  CHECK(ReasonOf(fixture.Call(&Fixture::Stub::CloneExperiment, request).status()) ==
        "ALREADY_EXISTS");
  request.add_spec_overrides("agent.gamma=2");
  CHECK(ReasonOf(fixture.Call(&Fixture::Stub::CloneExperiment, request).status()) ==
        "INVALID_FIELD");
  request.set_source_checkpoint(name + "/checkpoints/00000004");
  CHECK(ReasonOf(fixture.Call(&Fixture::Stub::CloneExperiment, request).status()) == "NOT_FOUND");
  request.set_source_checkpoint(name);
  CHECK(BadRequestOf(fixture.Call(&Fixture::Stub::CloneExperiment, request).status())
            .field_violations(0)
            .field() == "source_checkpoint");
}

TEST_CASE("experiment service: a clone of what is being deleted is kept", "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  fixture.AddCheckpoint(fixture.store()->records.Get(name)->uid(), 3);
  std::thread deletion([&] { CHECK(fixture.Delete(name, /*force=*/true).ok()); });
  while (fixture.Get(name)->state() != S::STATE_CANCELLING) std::this_thread::yield();
  v1::CloneExperimentRequest request;
  request.set_source_checkpoint(name + "/checkpoints/00000003");
  const auto clone = fixture.Call(&Fixture::Stub::CloneExperiment, request);
  CHECK(fixture.store()->records.Transition(name, {S::STATE_CANCELLING}, S::STATE_CANCELLED).ok());
  CHECK(fixture.store()->records.Delete(name, "").ok());
  deletion.join();
  REQUIRE(clone.ok());
  CHECK_FALSE(clone->retention().has_ttl());
}

TEST_CASE("experiment service: a clone of a checkpoint without its file names the field",
          "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  const std::string uid = fixture.store()->records.Get(name)->uid();
  fixture.AddCheckpoint(uid, 3);
  std::filesystem::remove(fixture.store()->files.CheckpointFolder(uid) / CheckpointFileName(3));
  v1::CloneExperimentRequest request;
  request.set_source_checkpoint(name + "/checkpoints/00000003");
  const absl::Status status = fixture.Call(&Fixture::Stub::CloneExperiment, request).status();
  REQUIRE(ReasonOf(status) == "INVALID_FIELD");
  CHECK(BadRequestOf(status).field_violations(0).field() == "source_checkpoint");
  CHECK_FALSE(testing::Contains(std::string(status.message()), ".ckpt"));
}

TEST_CASE("experiment service: a repeated clone has its answer, room and source or not",
          "[loopback]") {
  Fixture fixture({.queued_max = 1, .hidden_units_max = 100});
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  fixture.AddCheckpoint(fixture.store()->records.Get(name)->uid(), 3);
  v1::CloneExperimentRequest request;
  request.set_source_checkpoint(name + "/checkpoints/00000003");
  request.add_spec_overrides("agent.hidden_units=200");
  request.set_request_id(NewUuid());
  const absl::Status large = fixture.Call(&Fixture::Stub::CloneExperiment, request).status();
  CHECK(BadRequestOf(large).field_violations(0).field() == "agent.hidden_units");

  request.clear_spec_overrides();
  const auto clone = fixture.Call(&Fixture::Stub::CloneExperiment, request);
  REQUIRE(clone.ok());
  CHECK(fixture.Call(&Fixture::Stub::CloneExperiment, request)->uid() == clone->uid());
  v1::CloneExperimentRequest other = request;
  other.set_request_id(NewUuid());
  CHECK(ReasonOf(fixture.Call(&Fixture::Stub::CloneExperiment, other).status()) == "QUEUE_FULL");

  REQUIRE(fixture.store()->records.Transition(name, {S::STATE_RUNNING}, S::STATE_SUCCEEDED).ok());
  REQUIRE(fixture.Delete(name).ok());
  CHECK(fixture.Call(&Fixture::Stub::CloneExperiment, request)->uid() == clone->uid());
  CHECK(ReasonOf(fixture.Call(&Fixture::Stub::CloneExperiment, other).status()) == "NOT_FOUND");
}

TEST_CASE("experiment service: quotas hold for clones, and for bytes of checkpoints",
          "[loopback]") {
  for (const bool bytes : {true, false}) {
    INFO("bytes " << bytes);
    Fixture fixture(bytes ? Fixture::Limits{.per_owner = {.checkpoint_bytes = 10}}
                          : Fixture::Limits{.per_owner = {.queued = 1}});
    const std::string name = fixture.CreateIn(S::STATE_RUNNING);
    const std::string uid = fixture.store()->records.Get(name)->uid();
    fixture.AddCheckpoint(uid, 3);
    if (!bytes) REQUIRE(fixture.Create("queued").ok());
    v1::CloneExperimentRequest request;
    request.set_source_checkpoint(name + "/checkpoints/00000003");
    CHECK(ReasonOf(fixture.Call(&Fixture::Stub::CloneExperiment, request).status()) ==
          "QUOTA_EXCEEDED");
    CHECK(ReasonOf(fixture.Create("more").status()) == "QUOTA_EXCEEDED");
  }
}

TEST_CASE("experiment service: what was logged about an experiment is kept and followed",
          "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.CreateIn(S::STATE_RUNNING);
  MENTOR_LOG(kInfo, "first", {{"experiment", name}, {"number", 1}});
  MENTOR_LOG(kInfo, "of another", {{"experiment", "experiments/other"}});
  v1::WatchLogsRequest request;
  request.set_name(name);
  request.set_follow(true);
  std::vector<v1::WatchLogsResponse> lines;
  absl::Status status;
  std::thread reader([&] { status = fixture.Read(&Fixture::Stub::WatchLogs, request, &lines); });
  MENTOR_LOG(kWarning, "second", {{"experiment", name}});
  // Lines that come while a tail is read follow it: asked until the log is on disk.
  std::vector<v1::WatchLogsResponse> now;
  v1::WatchLogsRequest tail;
  tail.set_name(name);
  tail.set_tail(1);
  for (int attempt = 0; now.size() != 1 || now[0].message() != "second"; ++attempt) {
    REQUIRE(attempt < 100'000);
    now.clear();
    REQUIRE(fixture.Read(&Fixture::Stub::WatchLogs, tail, &now).ok());
  }
  CHECK(now[0].severity() == "warning");
  REQUIRE(fixture.store()->records.Transition(name, {S::STATE_RUNNING}, S::STATE_FAILED).ok());
  reader.join();
  CHECK(status.ok());
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].fields().at("method") == "CreateExperiment");
  CHECK(lines[1].message() == "first");
  CHECK(lines[1].fields().at("number") == "1");
  CHECK(lines[1].has_time());
  CHECK(lines[2].message() == "second");
}

TEST_CASE("experiment service: the catalogue, tasks, and a fleet that is not there", "[loopback]") {
  Fixture fixture;
  const auto all = fixture.Call(&Fixture::Stub::ListCatalogue, v1::ListCatalogueRequest());
  std::map<std::string, int> kinds;
  for (const auto& entry : all->entries()) ++kinds[entry.kind()];
  CHECK(kinds.size() == 6);
  CHECK(kinds.at("curriculum") >= 1);
  CHECK(kinds.at("rule") >= 7);
  v1::ListCatalogueRequest some;
  some.set_kind("signal");
  const auto signals = fixture.Call(&Fixture::Stub::ListCatalogue, some);
  CHECK(signals->entries_size() == kinds.at("signal"));
  some.set_kind("colour");
  CHECK(ReasonOf(fixture.Call(&Fixture::Stub::ListCatalogue, some).status()) == "INVALID_FIELD");

  v1::ListTasksRequest tasks;
  tasks.mutable_benchmark()->set_name("point_reach");
  const auto listed = fixture.Call(&Fixture::Stub::ListTasks, tasks);
  INFO(listed.status().ToString());
  REQUIRE(listed.ok());
  CHECK(listed->total_size() >= 1);
  CHECK(listed->tasks(0).split() == "train");
  tasks.mutable_benchmark()->set_name("nowhere");
  CHECK(ReasonOf(fixture.Call(&Fixture::Stub::ListTasks, tasks).status()) == "INVALID_FIELD");

  CHECK(fixture.Call(&Fixture::Stub::ListPeers, v1::ListPeersRequest())->peers_size() == 0);
  CHECK(fixture.Call(&Fixture::Stub::ListShards, v1::ListShardsRequest())->shards_size() == 0);
  CHECK(absl::IsNotFound(
      fixture.CallOn<v1::DrainPeerRequest>(&Fixture::Stub::DrainPeer, "actors/x").status()));
}

TEST_CASE("experiment service: experiments are counted by state", "[loopback]") {
  Fixture fixture;
  const std::string name = fixture.Create("one")->name();
  REQUIRE(fixture.Create("two").ok());
  REQUIRE(fixture.Cancel(name).ok());
  fixture.service()->Stop();  // Calls in line are finished first.
  const std::string text = fixture.metrics()->Text();
  INFO(text);
  CHECK(text.find("mentor_experiments{state=\"QUEUED\"} 1") != text.npos);
  CHECK(text.find("mentor_experiments{state=\"CANCELLED\"} 1") != text.npos);
  CHECK(text.find("mentor_experiments{state=\"RUNNING\"} 0") != text.npos);
  CHECK(text.find("mentor_store_replay_mismatch_total 0") != text.npos);
}

}  // namespace mentor::TEST_FILE
