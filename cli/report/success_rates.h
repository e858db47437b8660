// Computes success rates with intervals from the lifetimes of an evaluation. Pure functions.
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
  bool has_goals = true;  // The tasks differ.
  Quantity quantity = Quantity::kSuccess;
  std::vector<Interval> segments;
  Interval last;
  std::optional<Interval> det;
  std::optional<Interval> last_return;  // Shaped return of an episode of the last segment.
  Interval growth;                  // From the first segment to the last one, lifetime by lifetime.
  std::vector<double> first_rates;  // By lifetime, in segment 0.
};

// Returns results by split (test goals first) and method. With several environments, results of
// each follow. Lifetimes in which no episode ended are left out. Without a `quantity` it is
// success, or the return where no episode succeeds. INVALID_ARGUMENT names the first invalid row.
absl::StatusOr<std::vector<MethodResult>> SummariseEvaluation(
    const std::vector<EvaluationRow>& rows, int iterations,
    std::optional<Quantity> quantity = std::nullopt);

}  // namespace mentor::report
