// The learned policy gradient on a tiny grid world through the real services in one process. It
// finds an update by which agents collect more within a short life. It finds none when the outer
// gradient is missing or has the wrong sign. The same spec gives the same bits on any machine.
#include <string>
#include <vector>

#include "tests/learning/learning.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using testing::CheckSameBits;
using testing::Run;

const std::vector<std::string> kTiny = {"benchmark.level=rand_tiny",
                                        "lifetime.iterations=12",
                                        "lifetime.steps_per_iteration=200",
                                        "agent.hidden_units=16",
                                        "agent.learning_rate=0.03",
                                        "rule.lstm_units=16",
                                        "rule.predictions=8",
                                        "rule.learning_rate=0.01",
                                        "rule.policy_entropy=0.01",
                                        "rule.lifetimes_per_update=8",
                                        "rule.shard_lifetimes=4",
                                        "evaluation.goals=64",
                                        "evaluation.baseline=",
                                        "evaluation.best_weights=false"};

// Return of an episode in the last iteration of lives on fresh tasks.
double Learn(std::vector<std::string> overrides) {
  overrides.insert(overrides.begin(), kTiny.begin(), kTiny.end());
  return Run("grid_world_lpg.txtpb", overrides).Returns().at("learned").back();
}

constexpr double kThreshold = 7;

TEST_CASE("learning: LPG finds an update for agents of a tiny grid world", "[learning][nightly]") {
  CHECK(Learn({"rule.outer_updates=240"}) >= kThreshold);
}
TEST_CASE("learning: broken LPG, zero outer gradient", "[learning][nightly]") {
  CHECK(Learn({"rule.outer_updates=12", "rule.learning_rate=0"}) < kThreshold);
}
TEST_CASE("learning: broken LPG, flipped outer gradient", "[learning][nightly]") {
  CHECK(Learn({"rule.outer_updates=96", "rule.name=lpg_flipped"}) < kThreshold);
}

TEST_CASE("LPG: the same bits whoever collects and learns", "[learning]") {
  std::vector<std::string> overrides = kTiny;
  for (const char* setting :
       {"rule.outer_updates=7", "lifetime.iterations=7", "rule.lifetimes_per_update=12",
        "rule.shard_lifetimes=4", "evaluation.lifetimes_per_goal=0"})
    overrides.emplace_back(setting);
  CheckSameBits("grid_world_lpg.txtpb", overrides);
}

}  // namespace mentor::TEST_FILE
