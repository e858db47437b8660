#include "actor/actor_policy.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/exact_math.h"

namespace mentor::actor {

absl::Status Policy::Load(const v1::PolicyWeights& weights) {
  PolicyOutput output;
  MENTOR_ASSIGN_OR_RETURN(network_, MakePolicyNetwork(weights, &output));
  output_ = std::move(output);
  observation_size_ = static_cast<int>(weights.observation_size());
  action_size_ = static_cast<int>(weights.action_size());
  discrete_ = weights.discrete();
  return absl::OkStatus();
}

void Policy::Mean(std::span<const float> observation, std::span<float> mean) {
  MENTOR_CHECK(static_cast<int>(observation.size()) == observation_size_ &&
               static_cast<int>(mean.size()) == action_size_);
  network_->Forward(observation, &output_);
  std::copy_n(output_.mean.data(), mean.size(), mean.begin());
}

float Policy::LogProb(std::span<const float> action, std::span<const float> mean) const {
  constexpr double kHalfLogTwoPi = 0.91893853320467274178;
  double sum = 0;
  for (int i = 0; i < action_size_; ++i) {
    const double z = (static_cast<double>(action[i]) - mean[i]) / output_.std[i];
    sum += -0.5 * z * z - output_.log_std[i] - kHalfLogTwoPi;
  }
  return static_cast<float>(sum);
}

void Policy::Sample(std::span<const float> observation, std::span<const double> noise,
                    std::span<float> action, float* log_prob) {
  MENTOR_CHECK(!discrete_);
  Mean(observation, action);
  for (int i = 0; i < action_size_; ++i) {
    action[i] = static_cast<float>(static_cast<double>(output_.mean[i]) +
                                   static_cast<double>(output_.std[i]) * noise[i]);
  }
  *log_prob = LogProb(action, {output_.mean.data(), static_cast<size_t>(action_size_)});
}

double Policy::LogOfSumOfExp() const {
  const double greatest = output_.mean.maxCoeff();
  double sum = 0;
  for (int i = 0; i < action_size_; ++i) sum += exact::Exp(output_.mean[i] - greatest);
  return greatest + exact::Log(sum);
}

float Policy::WriteChoice(int choice, std::span<float> action) const {
  for (int i = 0; i < action_size_; ++i) action[i] = i == choice ? 1.0f : 0.0f;
  return static_cast<float>(output_.mean[choice] - LogOfSumOfExp());
}

void Policy::Choose(std::span<const float> observation, double uniform, std::span<float> action,
                    float* log_prob) {
  MENTOR_CHECK(discrete_);
  Mean(observation, action);
  const double log_sum = LogOfSumOfExp();
  int choice = 0;
  double cumulated = exact::Exp(output_.mean[0] - log_sum);
  // If rounding leaves the sum below 1, the last choice is taken.
  while (choice + 1 < action_size_ && cumulated < uniform)
    cumulated += exact::Exp(output_.mean[++choice] - log_sum);
  *log_prob = WriteChoice(choice, action);
}

void Policy::Deterministic(std::span<const float> observation, std::span<float> action,
                           float* log_prob) {
  Mean(observation, action);
  if (discrete_) {
    const float* greatest =
        std::max_element(output_.mean.data(), output_.mean.data() + action_size_);
    *log_prob = WriteChoice(static_cast<int>(greatest - output_.mean.data()), action);
    return;
  }
  *log_prob = LogProb(action, {output_.mean.data(), static_cast<size_t>(action_size_)});
}

void Policy::TakeGreatest(std::span<const float> observation, const RandomStream& exploration,
                          uint32_t step, bool explore, std::span<float> action, float* log_prob) {
  MENTOR_CHECK(is_greedy());
  Mean(observation, action);
  greatest_.clear();
  for (int i = 0; i < action_size_; ++i) {
    if (!greatest_.empty() && output_.mean[i] < output_.mean[greatest_[0]]) continue;
    if (!greatest_.empty() && output_.mean[i] > output_.mean[greatest_[0]]) greatest_.clear();
    greatest_.push_back(i);
  }
  const double epsilon = *output_.epsilon;
  const auto choices = static_cast<uint64_t>(action_size_);
  int choice = greatest_[exploration.Below(greatest_.size(), step, /*draw=*/2)];
  if (explore && exploration.Uniform(step, /*draw=*/0) < epsilon)
    choice = static_cast<int>(exploration.Below(choices, step, /*draw=*/1));
  double probability = epsilon / static_cast<double>(choices);
  if (std::find(greatest_.begin(), greatest_.end(), choice) != greatest_.end())
    probability += (1 - epsilon) / static_cast<double>(greatest_.size());
  for (int i = 0; i < action_size_; ++i) action[i] = i == choice ? 1.0f : 0.0f;
  *log_prob = static_cast<float>(exact::Log(probability));
}

}  // namespace mentor::actor
