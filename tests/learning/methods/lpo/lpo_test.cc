// LPO on point_reach through the real services in one process. It finds a drift by which agents
// learn more in a short life than by PPO's clip, at which it begins. Fitness that belongs to other
// lifetimes finds none, nor does an outer step that goes the other way.
#include <string>
#include <vector>

#include "tests/learning/learning.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using testing::CheckSameBits;
using testing::Run;

// Return of an episode in the last segment of lifetimes on fresh goals.
double Learn(std::vector<std::string> overrides) {
  overrides.emplace_back("evaluation.baseline=");
  return Run("point_reach_lpo.txtpb", overrides).Returns().at("learned").back();
}

constexpr double kThreshold = 13;

TEST_CASE("learning: LPO finds a better drift than the clip on point_reach",
          "[learning][nightly]") {
  CHECK(Learn({}) >= kThreshold);
}
TEST_CASE("learning: broken LPO, fitness of another lifetime", "[learning][nightly]") {
  CHECK(Learn({"rule.name=lpo_shuffled"}) < kThreshold);
}
TEST_CASE("learning: broken LPO, flipped outer gradient", "[learning][nightly]") {
  CHECK(Learn({"rule.name=lpo_flipped"}) < kThreshold);
}

TEST_CASE("LPO: the same bits whoever collects and learns", "[learning]") {
  CheckSameBits("point_reach_lpo.txtpb",
                {"rule.outer_updates=3", "rule.lifetimes_per_update=12", "rule.shard_lifetimes=4",
                 "evaluation.lifetimes_per_goal=0"});
}

}  // namespace mentor::TEST_FILE
