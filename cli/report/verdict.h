// What an interval says, in the words of every report, comparison, command and page. Pure
// functions.
#pragma once

#include <string>

#include "cli/report/statistics.h"

namespace mentor::report {

// A verdict on a difference of two means. Its 95 % interval decides, never a number of samples.
enum class Verdict { kBetter, kWorse, kAlike };
Verdict VerdictOf(const Interval& difference);
// "better", "worse", "cannot be told apart"
std::string WordOf(Verdict verdict);
// "better than PPO", "worse than PPO", "cannot be told apart from PPO"
std::string WordsOf(Verdict verdict, const std::string& other);

// A verdict on a quantity that changes: it moves where the whole interval is `least` or more away
// from 0. A smaller change does not count, however certain.
enum class Movement { kRises, kFalls, kStays };
Movement MovementOf(const Interval& change, double least);
inline constexpr double kLeastOfSuccess = 0.01;
// A return's least is this share of its deviation, a small effect (Cohen, 1988). A bound of 0 would
// be passed by any drift, given enough samples.
inline constexpr double kLeastOfDeviation = 0.2;
// "rises", "falls", "does not move"
std::string WordOf(Movement movement);

}  // namespace mentor::report
