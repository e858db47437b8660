// Specs as flat lists of settings, and in which of them two specs differ. Pure functions; threads
// may share.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "mentor/v1/spec.pb.h"

namespace mentor {

// Leaves of a spec by the path that --set takes, options of parts among them; lists joined by
// commas.
std::map<std::string, std::string> FlatSpec(const v1::ExperimentSpec& spec);

// "rule.outer_updates: 4 -> 8" for each difference in what the result depends on, with "default"
// for an option that is not set; at most `lines_max` and a last line that counts the rest.
std::vector<std::string> SpecDifferences(const v1::ExperimentSpec& from,
                                         const v1::ExperimentSpec& to, size_t lines_max);

}  // namespace mentor
