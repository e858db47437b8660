// What LIRPG's agents earn: against a plain computation of each number, and across segments.

#include <algorithm>
#include <cmath>
#include <vector>

#include "methods/lirpg/loop.h"
#include "tests/normals.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

constexpr int64_t kAgents = 2, kSteps = 60;

Tensor Rewards() {
  return 3 + 2 * testing::Normals({.seed = 8}, 0, {kAgents, kSteps}).to(torch::kFloat64);
}
Tensor Ends() {
  Tensor ended = torch::zeros({kAgents, kSteps}, torch::kFloat64);
  ended[0][13] = ended[0][14] = ended[1][40] = 1;
  return ended;
}

// r_t over the deviation of all discounted sums so far, by the definitions of mean and variance.
// Before them stands a sum of 0 with weight 1e-4, whose square deviation is 1.
std::vector<double> Scaled(const Tensor& rewards, double gamma) {
  std::vector<double> sums, scaled;
  double sum = 0;
  for (int64_t t = 0; t < rewards.size(0); ++t) {
    const double reward = rewards[t].item<double>();
    sum = gamma * sum + reward;
    sums.push_back(sum);
    const double weight = 1e-4, count = weight + static_cast<double>(sums.size());
    double mean = 0, square = 0;
    for (double x : sums) mean += x / count;
    for (double x : sums) square += (x - mean) * (x - mean);
    const double variance = (square + weight * (1 + mean * mean)) / count;
    scaled.push_back(std::clamp(reward / std::sqrt(variance + 1e-8), -10.0, 10.0));
  }
  return scaled;
}

TEST_CASE("earned reward: scaled by the deviation of its discounted sum", "[unit]") {
  const Tensor rewards = Rewards();
  const Tensor got = EarnedReward({.scaled = true, .gamma = 0.9}, kAgents).Earn(rewards, Ends());
  for (int64_t s = 0; s < kAgents; ++s) {
    const std::vector<double> want = Scaled(rewards[s], 0.9);
    for (int64_t t = 0; t < kSteps; ++t) CHECK(std::abs(got[s][t].item<double>() - want[t]) < 1e-9);
  }
  // The first sums hardly differ, so the bound is reached.
  CHECK(got.abs().max().item<double>() == 10);
}

TEST_CASE("earned reward: summed, and paid every n steps and at an episode's end", "[unit]") {
  const Tensor rewards = Rewards();
  const Tensor got = EarnedReward({.every = 20}, kAgents).Earn(rewards, Ends());
  const auto sum = [&](int64_t s, int64_t first, int64_t end) {
    return rewards[s].narrow(0, first, end - first).sum().item<double>();
  };
  Tensor want = torch::zeros_like(rewards);
  // Counting begins again with an episode.
  want[0][13] = sum(0, 0, 14);
  want[0][14] = sum(0, 14, 15);
  want[0][34] = sum(0, 15, 35);
  want[0][54] = sum(0, 35, 55);
  want[1][19] = sum(1, 0, 20);
  want[1][39] = sum(1, 20, 40);
  want[1][40] = sum(1, 40, 41);
  CHECK(torch::allclose(got, want, 1e-12, 1e-12));
}

TEST_CASE("earned reward: goes on from segment to segment", "[unit]") {
  const TaskRewardConfig config{.scaled = true, .every = 7};
  const Tensor rewards = Rewards(), ended = Ends();
  const Tensor whole = EarnedReward(config, kAgents).Earn(rewards, ended);
  EarnedReward first(config, kAgents), second(config, kAgents);
  const Tensor a = first.Earn(rewards.narrow(1, 0, 25), ended.narrow(1, 0, 25));
  *second.mutable_state() = first.mutable_state()->clone();
  const Tensor b = second.Earn(rewards.narrow(1, 25, 35), ended.narrow(1, 25, 35));
  CHECK(torch::equal(whole, torch::cat({a, b}, 1)));
}

}  // namespace mentor::methods::TEST_FILE
