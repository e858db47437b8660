// What `mentor doctor` says of a spec, from measured numbers and findings, and of a run, from what
// it has learned.
#pragma once

#include <string>
#include <vector>

#include "mentor/doctor/findings.h"
#include "mentor/doctor/measurement.h"
#include "mentor/report/hints.h"
#include "mentor/report/outcome.h"

namespace mentor::doctor {

// For people. `next`: the command that runs the spec.
std::string TextOf(const Measured& measured, const std::vector<Finding>& findings,
                   const std::string& next);
// The same as one JSON object.
std::string JsonOf(const Measured& measured, const std::vector<Finding>& findings,
                   const std::string& next);

// The same of a run.
std::string TextOf(const report::Outcome& outcome, const std::vector<report::Hint>& hints);
std::string JsonOf(const report::Outcome& outcome, const std::vector<report::Hint>& hints);

}  // namespace mentor::doctor
