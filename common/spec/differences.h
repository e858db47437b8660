// Specs as flat lists of settings, and the differences between two specs. Pure functions; threads
// may share.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "mentor/v1/spec.pb.h"

namespace mentor {

// Returns the leaves of a spec by the path that --set takes, including options of parts; lists are
// joined by commas.
std::map<std::string, std::string> FlatSpec(const v1::ExperimentSpec& spec);

// Returns "rule.outer_updates: 4 -> 8" for each difference that affects the result. Unset options
// read as "default". At most `lines_max` lines and a last line that counts the rest.
std::vector<std::string> SpecDifferences(const v1::ExperimentSpec& from,
                                         const v1::ExperimentSpec& to, size_t lines_max);

}  // namespace mentor
