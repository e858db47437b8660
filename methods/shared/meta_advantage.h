// Advantages of the signal network's outputs over one lifetime
// (methods/black_box/README.md#meta-advantage). Discounting is per episode. Pure functions in
// double; threads may share.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace mentor::methods {

enum class MetaEstimator {
  kSkipping,       // n-step estimates that skip the rewards before the next update: the default
  kBootstrapping,  // the same without skipping
  kMonteCarlo,     // the return to the end of the lifetime
  kMonteCarloSkipping,  // the same, from the next update on
  kGae,                 // generalised advantage estimation, gamma per step, no cut at episode ends
};

// Their names in specs; the default is first.
std::vector<std::pair<std::string, MetaEstimator>> MetaEstimators();

struct MetaAdvantageConfig {
  MetaEstimator estimator = MetaEstimator::kSkipping;
  int64_t steps_per_iteration = 2000;  // T
  double gamma = 0.9;                  // per episode (kGae: per step)
  double lambda = 0.85;
  // n_j = starting_n + j skip_rate, j < num_estimates.
  int64_t starting_n = 2200;
  int64_t num_estimates = 6;
  int64_t skip_rate = 300;
};

struct MetaAdvantages {
  std::vector<double> advantages;  // [L]
  std::vector<double> returns;     // [L]: advantages + values, targets of the value head
  std::vector<uint8_t> valid;  // [L]: 0 where no estimate exists; advantage and return are 0 there
};

// rewards (normalised), values and prev_done are [L].
MetaAdvantages EstimateMetaAdvantages(const MetaAdvantageConfig& config,
                                      std::span<const double> rewards,
                                      std::span<const double> values,
                                      std::span<const uint8_t> prev_done);

// The first step t < trained_steps without an estimate in a lifetime of L steps, or -1.
int64_t FirstInvalidStep(const MetaAdvantageConfig& config, int64_t lifetime_steps,
                         int64_t trained_steps);

}  // namespace mentor::methods
