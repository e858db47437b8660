#include "meta_learner/experiment/outcomes.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "common/check.h"

namespace mentor::meta_learner {
namespace {

// Discount of later episodes in the meta-return of a lifetime
// (methods/black_box/README.md#outer-loop).
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

std::vector<LifetimeOutcome> Outcomes(const std::vector<agents::Segment>& segments) {
  MENTOR_CHECK(!segments.empty());
  std::vector<LifetimeOutcome> outcomes(segments[0].shaped_rewards.size(0));
  for (const agents::Segment& segment : segments) {
    const auto ended = agents::EndedEpisodes(segment);
    MENTOR_CHECK(ended.size() == outcomes.size());
    for (size_t s = 0; s < outcomes.size(); ++s) {
      outcomes[s].segment_episodes.push_back(static_cast<int>(ended[s].size()));
      for (const agents::EndedEpisode& episode : ended[s]) {
        outcomes[s].episode_success.push_back(episode.success ? 1 : 0);
        outcomes[s].episode_return.push_back(episode.shaped_return);
      }
    }
  }
  return outcomes;
}

std::map<std::string, double> RoundMetrics(const std::vector<LifetimeOutcome>& outcomes,
                                           const std::vector<std::string>& environments) {
  MENTOR_CHECK(outcomes.size() == environments.size() && !outcomes.empty());
  // Ordered, since the sums are part of a stored result.
  std::map<std::string, std::pair<double, int>> sums;
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
