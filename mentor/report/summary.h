// Explains in plain words what the numbers of a run show, and what they do not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mentor/report/evaluation.h"
#include "mentor/report/figures.h"
#include "mentor/report/outcome.h"
#include "mentor/report/report.h"

namespace mentor::report {

// Sentences in order; plain text.
struct Summary {
  // Whether it worked, with what to do where it did not, and what is wrong with the run.
  std::vector<std::string> opening = {};
  std::vector<std::string> evaluation = {}, training = {};  // For these chapters.
};
Summary Summarise(const ReportData& data, const std::vector<MethodResult>& results,
                  const std::vector<Comparison>& comparisons, const Outcome& outcome);

// Returns the outer update whose weights had the best score on the training goals, among the first
// `updates`; nullopt when unknown.
std::optional<uint32_t> BestUpdate(const std::vector<TrainingPoint>& training, uint32_t updates);

// True if meta-training saw a success. Environments without success have only shaped returns.
bool SawSuccess(const std::vector<TrainingPoint>& training);

// Returns "0.45 [0.41, 0.49]"; with meta-seeds' own numbers "0.45 [0.41, 0.49] (0.42, 0.48)".
std::string FormatInterval(const Interval& interval, const std::vector<double>& by_seed = {});

}  // namespace mentor::report
