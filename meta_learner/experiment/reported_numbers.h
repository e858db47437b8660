// Names of the numbers that an experiment may report, for those who ask for one before it runs: the
// objective of a study. What does report them is in session.cc and evaluation.cc. No state; threads
// may share.
#pragma once

#include <string>
#include <vector>

#include "mentor/v1/spec.pb.h"

namespace mentor::meta_learner {

// Of a valid spec: metrics by outer update, then evaluation/SPLIT/METHOD/NUMBER, the means over the
// lifetimes of all environments. A last `*` stands for a number or an environment, as in
// MetricInfo. A metric that depends on settings of a part may be among them and never come.
std::vector<std::string> ReportedNumbers(const v1::ExperimentSpec& spec);

}  // namespace mentor::meta_learner
