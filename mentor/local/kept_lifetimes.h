// Evaluated lifetimes of a run as compressed CSV, which a repository can keep when the run's folder
// is gone: the lifetimes of several runs are pooled from it. Functions without state.
//
//   teacher           as on the command line: learned, ppo_sparse, ...
//   split, environment, lifetime, goal, goal_seed, has_goals, seed, lifetime_episodes
//                     as report::EvaluationRow
//   segment_episodes, episode_success, episode_return
//                     numbers separated by blanks; a number is written in full
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "mentor/report/report.h"

namespace mentor {

// Returns gzip's bytes, the same for the same rows. OUT_OF_RANGE: they are too many to keep.
absl::StatusOr<std::string> PackLifetimes(const std::vector<report::EvaluationRow>& rows);
// INVALID_ARGUMENT names `file`, the line, the column and the remedy.
absl::StatusOr<std::vector<report::EvaluationRow>> UnpackLifetimes(std::string_view bytes,
                                                                   const std::string& file);

}  // namespace mentor
