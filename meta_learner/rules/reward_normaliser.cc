#include "meta_learner/rules/reward_normaliser.h"

#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"

namespace mentor::meta_learner {
namespace {

// Below it, a mean of shaped rewards is taken for a mistake: they are not negative, and far from 0.
constexpr double kMeanMin = 1e-3;
constexpr char kPrefix[] = "normaliser/";

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

torch::Tensor RewardNormaliser::Normalise(const std::string& environment,
                                          const torch::Tensor& rewards, double target_mean) const {
  return rewards.to(torch::kFloat64) / (Mean(environment) + 1e-7) * target_mean;
}

absl::Status RewardNormaliser::Check() const {
  for (const auto& [environment, statistics] : statistics_) {
    const double mean = statistics.sum / static_cast<double>(statistics.count);
    if (mean >= kMeanMin) continue;
    return absl::FailedPreconditionError(
        absl::StrFormat("shaped rewards of environment '%s' have mean %g over %d lifetimes, "
                        "expected at least %g: dividing by it would "
                        "blow them up or turn their sign; scale the environment's reward or set "
                        "rule.option.objective to success",
                        environment, mean, statistics.count, kMeanMin));
  }
  return absl::OkStatus();
}

double RewardNormaliser::Mean(const std::string& environment) const {
  const auto found = statistics_.find(environment);
  MENTOR_CHECK(found != statistics_.end() && found->second.count > 0);
  return found->second.sum / static_cast<double>(found->second.count);
}

void RewardNormaliser::Save(learner::TensorMap* state) const {
  for (const auto& [environment, statistics] : statistics_) {
    torch::Tensor numbers = torch::empty({2}, torch::kFloat64);
    numbers[0] = statistics.sum;
    numbers[1] = static_cast<double>(statistics.count);
    (*state)[absl::StrCat(kPrefix, environment)] = numbers;
  }
}

absl::Status RewardNormaliser::Load(const learner::TensorMap& state) {
  std::map<std::string, Statistics> loaded;
  for (const auto& [name, unused] : state) {
    if (!name.starts_with(kPrefix)) continue;
    MENTOR_ASSIGN_OR_RETURN(const torch::Tensor numbers,
                            learner::ReadTensor(state, name, {2}, torch::kFloat64, "the rule"));
    const auto count = static_cast<int64_t>(numbers[1].item<double>());
    if (count < 1)
      return absl::DataLossError(absl::StrFormat("'%s' counts %d lifetimes", name, count));
    loaded[name.substr(std::string(kPrefix).size())] = {numbers[0].item<double>(), count};
  }
  statistics_ = std::move(loaded);
  return absl::OkStatus();
}

}  // namespace mentor::meta_learner
