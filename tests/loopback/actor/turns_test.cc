// An environment that never ends shares its actor with others, and ends when no unit needs it.
#include <algorithm>
#include <atomic>
#include <chrono>

#include <absl/strings/match.h>

#include "actor/actor.h"
#include "common/mutex.h"
#include "common/pause_point.h"
#include "tests/learner_side.h"
#include "tests/units.h"

namespace mentor::TEST_FILE {

using mentor::testing::CheckEqual;
using mentor::testing::Direct;
using mentor::testing::kGoOn;
using mentor::testing::LearnerSide;
using mentor::testing::PointReachUnit;
using mentor::testing::Run;
using mentor::testing::Signal;
using std::chrono::milliseconds;

std::atomic<int> resets_under_way = 0;

// Its reset ends at a pause point that says so, and no sooner.
class Endless : public envs::Environment {
 public:
  const envs::EnvironmentInfo& info() const override { return info_; }
  absl::Status SetTask(const v1::EnvironmentTask&) override { return absl::OkStatus(); }
  absl::Status Reset(const RandomStream&, uint32_t, std::span<double>) override {
    ++resets_under_way;
    absl::Status status;
    while (status.ok()) {
      StopRequestedWithin({}, milliseconds(1));
      status = PausePoint();
    }
    --resets_under_way;
    return status;
  }
  absl::StatusOr<envs::StepOutcome> Step(std::span<const float>, std::span<double>) override {
    return envs::StepOutcome();
  }
  absl::StatusOr<std::string> SaveState() const override { return "x"; }
  absl::Status RestoreState(std::string_view, std::span<double>) override {
    return absl::OkStatus();
  }

 private:
  const envs::EnvironmentInfo info_ = {.name = "endless",
                                       .summary = "Its reset never ends.",
                                       .observation_size = 4,
                                       .action_size = 2,
                                       .episode_steps = 10};
};

const envs::RegisterEnvironment kEndless({
    .name = "endless",
    .summary = "Its reset never ends.",
    .options = {},
    .make = [](const OptionValues&) -> absl::StatusOr<std::unique_ptr<envs::Environment>> {
      return std::make_unique<Endless>();
    },
    .brought = true,
});

std::vector<v1::Unit> Units(uint64_t shard, const std::string& experiment, uint32_t count,
                            const std::string& environment = "") {
  std::vector<v1::Unit> units;
  for (uint32_t i = 0; i < count; ++i) {
    v1::Unit& unit = units.emplace_back(PointReachUnit(i, 500));
    unit.mutable_id()->set_shard(shard);
    unit.mutable_share()->set_experiment(experiment);
    if (environment.empty()) continue;
    unit.mutable_task()->Clear();
    unit.mutable_task()->set_environment(environment);
  }
  return units;
}

struct Fleet {
  explicit Fleet(actor::Actor::Options options = {}, learner::RolloutServer::Options rollout = {})
      : learner(std::move(rollout)), metrics(Metrics::Create()) {
    options.channel = [this] { return learner.Tcp(); };
    actor = std::make_unique<actor::Actor>(std::move(options), metrics.get());
  }
  LearnerSide learner;
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<actor::Actor> actor;
};

TEST_CASE("turns: experiments whose units never end leave room for others, until cancelled",
          "[loopback]") {
  Fleet fleet({.threads = 2});
  std::atomic<bool> cancel = false;
  Run first(fleet.learner, Units(1, "a", 6, "endless"), cancel);
  Run second(fleet.learner, Units(2, "b", 6, "endless"), cancel);
  Signal().WaitUntil([] { return resets_under_way >= 2; });
  for (uint64_t shard = 3; shard < 6; ++shard) {
    const auto units = Units(shard, "good", 40);
    CheckEqual(fleet.learner.rollout.RunUnits(units, kGoOn), Direct(units));
  }
  CHECK_FALSE(first.is_over());
  cancel = true;
  fleet.learner.rollout.Cancel(1);
  fleet.learner.rollout.Cancel(2);
  CHECK(absl::IsCancelled(first.Get().status()));
  CHECK(absl::IsCancelled(second.Get().status()));
  Signal().WaitUntil([] { return resets_under_way == 0; });
  const auto units = Units(7, "good", 40);
  CheckEqual(fleet.learner.rollout.RunUnits(units, kGoOn), Direct(units));
  CHECK(fleet.learner.Value("mentor_rollout_quarantines_total") == 0);
}

TEST_CASE("turns: long units end beside quick ones, with the same results", "[loopback]") {
  Fleet fleet({.threads = 2});
  std::vector<v1::Unit> slow = Units(1, "slow", 4);
  for (v1::Unit& unit : slow) unit.set_steps(60'000);
  Run run(fleet.learner, slow);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (uint64_t shard = 2; !run.is_over() && std::chrono::steady_clock::now() < deadline; ++shard) {
    const auto quick = Units(shard, "quick", 8);
    REQUIRE(fleet.learner.rollout.RunUnits(quick, kGoOn).ok());
  }
  REQUIRE(run.is_over());
  CheckEqual(run.Get(), Direct(slow));
}

TEST_CASE("turns: an actor ends soon, whatever its environments do", "[loopback]") {
  Fleet fleet({.threads = 2, .drain_deadline = milliseconds(50)});
  Run run(fleet.learner, Units(1, "a", 6, "endless"));
  Signal().WaitUntil([] { return resets_under_way == 2; });
  fleet.actor->Stop();
  CHECK(resets_under_way == 0);
  CHECK_FALSE(run.is_over());  // Another actor would get its units.
}

TEST_CASE("turns: a reset beyond its time is an error of its own experiment", "[loopback]") {
  Fleet fleet(
      {.piece_deadline = milliseconds(300)},
      {.dispatcher = {.retries = {.wait_min = milliseconds(10), .span = milliseconds(50)}}});
  const auto results = fleet.learner.rollout.RunUnits(Units(1, "a", 1, "endless"), kGoOn);
  INFO(results.status());
  CHECK(absl::StrContains(results.status().message(), "a reset took more than 0.3 s"));
  CHECK(absl::StrContains(results.status().message(), "--environment_timeout_s"));
  const auto units = Units(2, "good", 10);
  CheckEqual(fleet.learner.rollout.RunUnits(units, kGoOn), Direct(units));
}

TEST_CASE("turns: actors say what their time went to", "[loopback]") {
  Fleet fleet;
  fleet.learner.rollout.Peers();
  const auto units = Units(1, "experiments/a", 60);
  CheckEqual(fleet.learner.rollout.RunUnits(units, kGoOn), Direct(units));
  const auto peers = fleet.learner.rollout.Peers();
  REQUIRE(peers.size() == 1);
  REQUIRE(peers[0].time_size() == 1);
  CHECK(peers[0].time(0).experiment() == "experiments/a");
  CHECK(peers[0].time(0).share() > 0);
  CHECK(peers[0].time(0).share() <= 1);
  CHECK(fleet.learner.rollout.Peers()[0].time_size() == 0);
}

TEST_CASE("turns: an actor's rate is over a second or the longer time since the last look",
          "[loopback]") {
  using Clock = std::chrono::steady_clock;
  Fleet fleet;
  learner::RolloutServer& rollout = fleet.learner.rollout;
  const auto units = Units(1, "experiments/a", 60);
  const auto before = Clock::now();
  rollout.Peers();
  const auto begin = Clock::now();
  CheckEqual(rollout.RunUnits(units, kGoOn), Direct(units));
  const auto end = Clock::now();
  const auto worked = rollout.Peers();
  const auto after = Clock::now();
  REQUIRE(worked.size() == 1);
  const auto rate_over = [](Clock::duration span) {
    return 60 * 500 / std::chrono::duration<double>(span).count();
  };
  CHECK(worked[0].env_steps_per_second() <= rate_over(end - begin));
  CHECK(worked[0].env_steps_per_second() >=
        rate_over(std::max<Clock::duration>(after - before, std::chrono::seconds(1))));
  CHECK(worked[0].units() == 60);
  const auto idle = rollout.Peers();
  REQUIRE(idle.size() == 1);
  CHECK(idle[0].env_steps_per_second() == 0);
  CHECK(idle[0].work() == 0);
  CHECK(idle[0].units() == 60);
  fleet.actor->Stop();
  Signal().WaitUntil([&] { return rollout.Peers().empty(); });
}

}  // namespace mentor::TEST_FILE
