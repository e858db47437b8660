#include "methods/shared/reward_normaliser.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"

namespace mentor::methods {
namespace {

// A mean of at most this share of the root mean square is near 0
// (methods/black_box/README.md#reading-positive-mean-reward).
constexpr double kNearZero = 0.05;
constexpr double kEpsilon = 1e-7;
constexpr char kPrefix[] = "normaliser/";

struct Moments {
  double sum = 0, square_sum = 0;  // sums of the lifetimes' mean rewards and mean squares
  int64_t count = 0;
};

}  // namespace

void RewardNormaliser::Add(const std::string& environment, const torch::Tensor& rewards) {
  MENTOR_CHECK(rewards.dim() == 1 && rewards.numel() > 0);
  const torch::Tensor steps = rewards.to(torch::kFloat64).contiguous();
  const double* reward = steps.const_data_ptr<double>();
  double sum = 0;
  for (int64_t t = 0; t < steps.numel(); ++t) sum += reward[t];
  Statistics& statistics = statistics_[environment];
  statistics.sum += sum / static_cast<double>(steps.numel());
  ++statistics.count;
}

void RewardNormaliser::AddSquares(const std::vector<std::string>& environments,
                                  const torch::Tensor& rewards) {
  MENTOR_CHECK(rewards.dim() == 2 && rewards.size(1) > 0 &&
               rewards.size(0) == static_cast<int64_t>(environments.size()));
  const torch::Tensor steps = rewards.to(torch::kFloat64).contiguous();
  const double* reward = steps.const_data_ptr<double>();
  const int64_t length = steps.size(1);
  std::map<std::string, Moments> update;
  for (const std::string& environment : environments) {
    double sum = 0, square_sum = 0;
    for (int64_t t = 0; t < length; ++t, ++reward) {
      sum += *reward;
      square_sum += *reward * *reward;
    }
    Moments& moments = update[environment];
    moments.sum += sum / static_cast<double>(length);
    moments.square_sum += square_sum / static_cast<double>(length);
    ++moments.count;
  }
  for (const auto& [environment, moments] : update) {
    Statistics& statistics = statistics_.at(environment);
    // Both means must be small, so that one unusual update does not change an environment's
    // divisor: earlier squares are unknown.
    const double lifetimes = static_cast<double>(moments.count), mean = Mean(environment),
                 greater = std::max(mean, moments.sum / lifetimes);
    const bool is_clear =
        mean > 0 && greater > kNearZero * std::sqrt(moments.square_sum / lifetimes);
    if (statistics.square_count == 0 && is_clear) continue;
    statistics.square_sum += moments.square_sum;
    statistics.square_count += moments.count;
  }
}

torch::Tensor RewardNormaliser::Normalise(const std::string& environment,
                                          const torch::Tensor& rewards, double target_mean) const {
  return rewards.to(torch::kFloat64) / (Divisor(environment) + kEpsilon) * target_mean;
}

double RewardNormaliser::Mean(const std::string& environment) const {
  const auto found = statistics_.find(environment);
  MENTOR_CHECK(found != statistics_.end() && found->second.count > 0);
  return found->second.sum / static_cast<double>(found->second.count);
}

double RewardNormaliser::NormalisedMean(const std::string& environment, double target_mean) const {
  if (statistics_.at(environment).square_count == 0) return target_mean;
  return Mean(environment) / (Divisor(environment) + kEpsilon) * target_mean;
}

double RewardNormaliser::Divisor(const std::string& environment) const {
  const double mean = Mean(environment);
  const Statistics& statistics = statistics_.at(environment);
  if (statistics.square_count == 0) return mean;
  return std::sqrt(statistics.square_sum / static_cast<double>(statistics.square_count));
}

void RewardNormaliser::AddTo(RuleReport* report) const {
  for (const auto& [environment, statistics] : statistics_) {
    (*report)[absl::StrCat("reward_mean/", environment)] = Mean(environment);
    if (statistics.square_count > 0)
      (*report)[absl::StrCat("reward_rms/", environment)] = Divisor(environment);
  }
}

void RewardNormaliser::AddTo(StateFields* fields) {
  fields->AddPart([this](TensorMap* state) { Save(state); },
                  [this](const TensorMap& state) { return Load(state); });
}

void RewardNormaliser::Save(TensorMap* state) const {
  for (const auto& [environment, statistics] : statistics_) {
    std::vector<double> numbers = {statistics.sum, static_cast<double>(statistics.count)};
    if (statistics.square_count > 0) {
      numbers.push_back(statistics.square_sum);
      numbers.push_back(static_cast<double>(statistics.square_count));
    }
    (*state)[absl::StrCat(kPrefix, environment)] = torch::tensor(numbers, torch::kFloat64);
  }
}

absl::Status RewardNormaliser::Load(const TensorMap& state) {
  std::map<std::string, Statistics> loaded;
  for (const auto& [name, stored] : state) {
    if (!name.starts_with(kPrefix)) continue;
    const bool has_squares = stored.defined() && stored.numel() == 4;
    MENTOR_ASSIGN_OR_RETURN(
        const torch::Tensor numbers,
        ReadTensor(state, name, {has_squares ? 4 : 2}, torch::kFloat64, "the rule"));
    const auto number = [&](int64_t i) { return numbers[i].item<double>(); };
    Statistics statistics{.sum = number(0), .count = static_cast<int64_t>(number(1))};
    if (has_squares) {
      statistics.square_sum = number(2);
      statistics.square_count = static_cast<int64_t>(number(3));
    }
    if (statistics.count < 1 || statistics.square_count < (has_squares ? 1 : 0) ||
        statistics.square_count > statistics.count || statistics.square_sum < 0) {
      return absl::DataLossError(
          absl::StrFormat("'%s' counts %d lifetimes, and %d with squares of sum %g", name,
                          statistics.count, statistics.square_count, statistics.square_sum));
    }
    loaded[name.substr(std::string(kPrefix).size())] = statistics;
  }
  statistics_ = std::move(loaded);
  return absl::OkStatus();
}

}  // namespace mentor::methods
