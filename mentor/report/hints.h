// Symptoms of a run that does not learn, seen in its metrics: what was seen, since when, and what
// to try. Thresholds are in docs/it_does_not_learn.md. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mentor/report/report.h"

namespace mentor::report {

struct Hint {
  std::string id;    // Anchor in docs/it_does_not_learn.md.
  std::string text;  // Whole sentences.
};

// Hints in the order in which one should look at them; none for a run that learns.
std::vector<Hint> HintsOf(const ReportData& data);
// The text, and where the page explains it.
std::string SentenceOf(const Hint& hint);

// Returns the finite values of a metric with their outer updates.
std::vector<std::pair<uint32_t, double>> ValuesOf(const std::vector<TrainingPoint>& training,
                                                  const std::string& metric);

}  // namespace mentor::report
