// The response-gradient rule on the point mass through the real services in one process
// (methods/response_gradient/README.md#experiments). The policy round has no task reward, so all
// learning comes from steps of eta. A rule whose steps are missing or go the other way fails.
#include <string>
#include <vector>

#include "tests/learning/learning.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

// Makes steps of eta only: theta stays as it began, so that nothing else can learn.
const std::vector<std::string> kEtaAlone = {
    "lifetime.iterations=40",           "rule.outer_updates=40",
    "lifetime.steps_per_iteration=320", "agent.learning_rate=0",
    "rule.learning_rate=2e-2",          "checkpoint.every=40",
    "evaluation.lifetimes_per_goal=0",
};
constexpr double kThreshold = -16;
// A broken rule falls short by more than this in every seed that was measured.
constexpr double kBrokenMargin = 2;

double ReturnAfterLearning(const std::string& variant) {
  std::vector<std::string> overrides = kEtaAlone;
  overrides.push_back(variant);
  const testing::Learned learned = testing::Run("stn_literal.txtpb", overrides);
  // Actors and learner agree on the folded policy (methods/response_gradient/README.md#pitfalls,
  // 7).
  for (double error : learned.metrics.at("rho_error")) CHECK(error < 1e-5);
  return learned.Last("validation_return", 5);
}

TEST_CASE("learning: the task return moves a policy through the weights it is conditioned on",
          "[learning]") {
  CHECK(ReturnAfterLearning("rule.name=response_gradient") >= kThreshold);
}
TEST_CASE("learning: response gradient, broken, no outer steps", "[learning][nightly]") {
  CHECK(ReturnAfterLearning("rule.warmup=1000") < kThreshold - kBrokenMargin);
}
TEST_CASE("learning: response gradient, broken, flipped", "[learning][nightly]") {
  CHECK(ReturnAfterLearning("rule.name=response_gradient_flipped") < kThreshold - kBrokenMargin);
}

}  // namespace mentor::TEST_FILE
