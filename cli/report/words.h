// Words for the short names in files and metrics: seg2, det, test. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cli/report/statistics.h"

namespace mentor::report {

// Names segment 0, 1, 2, ... of a lifetime: "before learning", "after 1 update", "after 2 updates".
// A single segment is the "whole lifetime".
std::string PartName(int segment, size_t segments);

// Names a split: "unseen goals", "training goals", or the split's own name. Without goals, only the
// agents are new.
std::string GoalsOf(const std::string& split, bool has_goals = true);

// Returns "1 run" or "3 runs".
std::string Several(uint64_t count, const std::string& noun);
// Returns "0.45 [0.41, 0.49]".
std::string FormatInterval(const Interval& interval);
// Returns 1536000 as "1,536,000".
std::string Grouped(uint64_t number);

}  // namespace mentor::report
