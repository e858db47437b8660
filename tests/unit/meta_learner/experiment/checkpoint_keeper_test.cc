#include "meta_learner/experiment/checkpoint_keeper.h"

#include <memory>

#include "common/failpoint.h"
#include "common/file.h"
#include "common/status.h"
#include "meta_learner/store/database.h"
#include "meta_learner/store/store_database.h"
#include "tests/metric_value.h"
#include "tests/objects.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

struct Fixture {
  Fixture() { REQUIRE(store->files.PrepareFolder(experiment.uid()).ok()); }
  CheckpointKeeper Keeper(uint32_t keep_last = 0, uint32_t averaged = 0) {
    return CheckpointKeeper({.store = store.get(),
                             .metrics = &kept,
                             .experiment = experiment.name(),
                             .uid = experiment.uid(),
                             .spec_hash = "spec",
                             .build = "test",
                             .keep_last = keep_last,
                             .averaged = averaged});
  }
  // Does what the runner does: writes a checkpoint, then records it with its outer update.
  void Write(CheckpointKeeper* keeper, uint32_t step) {
    OuterStep outer{.step = step};
    const auto info = keeper->Write(step, {{"experiment/x", std::to_string(step)}});
    REQUIRE(info.ok());
    outer.checkpoint = *info;
    REQUIRE(store->results.RecordOuterStep(experiment.uid(), outer).ok());
  }
  std::vector<uint32_t> Files() const {
    return *ListCheckpoints(store->files.CheckpointFolder(experiment.uid()));
  }
  std::vector<uint32_t> Rows() const {
    std::vector<uint32_t> steps;
    const auto rows = store->results.Checkpoints(experiment.uid());
    REQUIRE(rows.ok());
    for (const CheckpointRow& row : *rows) steps.push_back(row.outer_step);
    return steps;
  }

  testing::TempFolder folder;
  std::unique_ptr<Metrics> metrics = Metrics::Create();
  CheckpointMetrics kept{metrics.get()};
  std::unique_ptr<Store> store = OpenStore(folder.path()).value();
  v1::Experiment experiment = testing::StartSmall(store.get(), "e");
};

TEST_CASE("checkpoints: a damaged row is written again, and a whole file of another spec stays",
          "[unit]") {
  Fixture fixture;
  CheckpointKeeper keeper = fixture.Keeper();
  for (const uint32_t step : {1u, 2u, 3u}) fixture.Write(&keeper, step);
  {
    const auto database = sql::OpenSqlite(fixture.folder.path() / "mentor.db", false).value();
    REQUIRE(database->Execute("UPDATE checkpoints SET sha256 = 'f' WHERE outer_step = 1").ok());
  }
  CHECK(fixture.Rows() == std::vector<uint32_t>{2, 3});
  REQUIRE(keeper.FindNewest().ok());
  CHECK(fixture.Rows() == std::vector<uint32_t>{1, 2, 3});

  const auto folder = fixture.store->files.CheckpointFolder(fixture.experiment.uid());
  REQUIRE(WriteCheckpoint(
              folder,
              {.experiment_uid = fixture.experiment.uid(), .outer_step = 4, .spec_hash = "another"})
              .ok());
  const auto refused = keeper.FindNewest();
  CHECK(absl::IsDataLoss(refused.status()));
  CHECK(
      testing::Contains(refused.status(), "has the hash another, and that of the experiment spec"));
  CHECK(fixture.Files() == std::vector<uint32_t>{1, 2, 3, 4});
}

TEST_CASE("checkpoints: the newest whole one is found, and a broken one is counted", "[unit]") {
  Fixture fixture;
  CheckpointKeeper keeper = fixture.Keeper();
  const auto none = keeper.FindNewest();
  REQUIRE(none.ok());
  CHECK_FALSE(none->has_value());
  for (const uint32_t step : {1U, 2U}) fixture.Write(&keeper, step);
  const auto file =
      fixture.store->files.CheckpointFolder(fixture.experiment.uid()) / "00000002.ckpt";
  REQUIRE(WriteFileAtomically(file, "not a checkpoint").ok());
  const auto newest = keeper.FindNewest();
  REQUIRE(newest.ok());
  REQUIRE(newest->has_value());
  CHECK((*newest)->outer_step == 1);
  CHECK((*newest)->sections.at("experiment/x") == "1");
  CHECK(fixture.Rows() == std::vector<uint32_t>{1});
  CHECK(testing::MetricValue(*fixture.metrics, "mentor_checkpoint_corrupt_total") == 1);
}

// The process died here: the file exists, its outer update was not recorded.
TEST_CASE("checkpoints: an update that was not recorded is made again, where that is possible",
          "[unit]") {
  Fixture fixture;
  CheckpointKeeper keeper = fixture.Keeper();
  const auto newest = [&]() -> uint32_t {
    const auto found = keeper.FindNewest();
    REQUIRE(found.ok());
    return found->has_value() ? (*found)->outer_step : 0;
  };
  // The first one: from the seed.
  REQUIRE(keeper.Write(1, {}).ok());
  CHECK(newest() == 0);
  for (const uint32_t step : {1U, 2U}) fixture.Write(&keeper, step);
  REQUIRE(keeper.Write(3, {}).ok());
  CHECK(newest() == 2);
  CHECK(newest() == 2);
  CHECK(fixture.Rows() == std::vector<uint32_t>{1, 2});
  // There is no older checkpoint: missing results are better than repeating all updates.
  for (const char* name : {"00000001.ckpt", "00000002.ckpt"}) {
    std::filesystem::remove(fixture.store->files.CheckpointFolder(fixture.experiment.uid()) / name);
  }
  CHECK(newest() == 3);
}

TEST_CASE("checkpoints: without any row, the newest one counts unless it is the first", "[unit]") {
  // An experiment brought back beside a new database, or a clone.
  Fixture fixture;
  CheckpointKeeper keeper = fixture.Keeper();
  REQUIRE(keeper.Write(7, {}).ok());
  const auto found = keeper.FindNewest();
  REQUIRE(found.ok());
  REQUIRE(found->has_value());
  CHECK((*found)->outer_step == 7);
}

TEST_CASE("checkpoints: what stays is what the spec says, or what the user wants now", "[unit]") {
  Fixture fixture;
  CheckpointKeeper keeper = fixture.Keeper(/*keep_last=*/2);
  for (uint32_t step = 1; step <= 5; ++step) fixture.Write(&keeper, step);
  REQUIRE(fixture.store->results.PinCheckpoint(fixture.experiment.uid(), 1, true).ok());
  REQUIRE(keeper.Retain().ok());
  CHECK(fixture.Files() == std::vector<uint32_t>{1, 4, 5});
  CHECK(fixture.Rows().size() == 3);

  // The user wants one, and every third.
  REQUIRE(fixture.store->records
              .Change(fixture.experiment.name(), "",
                      [](v1::Experiment* experiment) {
                        experiment->mutable_retention()->set_keep_last(1);
                        experiment->mutable_retention()->set_keep_every(3);
                        return absl::OkStatus();
                      })
              .ok());
  for (const uint32_t step : {6U, 7U}) fixture.Write(&keeper, step);
  REQUIRE(keeper.Retain().ok());
  CHECK(fixture.Files() == std::vector<uint32_t>{1, 6, 7});

  // 0: all stay.
  CheckpointKeeper all = fixture.Keeper(/*keep_last=*/0);
  REQUIRE(fixture.store->records
              .Change(fixture.experiment.name(), "",
                      [](v1::Experiment* experiment) {
                        experiment->clear_retention();
                        return absl::OkStatus();
                      })
              .ok());
  REQUIRE(all.Retain().ok());
  CHECK(fixture.Files() == std::vector<uint32_t>{1, 6, 7});
}

TEST_CASE("checkpoints: as many stay as the user wants, more or fewer than the spec says",
          "[unit]") {
  using Steps = std::vector<uint32_t>;
  Fixture fixture;
  CheckpointKeeper keeper = fixture.Keeper(/*keep_last=*/2), all = fixture.Keeper(/*keep_last=*/0);
  const auto want = [&](uint32_t keep_last, uint32_t keep_every) {
    REQUIRE(fixture.store->records
                .Change(fixture.experiment.name(), "",
                        [&](v1::Experiment* experiment) {
                          experiment->mutable_retention()->set_keep_last(keep_last);
                          experiment->mutable_retention()->set_keep_every(keep_every);
                          return absl::OkStatus();
                        })
                .ok());
  };
  for (uint32_t step = 1; step <= 8; ++step) fixture.Write(&keeper, step);
  REQUIRE(all.Retain().ok());
  CHECK(fixture.Files().size() == 8);
  want(5, 0);
  REQUIRE(keeper.Retain().ok());
  CHECK(fixture.Files() == Steps{4, 5, 6, 7, 8});
  // A number that the user wrote counts even where the spec wants all.
  want(4, 0);
  REQUIRE(all.Retain().ok());
  CHECK(fixture.Files() == Steps{5, 6, 7, 8});
  // 0: the spec's, and every fifth.
  want(0, 5);
  REQUIRE(keeper.Retain().ok());
  CHECK(fixture.Files() == Steps{5, 7, 8});
  CHECK(fixture.Rows() == Steps{5, 7, 8});
  want(1, 0);
  REQUIRE(keeper.Retain().ok());
  CHECK(fixture.Files() == Steps{8});
}

// The leader before reads what the new one commits, and leads no more.
TEST_CASE("checkpoints: those of an average stay, and one that is gone is named", "[unit]") {
  Fixture fixture;
  CheckpointKeeper keeper = fixture.Keeper(/*keep_last=*/1, /*averaged=*/3);
  const auto last = [&](uint32_t outer_step) {
    std::vector<std::string> names;
    const auto files = keeper.Last(outer_step);
    REQUIRE(files.ok());
    for (const std::filesystem::path& file : *files) names.push_back(file.filename());
    return names;
  };
  fixture.Write(&keeper, 1);
  CHECK(last(1) == std::vector<std::string>{"00000001.ckpt"});  // There are no more yet.
  for (const uint32_t step : {2U, 3U, 4U}) {
    fixture.Write(&keeper, step);
    REQUIRE(keeper.Retain().ok());
  }
  CHECK(fixture.Files() == std::vector<uint32_t>{2, 3, 4});
  CHECK(last(4) == std::vector<std::string>{"00000004.ckpt", "00000003.ckpt", "00000002.ckpt"});
  std::filesystem::remove(fixture.store->files.CheckpointFolder(fixture.experiment.uid()) /
                          "00000003.ckpt");
  const absl::Status gone = keeper.Last(4).status();
  CHECK(absl::IsDataLoss(gone));
  CHECK(testing::Contains(gone, "after outer update 3"));
}

TEST_CASE("checkpoints: a deposed leader writes none and removes none", "[unit]") {
  Fixture fixture;
  CheckpointKeeper keeper = fixture.Keeper();
  for (const uint32_t step : {1U, 2U, 3U}) fixture.Write(&keeper, step);
  const auto database = [&] {
    return sql::OpenSqlite(fixture.folder.path() / "mentor.db", /*read_only=*/true).value();
  };
  Store deposed(std::make_unique<StoreDatabase>(
                    StoreDatabase::Parts{.writer = database(), .reader = database()}),
                fixture.folder.path(), nullptr);
  REQUIRE(ReasonOf(deposed.Leads()) == "NOT_LEADER");
  REQUIRE(deposed.records.Get(fixture.experiment.name()).ok());
  CheckpointKeeper late({.store = &deposed,
                         .metrics = &fixture.kept,
                         .experiment = fixture.experiment.name(),
                         .uid = fixture.experiment.uid(),
                         .spec_hash = "spec",
                         .build = "test",
                         .keep_last = 1});
  // Another state of an update that the leader has made, and an update that it has not made.
  for (const uint32_t step : {3U, 4U})
    CHECK(ReasonOf(late.Write(step, {{"experiment/x", "late"}}).status()) == "NOT_LEADER");
  CHECK(ReasonOf(late.Retain()) == "NOT_LEADER");
  CHECK(fixture.Files() == std::vector<uint32_t>{1, 2, 3});
  CHECK(fixture.Rows() == std::vector<uint32_t>{1, 2, 3});
  CHECK((*keeper.FindNewest())->sections.at("experiment/x") == "3");
  // It does not change anything else, either.
  CHECK(ReasonOf(deposed.files.PrepareFolder(fixture.experiment.uid())) == "NOT_LEADER");
  CHECK(ReasonOf(deposed.results.RecordOuterStep(fixture.experiment.uid(), {.step = 4})) ==
        "NOT_LEADER");
  CHECK(ReasonOf(deposed.records.Create(testing::SmallExperiment("two")).status()) == "NOT_LEADER");
}

TEST_CASE("checkpoints: a pin that is answered holds, whenever retention comes", "[unit]") {
  Fixture fixture;
  CheckpointKeeper keeper = fixture.Keeper(/*keep_last=*/1);
  for (uint32_t step = 1; step <= 3; ++step) fixture.Write(&keeper, step);
  const std::string uid = fixture.experiment.uid();
  REQUIRE(fixture.store->results.PinCheckpoint(uid, 2, true).ok());
  // It stops between its decision and the first file: the chosen checkpoint can no longer be
  // pinned.
  REQUIRE(failpoint::Arm("store.retention.unlink=*:error(stopped)").ok());
  CHECK_FALSE(keeper.Retain().ok());
  REQUIRE(failpoint::Arm("").ok());
  CHECK(fixture.Files() == std::vector<uint32_t>{1, 2, 3});
  CHECK(absl::IsNotFound(fixture.store->results.PinCheckpoint(uid, 1, true).status()));
  REQUIRE(keeper.Retain().ok());
  CHECK(fixture.Files() == std::vector<uint32_t>{2, 3});
  CHECK(fixture.Rows() == std::vector<uint32_t>{2, 3});
}

// Machines one after another, each with a new folder, with one database and one bucket.
struct Machines {
  Machines() { Next(); }
  void Next() {
    std::filesystem::remove_all(store->files.CheckpointFolder(experiment.uid()));
    objects = std::make_unique<ExperimentObjects>(bucket.get(), experiment.uid(), nullptr);
    REQUIRE(objects->Look().ok());
    keeper = std::make_unique<CheckpointKeeper>(
        CheckpointKeeper::Options{.store = store.get(),
                                  .metrics = &kept,
                                  .objects = objects.get(),
                                  .experiment = experiment.name(),
                                  .uid = experiment.uid(),
                                  .spec_hash = "spec",
                                  .build = "test",
                                  .keep_last = 2});
  }
  absl::Status Write(uint32_t step, const std::string& state) {
    OuterStep outer{.step = step};
    const auto info = keeper->Write(step, {{"experiment/x", state}});
    if (!info.ok()) return info.status();
    outer.checkpoint = *info;
    return store->results.RecordOuterStep(experiment.uid(), outer);
  }
  uint32_t Newest() {
    const auto newest = keeper->FindNewest();
    REQUIRE(newest.ok());
    REQUIRE(newest->has_value());
    return (*newest)->outer_step;
  }

  testing::TempFolder folder;
  std::unique_ptr<Metrics> metrics = Metrics::Create();
  CheckpointMetrics kept{metrics.get()};
  std::shared_ptr<testing::MemoryObjects> bucket = std::make_shared<testing::MemoryObjects>();
  std::unique_ptr<Store> store =
      OpenStore(StoreOptions{.folder = folder.path(), .objects = bucket}).value();
  v1::Experiment experiment = testing::StartSmall(store.get(), "e");
  std::unique_ptr<ExperimentObjects> objects;
  std::unique_ptr<CheckpointKeeper> keeper;
};

TEST_CASE("checkpoints: a machine without a folder goes on from the bucket", "[unit]") {
  Machines machines;
  for (const uint32_t step : {1U, 2U, 3U}) REQUIRE(machines.Write(step, "s").ok());
  REQUIRE(machines.keeper->Retain().ok());
  CHECK(machines.objects->Steps() == std::vector<uint32_t>{2, 3});

  machines.Next();
  CHECK(machines.Newest() == 3);
  REQUIRE(machines.Write(4, "s").ok());

  // The newest checkpoint is damaged: the one before it is used, and the update is computed again.
  for (auto& [key, bytes] : machines.bucket->objects) {
    if (key.find("/parts/00000004") != key.npos) bytes += "x";
  }
  machines.Next();
  CHECK(machines.Newest() == 3);
  CHECK(machines.kept.corrupt.Value() == 1);
  REQUIRE(machines.Write(4, "s").ok());
  machines.Next();
  CHECK(machines.Newest() == 4);
}

TEST_CASE("checkpoints: two machines that compute otherwise are found out", "[unit]") {
  Machines machines;
  REQUIRE(machines.Write(1, "a").ok());
  machines.Next();
  CHECK(absl::IsDataLoss(machines.Write(1, "b")));
  CHECK(absl::IsDataLoss(machines.keeper->FindNewest().status()));
}

TEST_CASE("checkpoints: a bucket that is away is storage that is away", "[unit]") {
  Machines machines;
  REQUIRE(machines.Write(1, "a").ok());
  machines.bucket->away = true;
  CHECK(absl::IsUnavailable(machines.Write(2, "a")));
  machines.bucket->away = false;
  // That update was not recorded and is repeated; files of the folder go to the bucket first.
  CHECK(machines.Newest() == 1);
  CHECK(machines.objects->Steps() == std::vector<uint32_t>{1, 2});
  CHECK(machines.Write(2, "a").ok());
  CHECK(machines.Newest() == 2);
}

}  // namespace mentor::meta_learner::TEST_FILE
