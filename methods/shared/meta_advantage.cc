#include "methods/shared/meta_advantage.h"

#include <algorithm>
#include <optional>

#include "common/check.h"

namespace mentor::methods {
namespace {

// A lifetime prepared so that each estimate is O(1). Weights never divide: gamma may be 0, and many
// episodes lose no precision.
class DiscountedLifetime {
 public:
  DiscountedLifetime(double gamma, std::span<const double> rewards,
                     std::span<const uint8_t> prev_done)
      : episode_(rewards.size()), power_(1, 1.0), return_(rewards.size() + 1, 0.0) {
    int64_t episode = 0;
    for (size_t t = 0; t < rewards.size(); ++t) {
      if (prev_done[t]) {
        ++episode;
        power_.push_back(power_.back() * gamma);
      }
      episode_[t] = episode;
    }
    for (size_t t = rewards.size(); t-- > 0;) {
      const double weight = t + 1 < rewards.size() && prev_done[t + 1] ? gamma : 1.0;
      return_[t] = rewards[t] + weight * return_[t + 1];
    }
  }

  // gamma^(e_b - e_a)
  double Weight(int64_t a, int64_t b) const { return power_[episode_[b] - episode_[a]]; }
  // Sum over j >= a of gamma^(e_j - e_a) r_j.
  double Return(int64_t a) const { return return_[a]; }
  // The same sum over a <= j < b < L, plus the discounted value of step b.
  double Bootstrapped(int64_t a, int64_t b, double value) const {
    return return_[a] + Weight(a, b) * (value - return_[b]);
  }

 private:
  std::vector<int64_t> episode_;  // e_t
  std::vector<double> power_;     // gamma^i
  std::vector<double> return_;    // [L + 1]
};

bool Skips(MetaEstimator estimator) {
  return estimator == MetaEstimator::kSkipping || estimator == MetaEstimator::kMonteCarloSkipping;
}

bool Bootstraps(MetaEstimator estimator) {
  return estimator == MetaEstimator::kSkipping || estimator == MetaEstimator::kBootstrapping;
}

// s_t: steps from t to the next segment.
int64_t Skipped(const MetaAdvantageConfig& config, int64_t t) {
  return Skips(config.estimator) ? config.steps_per_iteration - t % config.steps_per_iteration : 0;
}

// Calls use(n) for each admissible n, in increasing order. Returns false when there is none.
template <typename F>
bool ForAdmissible(const MetaAdvantageConfig& config, int64_t lifetime_steps, int64_t t, F&& use) {
  const int64_t skipped = Skipped(config, t);
  bool any = false;
  // Steps near the end of the trained part fall back to short estimates.
  for (const int64_t first : {config.starting_n, int64_t{1}}) {
    for (int64_t j = 0; j < config.num_estimates; ++j) {
      const int64_t n = first + j * config.skip_rate;
      if (t + n >= lifetime_steps || skipped >= n) continue;
      any = true;
      use(n);
    }
    if (any) return true;
  }
  return false;
}

// The smallest n greater than `skipped` that ForAdmissible tries.
std::optional<int64_t> ShortestEstimate(const MetaAdvantageConfig& config, int64_t skipped) {
  std::optional<int64_t> shortest;
  for (const int64_t first : {config.starting_n, int64_t{1}}) {
    int64_t n = first;
    if (n <= skipped) {
      if (config.skip_rate == 0) continue;
      const int64_t j = (skipped - first) / config.skip_rate + 1;
      if (j >= config.num_estimates) continue;
      n = first + j * config.skip_rate;
    }
    shortest = std::min(n, shortest.value_or(n));
  }
  return shortest;
}

// Plain generalised advantage estimation over the lifetime. The value after its last step is 0.
std::vector<double> Gae(const MetaAdvantageConfig& config, std::span<const double> rewards,
                        std::span<const double> values) {
  std::vector<double> advantages(rewards.size());
  double advantage = 0, next_value = 0;
  for (size_t t = rewards.size(); t-- > 0;) {
    const double delta = rewards[t] + config.gamma * next_value - values[t];
    advantage = delta + config.gamma * config.lambda * advantage;
    advantages[t] = advantage;
    next_value = values[t];
  }
  return advantages;
}

}  // namespace

std::vector<std::pair<std::string, MetaEstimator>> MetaEstimators() {
  return {{"skipping", MetaEstimator::kSkipping},
          {"bootstrapping", MetaEstimator::kBootstrapping},
          {"mc", MetaEstimator::kMonteCarlo},
          {"mc_skipping", MetaEstimator::kMonteCarloSkipping},
          {"gae", MetaEstimator::kGae}};
}

MetaAdvantages EstimateMetaAdvantages(const MetaAdvantageConfig& config,
                                      std::span<const double> rewards,
                                      std::span<const double> values,
                                      std::span<const uint8_t> prev_done) {
  MENTOR_CHECK(rewards.size() == values.size() && rewards.size() == prev_done.size());
  const auto steps = static_cast<int64_t>(rewards.size());
  MetaAdvantages result{.advantages = std::vector<double>(rewards.size()),
                        .returns = std::vector<double>(rewards.size()),
                        .valid = std::vector<uint8_t>(rewards.size(), 1)};
  if (config.estimator == MetaEstimator::kGae) {
    result.advantages = Gae(config, rewards, values);
  } else {
    const DiscountedLifetime lifetime(config.gamma, rewards, prev_done);
    for (int64_t t = 0; t < steps; ++t) {
      const int64_t after_update = t + Skipped(config, t);
      if (t == steps - 1) {
        result.advantages[t] = rewards[t] - values[t];
      } else if (Bootstraps(config.estimator)) {
        double sum = 0, weights = 0, weight = 1;
        result.valid[t] = ForAdmissible(config, steps, t, [&](int64_t n) {
          sum += weight * (lifetime.Bootstrapped(after_update, t + n, values[t + n]) - values[t]);
          weights += weight;
          weight *= config.lambda;
        });
        if (result.valid[t]) result.advantages[t] = sum / weights;
      } else {
        // No update follows the last segment, so nothing is skipped there.
        result.advantages[t] = lifetime.Return(after_update < steps ? after_update : t) - values[t];
      }
    }
  }
  for (int64_t t = 0; t < steps; ++t) {
    if (result.valid[t]) result.returns[t] = result.advantages[t] + values[t];
  }
  return result;
}

int64_t FirstInvalidStep(const MetaAdvantageConfig& config, int64_t lifetime_steps,
                         int64_t trained_steps) {
  if (!Bootstraps(config.estimator)) return -1;
  const int64_t end = std::min(trained_steps, lifetime_steps - 1);
  // Steps that skip equally many, a period apart, have the same shortest estimate. They lack one
  // from some step on, so long lifetimes need no walk through all steps.
  const int64_t period = Skips(config.estimator) ? config.steps_per_iteration : 1;
  int64_t earliest = end;
  for (int64_t phase = 0; phase < std::min(period, end); ++phase) {
    int64_t first = phase;
    if (const auto shortest = ShortestEstimate(config, Skipped(config, phase))) {
      const int64_t late = lifetime_steps - *shortest - phase;
      if (late > 0) first += (late + period - 1) / period * period;
    }
    earliest = std::min(earliest, first);
  }
  return earliest < end ? earliest : -1;
}

}  // namespace mentor::methods
