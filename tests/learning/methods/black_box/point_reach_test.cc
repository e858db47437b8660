// The calibrated learning test (docs/algorithms/small_environments.md#point-reach, tier V) through
// the real services in one process, and the broken variants that it must detect. Thresholds and
// bounds are those of that page.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/learning/learning.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

constexpr double kAdvantageThreshold = 0.50;
constexpr double kRewardThreshold = 0.30;
// A broken variant falls short by more than this in every seed that was measured.
constexpr double kBrokenMargin = 0.05;

// Success rates of segments by method, on fresh goals.
using Success = std::map<std::string, std::vector<double>>;

Success Learn(const std::string& spec_file, const std::vector<std::string>& overrides) {
  return testing::Run(spec_file, overrides).Successes();
}

// Only the learned network on fresh goals.
const std::vector<std::string> kLearnedOnly = {
    "evaluation.train_goals=false", "evaluation.best_weights=false", "evaluation.baseline="};

std::vector<std::string> With(std::vector<std::string> overrides) {
  overrides.insert(overrides.end(), kLearnedOnly.begin(), kLearnedOnly.end());
  return overrides;
}

void CheckSeg0(const Success& success) {
  // The signal cannot act before the first update: the same policies, so the same success to the
  // last episode.
  for (const auto& [method, segments] : success) {
    INFO(method);
    CHECK(segments[0] == success.begin()->second[0]);
    CHECK(std::abs(segments[0] - 0.03) <= 0.02);
  }
}

TEST_CASE("learning: a learned advantage solves point_reach, baselines do not", "[learning]") {
  const Success success =
      Learn("point_reach.txtpb", {"evaluation.train_goals=false", "evaluation.best_weights=false"});
  CheckSeg0(success);
  CHECK(success.at("learned").back() >= kAdvantageThreshold);
  CHECK(std::abs(success.at("PPO sparse").back() - 0.08) <= 0.04);
  CHECK(std::abs(success.at("PPO shaped").back() - 0.13) <= 0.04);
}

TEST_CASE("learning: a learned reward beats the baselines on point_reach", "[learning][nightly]") {
  const Success success = Learn("point_reach_reward.txtpb",
                                {"evaluation.train_goals=false", "evaluation.best_weights=false"});
  CheckSeg0(success);
  CHECK(success.at("learned").back() >= kRewardThreshold);
  CHECK(std::abs(success.at("PPO sparse").back() - 0.08) <= 0.04);
  CHECK(std::abs(success.at("PPO shaped").back() - 0.13) <= 0.04);
}

// Tier M shows the goal at the end of an episode only, so a signal must remember; tier H never, so
// it must infer (docs/algorithms/small_environments.md#point-reach).
const std::vector<std::string> kTierM = {"benchmark.dimension=1",     "benchmark.view=revealed",
                                         "benchmark.dt=0.2",          "benchmark.rho=0.2",
                                         "benchmark.episode_steps=5", "rule.outer_updates=60"};
const std::vector<std::string> kTierH = {"benchmark.dimension=1",     "benchmark.view=hidden",
                                         "benchmark.dt=0.25",         "benchmark.rho=0.3",
                                         "benchmark.episode_steps=5", "rule.outer_updates=100"};
constexpr double kAdvantageThresholdM = 0.60, kRewardThresholdM = 0.45, kAdvantageThresholdH = 0.72;

double LearnTier(const std::string& spec_file, const std::vector<std::string>& tier,
                 const std::vector<std::string>& variant = {}) {
  std::vector<std::string> overrides = With(tier);
  overrides.insert(overrides.end(), variant.begin(), variant.end());
  return Learn(spec_file, overrides).at("learned").back();
}

TEST_CASE("learning: tier M, a learned advantage remembers the goal", "[learning][nightly]") {
  CHECK(LearnTier("point_reach.txtpb", kTierM) >= kAdvantageThresholdM);
}
TEST_CASE("learning: tier M, a learned reward remembers the goal", "[learning][nightly]") {
  CHECK(LearnTier("point_reach_reward.txtpb", kTierM) >= kRewardThresholdM);
}
TEST_CASE("learning: tier M, broken advantage, forgets at each episode", "[learning][nightly]") {
  CHECK(LearnTier("point_reach.txtpb", kTierM, {"signal.name=lstm_forgetful"}) <
        kAdvantageThresholdM - kBrokenMargin);
}
// Seeds differ in when agents begin to explore: within 100 updates five of eight do. Which they are
// hangs on the last bits of a processor's arithmetic (results/measurements.md). A signal that
// cannot infer reaches the threshold with none.
TEST_CASE("learning: tier H, a learned advantage infers the goal", "[learning][nightly]") {
  double best = 0;
  for (const char* seed : {"seed=3", "seed=6", "seed=7", "seed=8"}) {
    best = std::max(best, LearnTier("point_reach.txtpb", kTierH, {seed}));
    if (best >= kAdvantageThresholdH) break;
  }
  CHECK(best >= kAdvantageThresholdH);
}

const std::map<std::string, std::vector<std::string>> kBroken = {
    {"zero outer gradient", {"rule.learning_rate=0"}},
    {"flipped outer gradient", {"rule.name=black_box_flipped"}},
    {"late action input", {"signal.name=lstm_late_action", "rule.name=black_box_late_action"}},
    {"late signal", {"signal.name=lstm_late_inputs", "rule.name=black_box_late_inputs"}},
    {"advantages on their own scale", {"rule.name=black_box_own_scale"}},
};

void CheckBroken(const std::string& spec_file, const std::string& variant, double threshold) {
  const Success success = Learn(spec_file, With(kBroken.at(variant)));
  INFO(variant);
  CHECK(success.at("learned").back() < threshold - kBrokenMargin);
}

TEST_CASE("learning: broken advantage, zero outer gradient", "[learning][nightly]") {
  CheckBroken("point_reach.txtpb", "zero outer gradient", kAdvantageThreshold);
}
TEST_CASE("learning: broken advantage, flipped outer gradient", "[learning][nightly]") {
  CheckBroken("point_reach.txtpb", "flipped outer gradient", kAdvantageThreshold);
}
TEST_CASE("learning: broken advantage, late action input", "[learning][nightly]") {
  CheckBroken("point_reach.txtpb", "late action input", kAdvantageThreshold);
}
TEST_CASE("learning: broken advantage, late signal", "[learning][nightly]") {
  CheckBroken("point_reach.txtpb", "late signal", kAdvantageThreshold);
}
TEST_CASE("learning: broken advantage, advantages on their own scale", "[learning][nightly]") {
  CheckBroken("point_reach.txtpb", "advantages on their own scale", kAdvantageThreshold);
}
TEST_CASE("learning: broken reward, zero outer gradient", "[learning][nightly]") {
  CheckBroken("point_reach_reward.txtpb", "zero outer gradient", kRewardThreshold);
}
TEST_CASE("learning: broken reward, flipped outer gradient", "[learning][nightly]") {
  CheckBroken("point_reach_reward.txtpb", "flipped outer gradient", kRewardThreshold);
}
TEST_CASE("learning: broken reward, late action input", "[learning][nightly]") {
  CheckBroken("point_reach_reward.txtpb", "late action input", kRewardThreshold);
}
TEST_CASE("learning: broken reward, late signal", "[learning][nightly]") {
  CheckBroken("point_reach_reward.txtpb", "late signal", kRewardThreshold);
}
TEST_CASE("learning: broken reward, advantages on their own scale", "[learning][nightly]") {
  CheckBroken("point_reach_reward.txtpb", "advantages on their own scale", kRewardThreshold);
}

}  // namespace mentor::TEST_FILE
