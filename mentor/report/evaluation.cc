#include "mentor/report/evaluation.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>
#include <tuple>

#include <absl/strings/str_format.h>

#include "common/check.h"

namespace mentor::report {
namespace {

// One key for all groups: methods share their resamples, so adding a method moves no interval.
RandomStream BootstrapStream() {
  return {.seed = 0, .purpose = Purpose::kBootstrap};
}

// Learned signals first; methods that nobody foresaw come last, in order of first appearance.
int MethodPlace(const std::string& method) {
  const char* known[] = {"learned", "learned (best)", "PPO sparse", "PPO shaped"};
  return static_cast<int>(std::find(std::begin(known), std::end(known), method) -
                          std::begin(known));
}

absl::Status CheckRow(const EvaluationRow& row, size_t index) {
  const auto refuse = [&](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "evaluation row %d (method '%s', lifetime %d): %s", index, row.method, row.lifetime, what));
  };
  if (row.method.empty()) return refuse("has no method");
  if (row.split != "test" && row.split != "train") {
    return refuse(absl::StrFormat("split is '%s', expected 'test' or 'train'", row.split));
  }
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

absl::StatusOr<MethodResult> SummariseGroup(std::vector<const EvaluationRow*> rows,
                                            int iterations) {
  std::stable_sort(rows.begin(), rows.end(), [](const EvaluationRow* a, const EvaluationRow* b) {
    return std::tie(a->environment, a->goal, a->lifetime) <
           std::tie(b->environment, b->goal, b->lifetime);
  });
  const EvaluationRow& first = *rows[0];
  const int episodes = static_cast<int>(first.episode_success.size()),
            alive = first.lifetime_episodes;
  const int segments = std::min(iterations, alive);
  // Segment s holds episodes s * alive / segments and up, as in the metrics of meta-training.
  const auto segment_of = [&](int episode) { return ((episode + 1) * segments - 1) / alive; };
  bool has_returns = true;
  for (const EvaluationRow* row : rows) {
    if (static_cast<int>(row->episode_success.size()) != episodes ||
        row->lifetime_episodes != alive) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "evaluation of '%s', lifetime %d: %d + %d episodes, expected %d + %d as for lifetime %d",
          row->method, row->lifetime, row->lifetime_episodes,
          row->episode_success.size() - row->lifetime_episodes, alive, episodes - alive,
          first.lifetime));
    }
    has_returns = has_returns && !row->episode_return.empty();
  }

  MethodResult result;
  result.method = first.method;
  result.split = first.split;
  result.lifetimes = static_cast<int>(rows.size());
  result.lifetime_episodes = alive;
  std::set<std::pair<std::string, uint32_t>> goals;
  // Columns of the bootstrap: segments, det, return of the last segment, every episode.
  std::vector<std::vector<double>> columns;
  for (const EvaluationRow* row : rows) {
    goals.insert({row->environment, row->goal});
    result.keys.push_back({row->environment, row->goal, row->lifetime});
    std::vector<double> rates(segments, 0.0);
    std::vector<int> counts(segments, 0);
    double det = 0, last_return = 0;
    for (int e = 0; e < episodes; ++e) {
      if (e >= alive) {
        det += row->episode_success[e] / (episodes - alive);
        continue;
      }
      rates[segment_of(e)] += row->episode_success[e];
      ++counts[segment_of(e)];
      if (has_returns && segment_of(e) == segments - 1) last_return += row->episode_return[e];
    }
    for (int s = 0; s < segments; ++s) rates[s] /= counts[s];
    last_return /= counts[segments - 1];
    columns.push_back(rates);
    result.segment_rates.push_back(std::move(rates));
    columns.back().push_back(det);
    columns.back().push_back(last_return);
    columns.back().insert(columns.back().end(), row->episode_success.begin(),
                          row->episode_success.end());
  }
  result.goals = static_cast<int>(goals.size());
  const std::vector<Interval> intervals = BootstrapMeans(columns, BootstrapStream());
  result.segments.assign(intervals.begin(), intervals.begin() + segments);
  if (episodes > alive) result.det = intervals[segments];
  if (has_returns) result.last_return = intervals[segments + 1];
  result.episodes.assign(intervals.begin() + segments + 2, intervals.end());
  result.last = result.episodes[alive - 1];
  return result;
}

std::vector<double> SegmentColumn(const MethodResult& result, int segment) {
  std::vector<double> column;
  for (const auto& rates : result.segment_rates) column.push_back(rates[segment]);
  return column;
}

Interval PairedDifference(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<std::vector<double>> differences;
  for (size_t i = 0; i < a.size(); ++i) differences.push_back({a[i] - b[i]});
  return BootstrapMeans(differences, BootstrapStream())[0];
}

}  // namespace

absl::StatusOr<std::vector<MethodResult>> SummariseEvaluation(
    const std::vector<EvaluationRow>& rows, int iterations) {
  if (iterations < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("iterations is %d, expected at least 1", iterations));
  }
  struct Group {
    std::string split, method, environment;
    std::vector<const EvaluationRow*> rows;
  };
  std::vector<Group> groups;
  std::set<std::string> environments;
  for (size_t i = 0; i < rows.size(); ++i) {
    MENTOR_RETURN_IF_ERROR(CheckRow(rows[i], i));
    environments.insert(rows[i].environment);
  }
  const auto add = [&](const EvaluationRow& row, const std::string& environment) {
    const auto same = [&](const Group& group) {
      return group.split == row.split && group.method == row.method &&
             group.environment == environment;
    };
    auto found = std::find_if(groups.begin(), groups.end(), same);
    if (found == groups.end()) {
      found = groups.insert(groups.end(), Group{row.split, row.method, environment, {}});
    }
    found->rows.push_back(&row);
  };
  for (const EvaluationRow& row : rows) {
    if (row.lifetime_episodes > 0) add(row, "");
  }
  if (environments.size() > 1) {
    for (const std::string& environment : environments) {
      for (const EvaluationRow& row : rows) {
        if (row.environment == environment && row.lifetime_episodes > 0) add(row, environment);
      }
    }
  }
  std::stable_sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) {
    const auto key = [](const Group& group) {
      return std::make_tuple(group.environment, group.split, MethodPlace(group.method));
    };
    return key(a) < key(b);
  });
  std::vector<MethodResult> results;
  for (Group& group : groups) {
    MENTOR_ASSIGN_OR_RETURN(MethodResult result, SummariseGroup(std::move(group.rows), iterations));
    result.environment = group.environment;
    results.push_back(std::move(result));
  }
  return results;
}

bool IsLearned(const MethodResult& result) {
  return result.method.starts_with("learned");
}
bool IsBaseline(const MethodResult& result) {
  return result.method.starts_with("PPO");
}

std::vector<Comparison> CompareWithBaselines(const std::vector<MethodResult>& results) {
  std::vector<Comparison> comparisons;
  for (const MethodResult& learned : results) {
    for (const MethodResult& baseline : results) {
      if (!IsLearned(learned) || !IsBaseline(baseline) || learned.split != baseline.split) continue;
      if (!learned.environment.empty() || !baseline.environment.empty()) continue;
      if (learned.segments.size() != baseline.segments.size()) continue;
      const int last = static_cast<int>(learned.segments.size()) - 1;
      const bool paired = learned.keys == baseline.keys;
      for (const int segment : std::set<int>{last, 0}) {
        const auto a = SegmentColumn(learned, segment), b = SegmentColumn(baseline, segment);
        comparisons.push_back(
            {learned.method, baseline.method, learned.split, segment, paired,
             paired ? PairedDifference(a, b) : BootstrapDifference(a, b, BootstrapStream())});
      }
    }
  }
  return comparisons;
}

Interval GrowthWithinLifetime(const MethodResult& result) {
  const int last = static_cast<int>(result.segments.size()) - 1;
  return PairedDifference(SegmentColumn(result, last), SegmentColumn(result, 0));
}

}  // namespace mentor::report
