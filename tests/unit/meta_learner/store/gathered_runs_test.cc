#include "meta_learner/store/gathered_runs.h"

#include <map>
#include <set>

#include "common/file.h"
#include "meta_learner/store/database.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

using namespace mentor::meta_learner;
using mentor::testing::StartSmall;
using mentor::testing::TempFolder;
using S = v1::Experiment;

// A run that was stopped after outer update 1. Returns its UID.
std::string MakeRun(const std::filesystem::path& folder) {
  const auto store = OpenStore(folder).value();
  const v1::Experiment experiment = StartSmall(store.get(), "run");
  REQUIRE(store->results.RecordPoints(experiment.uid(), 1, {{"score", 0.5}}, {}).ok());
  REQUIRE(WriteFileAtomically(store->files.ExperimentFolder(experiment.uid()) / "log.jsonl", "{}")
              .ok());
  return experiment.uid();
}

// Contents by path.
std::map<std::string, std::string> FilesOf(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      files[entry.path().lexically_relative(folder)] = ReadFile(entry.path(), 1 << 24).value();
  }
  return files;
}

struct Fixture {
  Fixture() : store(OpenStore(folder.path() / "copy").value()), runs(store.get()) {}
  std::filesystem::path run(const std::string& name) const { return folder.path() / name; }

  const TempFolder folder;
  const std::unique_ptr<Store> store;
  GatheredRuns runs;
};

TEST_CASE("gathered runs: folders at rest are copied and stay as they are", "[unit]") {
  Fixture fixture;
  const std::string uid = MakeRun(fixture.run("A_1"));
  MakeRun(fixture.run("b"));
  MakeRun(fixture.run("c"));
  const auto before = FilesOf(fixture.run("A_1"));
  REQUIRE(fixture.runs.Add(fixture.run("A_1"), "A_1").ok());
  REQUIRE(fixture.runs.Add(fixture.run("b"), "a-1").ok());
  REQUIRE(fixture.runs.Add(fixture.run("c"), "7 seas-").ok());
  REQUIRE(fixture.runs.Look().ok());
  CHECK(FilesOf(fixture.run("A_1")) == before);

  const auto experiments = fixture.store->records.ReadSnapshot({})->experiments;
  REQUIRE(experiments.size() == 3);
  CHECK(experiments[0].name() == "experiments/a-1");
  CHECK(experiments[1].name() == "experiments/a-1-2");
  CHECK(experiments[2].name() == "experiments/run-7-seas");
  CHECK(experiments[0].uid() == uid);
  // Nothing works on it.
  CHECK(experiments[0].state() == S::STATE_PAUSED);
  CHECK(experiments[0].progress().seconds_left() == -1);
  CHECK(experiments[0].spec().rule().outer_updates() == 5);
  const auto points = fixture.store->results.Points(uid).value();
  CHECK(points.at("score") == Series{{1, 0.5}});
  CHECK(ReadFile(fixture.store->files.ExperimentFolder(uid) / "log.jsonl", 10).value() == "{}");
}

TEST_CASE("gathered runs: what another process writes is taken over", "[unit]") {
  Fixture fixture;
  const std::string uid = MakeRun(fixture.run("a"));
  REQUIRE(fixture.runs.Add(fixture.run("a"), "a").ok());
  const int64_t revision = fixture.store->records.Revision().value();
  {
    const auto other = OpenStore(fixture.run("a")).value();
    REQUIRE(other->results.RecordPoints(uid, 1, {{"late", 2}}, {}).ok());
    REQUIRE(other->results.RecordPoints(uid, 2, {{"score", 0.75}}, {}).ok());
    REQUIRE(fixture.runs.Look().ok());
    CHECK(fixture.store->records.Get("experiments/a")->state() == S::STATE_RUNNING);
    const auto points = fixture.store->results.Points(uid).value();
    CHECK(points.at("score") == Series{{1, 0.5}, {2, 0.75}});
    CHECK(points.at("late") == Series{{1, 2}});
    const auto events = fixture.store->records.Events(revision, 10).value();
    REQUIRE(events.size() == 1);
    CHECK(events[0].kind == StoreEvent::Kind::kUpdated);
    CHECK(events[0].experiment.name() == "experiments/a");
    REQUIRE(
        other->records.Transition("experiments/run", {S::STATE_RUNNING}, S::STATE_SUCCEEDED).ok());
  }
  REQUIRE(fixture.runs.Look().ok());
  CHECK(fixture.store->records.Get("experiments/a")->state() == S::STATE_SUCCEEDED);
  // Nothing is copied where nothing has changed.
  const int64_t end = fixture.store->records.Revision().value();
  REQUIRE(fixture.runs.Look().ok());
  CHECK(fixture.store->records.Revision().value() == end);
}

TEST_CASE("gathered runs: what cannot be shown is refused by name", "[unit]") {
  Fixture fixture;
  MakeRun(fixture.run("a"));
  REQUIRE(fixture.runs.Add(fixture.run("a"), "a").ok());
  const auto refused = [&](const std::string& name, absl::StatusCode code, const char* word) {
    const absl::Status status = fixture.runs.Add(fixture.run(name), name);
    CHECK(status.code() == code);
    CHECK(status.message().find(fixture.run(name).string()) != std::string::npos);
    CHECK(status.message().find(word) != std::string::npos);
  };
  refused("nowhere", absl::StatusCode::kNotFound, "does not exist");
  std::filesystem::create_directory(fixture.run("empty"));
  refused("empty", absl::StatusCode::kNotFound, "is not a run");
  std::filesystem::copy(fixture.run("a"), fixture.run("copy-of-a"),
                        std::filesystem::copy_options::recursive);
  refused("copy-of-a", absl::StatusCode::kAlreadyExists, "one is a copy of the other");
  MakeRun(fixture.run("old"));
  {
    const auto database = sql::OpenSqlite(fixture.run("old") / "mentor.db", false).value();
    REQUIRE(database->SetSchemaVersion(1).ok());
  }
  refused("old", absl::StatusCode::kFailedPrecondition, "mentor report");
  CHECK(fixture.store->records.ReadSnapshot({})->experiments.size() == 1);
}

}  // namespace mentor::TEST_FILE
