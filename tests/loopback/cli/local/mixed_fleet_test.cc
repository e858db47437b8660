// Learners of two kinds at one meta-learner. An experiment ends on the kind on which it began, with
// the hash that it has alone, while another experiment uses the other kind.
#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <string>

#include "actor/actor.h"
#include "agents/numerics.h"
#include "cli/local/local_run.h"
#include "cli/local/run_hash.h"
#include "common/file.h"
#include "common/metrics.h"
#include "common/rpc/server.h"
#include "common/status.h"
#include "envs/environment.h"
#include "envs/fingerprint.h"
#include "learner/learner.h"
#include "learner/rollout/rollout_server.h"
#include "meta_learner/experiment/arithmetic.h"
#include "meta_learner/experiment/experiment_runner.h"
#include "meta_learner/fleet/shard_board.h"
#include "meta_learner/fleet/shard_service.h"
#include "meta_learner/scheduling/disk_guard.h"
#include "meta_learner/scheduling/scheduler.h"
#include "meta_learner/store/store.h"
#include "tests/loopback/cli/local/tiny_runs.h"
#include "tests/metric_value.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using mentor::testing::MetricValue;

// Before anything else uses LibTorch.
const absl::Status fixed = agents::FixNumerics();

const std::string kSpec = testing::TinySpec(R"(
  benchmark { name: "point_reach" }
  lifetime { iterations: 2 steps_per_iteration: 40 }
  rule { outer_updates: 3 lifetimes_per_update: 6 shard_lifetimes: 2
         option { name: "k" value: "20" } }
  evaluation { lifetimes_per_goal: 1 goals: 2 deterministic_episodes: 1 train_goals: false }
)");

// A learner with its own actor; the test chooses the arithmetic that it reports.
class FleetMember {
 public:
  FleetMember(rpc::Server* meta_learner, const std::string& device, const std::string& fingerprint)
      : rollout_({.catalogue_hash = envs::CatalogueHash(),
                  .numeric_fingerprint = envs::NumericFingerprint()},
                 metrics.get()) {
    auto server = rpc::Server::Start({.address = ""}, {rollout_.service()});
    REQUIRE(server.ok());
    server_ = *std::move(server);
    learner_ = std::make_unique<learner::Learner>(
        learner::Learner::Options{
            .meta_learner = [meta_learner] { return meta_learner->InProcessChannel(); },
            .rollout = &rollout_,
            .device_name = device,
            .fingerprint = fingerprint},
        metrics.get());
    actor_ = std::make_unique<actor::Actor>(
        actor::Actor::Options{.channel = [this] { return server_->InProcessChannel(); }},
        metrics.get());
  }
  ~FleetMember() {
    learner_->Stop();
    actor_.reset();
    rollout_.Stop();
    server_->Shutdown(std::chrono::seconds(5));
  }
  double shards() const { return MetricValue(*metrics, "mentor_learner_shards_total"); }

  const std::unique_ptr<Metrics> metrics = Metrics::Create();

 private:
  learner::RolloutServer rollout_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<learner::Learner> learner_;
  std::unique_ptr<actor::Actor> actor_;
};

TEST_CASE("mixed fleet: experiments keep to the kind of learner on which they began",
          "[loopback]") {
  REQUIRE(fixed.ok());
  const testing::TempFolder folder;
  const v1::ExperimentSpec spec = testing::Checked(kSpec);
  const std::filesystem::path alone = folder.path() / "alone";
  REQUIRE(testing::RunQuietly(spec, alone) == 0);
  const auto want = HashRun(alone);
  REQUIRE(want.ok());
  const std::string cpu = meta_learner::CpuArithmetic();

  const auto metrics = Metrics::Create();
  const auto store = meta_learner::OpenStore(folder.path() / "state");
  REQUIRE(store.ok());
  // One experiment began on GPUs, one on CPUs, one not at all.
  std::map<std::string, std::filesystem::path> folders;
  std::map<std::string, std::promise<absl::Status>> ends;
  for (const char* id : {"on-gpus", "on-cpus", "new"}) {
    const auto experiment = (*store)->records.Create(meta_learner::WithSpec(spec, id));
    REQUIRE(experiment.ok());
    folders[experiment->name()] = (*store)->files.ExperimentFolder(experiment->uid());
    ends[experiment->name()];
    REQUIRE((*store)->files.PrepareFolder(experiment->uid()).ok());
  }
  const auto kept = [&](const std::string& id) {
    return folders.at("experiments/" + id) / "learner_fingerprint";
  };
  REQUIRE(WriteFileAtomically(kept("on-gpus"), "a GPU bits").ok());
  REQUIRE(WriteFileAtomically(kept("on-cpus"), cpu).ok());

  meta_learner::ShardBoard board(meta_learner::WithReports({}, metrics.get()));
  meta_learner::ShardService service({.catalogue_hash = envs::CatalogueHash(),
                                      .actor_fingerprint = envs::NumericFingerprint(),
                                      .learner_fingerprint = cpu.substr(4)},
                                     &board, metrics.get());
  auto server = rpc::Server::Start({.address = ""}, {service.service()});
  REQUIRE(server.ok());
  {
    const FleetMember gpu(server->get(), "a GPU", "bits"), own(server->get(), "", "");
    meta_learner::DiskGuard disk((*store)->files.folder(), /*reserve_bytes=*/0, metrics.get());
    meta_learner::ExperimentRunner runner({.store = store->get(),
                                           .board = &board,
                                           .build = "test",
                                           .fingerprint = "test",
                                           .metrics = metrics.get()});
    meta_learner::Scheduler scheduler(
        {.records = &(*store)->records,
         .results = &(*store)->results,
         .board = &board,
         .disk = &disk,
         .run =
             [&](const v1::Experiment& experiment, const std::atomic<bool>& cancel) {
               const absl::Status status = runner.Run(experiment, cancel);
               ends.at(experiment.name()).set_value(status);
               return status;
             },
         .running_max = 3},
        metrics.get());
    for (auto& [name, end] : ends) {
      INFO(name);
      std::future<absl::Status> future = end.get_future();
      REQUIRE(future.wait_for(std::chrono::seconds(120)) == std::future_status::ready);
      const absl::Status status = future.get();
      INFO(status.ToString());
      CHECK(status.ok());
      const auto hash = HashRun(folders.at(name));
      REQUIRE(hash.ok());
      CHECK(hash->state_hash == want->state_hash);
    }
    CHECK(gpu.shards() > 0);
    CHECK(own.shards() > 0);
    scheduler.Stop();
  }
  const auto arithmetic = [&](const std::string& id) {
    return meta_learner::LearnerArithmetic(folders.at("experiments/" + id)).value();
  };
  CHECK(arithmetic("on-gpus") == "a GPU bits");
  CHECK(arithmetic("on-cpus") == cpu);
  const std::string chosen = arithmetic("new");
  CHECK((chosen == cpu || chosen == "a GPU bits"));
  // Each learner was refused the other's experiment, and one of them the new experiment too.
  CHECK(MetricValue(*metrics, "mentor_meta_numeric_mismatches_total") >= 1);
  service.Stop();
  (*server)->Shutdown(std::chrono::seconds(5));
}

TEST_CASE("mixed fleet: a local run does not go on with what GPUs began", "[loopback]") {
  REQUIRE(fixed.ok());
  const testing::TempFolder folder;
  const v1::ExperimentSpec spec = testing::Checked(kSpec, {"rule.outer_updates=1"});
  {
    const auto store = meta_learner::OpenStore(folder.path());
    REQUIRE(store.ok());
    const auto experiment = (*store)->records.Create(meta_learner::WithSpec(spec, "run"));
    REQUIRE(experiment.ok());
    REQUIRE((*store)->files.PrepareFolder(experiment->uid()).ok());
    REQUIRE(WriteFileAtomically(
                (*store)->files.ExperimentFolder(experiment->uid()) / "learner_fingerprint",
                "a GPU bits")
                .ok());
  }
  const auto code = RunLocally({.checked = testing::CheckedSpecOf(spec),
                                .out = folder.path(),
                                .quiet = true,
                                .report = false});
  CHECK(ReasonOf(code.status()) == "NUMERIC_MISMATCH");
  CHECK(code.status().message().find("a GPU bits") != absl::string_view::npos);
}

}  // namespace mentor::TEST_FILE
