#include "meta_learner/experiment/checkpoint_keeper.h"

#include <memory>

#include "common/file.h"
#include "tests/metrics.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner {
namespace {

struct Fixture {
  Fixture() { REQUIRE(store->PrepareFolder(experiment.uid()).ok()); }
  CheckpointKeeper Keeper(uint32_t keep_last = 0) {
    return CheckpointKeeper({.store = store.get(),
                             .metrics = &kept,
                             .experiment = experiment.name(),
                             .uid = experiment.uid(),
                             .spec_hash = "spec",
                             .build = "test",
                             .keep_last = keep_last});
  }
  // As the runner does it: written, then recorded with its outer update.
  void Write(CheckpointKeeper* keeper, uint32_t step) {
    OuterStep outer{.step = step};
    const auto info = keeper->Write(step, {{"experiment/x", std::to_string(step)}});
    REQUIRE(info.ok());
    outer.checkpoint = *info;
    REQUIRE(store->RecordOuterStep(experiment.uid(), outer).ok());
  }
  std::vector<uint32_t> Files() const {
    return *ListCheckpoints(store->CheckpointFolder(experiment.uid()));
  }
  std::vector<uint32_t> Rows() const {
    std::vector<uint32_t> steps;
    const auto rows = store->Checkpoints(experiment.uid());
    REQUIRE(rows.ok());
    for (const CheckpointRow& row : *rows) steps.push_back(row.outer_step);
    return steps;
  }

  testing::TempFolder folder;
  std::unique_ptr<Metrics> metrics = Metrics::Create();
  CheckpointMetrics kept{metrics.get()};
  std::unique_ptr<ExperimentStore> store = OpenStore(folder.path()).value();
  v1::Experiment experiment = testing::StartSmall(store.get(), "e");
};

TEST_CASE("checkpoints: the newest whole one is found, and a broken one is counted", "[unit]") {
  Fixture fixture;
  CheckpointKeeper keeper = fixture.Keeper();
  const auto none = keeper.FindNewest();
  REQUIRE(none.ok());
  CHECK_FALSE(none->has_value());
  for (const uint32_t step : {1U, 2U}) fixture.Write(&keeper, step);
  const auto file = fixture.store->CheckpointFolder(fixture.experiment.uid()) / "00000002.ckpt";
  REQUIRE(WriteFileAtomically(file, "not a checkpoint").ok());
  const auto newest = keeper.FindNewest();
  REQUIRE(newest.ok());
  REQUIRE(newest->has_value());
  CHECK((*newest)->outer_step == 1);
  CHECK((*newest)->sections.at("experiment/x") == "1");
  CHECK(fixture.Rows() == std::vector<uint32_t>{1});
  CHECK(testing::MetricValue(*fixture.metrics, "mentor_checkpoint_corrupt_total") == 1);
}

TEST_CASE("checkpoints: what stays is what the spec says, or what the user wants now", "[unit]") {
  Fixture fixture;
  CheckpointKeeper keeper = fixture.Keeper(/*keep_last=*/2);
  for (uint32_t step = 1; step <= 5; ++step) fixture.Write(&keeper, step);
  REQUIRE(fixture.store->PinCheckpoint(fixture.experiment.uid(), 1, true).ok());
  REQUIRE(keeper.Retain().ok());
  CHECK(fixture.Files() == std::vector<uint32_t>{1, 4, 5});
  CHECK(fixture.Rows().size() == 3);

  // The user wants one, and every third.
  REQUIRE(fixture.store
              ->Change(fixture.experiment.name(), "",
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
  REQUIRE(fixture.store
              ->Change(fixture.experiment.name(), "",
                       [](v1::Experiment* experiment) {
                         experiment->clear_retention();
                         return absl::OkStatus();
                       })
              .ok());
  REQUIRE(all.Retain().ok());
  CHECK(fixture.Files() == std::vector<uint32_t>{1, 6, 7});
}

}  // namespace
}  // namespace mentor::meta_learner
