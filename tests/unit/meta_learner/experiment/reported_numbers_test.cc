#include <set>
#include <string>
#include <vector>

#include "common/spec/spec.h"
#include "meta_learner/experiment/checked_spec.h"
#include "tests/checked_spec_of.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

std::set<std::string> Names(const std::string& text,
                            const std::vector<std::string>& overrides = {}) {
  const auto spec = LoadSpec(text, overrides);
  INFO(spec.status().ToString());
  REQUIRE(spec.ok());
  const std::vector<std::string> names = testing::CheckedSpecOf(*spec).reported_numbers;
  const std::set<std::string> once(names.begin(), names.end());
  CHECK(once.size() == names.size());
  return once;
}

constexpr char kReach[] = R"(
  benchmark { name: "point_reach" }
  lifetime { iterations: 2 steps_per_iteration: 40 }
  rule { outer_updates: 3 lifetimes_per_update: 4 shard_lifetimes: 2
         option { name: "k" value: "20" } }
  evaluation { goals: 1 lifetimes_per_goal: 1 baseline: PPO_SPARSE }
)";

TEST_CASE("reported numbers: what a spec makes, and nothing else", "[unit]") {
  const std::set<std::string> names = Names(kReach);
  for (const char* name :
       {"seg0", "seg1", "success_episode_*", "shaped_return", "meta_return", "best_score",
        "env_steps", "wall_seconds", "pg_loss", "reward_mean/*", "evaluation/test/learned/seg1",
        "evaluation/test/learned_best/last", "evaluation/test/learned/det",
        "evaluation/test/ppo_sparse/return", "evaluation/train/learned/seg0"}) {
    INFO(name);
    CHECK(names.contains(name));
  }
  // Other rules, other benchmarks, other specs.
  for (const char* name :
       {"seg*", "seg2", "seg0/*", "shaped_return/*", "success", "generation", "range_low/*",
        "score_best", "evaluation/test/learned/seg2", "evaluation/test/ppo_shaped/return",
        "evaluation/train/ppo_sparse/return"}) {
    INFO(name);
    CHECK_FALSE(names.contains(name));
  }
}

TEST_CASE("reported numbers: rules with decisions inside a lifetime have no segments", "[unit]") {
  const std::set<std::string> names = Names(R"(
    benchmark { name: "point_reach" }
    lifetime { iterations: 2 steps_per_iteration: 40 }
    signal { name: "mlp" }
    rule { name: "meta_gradient" lifetimes_per_update: 4 shard_lifetimes: 2 }
    evaluation { goals: 1 }
  )");
  CHECK(names.contains("success"));
  CHECK(names.contains("generation"));
  CHECK(names.contains("outer_step_norm"));
  CHECK_FALSE(names.contains("seg0"));
  CHECK_FALSE(names.contains("success_episode_*"));
  CHECK(names.contains("evaluation/test/learned/seg1"));
}

TEST_CASE("reported numbers: nothing of what is not made", "[unit]") {
  for (const std::string& name : Names(kReach, {"evaluation.lifetimes_per_goal=0"})) {
    INFO(name);
    CHECK_FALSE(name.starts_with("evaluation/"));
  }
  CHECK_FALSE(Names(kReach, {"evaluation.deterministic_episodes=0"})
                  .contains("evaluation/test/learned/det"));
  const std::set<std::string> untrained = Names(kReach, {"rule.outer_updates=0"});
  CHECK(untrained.contains("evaluation/test/ppo_sparse/last"));
  CHECK_FALSE(untrained.contains("shaped_return"));
  CHECK_FALSE(untrained.contains("evaluation/test/learned/last"));
}

}  // namespace mentor::meta_learner::TEST_FILE
