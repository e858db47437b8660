#include "methods/lirpg/task_reward.h"

#include <algorithm>
#include <cmath>

namespace mentor::learner {
namespace {

// The release's: a count at birth, what is added to the variance, and the bound of a scaled reward.
constexpr double kFirstCount = 1e-4, kVarianceFloor = 1e-8, kScaledMax = 10;
enum : int64_t { kSum, kMean, kVariance, kCount, kWaiting, kWaited, kNumbers };

}  // namespace

EarnedReward::EarnedReward(const TaskRewardConfig& config, int64_t num_agents)
    : config_(config), state_(torch::zeros({num_agents, kNumbers}, torch::kFloat64)) {
  state_.select(1, kVariance).fill_(1);
  state_.select(1, kCount).fill_(kFirstCount);
}

torch::Tensor EarnedReward::Earn(const torch::Tensor& rewards, const torch::Tensor& ended) {
  const torch::Tensor raw = rewards.to(torch::kCPU, torch::kFloat64).contiguous();
  const torch::Tensor ends = ended.to(torch::kCPU, torch::kFloat64).contiguous();
  torch::Tensor earned = torch::zeros_like(raw);
  state_ = state_.clone();
  const int64_t steps = raw.size(1);
  for (int64_t s = 0; s < raw.size(0); ++s) {
    const double* reward = raw.const_data_ptr<double>() + s * steps;
    const double* end = ends.const_data_ptr<double>() + s * steps;
    double* to = earned.mutable_data_ptr<double>() + s * steps;
    double* x = state_.mutable_data_ptr<double>() + s * kNumbers;
    for (int64_t t = 0; t < steps; ++t) {
      double paid = reward[t];
      if (config_.scaled) {
        // The sum goes on over the ends of episodes, as released.
        x[kSum] = config_.gamma * x[kSum] + reward[t];
        const double difference = x[kSum] - x[kMean], count = x[kCount] + 1;
        x[kVariance] =
            (x[kVariance] * x[kCount] + difference * difference * x[kCount] / count) / count;
        x[kMean] += difference / count;
        x[kCount] = count;
        paid = std::clamp(reward[t] / std::sqrt(x[kVariance] + kVarianceFloor), -kScaledMax,
                          kScaledMax);
      }
      x[kWaiting] += paid;
      x[kWaited] += 1;
      if (end[t] == 0 && x[kWaited] < static_cast<double>(config_.every)) continue;
      to[t] = x[kWaiting];
      x[kWaiting] = x[kWaited] = 0;
    }
  }
  return earned;
}

}  // namespace mentor::learner
