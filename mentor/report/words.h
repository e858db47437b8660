// Words for the short names in files and metrics: seg2, det, test. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include "mentor/report/evaluation.h"

namespace mentor::report {

// Names segment 0, 1, 2, ... of a lifetime: "before learning", "after 1 update", "after 2 updates".
// A single segment is the "whole lifetime".
std::string PartName(int segment, size_t segments);
// Returns the name within a sentence: "in the whole lifetime".
std::string PartWords(int segment, size_t segments);
inline constexpr char kLastEpisode[] = "last episode";
inline constexpr char kWithoutNoise[] = "without noise";

// Names a split: "unseen goals", "training goals", or the split's own name. Without goals, only the
// agents are new.
std::string GoalsOf(const std::string& split, bool has_goals = true);

// Returns "success rate" or "shaped return of an episode".
std::string QuantityWords(Quantity quantity);
std::string Capitalised(std::string text);

// Returns "1 run" or "3 runs".
std::string Several(uint64_t count, const std::string& noun);
// Returns "1 to 3, 7".
std::string RangesOf(const std::set<uint64_t>& numbers);
// Returns 0.456 as "0.46".
std::string Rounded(double value);
// Returns 1536000 as "1,536,000".
std::string Grouped(uint64_t number);

}  // namespace mentor::report
