// Evaluated lifetimes of a run as compressed CSV, which a repository can keep when the run's folder
// is gone: the lifetimes of several runs are pooled from it. Functions without state.
// report::LifetimesCsv has the columns.
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
