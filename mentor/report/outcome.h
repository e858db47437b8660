// Did a run learn anything? The answer in one sentence, what it rests on, and what to do where
// nothing was learned. The report, the end of `mentor run` and `mentor doctor RUN` say it by this
// code. Pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "mentor/report/evaluation.h"
#include "mentor/report/report.h"
#include "mentor/report/statistics.h"
#include "mentor/report/verdict.h"

namespace mentor::report {

// How the agents of meta-training changed from its first quarter to its last one.
struct OuterCurve {
  std::string quantity;  // "success after 2 updates"
  std::string unit;      // "outer updates", "outer updates since update 20", "generations"
  size_t window = 0;     // Their number in each of the two quarters.
  double first = 0, last = 0;
  // 95 %, from the noise between neighbouring updates, which a trend does not widen.
  Interval change = {};
  Movement movement = Movement::kStays;
};
// nullopt where it says nothing: too few updates, or tasks that a curriculum changes.
std::optional<OuterCurve> OuterCurveOf(const ReportData& data);
// "success after 2 updates does not move in meta-training: 0.12 (first 10 outer updates) to ..."
std::string WordsOf(const OuterCurve& curve);

// "better than PPO shaped (difference 0.06 [0.01, 0.11])"
std::string WordsOf(const Comparison& comparison);

enum class Answer {
  kWorked,    // Better than every baseline.
  kPartly,    // Better than some.
  kLearning,  // Better than none, or not compared, and meta-training still rises.
  kNothing,
  kUnknown,  // There are too few numbers.
};
std::string WordOf(Answer answer);  // "worked", "partly", "learning", "nothing", "unknown"

struct Outcome {
  Answer answer = Answer::kUnknown;
  std::string sentence = {};
  std::optional<OuterCurve> curve = {};
  std::optional<MethodResult> learned = {};  // The evaluated weights that the answer is about.
  std::vector<Comparison> comparisons = {};  // With baselines, at the end of a lifetime.
  // What to do where nothing was learned, first things first.
  struct Step {
    std::string text;
    std::string command;
  };
  std::vector<Step> next = {};
};
Outcome OutcomeOf(const ReportData& data, const std::vector<MethodResult>& results,
                  const std::vector<Comparison>& comparisons);

}  // namespace mentor::report
