// The records of a run, from which reports are drawn in Python: python/mentor/report/records.py
// says what is in each file. Functions without state; thread-safe for different folders.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "mentor/report/report.h"

namespace mentor::report {

inline constexpr char kRecordsFolder[] = "records";  // In a run's folder.

// Writes all files below `folder`, run.json last: it counts the rows of the others.
absl::Status WriteRecords(const ReportData& data, const std::filesystem::path& folder);

// Evaluated lifetimes as CSV: a line of names, and a line for each. Numbers are written in full.
//
//   teacher           as in the options of programs: learned, best, sparse, ...
//   split, environment, lifetime, goal, goal_seed, has_goals, seed, lifetime_episodes
//                     as EvaluationRow
//   segment_episodes, episode_success, episode_return
//                     numbers separated by blanks
std::string LifetimesCsv(const std::vector<EvaluationRow>& rows);
// The names of its columns.
std::vector<std::string> LifetimeColumns();

}  // namespace mentor::report
