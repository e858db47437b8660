// RL^2 with a memory of episodes on the contextual bandit of
// docs/algorithms/small_environments.md#bandits, through the real services in one process. From the
// second round on, the first pull at a known barcode takes its best arm. A policy stays at chance
// without memory, with keys that say nothing, or with a cell that is given nothing.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "envs/wrapper.h"
#include "tests/learning/learning.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

// Adds a random number for each episode before the observation: a context without meaning. Lives of
// recurrent policies never resume from a saved state, so the state need not have the number.
class RandomKey final : public envs::Wrapper {
 public:
  explicit RandomKey(std::unique_ptr<Environment> inner) : Wrapper(std::move(inner)) {
    ++info_.observation_size;
  }
  absl::Status Reset(const RandomStream& random, uint32_t episode,
                     std::span<double> observation) override {
    observation[0] = random.Uniform(episode, /*draw=*/1u << 30);
    return inner().Reset(random, episode, observation.subspan(1));
  }
  absl::StatusOr<envs::StepOutcome> Step(std::span<const float> action,
                                         std::span<double> observation) override {
    return inner().Step(action, observation.subspan(1));
  }
};

const envs::RegisterWrapper kRandomKey({
    .name = "random_key",
    .summary = "broken on purpose",
    .options = {},
    .make = [](std::unique_ptr<envs::Environment> inner,
               const OptionValues&) -> absl::StatusOr<std::unique_ptr<envs::Environment>> {
      return std::make_unique<RandomKey>(std::move(inner));
    },
});

constexpr size_t kContexts = 3;

// How often the first pull of an episode is the best arm, in rounds 1 to 3, on tasks never seen.
std::array<double, 3> FirstPulls(const v1::ExperimentSpec& spec) {
  const testing::Learned learned = testing::Run(spec);
  std::array<double, 3> right{};
  size_t lifetimes = 0;
  for (const v1::EvaluationShard& shard : learned.evaluation) {
    if (shard.taught_by() != v1::EVALUATION_METHOD_LEARNED || shard.split() != "test") continue;
    for (const v1::EvaluatedLifetime& lifetime : shard.lifetimes()) {
      REQUIRE(lifetime.episode_success_size() == 3 * kContexts);
      for (size_t e = 0; e < 3 * kContexts; ++e)
        right[e / kContexts] += lifetime.episode_success(static_cast<int>(e)) / kContexts;
      ++lifetimes;
    }
  }
  REQUIRE(lifetimes == 512);
  for (double& share : right) share /= static_cast<double>(lifetimes);
  WARN("first pulls in rounds 1 to 3: " << right[0] << ", " << right[1] << ", " << right[2]);
  return right;
}

v1::ExperimentSpec Spec(std::vector<std::string> overrides) {
  overrides.emplace_back("evaluation.baseline=");
  return testing::ReadySpec("rl2_episodic.txtpb", overrides);
}
// The policy is shown the barcode, its memory is not.
v1::ExperimentSpec WithRandomKeys(const std::string& radius) {
  v1::ExperimentSpec spec = Spec({"rule.context_size=1", "rule.reinstate_radius=" + radius});
  spec.mutable_benchmark()->add_wrapper()->set_name("random_key");
  return spec;
}

constexpr double kRound2 = 0.80, kRound3 = 0.85, kChance = 0.5, kNear = 0.05;
constexpr double kBrokenMargin = 0.15;

void CheckBroken(const v1::ExperimentSpec& spec) {
  const auto right = FirstPulls(spec);
  CHECK(right[1] < kRound2 - kBrokenMargin);
  CHECK(right[2] < kRound3 - kBrokenMargin);
}

TEST_CASE("learning: RL^2 with episodic memory knows a barcode again", "[learning][nightly]") {
  const auto right = FirstPulls(Spec({}));
  CHECK(std::abs(right[0] - kChance) <= kNear);
  CHECK(right[1] >= kRound2);
  CHECK(right[2] >= kRound3);
}
TEST_CASE("learning: broken episodic RL^2: no memory", "[learning][nightly]") {
  CheckBroken(Spec({"rule.memory=none"}));
}
TEST_CASE("learning: broken episodic RL^2: contexts that say nothing", "[learning][nightly]") {
  CheckBroken(WithRandomKeys("1e300"));
}
// No context lies so near another: m is 0, as if r tanh(m) were left out of the cell.
TEST_CASE("learning: broken episodic RL^2: nothing is reinstated", "[learning][nightly]") {
  CheckBroken(WithRandomKeys("1e-30"));
}

TEST_CASE("episodic RL^2: the same bits whoever collects and learns", "[learning]") {
  testing::CheckSameBits("rl2_episodic.txtpb",
                         {"rule.outer_updates=3", "rule.lifetimes_per_update=12",
                          "rule.shard_lifetimes=4", "evaluation.lifetimes_per_goal=0"});
}
TEST_CASE("episodic RL^2: what is trained is what acted", "[learning]") {
  const testing::Learned learned = testing::Run(
      "rl2_episodic.txtpb", {"rule.outer_updates=5", "evaluation.lifetimes_per_goal=0"});
  for (const double error : learned.metrics.at("rho_error")) CHECK(error < 1e-5);
  for (const double hits : learned.metrics.at("memory_hits")) CHECK(hits == Approx(6.0 / 9));
  CHECK(learned.metrics.at("reinstate_gate").front() ==
        Approx(1 / (1 + std::exp(-1.0))).epsilon(0.1));
}

}  // namespace mentor::TEST_FILE
