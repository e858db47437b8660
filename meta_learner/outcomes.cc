#include "meta_learner/outcomes.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "common/check.h"

namespace mentor::meta_learner {
namespace {

// Discount of later episodes in the meta-return of a lifetime (black_box.md section 9).
constexpr double kMetaReturnGamma = 0.9;
// Makes the mean return break ties between equal success rates.
constexpr double kReturnWeight = 1e-6;

double Mean(const std::vector<double>& values, size_t begin, size_t end) {
  if (end <= begin) return 0;
  double sum = 0;
  for (size_t i = begin; i < end; ++i) sum += values[i];
  return sum / static_cast<double>(end - begin);
}

}  // namespace

std::vector<LifetimeOutcome> Outcomes(const std::vector<learner::Segment>& segments) {
  MENTOR_CHECK(!segments.empty());
  const int64_t num_lifetimes = segments[0].shaped_rewards.size(0);
  std::vector<LifetimeOutcome> outcomes(num_lifetimes);
  std::vector<double> success(num_lifetimes, 0), total(num_lifetimes, 0);
  std::vector<bool> begun(num_lifetimes, false);
  const auto end_episode = [&](int64_t s) {
    if (!begun[s]) return;
    outcomes[s].episode_success.push_back(success[s]);
    outcomes[s].episode_return.push_back(total[s]);
    ++outcomes[s].segment_episodes.back();
    success[s] = total[s] = 0;
    begun[s] = false;
  };
  for (const learner::Segment& segment : segments) {
    const auto rewards = segment.shaped_rewards.accessor<double, 2>();
    const auto successes = segment.successes.accessor<float, 2>();
    const auto prev_done = segment.prev_done.accessor<float, 2>();
    const auto last_done = segment.last_done.accessor<float, 1>();
    for (int64_t s = 0; s < num_lifetimes; ++s) {
      outcomes[s].segment_episodes.push_back(0);
      for (int64_t t = 0; t < rewards.size(1); ++t) {
        if (prev_done[s][t] != 0) end_episode(s);
        begun[s] = true;
        total[s] += rewards[s][t];
        if (successes[s][t] != 0) success[s] = 1;
      }
      if (last_done[s] != 0) end_episode(s);
    }
  }
  return outcomes;
}

std::map<std::string, double> RoundMetrics(const std::vector<LifetimeOutcome>& outcomes,
                                           const std::vector<std::string>& environments) {
  MENTOR_CHECK(outcomes.size() == environments.size() && !outcomes.empty());
  std::map<std::string, std::pair<double, int>>
      sums;  // Ordered: the sums are part of a stored result.
  const bool several =
      std::any_of(environments.begin(), environments.end(),
                  [&](const std::string& name) { return name != environments[0]; });
  const bool equally_many = std::all_of(outcomes.begin(), outcomes.end(), [&](const auto& outcome) {
    return outcome.episode_success.size() == outcomes[0].episode_success.size();
  });
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const auto add = [&](const std::string& name, double value) {
      auto& [sum, count] = sums[name];
      sum += value;
      ++count;
      if (several) {
        auto& [own_sum, own_count] = sums[absl::StrCat(name, "/", environments[i])];
        own_sum += value;
        ++own_count;
      }
    };
    const LifetimeOutcome& outcome = outcomes[i];
    const size_t episodes = outcome.episode_success.size();
    if (episodes == 0) continue;
    size_t begin = 0;
    for (size_t segment = 0; segment < outcome.segment_episodes.size(); ++segment) {
      const size_t end = begin + static_cast<size_t>(outcome.segment_episodes[segment]);
      if (end > begin) add(absl::StrCat("seg", segment), Mean(outcome.episode_success, begin, end));
      begin = end;
    }
    for (size_t episode = 0; equally_many && episode < episodes; ++episode) {
      add(absl::StrCat("success_episode_", episode), outcome.episode_success[episode]);
    }
    add("shaped_return", Mean(outcome.episode_return, 0, episodes));
    double meta_return = 0;
    for (size_t episode = 0; episode < episodes; ++episode) {
      meta_return += std::pow(kMetaReturnGamma, static_cast<double>(episode)) *
                     outcome.episode_return[episode];
    }
    add("meta_return", meta_return);
  }
  std::map<std::string, double> metrics;
  for (const auto& [name, sum] : sums) metrics[name] = sum.first / sum.second;
  return metrics;
}

double LifetimeScore(const LifetimeOutcome& outcome, int episodes) {
  const size_t end = outcome.episode_success.size();
  const size_t begin = end - std::min<size_t>(end, static_cast<size_t>(std::max(episodes, 0)));
  return Mean(outcome.episode_success, begin, end) +
         kReturnWeight * Mean(outcome.episode_return, begin, end);
}

}  // namespace mentor::meta_learner
