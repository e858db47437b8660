// Evolution strategies on point_reach (tier V) through the real services in one process: agents
// learn from the signal that they find, and do not from one whose estimate is missing or has the
// wrong sign. The same spec gives the same bits whoever computes it.
#include <string>
#include <vector>

#include "tests/learning/local/learning.h"
#include "tests/torch_testing.h"

namespace mentor {
namespace {

using testing::CheckSameBits;
using testing::Run;

// Success in the last segment of lifetimes on fresh goals.
double Learn(std::vector<std::string> overrides) {
  for (const char* setting : {"evaluation.best_weights=false", "evaluation.baseline="})
    overrides.emplace_back(setting);
  return Run("point_reach_es.txtpb", overrides).Successes().at("learned").back();
}

constexpr double kThreshold = 0.50, kBrokenMargin = 0.05;

TEST_CASE("learning: evolution strategies find an advantage for point_reach", "[learning]") {
  CHECK(Learn({}) >= kThreshold);
}
TEST_CASE("learning: broken evolution strategies, zero outer gradient", "[learning][nightly]") {
  CHECK(Learn({"rule.learning_rate=0"}) < kThreshold - kBrokenMargin);
}
TEST_CASE("learning: broken evolution strategies, flipped outer gradient", "[learning]") {
  CHECK(Learn({"rule.name=evolution_strategies_flipped"}) < kThreshold - kBrokenMargin);
}

TEST_CASE("evolution strategies: the same bits whoever collects and learns", "[learning]") {
  CheckSameBits("point_reach_es.txtpb",
                {"rule.outer_updates=3", "rule.lifetimes_per_update=12", "rule.shard_lifetimes=3",
                 "evaluation.lifetimes_per_goal=0"});
}

}  // namespace
}  // namespace mentor
