// The file that a run writes while it runs, metrics.csv, and the hash of its state.
#include <filesystem>
#include <fstream>
#include <string>

#include "agents/numerics.h"
#include "cli/local/branch.h"
#include "cli/local/run_hash.h"
#include "cli/local/run_report.h"
#include "cli/local/trained_run.h"
#include "cli/report/training_table.h"
#include "common/file.h"
#include "common/uuid.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/store.h"
#include "tests/loopback/cli/local/tiny_runs.h"
#include "tests/temp_folder.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

constexpr uint64_t kBytesMax = 1 << 24;

// Before anything else uses LibTorch.
const absl::Status fixed = agents::FixNumerics();

v1::ExperimentSpec Spec() {
  return testing::Checked(testing::TinySpec(R"(
    benchmark { name: "point_reach" }
    lifetime { iterations: 2 steps_per_iteration: 40 }
    rule { outer_updates: 3 lifetimes_per_update: 4 shard_lifetimes: 2
           option { name: "k" value: "20" } }
    evaluation { lifetimes_per_goal: 0 }
  )"));
}

TEST_CASE("run files: every number of every update, once, whatever was torn before", "[loopback]") {
  REQUIRE(fixed.ok());
  const testing::TempFolder folder;
  const std::filesystem::path run = folder.path() / "run";
  REQUIRE(testing::RunQuietly(Spec(), run) == 0);
  const auto data = ReportOf(run);
  REQUIRE(data.ok());
  REQUIRE(data->training.size() == 3);
  const auto names = report::MetricNames(data->training);
  const std::string table =
      report::TrainingHeader(names) + report::TrainingRows(data->training, names);
  CHECK(ReadFile(run / "metrics.csv", kBytesMax).value() == table);

  // A kill in the middle of a line.
  std::ofstream(run / "metrics.csv", std::ios::app) << "4,12";
  REQUIRE(testing::RunQuietly(Spec(), run) == 0);
  CHECK(ReadFile(run / "metrics.csv", kBytesMax).value() == table);
}

TEST_CASE("run files: the report of a run whose rule is not in this program says so",
          "[loopback]") {
  const testing::TempFolder folder;
  std::filesystem::path experiment;
  {
    const auto store = meta_learner::OpenStore(folder.path());
    REQUIRE(store.ok());
    v1::Experiment of_another_version;
    *of_another_version.mutable_spec() = Spec();
    of_another_version.mutable_spec()->mutable_rule()->set_name("blackbox");
    const auto row = (*store)->records.Create({.experiment = of_another_version, .id = "run"});
    REQUIRE(row.ok());
    experiment = (*store)->files.ExperimentFolder(row->uid());
    std::filesystem::create_directories(experiment / "checkpoints");
  }
  const std::string why(ReportOf(experiment).status().message());
  CHECK(testing::Contains(why, "unknown outer rule 'blackbox'; did you mean 'black_box'?"));
  CHECK(testing::Contains(why, "use the version of Mentor that ran it"));
}

TEST_CASE("run files: a hash that is not of the newest checkpoint says so", "[loopback]") {
  REQUIRE(fixed.ok());
  const testing::TempFolder folder;
  const std::filesystem::path run = folder.path() / "run";
  REQUIRE(testing::RunQuietly(Spec(), run) == 0);
  const auto whole = HashRun(run);
  REQUIRE(whole.ok());
  CHECK(whole->damaged.empty());
  std::filesystem::resize_file(whole->checkpoint,
                               std::filesystem::file_size(whole->checkpoint) / 2);
  const auto older = HashRun(run);
  REQUIRE(older.ok());
  CHECK(older->outer_step < whole->outer_step);
  CHECK(older->state_hash != whole->state_hash);
  CHECK(older->damaged.find(whole->checkpoint.filename().string()) != std::string::npos);
}

TEST_CASE("run files: a checkpoint of something else in the newest one's place is not used",
          "[loopback]") {
  REQUIRE(fixed.ok());
  const testing::TempFolder folder;
  const std::filesystem::path run = folder.path() / "run";
  REQUIRE(testing::RunQuietly(Spec(), run) == 0);
  const std::filesystem::path newest = HashRun(run)->checkpoint, checkpoints = newest.parent_path();
  REQUIRE(newest.filename() == "00000003.ckpt");
  const auto refused = [&] {
    const auto hash = HashRun(run);
    REQUIRE(hash.ok());
    CHECK(hash->outer_step == 2);
    CHECK(absl::IsDataLoss(ReadRun(run / "3").status()));
    CHECK(absl::IsDataLoss(ReadBranch(run / "3").status()));
    return hash->damaged;
  };
  auto checkpoint = meta_learner::ReadCheckpoint(newest);
  REQUIRE(checkpoint.ok());
  const std::string uid = checkpoint->experiment_uid;
  checkpoint->experiment_uid = NewUuid();
  REQUIRE(meta_learner::WriteCheckpoint(checkpoints, *checkpoint).ok());
  CHECK(testing::Contains(refused(), "it belongs to experiment " + checkpoint->experiment_uid));
  checkpoint->experiment_uid = uid;
  checkpoint->spec_hash = "s";
  REQUIRE(meta_learner::WriteCheckpoint(checkpoints, *checkpoint).ok());
  CHECK(testing::Contains(refused(), "its spec has the hash s"));
  std::filesystem::copy(checkpoints / "00000001.ckpt", newest,
                        std::filesystem::copy_options::overwrite_existing);
  CHECK(testing::Contains(refused(), "it is of outer step 1"));
}

TEST_CASE("run files: a newest checkpoint that is gone is missed", "[loopback]") {
  REQUIRE(fixed.ok());
  const testing::TempFolder folder;
  const std::filesystem::path run = folder.path() / "run";
  REQUIRE(testing::RunQuietly(Spec(), run) == 0);
  const std::filesystem::path newest = HashRun(run)->checkpoint;
  std::filesystem::remove(newest);
  const auto older = HashRun(run);
  REQUIRE(older.ok());
  CHECK(older->outer_step == 2);
  CHECK(testing::Contains(older->damaged, newest.string() + " is missing"));
  // The look makes no files beside the database.
  CHECK_FALSE(std::filesystem::exists(run / "mentor.db-wal"));
  // Without a database the files are all that is known.
  std::filesystem::remove(run / "mentor.db");
  CHECK(HashRun(run)->damaged.empty());
}

}  // namespace mentor::TEST_FILE
