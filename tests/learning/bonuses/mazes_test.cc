// Bonuses in mazes (bonuses/README.md#mazes): agents that are paid for what is new to them find the
// goal more often than agents on success alone. Where the bonus does not learn what was seen, they
// find it less often. Without its weight they are the same agents.
#include <map>
#include <string>
#include <vector>

#include "tests/learning/learning.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

// Mean success by method, over the last five segments of a life.
std::map<std::string, double> Ends(std::vector<std::string> overrides) {
  overrides.insert(overrides.end(), {"seed=101", "evaluation.deterministic_episodes=0"});
  std::map<std::string, double> ends;
  for (const auto& [method, successes] :
       testing::Run("maze_bonuses.txtpb", overrides).Successes()) {
    REQUIRE(successes.size() > 5);
    for (size_t i = successes.size() - 5; i < successes.size(); ++i)
      ends[method] += successes[i] / 5;
    UNSCOPED_INFO(method << " " << ends[method]);
  }
  return ends;
}

TEST_CASE("bonuses: agents with that of RND find the goals of mazes more often",
          "[learning][nightly]") {
  const auto ends = Ends({"evaluation.baseline=PPO_SPARSE,PPO_RND"});
  CHECK(ends.at("PPO RND") > ends.at("PPO sparse") + 0.05);
  const auto broken = Ends({"evaluation.baseline=PPO_RND", "evaluation.bonus[0].learning_rate=0"});
  CHECK(broken.at("PPO RND") < ends.at("PPO sparse") - 0.05);
}

TEST_CASE("bonuses: without their weight agents are those of success alone", "[learning]") {
  const auto ends = Ends({"lifetime.iterations=6", "evaluation.baseline=PPO_SPARSE,PPO_RND",
                          "evaluation.bonus[0].weight=0", "evaluation.bonus[0].task_weight=1"});
  CHECK(ends.at("PPO RND") == ends.at("PPO sparse"));
}

}  // namespace mentor::TEST_FILE
