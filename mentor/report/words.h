// The words of reports for what files and metrics name shortly: seg2, det, test. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include "mentor/report/evaluation.h"

namespace mentor::report {

// Of segment 0, 1, 2, ... of a lifetime: "before learning", "after 1 update", "after 2 updates"; of
// the only one: "whole lifetime".
std::string PartName(int segment, size_t segments);
// The same within a sentence: "in the whole lifetime".
std::string PartWords(int segment, size_t segments);
inline constexpr char kLastEpisode[] = "last episode";
inline constexpr char kWithoutNoise[] = "without noise";

// Of a split: "unseen goals", "training goals", or its own name. Without goals the agents alone are
// new.
std::string GoalsOf(const std::string& split, bool has_goals = true);

// "success rate", "shaped return of an episode"
std::string QuantityWords(Quantity quantity);
std::string Capitalised(std::string text);

// "1 run", "3 runs"
std::string Several(uint64_t count, const std::string& noun);
// "1 to 3, 7"
std::string RangesOf(const std::set<uint64_t>& numbers);
// 1536000 as "1,536,000".
std::string Grouped(uint64_t number);

}  // namespace mentor::report
