// Published numbers that every reader can reproduce. For each claim, results/claims.csv names the
// command, the build and machine, the hashes of the results, and the numbers.
//
// A claim consists of one or several runs of `mentor run`, which differ in their meta-seeds. The
// file has a row for each run (claim "door-close-reward", run "2"). A claim with several runs also
// has a row for all of them (run "all"). Its numbers are pooled, with intervals by meta-seed, goal
// and lifetime.
//
//   claim        name, by which `mentor reproduce` finds it
//   run          "1", "2", ...; "all": the runs together
//   row          of results/experiments.md
//   command      mentor run SPEC --set NAME=VALUE ...; empty in the row "all"
//   measures     numbers of meta-training to record, separated by blanks: see MeasureTraining
//   version      of Mentor; this and the following columns are empty before the first run
//   processor    name of the processor
//   fingerprint  of its arithmetic: environments/simulator/learner, 12 digits each
//   cpu_seconds  of meta-training; env_steps: of meta-training
//   hash         as `mentor hash`; in the row "all": over the hashes of the runs; empty when
//                nothing was learned, as for PPO alone
//   evaluation   hash over all evaluated lifetimes; empty without evaluation
//   metrics      hash over the measured metrics, and the agents' return, of each outer update;
//   empty
//                without outer updates, in the row "all", and in records from before it was kept
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
      env_steps, hash, evaluation, metrics;
  ClaimNumbers numbers;
  // Not in the file of claims: the measured metrics along the run (CurveOf), the evaluated
  // lifetimes (PackLifetimes), and how many runs of a row "all" are pooled from kept lifetimes.
  std::string curve = {}, lifetimes = {};
  int runs_from_lifetimes = 0;
  // Recorded runs of a row "all" whose folders have other results.
  std::vector<std::string> other_runs = {};

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
// Checks that WriteClaim can write the file: it exists in the form that WriteClaim prints, and its
// folder accepts new files.
absl::Status CheckWritable(const std::filesystem::path& file);
// Writes one row into the file. Beside the file, curves/CLAIM-RUN.csv has the row's curve, and
// lifetimes/CLAIM-RUN.csv.gz its lifetimes, if it has them. All other rows, and the row's column
// `row`, keep their current contents: several processes may record at once, and `known` is the row
// that the result was compared with. Returns FAILED_PRECONDITION when the row is missing, when it
// now has other measures or results than `known`, or when writing would lose something.
absl::Status WriteClaim(const std::filesystem::path& file, const ClaimRow& known, ClaimRow made);
std::string PrintClaims(const std::vector<ClaimRow>& rows);

// Returns the indices of the rows that `name` selects: a claim with all its runs, one run
// ("door-close-reward-2"), or the runs together ("door-close-reward-all").
// NOT_FOUND lists the nearest names.
absl::StatusOr<std::vector<size_t>> FindClaim(const std::vector<ClaimRow>& rows,
                                              const std::string& name);

// Returns the spec of a command. INVALID_ARGUMENT names what is not `mentor run SPEC --set
// NAME=VALUE`.
absl::StatusOr<v1::ExperimentSpec> SpecOfCommand(const std::string& command);
// As SpecOfCommand. INVALID_ARGUMENT also names a measure whose metric such a run never reports, or
// that takes more outer updates than the run has.
absl::StatusOr<v1::ExperimentSpec> SpecOfRun(const ClaimRow& row);

// Returns numbers of meta-training. A measure is
//   METRIC@last:N          mean of the last N outer updates
//   METRIC@first:N:BOUND   the first outer update at which the mean of the last N reaches BOUND;
//                          0: none did
// INVALID_ARGUMENT names the measure. ParseClaims refuses what has another form; here a number must
// be finite.
absl::StatusOr<ClaimNumbers> MeasureTraining(const std::string& measures,
                                             const std::vector<report::TrainingPoint>& training);

// Returns the curves of the metrics that `measures` names, as CSV with a header (env_steps,METRIC).
// A line has the means over a block of outer updates, and the environment steps at its end. All
// blocks but the last are equally long, and there are at most 200. A metric that no update of a
// block has is empty there. Without measures the text is empty.
std::string CurveOf(const std::string& measures,
                    const std::vector<report::TrainingPoint>& training);

// Returns the results of a finished run as a row of its claim: hashes, numbers, costs, curve; with
// `keep_lifetimes` the lifetimes, too. The row keeps its name, command and measures. Returns
// FAILED_PRECONDITION when the folder is not a complete run of that command.
absl::StatusOr<ClaimRow> RecordRun(const ClaimRow& row, const std::filesystem::path& run,
                                   bool keep_lifetimes = false);
// As RecordRun, for all runs of a claim together. A recorded run without a folder is pooled from
// its lifetimes beside the file `claims`.
absl::StatusOr<ClaimRow> RecordAll(const ClaimRow& row, const std::vector<ClaimRow>& runs,
                                   const std::vector<std::filesystem::path>& folders,
                                   const std::filesystem::path& claims = {});

// Whether the curve of `made` is not that in curves/ beside the file; false where there is none.
bool IsOtherCurve(const std::filesystem::path& file, const ClaimRow& made);

// Fingerprint of this build on this machine, in the form of the column.
std::string ClaimFingerprint();

// Returns sentences: which version, and which parts of the arithmetic, made the record and are not
// those of this process. A result may differ then.
std::vector<std::string> WhatDiffersHere(const ClaimRow& recorded);

// The comparison of a result with its record.
struct ClaimVerdict {
  bool same_bits = false;   // All hashes are equal, and nothing else differs by the arithmetic.
  bool may_differ = false;  // The record was made by another version or arithmetic.
  // With the same bits, all numbers are equal. Otherwise each interval meets the recorded interval.
  // Or the number and the recorded one are each plausible for one more meta-seed of the others.
  bool numbers_agree = true;
  std::vector<std::string> sentences = {};
};
// `runs` are the recorded runs of the claim, when `recorded` is one of them.
ClaimVerdict CompareClaims(const ClaimRow& recorded, const ClaimRow& now,
                           const std::vector<ClaimRow>& runs = {});

}  // namespace mentor
