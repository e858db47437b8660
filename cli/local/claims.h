// Published numbers that every reader can reproduce. For each claim, results/claims.csv names the
// command, the build and machine, the hashes of the results, and the numbers that pages quote.
// results/claims.py has the columns; results/record.py writes the file.
//
// A claim consists of one or several runs of `mentor run`, which differ in their meta-seeds. The
// file has a row for each run (claim "door-close-reward", run "2"). A claim with several runs also
// has a row for all of them (run "all"), whose numbers are pooled.
//
// Functions without state.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "cli/report/statistics.h"
#include "meta_learner/experiment/checked_spec.h"

namespace mentor {

inline constexpr size_t kClaimFingerprintDigits = 12;  // Each part of a fingerprint has so many.

// A recorded number; without an interval, low and high are NaN.
using ClaimNumbers = std::map<std::string, report::Interval>;
// NAME=MEAN[LOW,HIGH] or NAME=VALUE, separated by blanks, with five digits.
std::string ShortNumbers(const ClaimNumbers& numbers);

struct ClaimRow {
  std::string claim, run, row, command, measures, version, processor, fingerprint, cpu_seconds,
      env_steps, hash, evaluation, metrics;
  ClaimNumbers numbers;

  bool is_pooled() const { return run == "all"; }
  bool recorded() const { return !hash.empty() || !evaluation.empty(); }
  // Nothing was meta-trained: an evaluation is all of the run.
  bool evaluation_only() const { return !is_pooled() && recorded() && env_steps == "0"; }
  // The hash that people compare: the evaluation's hash when nothing was learned.
  const std::string& result() const { return hash.empty() ? evaluation : hash; }
  // "door-close-reward-2", or the claim's name for the row "all".
  std::string name() const { return is_pooled() ? claim : claim + "-" + run; }
};

// Returns the file of --claims or MENTOR_CLAIMS, or else the file that came with Mentor.
std::filesystem::path ClaimsFile();
// INVALID_ARGUMENT names the file, line, column and remedy.
absl::StatusOr<std::vector<ClaimRow>> ReadClaims(const std::filesystem::path& file);
absl::StatusOr<std::vector<ClaimRow>> ParseClaims(std::string_view text, const std::string& file);
std::string PrintClaims(const std::vector<ClaimRow>& rows);

// Returns the indices of the rows that `name` selects: a claim with all its runs, one run
// ("door-close-reward-2"), or the runs together ("door-close-reward-all").
// NOT_FOUND lists the nearest names.
absl::StatusOr<std::vector<size_t>> FindClaim(const std::vector<ClaimRow>& rows,
                                              const std::string& name);

// A number of meta-training:
//   METRIC@last:N          mean of the last N outer updates
//   METRIC@first:N:BOUND   the first outer update at which the mean of the last N reaches BOUND;
//                          0: none did
struct Measure {
  std::string metric;
  uint32_t window = 0;
  std::optional<double> bound;  // METRIC@first
};
// The words of the column `measures`.
std::vector<std::string> MeasuresOf(const std::string& measures);
// INVALID_ARGUMENT names the measure.
absl::StatusOr<Measure> ParseMeasure(const std::string& word);
absl::Status WrongMeasure(const std::string& word, const std::string& what);

// Returns the spec of a command, whose parts nobody has checked. INVALID_ARGUMENT names what is not
// `mentor run SPEC --set NAME=VALUE`.
absl::StatusOr<v1::ExperimentSpec> SpecOfCommand(const std::string& command);
// The same, checked. INVALID_ARGUMENT also names a measure whose metric such a run never reports,
// or that takes more outer updates than the run has.
absl::StatusOr<meta_learner::CheckedSpec> SpecOfRun(const ClaimRow& row);

}  // namespace mentor
