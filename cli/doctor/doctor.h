// What `mentor doctor` says of a spec, from measured numbers and findings. The program of reports
// says it of a run.
#pragma once

#include <string>
#include <vector>

#include "cli/doctor/findings.h"
#include "cli/doctor/measurement.h"

namespace mentor::doctor {

// For people. `next`: the command that runs the spec.
std::string TextOf(const Measured& measured, const std::vector<Finding>& findings,
                   const std::string& next);
// The same as one JSON object.
std::string JsonOf(const Measured& measured, const std::vector<Finding>& findings,
                   const std::string& next);

}  // namespace mentor::doctor
