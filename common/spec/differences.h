// The differences between two specs. Pure functions; threads may share.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "mentor/v1/spec.pb.h"

namespace mentor {

// Returns "rule.outer_updates: 4 -> 8" for each difference that affects the result. Unset options
// read as "default". At most `lines_max` lines and a last line that counts the rest.
std::vector<std::string> SpecDifferences(const v1::ExperimentSpec& from,
                                         const v1::ExperimentSpec& to, size_t lines_max);

}  // namespace mentor
