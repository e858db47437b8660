#include "actor/policy.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/exact_math.h"

namespace mentor::actor {
namespace {

constexpr int kLanes = 8;  // float32 in a vector register of x86-64-v3.
constexpr uint32_t kSizeMax = 65536;

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

}  // namespace

absl::Status Policy::Load(const v1::PolicyWeights& weights) {
  const uint32_t observation = weights.observation_size(), action = weights.action_size(), hidden = weights.hidden_units();
  if (observation < 1 || observation > kSizeMax || action < 1 || action > kSizeMax || hidden < 1 || hidden > kSizeMax) {
    return absl::InvalidArgumentError(absl::StrFormat("policy: sizes %d, %d, %d; each must be 1 to %d", observation, action, hidden, kSizeMax));
  }
  const size_t h = hidden, d = observation, a = action;
  if (weights.network() != v1::POLICY_NETWORK_MLP) {
    return absl::InvalidArgumentError(absl::StrFormat("policy: network %d is not known", weights.network()));
  }
  const size_t count = h * d + h + h * h + h + a * h + a + (weights.discrete() ? 0 : a);
  if (weights.weights().size() != count * sizeof(float)) {
    return absl::InvalidArgumentError(absl::StrFormat("policy: weights have %d bytes, sizes %d-%d-%d need %d", weights.weights().size(),
                                                      observation, hidden, action, count * sizeof(float)));
  }
  std::vector<float> values(count);
  std::memcpy(values.data(), weights.weights().data(), weights.weights().size());
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) return absl::InvalidArgumentError(absl::StrFormat("policy: weight %d is not finite", i));
  }

  const Eigen::Index padded = (hidden + kLanes - 1) / kLanes * kLanes;
  observation_size_ = static_cast<int>(observation);
  action_size_ = static_cast<int>(action);
  discrete_ = weights.discrete();
  const float* next = values.data();
  const auto take_matrix = [&](Eigen::MatrixXf* target, size_t rows, size_t columns, Eigen::Index padded_rows, Eigen::Index padded_columns) {
    target->setZero(padded_rows, padded_columns);
    target->topLeftCorner(rows, columns) = Eigen::Map<const RowMajor>(next, rows, columns);
    next += rows * columns;
  };
  const auto take_vector = [&](Eigen::VectorXf* target, size_t size, Eigen::Index padded_size) {
    target->setZero(padded_size);
    target->head(size) = Eigen::Map<const Eigen::VectorXf>(next, size);
    next += size;
  };
  take_matrix(&w1_, h, d, padded, d);
  take_vector(&b1_, h, padded);
  take_matrix(&w2_, h, h, padded, padded);
  take_vector(&b2_, h, padded);
  take_matrix(&w3_, a, h, a, padded);
  take_vector(&b3_, a, a);
  const size_t stds = discrete_ ? 0 : a;
  take_vector(&log_std_, stds, stds);
  std_.resize(stds);
  for (size_t i = 0; i < stds; ++i) std_[i] = static_cast<float>(exact::Exp(log_std_[i]));
  hidden1_.resize(padded);
  hidden2_.resize(padded);
  mean_.resize(a);
  return absl::OkStatus();
}

void Policy::Mean(std::span<const float> observation, std::span<float> mean) {
  MENTOR_CHECK(static_cast<int>(observation.size()) == observation_size_ && static_cast<int>(mean.size()) == action_size_);
  const Eigen::Map<const Eigen::VectorXf> o(observation.data(), observation_size_);
  Eigen::Map<Eigen::VectorXf> out(mean.data(), action_size_);
  hidden1_ = b1_;
  hidden1_.noalias() += w1_ * o;
  hidden1_ = hidden1_.array().tanh();
  hidden2_ = b2_;
  hidden2_.noalias() += w2_ * hidden1_;
  hidden2_ = hidden2_.array().tanh();
  mean_ = b3_;
  mean_.noalias() += w3_ * hidden2_;
  out = mean_;
}

float Policy::LogProb(std::span<const float> action, std::span<const float> mean) const {
  constexpr double kHalfLogTwoPi = 0.91893853320467274178;
  double sum = 0;
  for (int i = 0; i < action_size_; ++i) {
    const double z = (static_cast<double>(action[i]) - mean[i]) / std_[i];
    sum += -0.5 * z * z - log_std_[i] - kHalfLogTwoPi;
  }
  return static_cast<float>(sum);
}

void Policy::Sample(std::span<const float> observation, std::span<const double> noise, std::span<float> action, float* log_prob) {
  MENTOR_CHECK(!discrete_);
  Mean(observation, action);
  for (int i = 0; i < action_size_; ++i) {
    action[i] = static_cast<float>(static_cast<double>(mean_[i]) + static_cast<double>(std_[i]) * noise[i]);
  }
  *log_prob = LogProb(action, {mean_.data(), static_cast<size_t>(action_size_)});
}

double Policy::LogOfSumOfExp() const {
  const double greatest = mean_.maxCoeff();
  double sum = 0;
  for (int i = 0; i < action_size_; ++i) sum += exact::Exp(mean_[i] - greatest);
  return greatest + exact::Log(sum);
}

float Policy::WriteChoice(int choice, std::span<float> action) const {
  for (int i = 0; i < action_size_; ++i) action[i] = i == choice ? 1.0f : 0.0f;
  return static_cast<float>(mean_[choice] - LogOfSumOfExp());
}

void Policy::Choose(std::span<const float> observation, double uniform, std::span<float> action, float* log_prob) {
  MENTOR_CHECK(discrete_);
  Mean(observation, action);
  const double log_sum = LogOfSumOfExp();
  int choice = 0;
  double cumulated = exact::Exp(mean_[0] - log_sum);
  // Rounding may leave the sum below 1: then the last choice.
  while (choice + 1 < action_size_ && cumulated < uniform) cumulated += exact::Exp(mean_[++choice] - log_sum);
  *log_prob = WriteChoice(choice, action);
}

void Policy::Deterministic(std::span<const float> observation, std::span<float> action, float* log_prob) {
  Mean(observation, action);
  if (discrete_) {
    const float* greatest = std::max_element(mean_.data(), mean_.data() + action_size_);
    *log_prob = WriteChoice(static_cast<int>(greatest - mean_.data()), action);
    return;
  }
  *log_prob = LogProb(action, {mean_.data(), static_cast<size_t>(action_size_)});
}

}  // namespace mentor::actor
