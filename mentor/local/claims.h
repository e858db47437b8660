// Published numbers that anybody can make again: docs/data/claims.csv names for each the command,
// the build and machine that made it, the hashes of what came out, and the numbers.
//
// A claim is one or several runs of `mentor run`, its meta-seeds. The file has a row for each run
// (claim "door-close-reward", run "2") and, where there are several, one for all of them together
// (run "all"), whose numbers are pooled, with intervals by meta-seed, goal and lifetime.
//
//   claim        name, by which `mentor reproduce` finds it
//   run          "1", "2", ...; "all": the runs together
//   row          of docs/experiments.md
//   command      mentor run SPEC --set NAME=VALUE ...; empty in the row "all"
//   measures     numbers of meta-training to record, separated by blanks: see MeasureTraining
//   version      of Mentor that made it; empty, as all that follows: not run yet
//   processor    name of the processor
//   fingerprint  of its arithmetic: environments/simulator/learner, 12 digits each
//   cpu_seconds  of meta-training; env_steps: of meta-training
//   hash         as `mentor hash`; of the row "all": over those of the runs; empty where nothing
//                was learned, as of PPO alone
//   evaluation   hash over all evaluated lifetimes; empty where there are none
//   numbers      NAME=MEAN[LOW,HIGH] or NAME=VALUE, separated by blanks
//
// Functions without state.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "mentor/report/report.h"
#include "mentor/report/statistics.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

// A recorded number; without an interval, low and high are NaN.
using ClaimNumbers = std::map<std::string, report::Interval>;

struct ClaimRow {
  std::string claim, run, row, command, measures, version, processor, fingerprint, cpu_seconds,
      env_steps, hash, evaluation;
  ClaimNumbers numbers;

  bool is_pooled() const { return run == "all"; }
  bool recorded() const { return !hash.empty() || !evaluation.empty(); }
  // The hash that people compare: where nothing was learned that of the evaluation.
  const std::string& result() const { return hash.empty() ? evaluation : hash; }
  // "door-close-reward-2", or the claim's name of the row "all".
  std::string name() const { return is_pooled() ? claim : claim + "-" + run; }
};

// The file that --claims names, MENTOR_CLAIMS, or the one that came with Mentor.
std::filesystem::path ClaimsFile();
// INVALID_ARGUMENT names file, line, column and remedy.
absl::StatusOr<std::vector<ClaimRow>> ReadClaims(const std::filesystem::path& file);
absl::StatusOr<std::vector<ClaimRow>> ParseClaims(std::string_view text, const std::string& file);
// Whether WriteClaim may write it: it is there, in the form that it would have, in a folder that
// takes new files.
absl::Status CheckWritable(const std::filesystem::path& file);
// Writes one row into the file, which keeps all others as they are by then: several processes may
// record at once. FAILED_PRECONDITION: the row is not there, or writing would lose something.
absl::Status WriteClaim(const std::filesystem::path& file, const ClaimRow& made);
std::string PrintClaims(const std::vector<ClaimRow>& rows);

// The rows that a name means: a run, or a claim with all its runs. NOT_FOUND lists the nearest
// names.
absl::StatusOr<std::vector<size_t>> FindClaim(const std::vector<ClaimRow>& rows,
                                              const std::string& name);

// The spec of a command. INVALID_ARGUMENT says what is not `mentor run SPEC --set NAME=VALUE`.
absl::StatusOr<v1::ExperimentSpec> SpecOfCommand(const std::string& command);

// Numbers of meta-training. A measure is
//   METRIC@last:N          mean of the last N outer updates
//   METRIC@first:N:BOUND   the first outer update at which the mean of the last N reaches BOUND;
//                          0: none did
// INVALID_ARGUMENT names the measure.
absl::StatusOr<ClaimNumbers> MeasureTraining(const std::string& measures,
                                             const std::vector<report::TrainingPoint>& training);

// What a finished run has to say, as a row of its claim: hashes, numbers, costs. The row keeps its
// name, command and measures. FAILED_PRECONDITION: the folder is not a whole run of that command.
absl::StatusOr<ClaimRow> RecordRun(const ClaimRow& row, const std::filesystem::path& run);
// The same of all runs of a claim together.
absl::StatusOr<ClaimRow> RecordAll(const ClaimRow& row, const std::vector<ClaimRow>& runs,
                                   const std::vector<std::filesystem::path>& folders);

// Fingerprint of this build on this machine, as the column has it.
std::string ClaimFingerprint();

// How what came out stands to what was recorded.
struct ClaimVerdict {
  bool same_bits = false;   // Hash and evaluation.
  bool may_differ = false;  // Another version or arithmetic made the record.
  // With the same bits all are equal. With others each one's interval meets the recorded one, or
  // it lies where one more meta-seed of the recorded runs may lie.
  bool numbers_agree = true;
  std::vector<std::string> sentences = {};
};
// runs: those that are recorded of the claim, where `recorded` is one of them.
ClaimVerdict CompareClaims(const ClaimRow& recorded, const ClaimRow& now,
                           const std::vector<ClaimRow>& runs = {});

}  // namespace mentor
