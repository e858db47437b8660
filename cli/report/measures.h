// Numbers of a run that a claim keeps: what it cost, and how its signal follows the shaped reward.
// Pure functions.
#pragma once

#include <vector>

#include "cli/report/report.h"

namespace mentor::report {

// Returns the CPU seconds of all updates; NaN when none is known.
double CpuSeconds(const std::vector<TrainingPoint>& training);

struct Correlation {
  double pearson = 0;  // With the shaped reward; NaN when either is constant.
  double spearman = 0;
  // With the change of the shaped reward in a step; NaN when episodes are unknown.
  double change_pearson = 0;
  double change_spearman = 0;
};
// Returns the correlation over the steps of all samples together.
Correlation Correlate(const std::vector<SignalSample>& samples);

}  // namespace mentor::report
