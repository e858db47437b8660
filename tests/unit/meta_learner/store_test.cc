#include "meta_learner/store/store.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>
#include <thread>

#include <sys/stat.h>

#include "common/file.h"
#include "common/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "meta_learner/store/sqlite.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

using namespace mentor;
using namespace mentor::meta_learner;
using mentor::testing::TempFolder;
using S = v1::Experiment;

namespace {

std::unique_ptr<ExperimentStore> Open(const std::filesystem::path& folder) {
  auto store = OpenStore(folder);
  INFO(store.status().ToString());
  REQUIRE(store.ok());
  return *std::move(store);
}

NewExperiment Small(const std::string& id = "") {
  return {.spec = *LoadSpec("benchmark { name: 'point_reach' } rule { outer_updates: 5 }"),
          .id = id};
}

v1::Experiment Create(ExperimentStore* store, const std::string& id) {
  const auto experiment = store->Create(Small(id));
  INFO(experiment.status().ToString());
  REQUIRE(experiment.ok());
  return *experiment;
}

// Leads an experiment from QUEUED to a state.
void Lead(ExperimentStore* store, const std::string& name, State to) {
  const auto step = [&](State from, State next) {
    REQUIRE(store->Transition(name, {from}, next).ok());
  };
  switch (to) {
    case S::STATE_QUEUED:
      return;
    case S::STATE_RUNNING:
    case S::STATE_PAUSED:
      return step(S::STATE_QUEUED, to);
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

const std::vector<State> kStates = {S::STATE_QUEUED,     S::STATE_RUNNING,   S::STATE_PAUSED,
                                    S::STATE_CANCELLING, S::STATE_CANCELLED, S::STATE_SUCCEEDED,
                                    S::STATE_FAILED};

}  // namespace

TEST_CASE("store: a new folder gets the documented layout", "[unit]") {
  const TempFolder folder;
  const auto state = folder.path() / "a/state";
  const auto store = Open(state);
  struct stat info;
  REQUIRE(stat(state.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
  CHECK(*ReadFile(state / "FORMAT", 100) == "mentor-state 1\n");
  for (const char* name : {"LOCK", "mentor.db", "experiments"})
    CHECK(std::filesystem::exists(state / name));

  const v1::Experiment experiment = Create(store.get(), "one");
  CHECK(std::filesystem::is_directory(store->ExperimentFolder(experiment.uid())));
  REQUIRE(store->Transition(experiment.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  const auto own = store->ExperimentFolder(experiment.uid());
  CHECK(own == state / "experiments" / experiment.uid());
  CHECK(store->CheckpointFolder(experiment.uid()) == own / "checkpoints");
  CHECK(std::filesystem::is_directory(own / "checkpoints"));
  CHECK(std::filesystem::is_directory(own / "artifacts"));
  const auto submitted = LoadSpec(*ReadFile(own / "spec.txtpb", 10000));
  const auto merged = LoadSpec(*ReadFile(own / "merged.txtpb", 10000));
  CHECK_FALSE(submitted->agent().has_epochs());
  CHECK(merged->agent().has_epochs());
  CHECK(SpecHash(*submitted) == SpecHash(*merged));
}

TEST_CASE("store: a created experiment has every field, and is still there after opening again",
          "[unit]") {
  const TempFolder folder;
  auto store = Open(folder.path());
  const v1::Experiment made = Create(store.get(), "one");
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
  store = Open(folder.path());
  CHECK(store->Get("experiments/one")->SerializeAsString() == made.SerializeAsString());
}

TEST_CASE("store: ids are made when missing, unique when given", "[unit]") {
  const TempFolder folder;
  const auto store = Open(folder.path());
  const v1::Experiment first = *store->Create(Small()), second = *store->Create(Small());
  CHECK(first.name() == "experiments/exp-" + UuidBase32(first.uid(), 10));
  CHECK(first.name() != second.name());
  Create(store.get(), "one");
  const auto again = store->Create(Small("one"));
  CHECK(again.status().code() == absl::StatusCode::kAlreadyExists);
  CHECK(ReasonOf(again.status()) == "ALREADY_EXISTS");
  CHECK(MetadataOf(again.status(), "name") == "experiments/one");
}

TEST_CASE("store: a repeated request gets its first answer, also after opening again", "[unit]") {
  const TempFolder folder;
  auto store = Open(folder.path());
  NewExperiment request = Small("one");
  request.request_id = NewUuid();
  request.request_hash = "h1";
  const v1::Experiment first = *store->Create(request);
  REQUIRE(store->Transition(first.name(), {S::STATE_QUEUED}, S::STATE_CANCELLED).ok());
  CHECK(store->Create(request)->SerializeAsString() ==
        first.SerializeAsString());  // Although it has changed.
  store.reset();
  store = Open(folder.path());
  CHECK(store->Create(request)->SerializeAsString() == first.SerializeAsString());
  NewExperiment other = request;
  other.request_hash = "h2";
  const auto refused = store->Create(other);
  CHECK(refused.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(ReasonOf(refused.status()) == "REQUEST_ID_REUSED");
  CHECK(store->List(0, "")->experiments.size() == 1);
}

TEST_CASE("store: unknown names", "[unit]") {
  const TempFolder folder;
  const auto store = Open(folder.path());
  for (const char* name : {"experiments/none", "one", "experiments/", "", "experiments/a/b"}) {
    const auto missing = store->Get(name);
    CHECK(missing.status().code() == absl::StatusCode::kNotFound);
    CHECK(ReasonOf(missing.status()) == "NOT_FOUND");
    CHECK(store->Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING).status().code() ==
          absl::StatusCode::kNotFound);
  }
  CHECK(store->RecordOuterStep("none", {}).code() == absl::StatusCode::kNotFound);
}

TEST_CASE("store: pages hold each experiment once, by name", "[unit]") {
  const TempFolder folder;
  const auto store = Open(folder.path());
  CHECK(store->List(0, "")->experiments.empty());
  for (const char* id : {"d", "a", "c", "b", "e"}) Create(store.get(), id);
  std::vector<std::string> names;
  std::string token;
  int pages = 0;
  do {
    const auto page = store->List(2, token);
    REQUIRE(page.ok());
    for (const auto& experiment : page->experiments) names.push_back(experiment.name());
    token = page->next_page_token;
    // One that sorts before the pages to come, one after all: neither disturbs.
    if (++pages == 1) Create(store.get(), "aa");
  } while (!token.empty());
  CHECK(pages == 3);
  CHECK(names == std::vector<std::string>{"experiments/a", "experiments/b", "experiments/c",
                                          "experiments/d", "experiments/e"});
  CHECK(store->List(6, "")->next_page_token.empty());
  CHECK(store->List(-1, "").status().code() == absl::StatusCode::kInvalidArgument);
  for (const std::string& bad : std::vector<std::string>{"x", "!!", "YQ", std::string(5000, 'a')}) {
    CHECK(ReasonOf(store->List(2, bad).status()) == "PAGE_TOKEN_MISMATCH");
  }
}

TEST_CASE("store: every pair of states, legal or refused", "[unit]") {
  const TempFolder folder;
  const auto store = Open(folder.path());
  int number = 0, legal = 0;
  for (const State from : kStates) {
    for (const State to : kStates) {
      if (!IsLegalTransition(from, to)) continue;
      const std::string name = Create(store.get(), "e" + std::to_string(++number)).name();
      Lead(store.get(), name, from);
      INFO(StateText(from) << " to " << StateText(to));
      const auto moved = store->Transition(name, {from}, to, "why");
      REQUIRE(moved.ok());
      ++legal;
      CHECK(moved->state() == to);
      CHECK(moved->SerializeAsString() == store->Get(name)->SerializeAsString());
      CHECK(moved->has_end_time() == IsFinal(to));
      CHECK(moved->error() == (to == S::STATE_FAILED || to == S::STATE_PAUSED ? "why" : ""));
    }
  }
  CHECK(legal == 12);
  // From another state than the one named: refused with both, and nothing changes.
  for (const State in : kStates) {
    const std::string name = Create(store.get(), "f" + std::to_string(++number)).name();
    Lead(store.get(), name, in);
    const State from = in == S::STATE_RUNNING ? S::STATE_QUEUED : S::STATE_RUNNING;
    const State to = in == S::STATE_RUNNING ? S::STATE_RUNNING : S::STATE_SUCCEEDED;
    const std::string before = store->Get(name)->SerializeAsString();
    const auto refused = store->Transition(name, {from}, to);
    CHECK(refused.status().code() == absl::StatusCode::kFailedPrecondition);
    CHECK(ReasonOf(refused.status()) == "ILLEGAL_TRANSITION");
    CHECK(MetadataOf(refused.status(), "state") == std::string(StateText(in)));
    CHECK(store->Get(name)->SerializeAsString() == before);
  }
}

TEST_CASE("store: final states have no way out", "[unit]") {
  for (const State from : kStates) {
    for (const State to : kStates) {
      if (IsFinal(from)) CHECK_FALSE(IsLegalTransition(from, to));
    }
  }
}

TEST_CASE("store: the start time is that of the first run", "[unit]") {
  const TempFolder folder;
  const auto store = Open(folder.path());
  const std::string name = Create(store.get(), "one").name();
  const auto first = store->Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING);
  REQUIRE(first->has_start_time());
  REQUIRE(store->Transition(name, {S::STATE_RUNNING}, S::STATE_PAUSED, "asked").ok());
  REQUIRE(store->Transition(name, {S::STATE_PAUSED}, S::STATE_QUEUED).ok());
  const auto second = store->Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING);
  CHECK(second->start_time().SerializeAsString() == first->start_time().SerializeAsString());
  CHECK(second->error().empty());
  CHECK(second->etag() != first->etag());
}

TEST_CASE("store: the queue is in order of creation", "[unit]") {
  const TempFolder folder;
  const auto store = Open(folder.path());
  for (const char* id : {"c", "a", "b", "d"}) Create(store.get(), id);
  REQUIRE(store->Transition("experiments/a", {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  REQUIRE(store->Transition("experiments/d", {S::STATE_QUEUED}, S::STATE_CANCELLED).ok());
  const auto queued = store->InStates({S::STATE_QUEUED});
  REQUIRE(queued->size() == 2);
  CHECK((*queued)[0].name() == "experiments/c");
  CHECK((*queued)[1].name() == "experiments/b");
  CHECK(store->InStates({S::STATE_QUEUED, S::STATE_RUNNING})->size() == 3);
  CHECK(store->InStates({})->empty());
  CHECK(*store->CountByState() == std::map<State, int64_t>{{S::STATE_QUEUED, 2},
                                                           {S::STATE_RUNNING, 1},
                                                           {S::STATE_CANCELLED, 1}});
}

TEST_CASE("store: an outer step leaves points, checkpoint and progress together", "[unit]") {
  const TempFolder folder;
  auto store = Open(folder.path());
  const v1::Experiment experiment = Create(store.get(), "one");
  const std::string uid = experiment.uid();
  OuterStep step{
      .step = 1, .results = {{"seg2", 0.25}, {"odd", std::nan("")}}, .timings = {{"wall", 1.5}}};
  CHECK(ReasonOf(store->RecordOuterStep(uid, step)) == "ILLEGAL_TRANSITION");  // Still QUEUED.
  REQUIRE(store->Transition(experiment.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  step.checkpoint = CheckpointInfo{
      .path = "", .outer_step = 1, .size_bytes = 10, .sha256 = "s", .state_hash = "h"};
  step.progress.set_outer_updates(1);
  REQUIRE(store->RecordOuterStep(uid, step).ok());
  step.step = 2;
  step.results = {{"seg2", -0.0}};
  step.checkpoint.reset();
  step.progress.set_outer_updates(2);
  REQUIRE(store->RecordOuterStep(uid, step).ok());
  CHECK(store->Get(experiment.name())->progress().outer_updates() == 2);

  store.reset();
  store = Open(folder.path());
  CHECK(store->Get(experiment.name())->progress().outer_updates() == 2);
  const auto points = store->Points(uid);
  REQUIRE(points->size() == 3);
  CHECK(points->at("seg2") == Series{{1, 0.25}, {2, 0.0}});
  CHECK(std::isnan(points->at("odd")[0].second));
  CHECK(points->at("wall").size() == 2);
  const auto checkpoints = store->Checkpoints(uid);
  REQUIRE(checkpoints->size() == 1);
  CHECK((*checkpoints)[0].outer_step == 1);
  CHECK((*checkpoints)[0].state_hash == "h");
  CHECK((*checkpoints)[0].path == store->CheckpointFolder(uid) / "00000001.ckpt");

  REQUIRE(store->Transition(experiment.name(), {S::STATE_RUNNING}, S::STATE_SUCCEEDED).ok());
  CHECK(ReasonOf(store->RecordOuterStep(uid, step)) == "ILLEGAL_TRANSITION");
  CHECK(ReasonOf(store->RecordPoints(uid, 3, {{"late", 1}}, {})) == "ILLEGAL_TRANSITION");
  CHECK(store->Points(uid)->size() == 3);
}

TEST_CASE("store: a replay with other results is counted, other timings are not", "[unit]") {
  const TempFolder folder;
  const auto store = Open(folder.path());
  const v1::Experiment experiment = Create(store.get(), "one");
  REQUIRE(store->Transition(experiment.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  OuterStep step{
      .step = 1,
      .results = {{"a", 0.1}, {"b", std::nan("")}, {"c", std::numeric_limits<double>::infinity()}},
      .timings = {{"wall", 1}}};
  REQUIRE(store->RecordOuterStep(experiment.uid(), step).ok());
  step.timings["wall"] = 2;
  step.results["new"] = 7;
  REQUIRE(store->RecordOuterStep(experiment.uid(), step).ok());
  CHECK(store->replay_mismatches() == 0);
  step.results["a"] = std::nextafter(0.1, 1);
  REQUIRE(store->RecordOuterStep(experiment.uid(), step).ok());
  CHECK(store->replay_mismatches() == 1);
  CHECK(store->Points(experiment.uid())->at("wall") == Series{{1, 2}});
  REQUIRE(store->RecordPoints(experiment.uid(), 1, {{"b", 0}}, {}).ok());
  CHECK(store->replay_mismatches() == 2);
}

TEST_CASE("store: the index of checkpoints follows the folder", "[unit]") {
  const TempFolder folder;
  const auto store = Open(folder.path());
  const v1::Experiment experiment = Create(store.get(), "one");
  const auto info = [](uint32_t step) {
    return CheckpointInfo{
        .path = "", .outer_step = step, .size_bytes = 1, .sha256 = "s", .state_hash = "h"};
  };
  const auto steps = [&] {
    std::vector<uint32_t> found;
    const auto rows = store->Checkpoints(experiment.uid());
    for (const CheckpointInfo& row : *rows) found.push_back(row.outer_step);
    return found;
  };
  REQUIRE(
      store->ReconcileCheckpoints(experiment.uid(), {1, 2, 3}, {info(1), info(2), info(3)}).ok());
  CHECK(steps() == std::vector<uint32_t>{1, 2, 3});
  REQUIRE(store->ReconcileCheckpoints(experiment.uid(), {2, 3, 4}, {info(4)})
              .ok());  // 1 is gone, 4 had no row.
  CHECK(steps() == std::vector<uint32_t>{2, 3, 4});
  REQUIRE(store->ReconcileCheckpoints(experiment.uid(), {}, {}).ok());
  CHECK(steps().empty());
}

TEST_CASE("store: progress is seen at once, kept by the next durable change, and gone in the end",
          "[unit]") {
  const TempFolder folder;
  auto store = Open(folder.path());
  const std::string name = Create(store.get(), "one").name();
  v1::Progress progress;
  progress.set_env_steps(77);
  REQUIRE(store->SetProgress(name, "meta-training", progress).ok());
  CHECK(store->Get(name)->activity().empty());  // QUEUED: nothing goes on.
  REQUIRE(store->Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  REQUIRE(store->SetProgress(name, "meta-training", progress).ok());
  CHECK(store->Get(name)->activity() == "meta-training");
  CHECK(store->Get(name)->progress().env_steps() == 77);
  CHECK(store->List(0, "")->experiments[0].activity() == "meta-training");
  REQUIRE(store->Transition(name, {S::STATE_RUNNING}, S::STATE_SUCCEEDED).ok());
  CHECK(store->Get(name)->activity().empty());
  store.reset();
  store = Open(folder.path());
  CHECK(store->Get(name)->progress().env_steps() == 77);
  CHECK(store->SetProgress("experiments/none", "x", progress).code() ==
        absl::StatusCode::kNotFound);
}

TEST_CASE("store: subscribers hear of each change and may read, until they are gone", "[unit]") {
  const TempFolder folder;
  const auto store = Open(folder.path());
  std::vector<std::string> heard;
  auto subscription = store->Subscribe([&](const std::string& name) {
    heard.push_back(name + " " + std::string(StateText(store->Get(name)->state())));
  });
  const v1::Experiment experiment = Create(store.get(), "one");
  REQUIRE(store->Transition(experiment.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  REQUIRE(store->SetProgress(experiment.name(), "x", {}).ok());
  REQUIRE(store->RecordOuterStep(experiment.uid(), {.step = 1}).ok());
  CHECK_FALSE(store->Transition(experiment.name(), {S::STATE_QUEUED}, S::STATE_RUNNING)
                  .ok());  // No change.
  CHECK(heard == std::vector<std::string>{"experiments/one QUEUED", "experiments/one RUNNING",
                                          "experiments/one RUNNING", "experiments/one RUNNING"});
  subscription.reset();
  REQUIRE(store->Transition(experiment.name(), {S::STATE_RUNNING}, S::STATE_FAILED).ok());
  CHECK(heard.size() == 4);
}

TEST_CASE("store: threads that race for one transition, one wins", "[unit]") {
  const TempFolder folder;
  const auto store = Open(folder.path());
  for (int round = 0; round < 10; ++round) {
    const std::string name = Create(store.get(), "r" + std::to_string(round)).name();
    std::atomic<int> won = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        const State to = i % 2 == 0 ? S::STATE_RUNNING : S::STATE_CANCELLED;
        if (store->Transition(name, {S::STATE_QUEUED}, to).ok()) ++won;
        store->List(0, "").IgnoreError();
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(won == 1);
  }
}

TEST_CASE("store: concurrent creates with one request id make one experiment", "[unit]") {
  const TempFolder folder;
  const auto store = Open(folder.path());
  NewExperiment request = Small();
  request.request_id = NewUuid();
  request.request_hash = "h";
  std::vector<std::string> names(8);
  std::vector<std::thread> threads;
  for (auto& name : names) threads.emplace_back([&] { name = store->Create(request)->name(); });
  for (auto& thread : threads) thread.join();
  for (const auto& name : names) CHECK(name == names[0]);
  CHECK(store->List(0, "")->experiments.size() == 1);
}

TEST_CASE("store: a folder has one owner", "[unit]") {
  const TempFolder folder;
  auto store = Open(folder.path());
  OpenError error = OpenError::kNone;
  const auto second = OpenStore(folder.path(), &error);
  CHECK(error == OpenError::kInUse);
  CHECK(second.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(std::string(second.status().message()).find("is in use by a meta-learner (process ") !=
        std::string::npos);
  store.reset();
  CHECK(OpenStore(folder.path(), &error).ok());
  CHECK(error == OpenError::kNone);
}

TEST_CASE("store: folders of a newer program or of something else are left alone", "[unit]") {
  const TempFolder folder;
  OpenError error = OpenError::kNone;
  const auto state = folder.path() / "state";
  Open(state).reset();
  std::ofstream(state / "FORMAT") << "mentor-state 2\n";
  CHECK(std::string(OpenStore(state, &error).status().message())
            .find("is of version 'mentor-state 2'") != std::string::npos);
  CHECK(error == OpenError::kTooNew);
  std::ofstream(state / "FORMAT") << "mentor-state 1\n";
  {
    auto database = sqlite::Database::Open(state / "mentor.db", false);
    REQUIRE((*database)->Execute("PRAGMA user_version=99").ok());
  }
  CHECK(std::string(OpenStore(state, &error).status().message())
            .find("mentor.db is of version 99, this program knows 1") != std::string::npos);
  CHECK(error == OpenError::kTooNew);

  const auto other = folder.path() / "other";
  REQUIRE(MakeFolders(other).ok());
  std::ofstream(other / "thesis.tex") << "precious";
  CHECK(std::string(OpenStore(other, &error).status().message())
            .find("is not empty (it has thesis.tex)") != std::string::npos);
  CHECK(error == OpenError::kOther);

  const auto file = folder.path() / "file";
  std::ofstream(file) << "x";
  CHECK_FALSE(OpenStore(file, &error).ok());
  CHECK(error == OpenError::kOther);
}

TEST_CASE("store: a file that is no database says so", "[unit]") {
  const TempFolder folder;
  Open(folder.path()).reset();
  std::ofstream(folder.path() / "mentor.db", std::ios::trunc) << std::string(10000, 'x');
  const auto store = OpenStore(folder.path());
  CHECK(store.status().code() == absl::StatusCode::kDataLoss);
  CHECK(std::string(store.status().message()).find("restore the state folder from a backup") !=
        std::string::npos);
}
