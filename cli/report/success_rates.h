// Computes success rates with intervals from the lifetimes of an evaluation, and compares methods.
// Pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "cli/report/report.h"
#include "cli/report/statistics.h"

namespace mentor::report {

// The compared quantity: success rates. Shaped returns are compared when no episode of any method
// succeeds because the environment has no success.
enum class Quantity { kSuccess, kReturn };

// All lifetimes of one method on one split. methods/black_box/README.md#evaluation has the names.
// The success rates (or shaped returns) seg0, seg1, ... cover the episodes that ended in each inner
// iteration. The rate `last` is that of the lifetime's last episode. The rate `det` is that of the
// deterministic episodes.
struct MethodResult {
  v1::EvaluationMethod method = v1::EVALUATION_METHOD_UNSPECIFIED;
  std::string split;
  std::string environment;  // Empty: all environments together.
  int lifetimes = 0;
  int goals = 0;
  bool has_goals = true;  // The tasks differ.
  Quantity quantity = Quantity::kSuccess;
  int lifetime_episodes = 0;  // 0: lifetimes differ, for instance because episodes end early.
  std::vector<Interval> segments;
  Interval last;
  std::optional<Interval> det;
  std::optional<Interval> last_return;  // Shaped return of an episode of the last segment.
  // Every episode, the deterministic ones last; empty when lifetimes differ in their number of
  // episodes.
  std::vector<Interval> episodes;

  // One entry per lifetime, ordered by key.
  struct Key {
    Levels levels;
    uint32_t lifetime = 0;
    uint64_t seed = 0;
    auto operator<=>(const Key&) const = default;
  };
  std::vector<Key> keys;
  std::vector<std::vector<double>> segment_rates;  // [lifetimes][segments]
};

// The difference mean(a) - mean(b) of the success rate (or shaped return) of a segment.
struct Comparison {
  v1::EvaluationMethod method = v1::EVALUATION_METHOD_UNSPECIFIED;
  v1::EvaluationMethod baseline = v1::EVALUATION_METHOD_UNSPECIFIED;
  std::string split;
  bool has_goals = true;
  int segment = 0;
  bool paired = false;  // By goal: both methods lived on the same ones.
  Interval difference;
};

// Sort order of splits: unseen goals, then goals of meta-training, then other tasks by name.
int SplitPlace(const std::string& split);

// Returns results by split (test goals first) and method. With several environments, results of
// each follow. Lifetimes in which no episode ended are left out. Without a `quantity` it is
// success, or the return where no episode succeeds. INVALID_ARGUMENT names the first invalid row.
absl::StatusOr<std::vector<MethodResult>> SummariseEvaluation(
    const std::vector<EvaluationRow>& rows, int iterations,
    std::optional<Quantity> quantity = std::nullopt);

// Returns the levels of a lifetime; in a comparison they include a meta-seed.
Levels LevelsOf(const EvaluationRow& row, size_t meta_seed = 0);

// Compares every learned method with every baseline of its split in the last segment. Segment 0
// serves as the control.
std::vector<Comparison> CompareWithBaselines(const std::vector<MethodResult>& results);

// Returns the growth of success within a lifetime: last segment - segment 0, lifetime by lifetime.
Interval GrowthWithinLifetime(const MethodResult& result);

}  // namespace mentor::report
