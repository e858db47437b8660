#include "cli/report/success_rates.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <tuple>
#include <utility>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/evaluation_method.h"

namespace mentor::report {
namespace {

absl::Status CheckRow(const EvaluationRow& row, size_t index) {
  if (row.method == v1::EVALUATION_METHOD_UNSPECIFIED)
    return absl::InvalidArgumentError(absl::StrFormat("evaluation row %d: has no method", index));
  const auto refuse = [&](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "evaluation row %d (%s, lifetime %d): %s", index, NameOf(row.method), row.lifetime, what));
  };
  if (row.split.empty()) return refuse("does not say which tasks");
  if (row.lifetime_episodes < 0 ||
      static_cast<size_t>(row.lifetime_episodes) > row.episode_success.size()) {
    return refuse(
        absl::StrFormat("lifetime_episodes is %d, expected 0 to %d, the number of episodes",
                        row.lifetime_episodes, row.episode_success.size()));
  }
  if (!row.episode_return.empty() && row.episode_return.size() != row.episode_success.size()) {
    return refuse(absl::StrFormat("%d returns for %d episodes", row.episode_return.size(),
                                  row.episode_success.size()));
  }
  if (!row.segment_episodes.empty() &&
      std::accumulate(row.segment_episodes.begin(), row.segment_episodes.end(), 0) !=
          row.lifetime_episodes) {
    return refuse("episodes of its segments are not those of the lifetime");
  }
  for (const double success : row.episode_success) {
    if (success != 0 && success != 1)
      return refuse(absl::StrFormat("success is %g, expected 0 or 1", success));
  }
  for (const double value : row.episode_return) {
    if (!std::isfinite(value))
      return refuse(absl::StrFormat("return is %g, expected a finite number", value));
  }
  return absl::OkStatus();
}

// Returns the compared quantity of an episode.
double ValueOf(const EvaluationRow& row, size_t episode, Quantity quantity) {
  return quantity == Quantity::kSuccess ? row.episode_success[episode]
                                        : row.episode_return[episode];
}

// Success, unless no episode succeeds and returns are available.
Quantity QuantityOf(const std::vector<EvaluationRow>& rows) {
  for (const EvaluationRow& row : rows) {
    const auto& success = row.episode_success;
    if (row.episode_return.empty() && !success.empty()) return Quantity::kSuccess;
    if (std::any_of(success.begin(), success.end(), [](double value) { return value != 0; }))
      return Quantity::kSuccess;
  }
  return rows.empty() ? Quantity::kSuccess : Quantity::kReturn;
}

// Returns the first episode of each segment of a lifetime, and the end. Without episode counts per
// segment, all segments get equally many.
std::vector<int> SegmentBounds(const EvaluationRow& row, int segments, bool by_iteration) {
  std::vector<int> bounds = {0};
  for (int s = 0; s < segments; ++s) {
    bounds.push_back(by_iteration ? bounds.back() + row.segment_episodes[s]
                                  : row.lifetime_episodes * (s + 1) / segments);
  }
  return bounds;
}

Levels LevelsOf(const EvaluationRow& row) {
  return {row.environment, row.meta_seed, row.goal_seed, row.goal};
}

// Sort order of splits: unseen goals, then goals of meta-training, then other tasks by name.
int SplitPlace(const std::string& split) {
  return split == "test" ? 0 : split == "train" ? 1 : 2;
}

absl::StatusOr<MethodResult> SummariseGroup(std::vector<const EvaluationRow*> rows, int iterations,
                                            Quantity quantity) {
  const auto key = [](const EvaluationRow& row) {
    return std::make_tuple(LevelsOf(row), row.lifetime, row.seed);
  };
  std::stable_sort(rows.begin(), rows.end(), [&](const EvaluationRow* a, const EvaluationRow* b) {
    return key(*a) < key(*b);
  });
  const EvaluationRow& first = *rows[0];
  const auto det_of = [](const EvaluationRow& row) {
    return static_cast<int>(row.episode_success.size()) - row.lifetime_episodes;
  };
  int alive = first.lifetime_episodes;
  const int det_episodes = det_of(first);
  bool has_returns = true, by_iteration = true;
  for (const EvaluationRow* row : rows) {
    if (det_of(*row) != det_episodes) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "evaluation of %s, lifetime %d: %d deterministic episodes, expected %d as for lifetime "
          "%d",
          NameOf(row->method), row->lifetime, det_of(*row), det_episodes, first.lifetime));
    }
    alive = std::min(alive, row->lifetime_episodes);
    has_returns = has_returns && !row->episode_return.empty();
    by_iteration = by_iteration && static_cast<int>(row->segment_episodes.size()) == iterations &&
                   std::find(row->segment_episodes.begin(), row->segment_episodes.end(), 0) ==
                       row->segment_episodes.end();
  }
  const int segments = by_iteration ? iterations : std::min(iterations, alive);

  MethodResult result;
  result.method = first.method;
  result.split = first.split;
  result.quantity = quantity;
  result.lifetimes = static_cast<int>(rows.size());
  std::vector<Levels> levels;
  // [rows][columns] of the bootstrap: segments, det, return of the last segment, last, growth.
  std::vector<std::vector<double>> columns;
  for (const EvaluationRow* row : rows) {
    levels.push_back(LevelsOf(*row));
    const std::vector<int> bounds = SegmentBounds(*row, segments, by_iteration);
    std::vector<double> rates(segments, 0.0);
    for (int s = 0; s < segments; ++s) {
      for (int e = bounds[s]; e < bounds[s + 1]; ++e) rates[s] += ValueOf(*row, e, quantity);
      rates[s] /= bounds[s + 1] - bounds[s];
    }
    double last_return = 0, det = 0;
    for (int e = bounds[segments - 1]; has_returns && e < bounds[segments]; ++e)
      last_return += row->episode_return[e];
    last_return /= bounds[segments] - bounds[segments - 1];
    for (int e = 0; e < det_episodes; ++e)
      det += ValueOf(*row, row->lifetime_episodes + e, quantity) / det_episodes;
    result.first_rates.push_back(rates.front());
    const double growth = rates.back() - rates.front();
    rates.insert(rates.end(),
                 {det, last_return, ValueOf(*row, row->lifetime_episodes - 1, quantity), growth});
    columns.push_back(std::move(rates));
  }
  result.has_goals = std::any_of(rows.begin(), rows.end(),
                                 [](const EvaluationRow* row) { return row->has_goals; });
  const std::vector<Interval> intervals = BootstrapMeans(levels, columns, BootstrapStream());
  result.segments.assign(intervals.begin(), intervals.begin() + segments);
  if (det_episodes > 0) result.det = intervals[segments];
  if (has_returns) result.last_return = intervals[segments + 1];
  result.last = intervals[segments + 2];
  result.growth = intervals[segments + 3];
  return result;
}

}  // namespace

absl::StatusOr<std::vector<MethodResult>> SummariseEvaluation(
    const std::vector<EvaluationRow>& rows, int iterations, std::optional<Quantity> quantity) {
  if (iterations < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("iterations is %d, expected at least 1", iterations));
  }
  std::set<std::string> environments;
  for (size_t i = 0; i < rows.size(); ++i) {
    MENTOR_RETURN_IF_ERROR(CheckRow(rows[i], i));
    environments.insert(rows[i].environment);
  }
  // By environment (first all together), split and method.
  std::map<std::tuple<std::string, int, std::string, int>, std::vector<const EvaluationRow*>>
      groups;
  for (const EvaluationRow& row : rows) {
    if (row.lifetime_episodes == 0) continue;
    const std::string own = environments.size() > 1 ? row.environment : "";
    for (const std::string& environment : std::set<std::string>{"", own})
      groups[{environment, SplitPlace(row.split), row.split, PlaceOf(row.method)}].push_back(&row);
  }
  if (!quantity) quantity = QuantityOf(rows);
  std::vector<MethodResult> results;
  for (auto& [key, group] : groups) {
    MENTOR_ASSIGN_OR_RETURN(MethodResult result,
                            SummariseGroup(std::move(group), iterations, *quantity));
    result.environment = std::get<0>(key);
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace mentor::report
