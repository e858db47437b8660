// The blind agent of Umbrella Length (meta_gradient.md section 9) through the real services in one
// process: it learns nothing by itself, everything from a signal learned by meta-gradient, and
// nothing from one whose outer gradient is missing or has the wrong sign.
#include <string>
#include <vector>

#include "tests/learning/local/learning.h"
#include "tests/torch_testing.h"

namespace mentor {
namespace {

// The last rounds: 192 training episodes, 32 in each.
constexpr size_t kRounds = 6;

testing::Learned Learn(std::vector<std::string> overrides) {
  const std::vector<std::string> all = {"seed=3", "benchmark.length=2",
                                        "lifetime.steps_per_iteration=64", "lifetime.iterations=60",
                                        "rule.outer_updates=60"};
  overrides.insert(overrides.begin(), all.begin(), all.end());
  return testing::Run("umbrella_blind.txtpb", overrides);
}

double Success(const testing::Learned& learned) {
  return learned.Last("success", kRounds);
}

constexpr double kSolved = 0.9, kChance = 0.7;

TEST_CASE("learning: a signal learned by meta-gradient teaches the blind agent", "[learning]") {
  const testing::Learned learned = Learn({});
  CHECK(Success(learned) >= kSolved);
  // Within the bounds for a gradient, and a signal that says something.
  CHECK(learned.Last("outer_clip_fraction", kRounds) < 0.3);
  CHECK(learned.Last("signal_sd", kRounds) > 1e-3);
  // Episodes differ in `need` and noise: not one episode, replayed.
  for (const double spread : learned.metrics.at("episode_return_sd")) CHECK(spread > 0);
}

TEST_CASE("learning: the blind agent learns nothing without a signal, or from a broken rule",
          "[learning]") {
  CHECK(Success(Learn({"rule.c_in=0"})) < kChance);
  CHECK(Success(Learn({"rule.learning_rate=0"})) < kChance);
  CHECK(Success(Learn({"rule.name=meta_gradient_flipped"})) < kChance);
}

}  // namespace
}  // namespace mentor
