// The results of a finished run, as a row of its claim. Functions without state.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "cli/local/claims.h"
#include "cli/report/report.h"

namespace mentor {

// Returns the numbers of `measures`, by their words. INVALID_ARGUMENT names a measure that has
// another form, that the run has not, or that is not finite.
absl::StatusOr<ClaimNumbers> MeasureTraining(const std::string& measures,
                                             const std::vector<report::TrainingPoint>& training);

// Returns the CPU seconds of all updates; NaN when none is known.
double CpuSeconds(const std::vector<report::TrainingPoint>& training);

// How a signal follows the shaped reward, and its change in a step, over the steps of all samples
// together. NaN where a series is constant, or episodes are unknown.
struct Correlation {
  double pearson = 0, spearman = 0;
  double change_pearson = 0, change_spearman = 0;
};
Correlation Correlate(const std::vector<report::SignalSample>& samples);

// Returns the results of a finished run: hashes, numbers, costs. The row keeps its name, command
// and measures. Writes the run's records where the folder has none. Returns FAILED_PRECONDITION
// when the folder is not a complete run of that command.
absl::StatusOr<ClaimRow> MeasureRun(const ClaimRow& row, const std::filesystem::path& run);
// As MeasureRun, for all runs of a claim together.
absl::StatusOr<ClaimRow> MeasureAll(const ClaimRow& row, const std::vector<ClaimRow>& runs,
                                    const std::vector<std::filesystem::path>& folders);

// Fingerprint of this build on this machine, in the form of the column.
std::string ClaimFingerprint();
// The row without numbers, with the version, processor and fingerprint of this process.
ClaimRow MadeHere(const ClaimRow& row);

}  // namespace mentor
