#include "cli/report/measures.h"

#include <cmath>
#include <cstddef>

#include "cli/report/statistics.h"

namespace mentor::report {

double CpuSeconds(const std::vector<TrainingPoint>& training) {
  double sum = 0;
  bool known = false;
  for (const TrainingPoint& point : training) {
    for (const char* phase :
         {"rollout_seconds", "signal_seconds", "update_seconds", "outer_seconds"}) {
      const auto found = point.metrics.find(phase);
      if (found == point.metrics.end() || !std::isfinite(found->second)) continue;
      sum += found->second;
      known = true;
    }
  }
  return known ? sum : kNone;
}

Correlation Correlate(const std::vector<SignalSample>& samples) {
  std::vector<double> signal, shaped, signal_of_change, change;
  for (const SignalSample& sample : samples) {
    signal.insert(signal.end(), sample.signal.begin(), sample.signal.end());
    shaped.insert(shaped.end(), sample.shaped.begin(), sample.shaped.end());
    // The first step of an episode has no change.
    for (size_t t = 1; sample.episode_steps > 0 && t < sample.signal.size(); ++t) {
      if (t % static_cast<size_t>(sample.episode_steps) == 0) continue;
      signal_of_change.push_back(sample.signal[t]);
      change.push_back(sample.shaped[t] - sample.shaped[t - 1]);
    }
  }
  return {Pearson(signal, shaped), Spearman(signal, shaped), Pearson(signal_of_change, change),
          Spearman(signal_of_change, change)};
}

}  // namespace mentor::report
