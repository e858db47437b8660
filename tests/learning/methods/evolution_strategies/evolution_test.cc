// Evolution strategies on point_reach (tier V) through the real services in one process. Agents
// learn from the signal that they find. They do not from one whose estimate is missing or has the
// wrong sign. The same spec gives the same bits on any machine.
#include <cmath>
#include <string>
#include <vector>

#include "tests/learning/learning.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using testing::CheckSameBits;
using testing::Run;

// Success in the last segment of lifetimes on fresh goals.
double Learn(std::vector<std::string> overrides) {
  for (const char* setting : {"evaluation.best_weights=false", "evaluation.baseline="})
    overrides.emplace_back(setting);
  return Run("point_reach_es.txtpb", overrides).Successes().at("learned").back();
}

constexpr double kThreshold = 0.50, kBrokenMargin = 0.05;

TEST_CASE("learning: evolution strategies find an advantage for point_reach",
          "[learning][nightly]") {
  CHECK(Learn({}) >= kThreshold);
}
TEST_CASE("learning: broken evolution strategies, zero outer gradient", "[learning][nightly]") {
  CHECK(Learn({"rule.learning_rate=0"}) < kThreshold - kBrokenMargin);
}
TEST_CASE("learning: broken evolution strategies, flipped outer gradient", "[learning][nightly]") {
  CHECK(Learn({"rule.name=evolution_strategies_flipped"}) < kThreshold - kBrokenMargin);
}

TEST_CASE("evolution strategies: the same bits whoever collects and learns", "[learning]") {
  CheckSameBits("point_reach_es.txtpb",
                {"rule.outer_updates=3", "rule.lifetimes_per_update=12", "rule.shard_lifetimes=3",
                 "evaluation.lifetimes_per_goal=0"});
}

// ---- Pairs with one chance.

// Correlation of the two fitnesses of a pair, mean over ten updates of learned losses.
double Correlation(std::vector<std::string> overrides) {
  for (const char* setting :
       {"rule.outer_updates=10", "rule.mix_fraction=0", "evaluation.lifetimes_per_goal=0"})
    overrides.emplace_back(setting);
  return Run("point_reach_epg.txtpb", overrides).Last("pair_correlation", 10);
}

TEST_CASE("learning: pairs with one chance are alike where perturbations are small",
          "[learning][nightly]") {
  CHECK(Correlation({"rule.sigma=0.005"}) >= 0.5);
  CHECK(std::abs(Correlation({"rule.sigma=0.005", "rule.paired_noise=false"})) <= 0.2);
  // Without learning, perturbations change nothing: the bits are the same.
  CHECK(Correlation({"agent.learning_rate=0"}) == 1);
  CHECK(Correlation({"agent.learning_rate=0", "rule.paired_noise=false"}) < 0.9);
}

// ---- Evolved policy gradients.

// Return of an episode in the last segment of lifetimes on fresh goals.
double LearnLoss(std::vector<std::string> overrides) {
  overrides.emplace_back("evaluation.baseline=");
  return Run("point_reach_epg.txtpb", overrides).Returns().at("learned").back();
}

constexpr double kLossThreshold = 11.5;

TEST_CASE("learning: evolved policy gradients find a loss for point_reach", "[learning][nightly]") {
  CHECK(LearnLoss({}) >= kLossThreshold);
}
TEST_CASE("learning: broken evolved policy gradients, fitness of another lifetime",
          "[learning][nightly]") {
  CHECK(LearnLoss({"rule.name=epg_shuffled"}) < kLossThreshold);
}
TEST_CASE("learning: broken evolved policy gradients, both of a pair counted with +",
          "[learning][nightly]") {
  CHECK(LearnLoss({"rule.name=epg_one_sign"}) < kLossThreshold);
}

TEST_CASE("evolved policy gradients: the same bits whoever collects and learns", "[learning]") {
  CheckSameBits("point_reach_epg.txtpb",
                {"rule.outer_updates=3", "rule.lifetimes_per_update=12", "rule.shard_lifetimes=4",
                 "evaluation.lifetimes_per_goal=0"});
}

TEST_CASE("population: the same bits whoever collects and learns", "[learning]") {
  CheckSameBits("point_reach_pbt.txtpb",
                {"rule.outer_updates=12", "rule.lifetimes_per_update=6", "rule.shard_lifetimes=2",
                 "evaluation.lifetimes_per_goal=0"});
}

TEST_CASE("poet: the same bits whoever collects and learns", "[learning]") {
  CheckSameBits("navigation_poet.txtpb", {"rule.outer_updates=12", "rule.shard_lifetimes=24",
                                          "evaluation.lifetimes_per_goal=0"});
}

}  // namespace mentor::TEST_FILE
