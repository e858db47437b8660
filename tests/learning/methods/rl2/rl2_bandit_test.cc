// RL^2 on the two-armed bandit of docs/algorithms/small_environments.md#bandits through the real
// services in one process. A recurrent policy learns to explore and to exploit. It does not when
// its outer gradient is missing or has the wrong sign. The same spec gives the same bits on any
// machine.
#include <string>
#include <vector>

#include "tests/learning/learning.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

// Mean pay of a pull on fresh bandits: 0.5 at random, 0.75 with the best arms, 0.715 by Thompson
// sampling.
double Learn(std::vector<std::string> overrides) {
  for (const char* setting : {"rule.outer_updates=15", "evaluation.goals=300"})
    overrides.emplace_back(setting);
  return testing::Run("rl2_bandit.txtpb", overrides).Returns().at("learned").front();
}

constexpr double kThreshold = 0.66, kBrokenMargin = 0.05;

TEST_CASE("learning: RL^2 learns to explore and exploit a bandit", "[learning]") {
  CHECK(Learn({}) >= kThreshold);
}
TEST_CASE("learning: broken RL^2, zero outer gradient", "[learning][nightly]") {
  CHECK(Learn({"rule.learning_rate=0"}) < kThreshold - kBrokenMargin);
}
TEST_CASE("learning: broken RL^2, flipped outer gradient", "[learning][nightly]") {
  CHECK(Learn({"rule.name=rl2_flipped"}) < kThreshold - kBrokenMargin);
}

TEST_CASE("RL^2: the same bits whoever collects and learns", "[learning]") {
  testing::CheckSameBits("rl2_bandit.txtpb",
                         {"rule.outer_updates=3", "rule.lifetimes_per_update=12",
                          "rule.shard_lifetimes=4", "evaluation.lifetimes_per_goal=0"});
}

}  // namespace mentor::TEST_FILE
