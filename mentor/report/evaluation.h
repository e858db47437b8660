// Turns the lifetimes of an evaluation into success rates with intervals, and compares methods.
// Pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "mentor/report/report.h"
#include "mentor/report/statistics.h"

namespace mentor::report {

// What is compared: success rates or, where no episode of any method succeeds since the environment
// knows no success, shaped returns.
enum class Quantity { kSuccess, kReturn };

// All lifetimes of one method on one split. Names as in docs/algorithms/black_box.md#evaluation:
// seg0, seg1, ... are the success rates (or shaped returns) of the episodes that ended in each
// inner iteration, `last` of the lifetime's last episode, `det` of the deterministic ones.
struct MethodResult {
  v1::EvaluationMethod method = v1::EVALUATION_METHOD_UNSPECIFIED;
  std::string split;
  std::string environment;  // Empty: all environments together.
  int lifetimes = 0;
  int goals = 0;
  bool has_goals = true;  // Its tasks differ.
  Quantity quantity = Quantity::kSuccess;
  int lifetime_episodes = 0;  // 0: not the same in all lifetimes, as where episodes end early.
  std::vector<Interval> segments;
  Interval last;
  std::optional<Interval> det;
  std::optional<Interval> last_return;  // Shaped return of an episode of the last segment.
  // Every episode, the deterministic ones last; empty where lifetimes have other numbers of them.
  std::vector<Interval> episodes;

  // One entry for each lifetime, ordered by its key.
  struct Key {
    Levels levels;
    uint32_t lifetime = 0;
    uint64_t seed = 0;
    auto operator<=>(const Key&) const = default;
  };
  std::vector<Key> keys;
  std::vector<std::vector<double>> segment_rates;  // [lifetimes][segments]
};

// mean(a) - mean(b) of the success rate (or shaped return) of a segment.
struct Comparison {
  v1::EvaluationMethod method = v1::EVALUATION_METHOD_UNSPECIFIED;
  v1::EvaluationMethod baseline = v1::EVALUATION_METHOD_UNSPECIFIED;
  std::string split;
  bool has_goals = true;
  int segment = 0;
  bool paired = false;  // Lifetimes with equal goals and numbers were subtracted one by one.
  Interval difference;
};

// Unseen goals first, then those of meta-training, then other tasks by name.
int SplitPlace(const std::string& split);

// Results by split (test goals first) and method; those of single environments follow when there
// are several. Lifetimes in which no episode ended are left out. INVALID_ARGUMENT names the first
// row that does not fit.
absl::StatusOr<std::vector<MethodResult>> SummariseEvaluation(
    const std::vector<EvaluationRow>& rows, int iterations);

// Where a lifetime of one run belongs; in a comparison also to a meta-seed.
Levels LevelsOf(const EvaluationRow& row, size_t meta_seed = 0);

// Every learned method against every baseline of its split: the last segment, and segment 0 as
// the control.
std::vector<Comparison> CompareWithBaselines(const std::vector<MethodResult>& results);

// By how much success grew within a lifetime: last segment - segment 0, lifetime by lifetime.
Interval GrowthWithinLifetime(const MethodResult& result);

}  // namespace mentor::report
