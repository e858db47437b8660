// Kills a process in the middle of the store's transactions, and fills its disk.
#include <fstream>

#include <sys/mount.h>
#include <unistd.h>

#include "common/file.h"
#include "common/status.h"
#include "meta_learner/store/state_folder.h"
#include "tests/run_child.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

using namespace mentor::meta_learner;
using mentor::testing::RunChild;
using mentor::testing::TempFolder;
using S = v1::Experiment;

NewExperiment Request(int number) {
  NewExperiment request = testing::SmallExperiment("e" + std::to_string(number));
  request.request_id = "request-" + std::to_string(number);
  request.request_hash = "h";
  return request;
}

// Steps of experiment 1, each with a point and a row of a checkpoint.
constexpr uint32_t kSteps = 4;

// The children create three experiments and run the first. They write a line for every call that
// was answered with OK. A later child may repeat everything.
TEST_CASE("store child", "[.child]") {
  const char* folder = std::getenv("MENTOR_TEST_FOLDER");
  if (folder == nullptr) return;
  auto store = OpenStore(std::filesystem::path(folder) / "state");
  REQUIRE(store.ok());
  std::ofstream answered(std::filesystem::path(folder) / "answered", std::ios::app);
  for (int number = 1; number <= 3; ++number) {
    REQUIRE((*store)->records.Create(Request(number)).ok());
    answered << "create " << number << std::endl;
  }
  const std::string uid = (*store)->records.Get("experiments/e1")->uid();
  if ((*store)->records.Get("experiments/e1")->state() == S::STATE_QUEUED) {
    REQUIRE(
        (*store)->records.Transition("experiments/e1", {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  }
  REQUIRE((*store)->files.PrepareFolder(uid).ok());
  answered << "run 1" << std::endl;
  for (uint32_t step = 1; step <= kSteps; ++step) {
    OuterStep outer{.step = step, .results = {{"seg2", 0.1 * step}}};
    outer.checkpoint = CheckpointInfo{
        .path = "", .outer_step = step, .size_bytes = 1, .sha256 = "s", .state_hash = "h"};
    outer.progress.set_outer_updates(step);
    REQUIRE((*store)->results.RecordOuterStep(uid, outer).ok());
    answered << "step " << step << std::endl;
  }
  REQUIRE((*store)->results.replay_mismatches() == 0);
}

TEST_CASE("store: killed at any point, what was answered is there and nothing is there in half",
          "[fault]") {
  const std::vector<std::pair<std::string, int>> points = {{"store.migrate.step", 1},
                                                           {"api.create.before_commit", 1},
                                                           {"api.create.before_commit", 3},
                                                           {"api.create.after_commit", 2},
                                                           {"store.transition.before_commit", 1},
                                                           {"store.write.block", 2},
                                                           {"store.commit.before_db", 2},
                                                           {"store.commit.in_db", 1},
                                                           {"store.commit.in_db", 4},
                                                           {"store.commit.before_ack", 3}};
  for (const auto& [point, hit] : points) {
    INFO(point << " hit " << hit);
    const TempFolder folder;
    const auto log = folder.path() / "log";
    const int status =
        RunChild("store child", {{"MENTOR_TEST_FOLDER", folder.path()},
                                 {"MENTOR_FAILPOINTS", point + "=" + std::to_string(hit) + ":kill"},
                                 {"MENTOR_FAILPOINT_LOG", log}});
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == SIGKILL);
    CHECK(*ReadFile(log, 1000) == point + " " + std::to_string(hit) + " kill\n");

    size_t created = 0, steps = 0;
    std::ifstream answered(folder.path() / "answered");
    std::string verb;
    for (size_t number; answered >> verb >> number;) {
      if (verb == "create") created = number;
      if (verb == "step") steps = number;
    }
    {
      auto store = OpenStore(folder.path() / "state");
      INFO(store.status().ToString());
      REQUIRE(store.ok());
      const auto page = (*store)->records.List({});
      CHECK(page->experiments.size() >= created);
      CHECK(page->experiments.size() <= created + 1);
      if (!page->experiments.empty()) {
        const v1::Experiment& first = page->experiments[0];
        const auto all = (*store)->results.Points(first.uid());
        const size_t points_there = all->empty() ? 0 : all->at("seg2").size();
        CHECK(points_there >= steps);
        CHECK(points_there <= steps + 1);
        // Points, checkpoint row and progress go together.
        CHECK((*store)->results.Checkpoints(first.uid())->size() == points_there);
        CHECK(first.progress().outer_updates() == points_there);
      }
    }
    // A new process repeats everything: it finds the requests again, and replayed steps have equal
    // results.
    CHECK(RunChild("store child", {{"MENTOR_TEST_FOLDER", folder.path()}}) == 0);
    auto store = OpenStore(folder.path() / "state");
    CHECK((*store)->records.List({})->experiments.size() == 3);
    CHECK((*store)
              ->results.Points((*store)->records.Get("experiments/e1")->uid())
              ->at("seg2")
              .size() == kSteps);
  }
}

TEST_CASE(
    "store: what a crash inside of a creation left is no run, and is gone after a start (D14)",
    "[fault]") {
  const TempFolder folder;
  const auto state = folder.path() / "state";
  const auto folders = [&] {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(state / "experiments"))
      found.push_back(entry.path());
    return found;
  };
  // The folder of the first experiment exists, its row does not.
  const int status =
      RunChild("store child", {{"MENTOR_TEST_FOLDER", folder.path()},
                               {"MENTOR_FAILPOINTS", "api.create.before_commit=1:kill"}});
  REQUIRE(WIFSIGNALED(status));
  REQUIRE(folders().size() == 1);
  const auto left = folders()[0];
  CHECK(IsLeftByCreate(left));
  auto store = OpenStore(state);
  REQUIRE(store.ok());
  CHECK(folders().empty());
  // An answered experiment has no mark, even if the mark stayed behind.
  const std::string uid = (*store)->records.Create(Request(1))->uid();
  const auto own = (*store)->files.ExperimentFolder(uid);
  CHECK_FALSE(std::filesystem::exists(own / kNewMark));
  store->reset();
  std::ofstream(own / kNewMark).flush();
  store = OpenStore(state);
  REQUIRE(store.ok());
  CHECK_FALSE(std::filesystem::exists(own / kNewMark));
  CHECK((*store)->records.Get("experiments/e1").ok());
}

TEST_CASE("store: a creation that fails leaves no folder (D14)", "[fault]") {
  const TempFolder folder;
  const auto store = OpenStore(folder.path());
  REQUIRE(store.ok());
  NewExperiment request = Request(1);
  request.fill_folder = [](const std::string&, const std::filesystem::path& own) {
    CHECK(std::filesystem::exists(own / kNewMark));
    return absl::UnavailableError("no");
  };
  CHECK(absl::IsUnavailable((*store)->records.Create(request).status()));
  CHECK(std::filesystem::is_empty(folder.path() / "experiments"));
}

TEST_CASE("store: on a full disk changes fail with the remedy, reads go on, nothing is lost",
          "[fault][root]") {
  const TempFolder folder;
  const auto small = folder.path() / "small";
  REQUIRE(MakeFolders(small).ok());
  if (geteuid() != 0 || mount("tmpfs", small.c_str(), "tmpfs", 0, "size=2m") != 0) {
    WARN("skipped: mounting a small file system needs root");
    return;
  }
  struct Unmount {
    std::filesystem::path path;
    ~Unmount() { umount2(path.c_str(), MNT_DETACH); }
  } unmount{small};
  auto store = OpenStore(small / "state").value();
  int created = 0;
  REQUIRE(store->records.Create(Request(++created)).ok());
  { std::ofstream(small / "ballast") << std::string(4 << 20, 'x'); }  // Fills the remaining room.
  absl::Status status;
  while (status.ok() && created < 1000) {
    status = store->records.Create(Request(created + 1)).status();
    if (status.ok()) ++created;
  }
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK(ReasonOf(status) == "DISK_FULL");
  CHECK(std::string(status.message()).find("free space on this file system, then try again") !=
        std::string::npos);
  const auto count = [&] {
    return static_cast<int>(store->records.List({.page_size = 1000})->experiments.size());
  };
  CHECK(count() == created);
  CHECK(store->records.Get("experiments/e1").ok());

  std::filesystem::remove(small / "ballast");
  CHECK(store->records.Create(Request(created + 1)).ok());
  ++created;
  CHECK(count() == created);
  store.reset();
  store = *OpenStore(small / "state");
  CHECK(count() == created);
}

}  // namespace mentor::TEST_FILE
