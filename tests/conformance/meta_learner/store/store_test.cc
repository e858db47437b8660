// The promises of every store, whichever database is behind it.
#include "meta_learner/store/store.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <thread>

#include <absl/strings/str_cat.h>
#include <google/protobuf/util/time_util.h>

#include "common/failpoint.h"
#include "common/file.h"
#include "common/rng.h"
#include "common/status.h"
#include "common/uuid.h"
#include "meta_learner/store/backup.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/database.h"
#include "meta_learner/store/lease.h"
#include "meta_learner/store/state_folder.h"
#include "tests/postgres_server.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

using namespace mentor::meta_learner;
using google::protobuf::util::TimeUtil;
using mentor::testing::CreateSmall;
using mentor::testing::PostgresServer;
using mentor::testing::SmallExperiment;
using mentor::testing::TempFolder;
using S = v1::Experiment;

// A state folder and its database, opened again and again.
class Backend {
 public:
  // The address of a database, and how to make another one like it; empty: SQLite.
  explicit Backend(std::string database, std::function<std::string()> fresh = nullptr)
      : database_(std::move(database)), fresh_(std::move(fresh)) {}

  std::unique_ptr<Store> Open() {
    return OpenStore(StoreOptions{.folder = folder_.path(), .database = database_}).value();
  }
  const std::string& database() const { return database_; }
  const std::filesystem::path& folder() const { return folder_.path(); }
  std::string fresh() const { return fresh_ ? fresh_() : ""; }

 private:
  const TempFolder folder_;
  const std::string database_;
  const std::function<std::string()> fresh_;
};

struct Case {
  std::string name;
  std::function<void(Backend& backend)> run;
};

std::vector<Case>& Cases() {
  static std::vector<Case> cases;
  return cases;
}

struct RegisterCase {
  RegisterCase(const std::string& name, std::function<void(Backend&)> run) {
    Cases().push_back({name, std::move(run)});
  }
};

#define STORE_CASE_AT(name, line) STORE_CASE_LINE(name, line)
#define STORE_CASE_LINE(name, line)                          \
  void Case##line(Backend& backend);                         \
  const RegisterCase register_case_##line(name, Case##line); \
  void Case##line([[maybe_unused]] Backend& backend)
#define STORE_CASE(name) STORE_CASE_AT(name, __LINE__)

// Moves an experiment from QUEUED to a state.
void Lead(Store* store, const std::string& name, State to) {
  const auto step = [&](State from, State next) {
    REQUIRE(store->records.Transition(name, {from}, next).ok());
  };
  switch (to) {
    case S::STATE_QUEUED:
      return;
    case S::STATE_RUNNING:
    case S::STATE_PAUSED:
      return step(S::STATE_QUEUED, to);
    case S::STATE_PAUSING:
    case S::STATE_CANCELLING:
    case S::STATE_SUCCEEDED:
    case S::STATE_FAILED:
      step(S::STATE_QUEUED, S::STATE_RUNNING);
      return step(S::STATE_RUNNING, to);
    case S::STATE_CANCELLED:
      return step(S::STATE_QUEUED, to);
    default:
      FAIL("no such state");
  }
}

std::vector<std::string> Names(const std::vector<v1::Experiment>& experiments) {
  std::vector<std::string> names;
  for (const v1::Experiment& experiment : experiments)
    names.push_back(experiment.name().substr(std::string_view("experiments/").size()));
  return names;
}

// Contents, by name, of all files that should stay.
std::map<std::string, std::string> Files(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() || IsTemporaryName(entry.path().filename().string())) continue;
    files[entry.path().lexically_relative(folder)] = ReadFile(entry.path(), 1 << 20).value();
  }
  return files;
}

using Strings = std::vector<std::string>;

STORE_CASE("a created experiment has every field, and is still there after opening again") {
  auto store = backend.Open();
  const v1::Experiment made = CreateSmall(store.get(), "one");
  CHECK(made.name() == "experiments/one");
  CHECK(IsUuid(made.uid()));
  CHECK(made.state() == S::STATE_QUEUED);
  CHECK(made.spec().rule().outer_updates() == 5);
  CHECK(made.spec().agent().has_epochs());  // Every default is visible.
  CHECK(made.progress().outer_updates_total() == 5);
  CHECK(made.progress().seconds_left() < 0);
  CHECK(made.has_create_time());
  CHECK_FALSE(made.has_start_time());
  CHECK_FALSE(made.has_end_time());
  CHECK(made.etag().rfind("W/", 0) == 0);
  store.reset();
  store = backend.Open();
  CHECK(store->records.Get("experiments/one")->SerializeAsString() == made.SerializeAsString());
}

STORE_CASE("ids are made when missing, unique when given") {
  const auto store = backend.Open();
  const v1::Experiment first = *store->records.Create(SmallExperiment()),
                       second = *store->records.Create(SmallExperiment());
  CHECK(first.name() == "experiments/exp-" + UuidBase32(first.uid(), 10));
  CHECK(first.name() != second.name());
  CreateSmall(store.get(), "one");
  const auto again = store->records.Create(SmallExperiment("one"));
  CHECK(again.status().code() == absl::StatusCode::kAlreadyExists);
  CHECK(ReasonOf(again.status()) == "ALREADY_EXISTS");
  CHECK(MetadataOf(again.status(), "name") == "experiments/one");
}

STORE_CASE("a repeated request gets its first answer, also after opening again") {
  auto store = backend.Open();
  NewExperiment request = SmallExperiment("one");
  request.request_id = NewUuid();
  request.request_hash = "h1";
  const v1::Experiment first = *store->records.Create(request);
  REQUIRE(store->records.Transition(first.name(), {S::STATE_QUEUED}, S::STATE_CANCELLED).ok());
  // Although it has changed.
  CHECK(store->records.Create(request)->SerializeAsString() == first.SerializeAsString());
  store.reset();
  store = backend.Open();
  CHECK(store->records.Create(request)->SerializeAsString() == first.SerializeAsString());
  NewExperiment other = request;
  other.request_hash = "h2";
  const auto refused = store->records.Create(other);
  CHECK(refused.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(ReasonOf(refused.status()) == "REQUEST_ID_REUSED");
  CHECK(store->records.List({})->experiments.size() == 1);
}

STORE_CASE("a creation that fails leaves nothing") {
  const auto store = backend.Open();
  NewExperiment bad = SmallExperiment("one");
  std::filesystem::path made;
  bad.fill_folder = [&](const std::string&, const std::filesystem::path& folder) {
    made = folder;
    CHECK(std::filesystem::exists(folder));
    return absl::ResourceExhaustedError("no room");
  };
  CHECK(store->records.Create(bad).status().message() == "no room");
  CHECK_FALSE(std::filesystem::exists(made));
  CHECK(store->records.List({})->total_size == 0);
  CHECK(CreateSmall(store.get(), "one").name() == "experiments/one");
}

STORE_CASE("what begins with a checkpoint stands where that does") {
  const auto store = backend.Open();
  NewExperiment clone = SmallExperiment("clone");
  clone.fill_folder = [&](const std::string&, const std::filesystem::path& folder) {
    const auto checkpoints = folder / "checkpoints";
    const absl::Status made = MakeFolders(checkpoints);
    return made.ok() ? WriteFileAtomically(checkpoints / CheckpointFileName(3), "") : made;
  };
  CHECK(store->records.Create(clone)->progress().outer_updates() == 3);
  CHECK(CreateSmall(store.get(), "one").progress().outer_updates() == 0);
}

STORE_CASE("a row that is not as it was written is one unreadable row") {
  // Changes that leave each column readable.
  const std::vector<std::string> changes = {
      "owner = 'eve'", "priority = 3",    "spec = submitted_spec", "submitted_spec = spec",
      "state = 5",     "spec_hash = id",  "deadline = 1",          "served_env_steps = 1",
      "number = 99",   "create_time = 1", "digest = ''",           "digest = spec_hash"};
  {
    const auto store = backend.Open();
    CreateSmall(store.get(), "good");
    for (size_t i = 0; i < changes.size(); ++i) CreateSmall(store.get(), absl::StrCat("bad-", i));
  }
  {
    const auto database =
        OpenStateDatabase({.folder = backend.folder(), .database = backend.database()},
                          /*read_only=*/false)
            .value();
    const auto transaction = sql::Transaction::Begin(database.get()).value();
    for (size_t i = 0; i < changes.size(); ++i) {
      const absl::Status done = database->Execute(
          absl::StrCat("UPDATE experiments SET ", changes[i], " WHERE id = 'bad-", i, "'"));
      INFO(done.ToString());
      REQUIRE(done.ok());
    }
    REQUIRE(transaction->Commit().ok());
  }
  const auto store = backend.Open();
  CHECK(Names(store->records.List({})->experiments) == std::vector<std::string>{"good"});
  CHECK(Names(store->records.ReadSnapshot({})->experiments) == std::vector<std::string>{"good"});
  for (size_t i = 0; i < changes.size(); ++i) {
    INFO(changes[i]);
    CHECK(absl::IsDataLoss(store->records.Get(absl::StrCat("experiments/bad-", i)).status()));
  }
}

STORE_CASE("unknown names") {
  const auto store = backend.Open();
  for (const char* name : {"experiments/none", "one", "experiments/", "", "experiments/a/b"}) {
    const auto missing = store->records.Get(name);
    CHECK(missing.status().code() == absl::StatusCode::kNotFound);
    CHECK(ReasonOf(missing.status()) == "NOT_FOUND");
    CHECK(store->records.Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING).status().code() ==
          absl::StatusCode::kNotFound);
  }
  CHECK(store->results.RecordOuterStep("none", {}).code() == absl::StatusCode::kNotFound);
}

STORE_CASE("pages hold each experiment once, by name") {
  const auto store = backend.Open();
  CHECK(store->records.List({})->experiments.empty());
  for (const char* id : {"d", "a", "c", "b", "e"}) CreateSmall(store.get(), id);
  std::vector<std::string> names;
  std::string token;
  int pages = 0;
  do {
    const auto page = store->records.List({.page_size = 2, .page_token = token});
    REQUIRE(page.ok());
    for (const auto& experiment : page->experiments) names.push_back(experiment.name());
    token = page->next_page_token;
    // One that sorts before the pages to come, one after all: neither disturbs.
    if (++pages == 1) CreateSmall(store.get(), "aa");
  } while (!token.empty());
  CHECK(pages == 3);
  CHECK(names == std::vector<std::string>{"experiments/a", "experiments/b", "experiments/c",
                                          "experiments/d", "experiments/e"});
  CHECK(store->records.List({.page_size = 6})->next_page_token.empty());
  CHECK(store->records.List({.page_size = -1}).status().code() ==
        absl::StatusCode::kInvalidArgument);
  for (const std::string& bad : std::vector<std::string>{"x", "!!", "YQ", std::string(5000, 'a')}) {
    CHECK(ReasonOf(store->records.List({.page_size = 2, .page_token = bad}).status()) ==
          "PAGE_TOKEN_MISMATCH");
  }
}

STORE_CASE("every pair of states, legal or refused") {
  const auto store = backend.Open();
  int number = 0, legal = 0;
  for (const State from : AllStates()) {
    for (const State to : AllStates()) {
      if (!IsLegalTransition(from, to)) continue;
      const std::string name = CreateSmall(store.get(), "e" + std::to_string(++number)).name();
      Lead(store.get(), name, from);
      INFO(StateText(from) << " to " << StateText(to));
      const auto moved = store->records.Transition(name, {from}, to, absl::InternalError("why"));
      REQUIRE(moved.ok());
      ++legal;
      CHECK(moved->state() == to);
      CHECK(moved->SerializeAsString() == store->records.Get(name)->SerializeAsString());
      CHECK(moved->has_end_time() == IsFinal(to));
      const bool keeps = to == S::STATE_FAILED ||
                         (to == S::STATE_QUEUED && from != S::STATE_PAUSED) ||
                         to == S::STATE_CANCELLING || to == S::STATE_CANCELLED;
      CHECK(moved->error().message() == (keeps ? "why" : ""));
    }
  }
  CHECK(legal == 20);
  // From a state other than the named one: refused with both, and nothing changes.
  for (const State in : AllStates()) {
    const std::string name = CreateSmall(store.get(), "f" + std::to_string(++number)).name();
    Lead(store.get(), name, in);
    const State from = in == S::STATE_RUNNING ? S::STATE_QUEUED : S::STATE_RUNNING;
    const State to = in == S::STATE_RUNNING ? S::STATE_RUNNING : S::STATE_SUCCEEDED;
    const std::string before = store->records.Get(name)->SerializeAsString();
    const auto refused = store->records.Transition(name, {from}, to);
    CHECK(refused.status().code() == absl::StatusCode::kFailedPrecondition);
    CHECK(ReasonOf(refused.status()) == "ILLEGAL_TRANSITION");
    CHECK(MetadataOf(refused.status(), "state") == std::string(StateText(in)));
    CHECK(store->records.Get(name)->SerializeAsString() == before);
  }
}

STORE_CASE("final states have no way out") {
  for (const State from : AllStates()) {
    for (const State to : AllStates()) {
      if (IsFinal(from)) CHECK_FALSE(IsLegalTransition(from, to));
    }
  }
}

STORE_CASE("the start time is that of the first run") {
  const auto store = backend.Open();
  const std::string name = CreateSmall(store.get(), "one").name();
  const auto first = store->records.Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING);
  REQUIRE(first->has_start_time());
  REQUIRE(store->records.Transition(name, {S::STATE_RUNNING}, S::STATE_PAUSED).ok());
  REQUIRE(store->records.Transition(name, {S::STATE_PAUSED}, S::STATE_QUEUED).ok());
  const auto second = store->records.Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING);
  CHECK(second->start_time().SerializeAsString() == first->start_time().SerializeAsString());
  CHECK_FALSE(second->has_error());
  CHECK(second->etag() != first->etag());
}

STORE_CASE("the queue is in order of creation") {
  const auto store = backend.Open();
  for (const char* id : {"c", "a", "b", "d"}) CreateSmall(store.get(), id);
  REQUIRE(store->records.Transition("experiments/a", {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  REQUIRE(store->records.Transition("experiments/d", {S::STATE_QUEUED}, S::STATE_CANCELLED).ok());
  const auto queued = store->records.InStates({S::STATE_QUEUED});
  REQUIRE(queued->size() == 2);
  CHECK((*queued)[0].name() == "experiments/c");
  CHECK((*queued)[1].name() == "experiments/b");
  CHECK(store->records.InStates({S::STATE_QUEUED, S::STATE_RUNNING})->size() == 3);
  CHECK(store->records.InStates({})->empty());
  CHECK(*store->records.CountByState() == std::map<State, int64_t>{{S::STATE_QUEUED, 2},
                                                                   {S::STATE_RUNNING, 1},
                                                                   {S::STATE_CANCELLED, 1}});
}

STORE_CASE("an outer step leaves points, checkpoint and progress together") {
  auto store = backend.Open();
  const v1::Experiment experiment = CreateSmall(store.get(), "one");
  const std::string uid = experiment.uid();
  OuterStep step{
      .step = 1, .results = {{"seg2", 0.25}, {"odd", std::nan("")}}, .timings = {{"wall", 1.5}}};
  CHECK(ReasonOf(store->results.RecordOuterStep(uid, step)) ==
        "ILLEGAL_TRANSITION");  // Still QUEUED.
  REQUIRE(store->records.Transition(experiment.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  step.checkpoint = CheckpointInfo{
      .path = "", .outer_step = 1, .size_bytes = 10, .sha256 = "s", .state_hash = "h"};
  step.progress.set_outer_updates(1);
  REQUIRE(store->results.RecordOuterStep(uid, step).ok());
  step.step = 2;
  step.results = {{"seg2", -0.0}};
  step.checkpoint.reset();
  step.progress.set_outer_updates(2);
  REQUIRE(store->results.RecordOuterStep(uid, step).ok());
  CHECK(store->records.Get(experiment.name())->progress().outer_updates() == 2);

  store.reset();
  store = backend.Open();
  CHECK(store->records.Get(experiment.name())->progress().outer_updates() == 2);
  const auto points = store->results.Points(uid);
  REQUIRE(points->size() == 3);
  CHECK(points->at("seg2") == Series{{1, 0.25}, {2, 0.0}});
  CHECK(std::isnan(points->at("odd")[0].second));
  CHECK(points->at("wall").size() == 2);
  const auto checkpoints = store->results.Checkpoints(uid);
  REQUIRE(checkpoints->size() == 1);
  CHECK((*checkpoints)[0].outer_step == 1);
  CHECK((*checkpoints)[0].state_hash == "h");
  CHECK((*checkpoints)[0].path == store->files.CheckpointFolder(uid) / "00000001.ckpt");

  REQUIRE(
      store->records.Transition(experiment.name(), {S::STATE_RUNNING}, S::STATE_SUCCEEDED).ok());
  CHECK(ReasonOf(store->results.RecordOuterStep(uid, step)) == "ILLEGAL_TRANSITION");
  CHECK(ReasonOf(store->results.RecordPoints(uid, 3, {{"late", 1}}, {})) == "ILLEGAL_TRANSITION");
  CHECK(store->results.Points(uid)->size() == 3);
}

STORE_CASE("progress is not ahead of a commit that failed") {
  auto store = backend.Open();
  const v1::Experiment experiment = CreateSmall(store.get(), "one");
  const std::string &uid = experiment.uid(), &name = experiment.name();
  REQUIRE(store->records.Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  OuterStep step{.step = 1};
  step.progress.set_outer_updates(1);
  REQUIRE(store->results.RecordOuterStep(uid, step).ok());
  REQUIRE(store->records.SetProgress(name, "at work", step.progress).ok());
  step.step = 2;
  step.progress.set_outer_updates(2);
  REQUIRE(failpoint::Arm("store.commit.in_db=1:error(lost)").ok());
  CHECK(absl::IsUnavailable(store->results.RecordOuterStep(uid, step)));
  CHECK(store->records.Get(name)->progress().outer_updates() == 1);
  // A change of state that fails leaves what is said of it, and one that succeeds keeps it.
  REQUIRE(failpoint::Arm("store.transition.before_commit=1:error(lost)").ok());
  CHECK_FALSE(store->records.Transition(name, {S::STATE_RUNNING}, S::STATE_PAUSED).ok());
  REQUIRE(failpoint::Arm("").ok());
  CHECK(store->records.Get(name)->activity() == "at work");
  REQUIRE(store->records.Transition(name, {S::STATE_RUNNING}, S::STATE_PAUSED).ok());
  CHECK(store->records.Get(name)->progress().outer_updates() == 1);
  store.reset();
  store = backend.Open();
  CHECK(store->records.Get(name)->progress().outer_updates() == 1);
}

STORE_CASE("a replay with other results is counted, other timings are not") {
  const auto store = backend.Open();
  const v1::Experiment experiment = CreateSmall(store.get(), "one");
  REQUIRE(store->records.Transition(experiment.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  OuterStep step{
      .step = 1,
      .results = {{"a", 0.1}, {"b", std::nan("")}, {"c", std::numeric_limits<double>::infinity()}},
      .timings = {{"wall", 1}}};
  REQUIRE(store->results.RecordOuterStep(experiment.uid(), step).ok());
  step.timings["wall"] = 2;
  step.results["new"] = 7;
  REQUIRE(store->results.RecordOuterStep(experiment.uid(), step).ok());
  CHECK(store->results.replay_mismatches() == 0);
  step.results["a"] = std::nextafter(0.1, 1);
  REQUIRE(store->results.RecordOuterStep(experiment.uid(), step).ok());
  CHECK(store->results.replay_mismatches() == 1);
  CHECK(store->results.Points(experiment.uid())->at("wall") == Series{{1, 2}});
  REQUIRE(store->results.RecordPoints(experiment.uid(), 1, {{"b", 0}}, {}).ok());
  CHECK(store->results.replay_mismatches() == 2);
}

STORE_CASE("the index of checkpoints follows the folder") {
  const auto store = backend.Open();
  const v1::Experiment experiment = CreateSmall(store.get(), "one");
  const auto info = [](uint32_t step) {
    return CheckpointInfo{
        .path = "", .outer_step = step, .size_bytes = 1, .sha256 = "s", .state_hash = "h"};
  };
  const auto steps = [&] {
    std::vector<uint32_t> found;
    const auto rows = store->results.Checkpoints(experiment.uid());
    for (const CheckpointInfo& row : *rows) found.push_back(row.outer_step);
    return found;
  };
  REQUIRE(
      store->results.ReconcileCheckpoints(experiment.uid(), {1, 2, 3}, {info(1), info(2), info(3)})
          .ok());
  CHECK(steps() == std::vector<uint32_t>{1, 2, 3});
  // 1 is gone, 4 had no row.
  REQUIRE(store->results.ReconcileCheckpoints(experiment.uid(), {2, 3, 4}, {info(4)}).ok());
  CHECK(steps() == std::vector<uint32_t>{2, 3, 4});
  REQUIRE(store->results.ReconcileCheckpoints(experiment.uid(), {}, {}).ok());
  CHECK(steps().empty());
}

STORE_CASE("progress is seen at once, kept by the next durable change, and gone in the end") {
  auto store = backend.Open();
  const std::string name = CreateSmall(store.get(), "one").name();
  v1::Progress progress;
  progress.set_env_steps(77);
  REQUIRE(store->records.SetProgress(name, "meta-training", progress).ok());
  CHECK(store->records.Get(name)->activity().empty());  // QUEUED: nothing runs.
  REQUIRE(store->records.Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  REQUIRE(store->records.SetProgress(name, "meta-training", progress).ok());
  CHECK(store->records.Get(name)->activity() == "meta-training");
  CHECK(store->records.Get(name)->progress().env_steps() == 77);
  CHECK(store->records.List({})->experiments[0].activity() == "meta-training");
  REQUIRE(store->records.Transition(name, {S::STATE_RUNNING}, S::STATE_SUCCEEDED).ok());
  CHECK(store->records.Get(name)->activity().empty());
  // The next run begins without the words of the one before.
  const std::string again = CreateSmall(store.get(), "again").name();
  REQUIRE(store->records.Transition(again, {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  REQUIRE(store->records.SetProgress(again, "meta-training", progress).ok());
  REQUIRE(store->records.Transition(again, {S::STATE_RUNNING}, S::STATE_QUEUED).ok());
  REQUIRE(store->records.Transition(again, {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  CHECK(store->records.Get(again)->activity().empty());
  store.reset();
  store = backend.Open();
  CHECK(store->records.Get(name)->progress().env_steps() == 77);
  CHECK(store->records.SetProgress("experiments/none", "x", progress).code() ==
        absl::StatusCode::kNotFound);
}

STORE_CASE("subscribers hear of each change and may read, until they are gone") {
  const auto store = backend.Open();
  std::vector<std::string> heard;
  auto subscription = store->records.Subscribe([&](const Records::Notice& notice) {
    heard.push_back(notice.name + " " +
                    std::string(StateText(store->records.Get(notice.name)->state())) +
                    (notice.durable ? "" : " live"));
  });
  const v1::Experiment experiment = CreateSmall(store.get(), "one");
  REQUIRE(store->records.Transition(experiment.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  REQUIRE(store->records.SetProgress(experiment.name(), "x", {}).ok());
  REQUIRE(store->results.RecordOuterStep(experiment.uid(), {.step = 1}).ok());
  // No change.
  CHECK_FALSE(
      store->records.Transition(experiment.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  CHECK(heard == std::vector<std::string>{"experiments/one QUEUED", "experiments/one RUNNING",
                                          "experiments/one RUNNING live",
                                          "experiments/one RUNNING"});
  subscription.reset();
  REQUIRE(store->records.Transition(experiment.name(), {S::STATE_RUNNING}, S::STATE_FAILED).ok());
  CHECK(heard.size() == 4);
}

STORE_CASE("threads that race for one transition, one wins") {
  const auto store = backend.Open();
  for (int round = 0; round < 10; ++round) {
    const std::string name = CreateSmall(store.get(), "r" + std::to_string(round)).name();
    std::atomic<int> won = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        const State to = i % 2 == 0 ? S::STATE_RUNNING : S::STATE_CANCELLED;
        if (store->records.Transition(name, {S::STATE_QUEUED}, to).ok()) ++won;
        store->records.List({}).IgnoreError();
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(won == 1);
  }
}

STORE_CASE("concurrent creates with one request id make one experiment") {
  const auto store = backend.Open();
  NewExperiment request = SmallExperiment();
  request.request_id = NewUuid();
  request.request_hash = "h";
  std::vector<std::string> names(8);
  std::vector<std::thread> threads;
  for (auto& name : names)
    threads.emplace_back([&] { name = store->records.Create(request)->name(); });
  for (auto& thread : threads) thread.join();
  for (const auto& name : names) CHECK(name == names[0]);
  CHECK(store->records.List({})->experiments.size() == 1);
}

STORE_CASE("an edit changes what a user may set, once, and keeps it") {
  auto store = backend.Open();
  const v1::Experiment made = CreateSmall(store.get(), "one");
  const auto changed =
      store->records.Change("experiments/one", made.etag(), [](v1::Experiment* edited) {
        edited->set_display_name("A title");
        (*edited->mutable_labels())["team"] = "a";
        edited->set_priority(v1::PRIORITY_HIGH);
        edited->set_weight(7);
        edited->mutable_retention()->set_keep_last(2);
        edited->set_retries_max(3);
        *edited->mutable_deadline() = TimeUtil::SecondsToTimestamp(4'000'000'000);
        return absl::OkStatus();
      });
  REQUIRE(changed.ok());
  CHECK(changed->etag() != made.etag());
  CHECK(changed->SerializeAsString() == store->records.Get(made.name())->SerializeAsString());
  store.reset();
  store = backend.Open();
  const auto read = store->records.Get(made.name());
  CHECK(read->display_name() == "A title");
  CHECK(read->labels().at("team") == "a");
  CHECK(read->priority() == v1::PRIORITY_HIGH);
  CHECK(read->weight() == 7);
  CHECK(read->retention().keep_last() == 2);
  CHECK(read->retries_max() == 3);
  CHECK(read->deadline().seconds() == 4'000'000'000);
  // Nothing changed: no revision.
  const int64_t revision = *store->records.Revision();
  CHECK(store->records.Change(made.name(), "", [](v1::Experiment*) { return absl::OkStatus(); })
            ->etag() == read->etag());
  CHECK(*store->records.Revision() == revision);
  // An old etag, and an edit that says no.
  const auto late = store->records.Change(made.name(), made.etag(), [](v1::Experiment* edited) {
    edited->set_weight(9);
    return absl::OkStatus();
  });
  CHECK(ReasonOf(late.status()) == "ETAG_MISMATCH");
  CHECK(MetadataOf(late.status(), "found") == read->etag());
  CHECK(store->records
            .Change(made.name(), "",
                    [](v1::Experiment* edited) {
                      edited->set_weight(9);
                      return absl::UnavailableError("no");
                    })
            .status()
            .message() == "no");
  CHECK(store->records.Get(made.name())->weight() == 7);
}

STORE_CASE("lists are filtered and ordered, with the number of all that match") {
  const auto store = backend.Open();
  for (const char* id : {"c", "a", "d", "b"}) CreateSmall(store.get(), id);
  for (const char* id : {"a", "d"})
    Lead(store.get(), std::string("experiments/") + id, S::STATE_RUNNING);
  const auto queued = [](const v1::Experiment& experiment) {
    return experiment.state() == S::STATE_QUEUED;
  };
  auto page = store->records.List({.page_size = 1, .matches = queued, .key = "q"});
  CHECK(Names(page->experiments) == Strings{"b"});
  CHECK(page->total_size == 2);
  CHECK(page->revision == *store->records.Revision());
  page = store->records.List(
      {.page_size = 1, .page_token = page->next_page_token, .matches = queued, .key = "q"});
  CHECK(Names(page->experiments) == Strings{"c"});
  CHECK(page->next_page_token.empty());
  CHECK(store->records.List({})->total_size == 4);

  const auto all = [&](const std::string& order) {
    Strings names;
    std::string token;
    do {
      const auto part = store->records.List(
          {.page_size = 3, .page_token = token, .order_by = order, .key = order});
      REQUIRE(part.ok());
      CHECK(part->total_size == 4);
      for (const std::string& name : Names(part->experiments)) names.push_back(name);
      token = part->next_page_token;
    } while (!token.empty());
    return names;
  };
  CHECK(all("create_time") == Strings{"c", "a", "d", "b"});
  CHECK(all("create_time desc") == Strings{"b", "d", "a", "c"});
  CHECK(all("name desc") == Strings{"d", "c", "b", "a"});
  CHECK(all("state") == Strings{"b", "c", "a", "d"});
  CHECK(all("update_time desc")[0] == "d");
  CHECK(ReasonOf(store->records.List({.order_by = "colour"}).status()) == "INVALID_FIELD");
  const auto first = store->records.List({.page_size = 1, .key = "x"});
  CHECK(
      ReasonOf(store->records.List({.page_token = first->next_page_token, .key = "y"}).status()) ==
      "PAGE_TOKEN_MISMATCH");
}

STORE_CASE("the heads of the queue: the oldest of each class and owner") {
  const auto store = backend.Open();
  const auto add = [&](const std::string& id, const std::string& owner, v1::Priority priority) {
    NewExperiment experiment = SmallExperiment(id);
    experiment.owner = owner;
    experiment.experiment.set_priority(priority);
    REQUIRE(store->records.Create(experiment).ok());
  };
  add("a1", "ada", v1::PRIORITY_UNSPECIFIED);
  add("a2", "ada", v1::PRIORITY_NORMAL);
  add("b1", "bob", v1::PRIORITY_NORMAL);
  add("a3", "ada", v1::PRIORITY_HIGH);
  const auto heads = [&](const std::set<std::string>& except = {}) {
    Strings names;
    const auto found = store->records.QueueHeads(except);
    for (const QueueHead& head : *found)
      names.push_back(head.owner + " " + head.name + " " + std::to_string(head.priority));
    return names;
  };
  CHECK(heads() == Strings{"ada experiments/a1 2", "bob experiments/b1 2", "ada experiments/a3 3"});
  CHECK(heads({"experiments/a1", "experiments/a3"}) ==
        Strings{"ada experiments/a2 2", "bob experiments/b1 2"});
  Lead(store.get(), "experiments/a1", S::STATE_RUNNING);
  CHECK(heads() == Strings{"ada experiments/a2 2", "bob experiments/b1 2", "ada experiments/a3 3"});
  // In the queue it has its old place again.
  REQUIRE(store->records.Transition("experiments/a1", {S::STATE_RUNNING}, S::STATE_QUEUED).ok());
  CHECK(heads()[0] == "ada experiments/a1 2");

  const v1::Experiment b1 = *store->records.Get("experiments/b1");
  Lead(store.get(), b1.name(), S::STATE_RUNNING);
  REQUIRE(store->results
              .RecordOuterStep(b1.uid(), {.step = 1,
                                          .checkpoint = CheckpointInfo{.path = "",
                                                                       .outer_step = 1,
                                                                       .size_bytes = 10,
                                                                       .sha256 = "s",
                                                                       .state_hash = "h"},
                                          .served_env_steps = 500})
              .ok());
  const auto usage = store->records.Usage();
  CHECK(usage->at("ada").waiting == 3);
  CHECK(usage->at("ada").checkpoint_bytes == 0);
  CHECK(usage->at("bob").running == 1);
  REQUIRE(store->records.Transition("experiments/a3", {S::STATE_QUEUED}, S::STATE_PAUSED).ok());
  CHECK(store->records.Usage()->at("ada").waiting ==
        3);  // The paused experiment returns to the queue.
  Lead(store.get(), "experiments/a1", S::STATE_RUNNING);
  Lead(store.get(), "experiments/a2", S::STATE_RUNNING);
  CHECK(store->records.Usage()->at("ada").running == 2);
  CHECK(store->records.Usage()->at("ada").waiting == 1);
  CHECK(usage->at("bob").checkpoint_bytes == 10);
  CHECK(store->records.Get(b1.name())->served_env_steps() == 500);
  REQUIRE(store->results.RecordOuterStep(b1.uid(), {.step = 2, .served_env_steps = 30}).ok());
  CHECK(store->records.Get(b1.name())->served_env_steps() == 530);
}

STORE_CASE("deadlines and expiry are found, ends set the time of expiry") {
  const auto store = backend.Open();
  const v1::Experiment one = CreateSmall(store.get(), "one"), two = CreateSmall(store.get(), "two");
  REQUIRE(store->records
              .Change(one.name(), "",
                      [](v1::Experiment* edited) {
                        *edited->mutable_deadline() = TimeUtil::SecondsToTimestamp(1000);
                        edited->mutable_retention()->mutable_ttl()->set_seconds(60);
                        return absl::OkStatus();
                      })
              .ok());
  constexpr int64_t kSecond = 1'000'000'000;
  CHECK(store->records.PastDeadline(999 * kSecond)->empty());
  CHECK(Names(*store->records.PastDeadline(1001 * kSecond)) == Strings{"one"});
  REQUIRE(store->records.Transition(one.name(), {S::STATE_QUEUED}, S::STATE_FAILED).ok());
  CHECK(store->records.PastDeadline(1001 * kSecond)->empty());
  const auto ended = store->records.Get(one.name());
  CHECK(TimeUtil::DurationToSeconds(ended->expire_time() - ended->end_time()) == 60);
  const int64_t expiry = TimeUtil::TimestampToNanoseconds(ended->expire_time());
  CHECK(store->records.Expired(expiry - 1)->empty());
  CHECK(Names(*store->records.Expired(expiry)) == Strings{"one"});
  CHECK_FALSE(store->records.Get(two.name())->has_expire_time());
  // Waiting or running experiments do not expire, however old they are.
  REQUIRE(store->records
              .Change(two.name(), "",
                      [](v1::Experiment* edited) {
                        edited->mutable_retention()->mutable_ttl()->set_seconds(1);
                        return absl::OkStatus();
                      })
              .ok());
  CHECK_FALSE(store->records.Get(two.name())->has_expire_time());
  Lead(store.get(), two.name(), S::STATE_RUNNING);
  CHECK(Names(*store->records.Expired(INT64_MAX)) == Strings{"one"});
}

STORE_CASE("a deletion takes everything, and the name may be used again") {
  auto store = backend.Open();
  const v1::Experiment one = CreateSmall(store.get(), "one");
  CHECK(ReasonOf(store->records.Delete(one.name(), "")) == "ILLEGAL_TRANSITION");
  Lead(store.get(), one.name(), S::STATE_RUNNING);
  REQUIRE(store->files.PrepareFolder(one.uid()).ok());
  REQUIRE(store->results.RecordOuterStep(one.uid(), {.step = 1, .results = {{"a", 1}}}).ok());
  REQUIRE(store->records.Transition(one.name(), {S::STATE_RUNNING}, S::STATE_SUCCEEDED).ok());
  CHECK(std::filesystem::exists(store->files.ExperimentFolder(one.uid()) / "spec.txtpb"));
  CHECK(ReasonOf(store->records.Delete(one.name(), one.etag())) == "ETAG_MISMATCH");
  REQUIRE(store->records.Delete(one.name(), "").ok());
  CHECK(absl::IsNotFound(store->records.Get(one.name()).status()));
  CHECK(absl::IsNotFound(store->records.Delete(one.name(), "")));
  CHECK(store->results.Points(one.uid())->empty());
  CHECK_FALSE(std::filesystem::exists(store->files.ExperimentFolder(one.uid())));
  CHECK(CreateSmall(store.get(), "one").uid() != one.uid());
  store.reset();
  CHECK(backend.Open()->records.List({})->total_size == 1);
}

STORE_CASE("every change is one revision, in order, also after opening again") {
  auto store = backend.Open();
  const v1::Experiment one = CreateSmall(store.get(), "one");
  const auto start = store->records.ReadSnapshot({});
  CHECK(Names(start->experiments) == Strings{"one"});
  CHECK(start->revision == *store->records.Revision());
  CHECK(store->records.Events(start->revision, 10)->empty());
  Lead(store.get(), one.name(), S::STATE_RUNNING);
  REQUIRE(store->records.SetProgress(one.name(), "live only", {}).ok());
  REQUIRE(store->results.RecordOuterStep(one.uid(), {.step = 1}).ok());
  CreateSmall(store.get(), "two");
  REQUIRE(store->records.Transition(one.name(), {S::STATE_RUNNING}, S::STATE_FAILED).ok());
  REQUIRE(store->records.Delete(one.name(), "").ok());
  store.reset();
  store = backend.Open();
  const auto events = store->records.Events(0, 100);
  REQUIRE(events->size() == 6);
  Strings told;
  for (size_t i = 0; i < events->size(); ++i) {
    const StoreEvent& event = (*events)[i];
    CHECK(event.revision == static_cast<int64_t>(i) + 1);
    CHECK(event.experiment.activity().empty());
    told.push_back(event.experiment.name().substr(12) + " " +
                   std::to_string(static_cast<int>(event.kind)) + " " +
                   std::string(StateText(event.experiment.state())));
  }
  CHECK(told == Strings{"one 1 QUEUED", "one 2 RUNNING", "one 2 RUNNING", "two 1 QUEUED",
                        "one 2 FAILED", "one 3 FAILED"});
  // Specs exist as long as the experiment, and go with its deletion.
  CHECK((*events)[3].experiment.spec().rule().outer_updates() == 5);
  CHECK((*events)[5].experiment.spec().rule().outer_updates() == 5);
  CHECK((*events)[3].experiment.SerializeAsString() ==
        store->records.Get("experiments/two")->SerializeAsString());
  CHECK(store->records.Events(4, 1)->at(0).revision == 5);
  CHECK(store->records.ReadSnapshot({"experiments/one"})->experiments.empty());
  CHECK(Names(store->records.ReadSnapshot({"experiments/two"})->experiments) == Strings{"two"});

  // A watch cannot continue from compacted events.
  REQUIRE(store->records.CompactEvents(/*keep=*/2, /*older_than_ns=*/int64_t{3600} * 1'000'000'000)
              .ok());
  CHECK(ReasonOf(store->records.Events(3, 10).status()) == "WATCH_COMPACTED");
  CHECK(store->records.Events(4, 10)->size() == 2);
  // A revision of another store.
  CHECK(ReasonOf(store->records.Events(7, 10).status()) == "WATCH_COMPACTED");
  REQUIRE(store->records.CompactEvents(2, /*older_than_ns=*/-int64_t{3600} * 1'000'000'000).ok());
  CHECK(ReasonOf(store->records.Events(5, 10).status()) == "WATCH_COMPACTED");
  CHECK(store->records.Events(6, 10)->empty());
}

STORE_CASE("checkpoints are pinned, points are read in parts") {
  const auto store = backend.Open();
  const v1::Experiment one = CreateSmall(store.get(), "one");
  Lead(store.get(), one.name(), S::STATE_RUNNING);
  for (uint32_t step = 1; step <= 4; ++step) {
    REQUIRE(store->results
                .RecordOuterStep(one.uid(), {.step = step,
                                             .results = {{"a", step}, {"b", -1.0 * step}},
                                             .checkpoint = CheckpointInfo{.path = "",
                                                                          .outer_step = step,
                                                                          .size_bytes = 1,
                                                                          .sha256 = "s",
                                                                          .state_hash = "h"}})
                .ok());
  }
  CHECK(store->results.PinCheckpoint(one.uid(), 2, true)->pinned);
  CHECK(absl::IsNotFound(store->results.PinCheckpoint(one.uid(), 9, true).status()));
  const auto rows = store->results.Checkpoints(one.uid());
  REQUIRE(rows->size() == 4);
  CHECK((*rows)[1].pinned);
  CHECK_FALSE((*rows)[2].pinned);
  CHECK((*rows)[0].create_time_ns > 0);
  // The same step written again, as after a crash, stays pinned.
  REQUIRE(store->results.ReconcileCheckpoints(one.uid(), {1, 2, 3, 4}, {(*rows)[1]}).ok());
  CHECK(store->results.Checkpoints(one.uid())->at(1).pinned);
  const auto points = store->results.Points(one.uid(), {"b"}, 2, 3);
  REQUIRE(points->size() == 1);
  CHECK(points->at("b") == Series{{2, -2.0}, {3, -3.0}});
  // The first steps, each with all of its points, also where a metric has none at some steps.
  REQUIRE(store->results.RecordPoints(one.uid(), 3, {{"c", 3}}, {}).ok());
  REQUIRE(store->results.RecordPoints(one.uid(), 9, {{"c", 9}}, {}).ok());
  const auto first = store->results.Points(one.uid(), {}, 2, UINT32_MAX, 2);
  CHECK(*first == std::map<std::string, Series>{
                      {"a", {{2, 2}, {3, 3}}}, {"b", {{2, -2}, {3, -3}}}, {"c", {{3, 3}}}});
  CHECK(*store->results.LastPoints(one.uid()) ==
        std::map<std::string, Series>{{"a", {{4, 4}}}, {"b", {{4, -4}}}, {"c", {{9, 9}}}});
}

STORE_CASE("an edit leaves alone what is not a user's, and keeps what the scheduler says") {
  auto store = backend.Open();
  NewExperiment mine = SmallExperiment("one");
  mine.owner = "ann";
  const v1::Experiment made = *store->records.Create(mine);
  const auto changed = store->records.Change(made.name(), "", [](v1::Experiment* edited) {
    edited->set_name("experiments/two");
    edited->set_uid(NewUuid());
    edited->set_owner("eve");
    edited->set_activity("stealing");
    edited->set_etag("W/x");
    edited->mutable_spec()->set_seed(99);
    *edited->mutable_create_time() = TimeUtil::SecondsToTimestamp(1);
    edited->set_retries(2);
    edited->set_preemptions(3);
    edited->set_served_env_steps(70);
    edited->set_state(S::STATE_PAUSED);
    edited->set_pause_reason(S::PAUSE_REASON_DISK_FULL);
    return absl::OkStatus();
  });
  REQUIRE(changed.ok());
  CHECK(changed->name() == made.name());
  CHECK(changed->uid() == made.uid());
  CHECK(changed->owner() == "ann");
  CHECK(changed->activity().empty());
  CHECK(changed->spec().seed() == made.spec().seed());
  CHECK(changed->create_time().SerializeAsString() == made.create_time().SerializeAsString());
  CHECK(absl::IsNotFound(store->records.Get("experiments/two").status()));
  store.reset();
  store = backend.Open();
  const auto read = store->records.Get(made.name());
  CHECK(read->SerializeAsString() == changed->SerializeAsString());
  CHECK(read->retries() == 2);
  CHECK(read->preemptions() == 3);
  CHECK(read->served_env_steps() == 70);
  CHECK(read->pause_reason() == S::PAUSE_REASON_DISK_FULL);
  // The reason goes with the pause.
  CHECK(
      store->records.Transition(made.name(), {S::STATE_PAUSED}, S::STATE_QUEUED)->pause_reason() ==
      S::PAUSE_REASON_UNSPECIFIED);
}

STORE_CASE("an error stays while the owner's storage pauses an experiment, and no longer") {
  const auto store = backend.Open();
  const std::string name = CreateSmall(store.get(), "one").name();
  Lead(store.get(), name, S::STATE_RUNNING);
  const auto move = [&](State state, S::PauseReason why) {
    const auto moved = store->records.Change(name, "", [&](v1::Experiment* edited) {
      edited->set_state(state);
      edited->set_pause_reason(why);
      if (state == S::STATE_PAUSING)
        *edited->mutable_error() = StatusToProto(absl::ResourceExhaustedError("too much"));
      return absl::OkStatus();
    });
    REQUIRE(moved.ok());
    return *moved;
  };
  for (const S::PauseReason last : {S::PAUSE_REASON_STORAGE_QUOTA, S::PAUSE_REASON_USER}) {
    CHECK(move(S::STATE_PAUSING, S::PAUSE_REASON_STORAGE_QUOTA).error().message() == "too much");
    CHECK(move(S::STATE_PAUSED, S::PAUSE_REASON_STORAGE_QUOTA).error().message() == "too much");
    CHECK(move(S::STATE_PAUSED, last).has_error() == (last == S::PAUSE_REASON_STORAGE_QUOTA));
    CHECK_FALSE(move(S::STATE_QUEUED, S::PAUSE_REASON_UNSPECIFIED).has_error());
    move(S::STATE_RUNNING, S::PAUSE_REASON_UNSPECIFIED);
  }
}

STORE_CASE("the time to live counts from the end, also when it is set later") {
  const auto store = backend.Open();
  const std::string name = CreateSmall(store.get(), "one").name();
  Lead(store.get(), name, S::STATE_SUCCEEDED);
  const auto live = [&](int64_t seconds) {
    const auto changed = store->records.Change(name, "", [&](v1::Experiment* edited) {
      edited->mutable_retention()->mutable_ttl()->set_seconds(seconds);
      return absl::OkStatus();
    });
    REQUIRE(changed.ok());
    return *changed;
  };
  CHECK(store->records.Expired(INT64_MAX)->empty());
  for (const int64_t seconds : {100, 7}) {
    const v1::Experiment ended = live(seconds);
    CHECK(TimeUtil::DurationToSeconds(ended.expire_time() - ended.end_time()) == seconds);
  }
  CHECK_FALSE(live(0).has_expire_time());
  CHECK(store->records.Expired(INT64_MAX)->empty());
}

STORE_CASE("what is left of an experiment is nothing when it is complete, and unknown otherwise") {
  const auto store = backend.Open();
  v1::Progress progress;
  progress.set_seconds_left(50);
  progress.set_env_steps_per_second(9);
  progress.set_env_steps(5);
  int number = 0;
  for (const State to : {S::STATE_SUCCEEDED, S::STATE_FAILED, S::STATE_QUEUED, S::STATE_PAUSED}) {
    const std::string name = CreateSmall(store.get(), "e" + std::to_string(++number)).name();
    Lead(store.get(), name, S::STATE_RUNNING);
    REQUIRE(store->records.SetProgress(name, "at work", progress).ok());
    const auto ended = store->records.Transition(name, {S::STATE_RUNNING}, to);
    INFO(StateText(to));
    REQUIRE(ended.ok());
    CHECK(ended->progress().seconds_left() == (to == S::STATE_SUCCEEDED ? 0 : -1));
    CHECK(ended->progress().env_steps_per_second() == 0);
    CHECK(ended->progress().env_steps() == 5);
  }
  // On its way to an end the experiment still works.
  const std::string name = CreateSmall(store.get(), "pausing").name();
  Lead(store.get(), name, S::STATE_RUNNING);
  REQUIRE(store->records.SetProgress(name, "at work", progress).ok());
  const auto pausing = store->records.Transition(name, {S::STATE_RUNNING}, S::STATE_PAUSING);
  CHECK(pausing->progress().seconds_left() == 50);
  CHECK(pausing->activity() == "at work");
}

STORE_CASE("owners use what waits and what is at work, whatever it is about to become") {
  const auto store = backend.Open();
  int number = 0;
  for (const State state : AllStates()) {
    for (const char* owner : {"ada", "bob"}) {
      if (std::string(owner) == "bob" && state != S::STATE_RUNNING) continue;
      NewExperiment made = SmallExperiment("e" + std::to_string(++number));
      made.owner = owner;
      Lead(store.get(), store->records.Create(made)->name(), state);
    }
  }
  const auto usage = store->records.Usage();
  CHECK(usage->at("ada").waiting == 2);  // QUEUED, PAUSED.
  CHECK(usage->at("ada").running == 3);  // RUNNING, PAUSING, CANCELLING.
  CHECK(usage->at("bob").waiting == 0);
  CHECK(usage->at("bob").running == 1);
  CHECK(usage->size() == 2);
}

STORE_CASE("a deadline has passed at its time, for what has not ended, the oldest first") {
  const auto store = backend.Open();
  for (const char* id : {"c", "a", "b", "d"}) {
    const std::string name = CreateSmall(store.get(), id).name();
    REQUIRE(store->records
                .Change(name, "",
                        [](v1::Experiment* edited) {
                          *edited->mutable_deadline() = TimeUtil::SecondsToTimestamp(10);
                          return absl::OkStatus();
                        })
                .ok());
  }
  CreateSmall(store.get(), "never");
  Lead(store.get(), "experiments/a", S::STATE_CANCELLED);
  Lead(store.get(), "experiments/b", S::STATE_PAUSING);
  Lead(store.get(), "experiments/d", S::STATE_SUCCEEDED);
  CHECK(store->records.PastDeadline(int64_t{10'000'000'000} - 1)->empty());
  CHECK(Names(*store->records.PastDeadline(10'000'000'000)) == Strings{"c", "b"});
}

STORE_CASE("what is released is what nobody has pinned, of this experiment") {
  const auto store = backend.Open();
  const auto add = [&](const std::string& id) {
    const v1::Experiment experiment = CreateSmall(store.get(), id);
    Lead(store.get(), experiment.name(), S::STATE_RUNNING);
    for (uint32_t step = 1; step <= 4; ++step) {
      REQUIRE(
          store->results
              .RecordOuterStep(experiment.uid(), {.step = step,
                                                  .results = {{"a", step}},
                                                  .checkpoint = CheckpointInfo{.path = "",
                                                                               .outer_step = step,
                                                                               .size_bytes = 1,
                                                                               .sha256 = "s",
                                                                               .state_hash = "h"}})
              .ok());
    }
    return experiment.uid();
  };
  const std::string one = add("one"), two = add("two");
  const auto steps = [&](const std::string& uid) {
    std::vector<uint32_t> found;
    const auto rows = store->results.Checkpoints(uid);
    for (const CheckpointRow& row : *rows) found.push_back(row.outer_step);
    return found;
  };
  using Steps = std::vector<uint32_t>;
  REQUIRE(store->results.PinCheckpoint(one, 2, true).ok());
  CHECK(*store->results.ReleaseCheckpoints(one, {1, 2, 3}) == Steps{1, 3});
  CHECK(steps(one) == Steps{2, 4});
  CHECK(steps(two) == Steps{1, 2, 3, 4});
  REQUIRE(store->results.PinCheckpoint(one, 2, false).ok());
  CHECK(*store->results.ReleaseCheckpoints(one, {2}) == Steps{2});
  CHECK(steps(one) == Steps{4});
  // Points stay, each experiment's its own.
  CHECK(store->results.Points(one)->at("a").size() == 4);
  REQUIRE(store->results.RecordPoints(two, 9, {{"b", 1}}, {}).ok());
  CHECK(store->results.Points(one)->size() == 1);
  CHECK(store->results.Points(two)->size() == 2);
}

STORE_CASE("a deletion that is not let go changes nothing, and an etag comes first") {
  const auto store = backend.Open();
  const v1::Experiment made = CreateSmall(store.get(), "one");
  Lead(store.get(), made.name(), S::STATE_CANCELLED);
  const v1::Experiment ended = *store->records.Get(made.name());
  int asked = 0;
  const auto refuse = [&](const v1::Experiment& experiment) {
    ++asked;
    CHECK(experiment.SerializeAsString() == ended.SerializeAsString());
    return absl::PermissionDeniedError("not yours");
  };
  CHECK(ReasonOf(store->records.DeleteIf(made.name(), made.etag(), refuse)) == "ETAG_MISMATCH");
  CHECK(asked == 0);
  CHECK(absl::IsPermissionDenied(store->records.DeleteIf(made.name(), ended.etag(), refuse)));
  CHECK(asked == 1);
  CHECK(store->records.Get(made.name())->SerializeAsString() == ended.SerializeAsString());
  CHECK(std::filesystem::exists(store->files.ExperimentFolder(made.uid())));
  CHECK(store->records.DeleteIf(made.name(), ended.etag(), nullptr).ok());
}

STORE_CASE("who asks again finds the answer, and only to the same request") {
  const auto store = backend.Open();
  NewExperiment request = SmallExperiment();
  request.request_hash = "h";
  CHECK_FALSE(store->records.Answered(request)->has_value());  // It has no id.
  request.request_id = NewUuid();
  CHECK_FALSE(store->records.Answered(request)->has_value());
  const v1::Experiment made = *store->records.Create(request);
  CHECK((*store->records.Answered(request))->SerializeAsString() == made.SerializeAsString());
  NewExperiment other = request;
  other.request_hash = "i";
  CHECK(ReasonOf(store->records.Answered(other).status()) == "REQUEST_ID_REUSED");
  other = request;
  other.owner = "bob";
  CHECK_FALSE(store->records.Answered(other)->has_value());
  // Without an id each is another one.
  request.request_id.clear();
  CHECK(store->records.Create(request)->name() != store->records.Create(request)->name());
  CHECK(store->records.List({})->total_size == 3);
}

STORE_CASE("revisions are of changes that others see: points alone make none") {
  const auto store = backend.Open();
  const v1::Experiment one = CreateSmall(store.get(), "one");
  Lead(store.get(), one.name(), S::STATE_RUNNING);
  const int64_t revision = *store->records.Revision();
  const std::string etag = store->records.Get(one.name())->etag();
  REQUIRE(store->results.RecordPoints(one.uid(), 1, {{"a", 1}}, {{"wall", 2}}).ok());
  REQUIRE(store->records.SetProgress(one.name(), "at work", {}).ok());
  CHECK(*store->records.Revision() == revision);
  CHECK(store->records.Get(one.name())->etag() == etag);
  REQUIRE(store->results.RecordOuterStep(one.uid(), {.step = 1}).ok());
  CHECK(*store->records.Revision() == revision + 1);
  CHECK(store->records.Get(one.name())->etag() != etag);
  CHECK(store->records.Events(0, 2)->size() == 2);
  CHECK(store->records.Events(0, 2)->at(1).revision == 2);
  CHECK(store->records.Events(2, 2)->at(0).revision == 3);
}

STORE_CASE("a backup is taken while the store works, and restored whole") {
  auto store = backend.Open();
  const v1::Experiment one = CreateSmall(store.get(), "one");
  CreateSmall(store.get(), "two");
  Lead(store.get(), one.name(), S::STATE_RUNNING);
  REQUIRE(store->files.PrepareFolder(one.uid()).ok());
  for (uint32_t step : {1u, 2u}) {
    const auto info = WriteCheckpoint(store->files.CheckpointFolder(one.uid()),
                                      {.experiment_uid = one.uid(),
                                       .outer_step = step,
                                       .spec_hash = "s",
                                       .build = "b",
                                       .sections = {{"weights", std::string(1000, 'w')}}});
    REQUIRE(store->results
                .RecordOuterStep(one.uid(), {.step = step,
                                             .results = {{"a", 0.1}, {"odd", std::nan("")}},
                                             .checkpoint = *info})
                .ok());
  }
  const auto artifacts = store->files.ExperimentFolder(one.uid()) / "artifacts/evaluation";
  std::filesystem::create_directories(artifacts);
  std::ofstream(artifacts / "test-learned-00000.binpb") << "an evaluation";
  std::ofstream(artifacts / ".half.1.tmp") << "half";
  const TempFolder folder;
  const StoreOptions source{.folder = store->files.folder(), .database = backend.database()};
  const auto made = BackUp(source, folder.path() / "backup");
  INFO(made.status().ToString());
  REQUIRE(made.ok());
  CHECK(made->experiments == 2);
  // The submitted specs, full specs, checkpoints, the evaluation, the database.
  CHECK(made->files == 2 + 2 + 2 + 1 + 1);
  const auto original = Files(store->files.ExperimentFolder(one.uid()));
  CHECK(absl::IsFailedPrecondition(BackUp(source, folder.path() / "backup").status()));
  const std::string before = store->records.Get(one.name())->SerializeAsString();
  REQUIRE(store->records.Transition(one.name(), {S::STATE_RUNNING}, S::STATE_FAILED)
              .ok());  // After it.
  const std::string uid = store->records.store_uid();
  store.reset();

  // Into a folder, and from a copy of that into this database's like.
  const StoreOptions restored{.folder = folder.path() / "state", .database = backend.fresh()};
  const auto back = Restore(folder.path() / "backup", restored);
  INFO(back.status().ToString());
  REQUIRE(back.ok());
  CHECK(back->experiments == 2);
  CHECK(back->files == made->files);
  CHECK(back->bytes == made->bytes);
  auto again = OpenStore(restored);
  REQUIRE(again.ok());
  CHECK((*again)->records.Get(one.name())->SerializeAsString() == before);
  CHECK((*again)->records.store_uid() != uid);
  CHECK((*again)->results.Points(one.uid())->at("a").size() == 2);
  CHECK(Files((*again)->files.ExperimentFolder(one.uid())) == original);
  CHECK(original.contains("artifacts/evaluation/test-learned-00000.binpb"));
  const auto scan = FindNewestWhole((*again)->files.CheckpointFolder(one.uid()), one.uid(), "s");
  CHECK(scan->newest->outer_step == 2);
  CHECK((*again)->records.Create(SmallExperiment("three")).ok());  // Numbers go on.
  CHECK(Names((*again)->records.List({.order_by = "create_time", .key = "x"})->experiments) ==
        Strings{"one", "two", "three"});
  CHECK(absl::IsFailedPrecondition(Restore(folder.path() / "backup", restored).status()));

  // One byte of one file.
  const auto file = folder.path() / "backup/experiments" / one.uid() / "spec.txtpb";
  std::ofstream(file, std::ios::app) << " ";
  const auto damaged = Restore(folder.path() / "backup", {.folder = folder.path() / "other"});
  CHECK(absl::IsDataLoss(damaged.status()));
  CHECK(std::string(damaged.status().message()).find("spec.txtpb") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder.path() / "other"));
  CHECK(absl::IsFailedPrecondition(
      Restore(folder.path() / "none", {.folder = folder.path() / "other"}).status()));
  CHECK(absl::IsFailedPrecondition(
      BackUp({.folder = folder.path() / "none"}, folder.path() / "b2").status()));
}

STORE_CASE("a backup follows what is removed meanwhile, and is refused where a file is lost") {
  auto store = backend.Open();
  const auto add = [&](const std::string& id) {
    const v1::Experiment experiment = CreateSmall(store.get(), id);
    Lead(store.get(), experiment.name(), S::STATE_RUNNING);
    for (uint32_t step : {1u, 2u}) {
      const auto info = WriteCheckpoint(store->files.CheckpointFolder(experiment.uid()),
                                        {.experiment_uid = experiment.uid(),
                                         .outer_step = step,
                                         .spec_hash = "s",
                                         .build = "b",
                                         .sections = {{"weights", "w"}}});
      REQUIRE(store->results.RecordOuterStep(experiment.uid(), {.step = step, .checkpoint = *info})
                  .ok());
    }
    return experiment;
  };
  const v1::Experiment stays = add("stays"), goes = add("goes");
  REQUIRE(store->records.Transition(goes.name(), {S::STATE_RUNNING}, S::STATE_FAILED).ok());
  const auto remove = [&](uint32_t step) {
    return RemoveCheckpoint(store->files.CheckpointFolder(stays.uid()), step);
  };
  const TempFolder folder;
  const StoreOptions source{.folder = store->files.folder(), .database = backend.database()};
  // Between its two parts, an experiment is deleted and retention removes a checkpoint.
  REQUIRE(failpoint::Arm("store.backup.before_files=1:sleep(1000)").ok());
  absl::StatusOr<BackupSummary> made;
  std::thread backup([&] { made = BackUp(source, folder.path() / "backup"); });
  while (failpoint::Hits()["store.backup.before_files"] == 0) std::this_thread::yield();
  REQUIRE(store->records.Delete(goes.name(), "").ok());
  REQUIRE(store->results.ReleaseCheckpoints(stays.uid(), {1}).ok());
  REQUIRE(remove(1).ok());
  backup.join();
  REQUIRE(failpoint::Arm("").ok());
  INFO(made.status().ToString());
  REQUIRE(made.ok());
  CHECK(made->experiments == 1);
  const StoreOptions restored{.folder = folder.path() / "state", .database = backend.fresh()};
  REQUIRE(Restore(folder.path() / "backup", restored).ok());
  auto again = OpenStore(restored);
  REQUIRE(again.ok());
  CHECK(absl::IsNotFound((*again)->records.Get(goes.name()).status()));
  const auto rows = (*again)->results.Checkpoints(stays.uid());
  REQUIRE(rows->size() == 1);
  CHECK(rows->front().outer_step == 2);

  // Without anybody's doing.
  REQUIRE(remove(2).ok());
  const absl::Status lost = BackUp(source, folder.path() / "lost").status();
  CHECK(absl::IsDataLoss(lost));
  CHECK(std::string(lost.message()).find("00000002.ckpt is missing") != std::string::npos);
  CHECK(absl::IsFailedPrecondition(
      Restore(folder.path() / "lost", {.folder = folder.path() / "other"}).status()));
}

TEST_CASE("store conformance: SQLite", "[conformance]") {
  for (const Case& each : Cases()) {
    DYNAMIC_SECTION(each.name) {
      Backend backend("");
      each.run(backend);
    }
  }
}

TEST_CASE("store conformance: PostgreSQL", "[conformance]") {
  static const std::unique_ptr<PostgresServer> server = PostgresServer::Start();
  if (server == nullptr) {
    WARN("skipped: PostgreSQL is not installed");
    return;
  }
  for (const Case& each : Cases()) {
    DYNAMIC_SECTION(each.name) {
      Backend backend(server->NewDatabase(), [] { return server->NewDatabase(); });
      each.run(backend);
    }
  }
  SECTION("a database has one owner") {
    Backend backend(server->NewDatabase());
    const auto store = backend.Open();
    const TempFolder other;
    const auto second = OpenStore({.folder = other.path(), .database = backend.database()});
    CHECK(ReasonOf(second.status()) == "IN_USE");
    CHECK(std::string(second.status().message()).find("in use by another meta-learner") !=
          std::string::npos);
  }
  SECTION("who stands by sees the leader, reads what it commits, and takes over when it stops") {
    Backend backend(server->NewDatabase());
    const StoreOptions shared{.folder = backend.folder(),
                              .database = backend.database(),
                              .advertise = "leader.example:1",
                              .try_only = true};
    CHECK(absl::IsUnavailable(OpenStoreToRead(shared).status()));  // There is nothing yet.
    std::atomic<int> lost = 0;
    StoreOptions first_options = shared;
    first_options.on_lost = [&lost](const absl::Status&) { ++lost; };
    auto first = OpenStore(first_options).value();
    LeaseWatch watch(backend.database());
    const Lease lease = watch.Look().value();
    CHECK((lease.held && lease.beats));
    CHECK(lease.leader == "leader.example:1");
    CHECK(ReasonOf(OpenStore(shared).status()) == "IN_USE");

    const v1::Experiment one = CreateSmall(first.get(), "one");
    const auto reading = OpenStoreToRead(shared).value();
    CHECK(reading->records.Get(one.name())->SerializeAsString() ==
          first->records.Get(one.name())->SerializeAsString());
    CHECK(ReasonOf(reading->records.Create(SmallExperiment("two")).status()) == "NOT_LEADER");
    CHECK(ReasonOf(reading->Leads()) == "NOT_LEADER");
    CHECK(first->Leads().ok());

    // Does as a standby does once the beats have stopped.
    const auto admin = sql::ConnectPostgres(backend.database()).value();
    REQUIRE(
        admin
            ->Execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE " + sql::HoldsTheLock())
            .ok());
    absl::StatusOr<std::unique_ptr<Store>> second = OpenStore(shared);
    for (int i = 0; i < 100 && !second.ok(); ++i) {
      REQUIRE(admin->Execute("SELECT pg_sleep(0.1)").ok());
      second = OpenStore(shared);
    }
    REQUIRE(second.ok());
    // A change that the first one was about to make, and its next beat.
    CHECK_FALSE(first->records.Transition(one.name(), {S::STATE_QUEUED}, S::STATE_PAUSED).ok());
    for (int i = 0; i < 100 && lost == 0; ++i) REQUIRE(admin->Execute("SELECT pg_sleep(0.1)").ok());
    CHECK(lost >= 1);
    CHECK(ReasonOf(first->Leads()) == "NOT_LEADER");
    CHECK(watch.Look()->number == lease.number + 1);
    CHECK((*second)->Leads().ok());
    CHECK((*second)->records.Get(one.name())->state() == S::STATE_QUEUED);
    CHECK(CreateSmall(second->get(), "two").state() == S::STATE_QUEUED);
    first.reset();  // Takes nothing with it.
    CHECK((*second)->records.Transition(one.name(), {S::STATE_QUEUED}, S::STATE_PAUSED).ok());
  }
  SECTION("the version before leads, and one that stands by leaves it alone") {
    Backend backend(server->NewDatabase());
    backend.Open().reset();
    // All that it knows of: the lock, and the number.
    const auto older = sql::ConnectPostgres(backend.database()).value();
    REQUIRE(older->Execute("SELECT pg_advisory_lock(120282412248946)").ok());
    REQUIRE(older->Execute("UPDATE fence SET number = number + 1").ok());
    LeaseWatch watch(backend.database());
    const Lease lease = watch.Look().value();
    CHECK(lease.held);
    CHECK_FALSE(lease.beats);
  }
  SECTION("a folder belongs to one database") {
    Backend backend(server->NewDatabase());
    backend.Open().reset();
    const auto other =
        OpenStore({.folder = backend.folder(), .database = server->NewDatabase()}).status();
    CHECK(absl::IsFailedPrecondition(other));
    CHECK(std::string(other.message()).find("belongs to another database") != std::string::npos);
    CHECK(backend.Open() != nullptr);
  }
  SECTION("a server that goes away is UNAVAILABLE, and used again when it is back") {
    Backend backend(server->NewDatabase());
    const auto store = backend.Open();
    const v1::Experiment one = CreateSmall(store.get(), "one");
    server->Stop();
    CHECK(absl::IsUnavailable(store->records.Get(one.name()).status()));
    CHECK(absl::IsUnavailable(
        store->records.Transition(one.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).status()));
    server->Restart();
    CHECK(store->records.Get(one.name())->state() == S::STATE_QUEUED);
    CHECK(store->records.Transition(one.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  }
  // Ends every session of the database, as an operator or a proxy would.
  const auto cut = [&](const std::string& address) {
    const std::string name =
        address.substr(address.rfind('/', address.find('?')) + 1,
                       address.find('?') - address.rfind('/', address.find('?')) - 1);
    const auto operator_ = meta_learner::sql::OpenPostgres(server->Address("postgres"), true);
    REQUIRE(operator_.ok());
    REQUIRE(
        (*operator_)
            ->Execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" +
                      name + "'")
            .ok());
  };
  SECTION("connections that are cut are made again") {
    Backend backend(server->NewDatabase());
    const auto store = backend.Open();
    const v1::Experiment one = CreateSmall(store.get(), "one");
    cut(backend.database());
    static_cast<void>(store->records.Get(one.name()));  // The first ones hear of it.
    static_cast<void>(store->records.Transition(one.name(), {S::STATE_RUNNING}, S::STATE_PAUSING));
    CHECK(store->records.Get(one.name())->state() == S::STATE_QUEUED);
    CHECK(store->records.Transition(one.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  }
  SECTION("under random cuts, restarts and takeovers one writes, and keeps what it confirmed") {
    constexpr int kContenders = 3;
    // Counted over all seeds: the number of one seed depends on when its cut sessions end.
    int takeovers = 0;
    size_t all_confirmed = 0;
    for (const uint64_t seed : {1u, 2u, 3u, 4u}) {
      INFO("seed " << seed);
      Backend backend(server->NewDatabase());
      const RandomStream random{.seed = seed};
      std::array<std::unique_ptr<Store>, kContenders> stores;
      std::optional<size_t> leader;  // The last one to open leads; all others are deposed.
      std::set<std::string> confirmed, tried;
      for (uint32_t step = 0; step < 60; ++step) {
        const size_t who = random.Below(kContenders, step, 0);
        const uint64_t what = random.Below(20, step, 1);
        INFO("step " << step << ": " << what << " by " << who);
        if (what < 10) {
          if (stores[who] == nullptr) continue;
          const std::string id = absl::StrCat("e-", step);
          tried.insert(id);
          const auto made = stores[who]->records.Create(SmallExperiment(id));
          if (made.ok()) {
            CHECK(leader == who);
            confirmed.insert(id);
          } else if (leader == who) {
            CHECK(absl::IsUnavailable(made.status()));  // It tries again.
          }
        } else if (what < 16) {
          // The process ends, or a new one begins.
          stores[who].reset();
          auto store = OpenStore(
              {.folder = backend.folder(), .database = backend.database(), .try_only = true});
          if (!store.ok()) continue;
          stores[who] = *std::move(store);
          takeovers += leader != who ? 1 : 0;
          leader = who;
        } else if (what < 19) {
          cut(backend.database());
        } else {
          server->Restart();
        }
      }
      all_confirmed += confirmed.size();
      for (auto& store : stores) store.reset();
      const auto after = backend.Open();
      std::set<std::string> there;
      for (const std::string& name : Names(after->records.List({.key = "x"})->experiments)) {
        CHECK(there.insert(name).second);
        CHECK(tried.contains(name));
      }
      CHECK(std::includes(there.begin(), there.end(), confirmed.begin(), confirmed.end()));
    }
    CHECK(takeovers >= 12);
    CHECK(all_confirmed >= 16);
  }
  SECTION("who came while the connection was cut writes alone (D2)") {
    Backend backend(server->NewDatabase());
    const TempFolder first_folder, second_folder;
    std::atomic<int> lost = 0;
    const auto open = [&](const TempFolder& folder) {
      auto store = OpenStore({.folder = folder.path(),
                              .database = backend.database(),
                              .on_lost = [&lost](const absl::Status&) { ++lost; }});
      INFO(store.status());
      REQUIRE(store.ok());
      return *std::move(store);
    };
    const auto first = open(first_folder);
    const v1::Experiment one = CreateSmall(first.get(), "one");
    cut(backend.database());
    auto second = open(second_folder);
    const auto try_to_write = [&] {
      absl::Status status;
      for (int i = 0; i < 2; ++i) {  // The first try hears of the cut.
        status =
            first->records.Transition(one.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).status();
      }
      return status;
    };
    // While the other one has the lock, and after it has gone.
    CHECK(ReasonOf(try_to_write()) == "IN_USE");
    CHECK(lost >= 1);
    CHECK(second->records.Get(one.name())->state() == S::STATE_QUEUED);
    CHECK(CreateSmall(second.get(), "two").state() == S::STATE_QUEUED);
    second.reset();
    CHECK(ReasonOf(try_to_write()) == "IN_USE");
    CHECK(open(second_folder)->records.Get(one.name())->state() == S::STATE_QUEUED);
  }
  SECTION("addresses that cannot be used say why") {
    const TempFolder folder;
    const auto open = [&](const std::string& address) {
      return std::string(
          OpenStore({.folder = folder.path(), .database = address}).status().message());
    };
    CHECK(open("postgresql://mentor:secret@/x").find("PGPASSFILE") != std::string::npos);
    CHECK(open("postgresql://mentor:secret@/x").find("secret") == std::string::npos);
    CHECK(open("postgresql://x?y=z").find("postgresql://USER@HOST:PORT/DATABASE") !=
          std::string::npos);
    CHECK(open(server->Address("nowhere")).find("nowhere") != std::string::npos);
  }
}

}  // namespace mentor::TEST_FILE
