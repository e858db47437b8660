// Names of the numbers that an experiment may report, for callers that choose one before it runs:
// the objective of a study. session.cc and evaluation.cc report them. No state; threads may share.
#pragma once

#include <string>
#include <vector>

#include "mentor/v1/spec.pb.h"

namespace mentor::meta_learner {

struct ExperimentParts;

// For a spec with its defaults and its parts: metrics by outer update, then
// evaluation/SPLIT/METHOD/NUMBER, the means over the lifetimes of all environments. A last `*`
// stands for a number or an environment, as in MetricInfo. A metric that depends on a part's
// settings may be listed and never come.
std::vector<std::string> ReportedNumbers(const v1::ExperimentSpec& spec,
                                         const ExperimentParts& parts);

}  // namespace mentor::meta_learner
