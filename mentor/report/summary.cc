#include "mentor/report/summary.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/evaluation_method.h"
#include "mentor/report/hints.h"
#include "mentor/report/verdict.h"
#include "mentor/report/words.h"

namespace mentor::report {
namespace {

// Untrained policies are the same for all methods. A seg0 further above a baseline than this margin
// is a leak, not chance.
constexpr double kLeakMargin = 0.03;

std::string Length(const ReportData& data) {
  const std::string origin = data.origin.empty() ? "" : " of " + data.origin;
  if (data.training.empty() && data.outer_updates_made > 0) {
    return absl::StrFormat(
        "This run made no outer update: its weights are those after outer update %d%s.",
        data.outer_updates_made, origin);
  }
  if (data.training.empty())
    return "No outer update has been made: the signal network is untrained.";
  const uint32_t done = data.training.back().outer_update;
  std::string text = "The run made " + Several(done, "outer update");
  if (data.outer_updates_total > 0)
    text += absl::StrFormat(" of the %s that its spec asks for", Grouped(data.outer_updates_total));
  text += absl::StrFormat(" (%s environment steps)", Grouped(data.training.back().env_steps));
  if (data.patience > 0)
    text += absl::StrFormat(", since the last %s brought no better score", Grouped(data.patience));
  if (const uint32_t before = UpdatesBefore(data.training); before > 0) {
    text += before == 1 ? ", the first one" : absl::StrFormat(", the first %s", Grouped(before));
    text += data.origin.empty() ? " before its numbers begin" : " in " + data.origin;
  }
  if (data.outer_updates_paper > 0) {
    text += absl::StrFormat("; the published experiment makes %d, so this is %.2g %% of its length",
                            data.outer_updates_paper, 100.0 * done / data.outer_updates_paper);
  }
  return text + ".";
}

// Says what the intervals of the evaluation cover, and whether agents learn.
void AddEvaluation(const Outcome& outcome, std::vector<std::string>* sentences) {
  const MethodResult& learned = *outcome.learned;
  const int last = static_cast<int>(learned.segments.size()) - 1;
  if (last > 0) {
    const Interval growth = GrowthWithinLifetime(learned);
    const bool success = learned.quantity == Quantity::kSuccess;
    sentences->push_back(absl::StrFormat(
        "Within a lifetime %s %s: %s from %s to %s.", success ? "success" : "the return",
        WordOf(MovementOf(growth, success ? kLeastOfSuccess : 0)), FormatInterval(growth),
        PartName(0, learned.segments.size()), PartName(last, learned.segments.size())));
  }
  sentences->push_back(absl::StrFormat(
      "One meta-seed: the intervals cover other %s (here %s%s), not other meta-seeds.",
      learned.goals > 1 ? "goals and lifetimes" : "lifetimes",
      learned.has_goals ? Several(learned.goals, "goal") + ", " : "",
      Several(learned.lifetimes, "lifetime")));
}

// Warns of learned signals that are ahead before any learning.
void AddLeak(const std::vector<Comparison>& comparisons, Quantity quantity,
             std::vector<std::string>* sentences) {
  const double margin = quantity == Quantity::kSuccess ? kLeakMargin : 0;
  for (const Comparison& comparison : comparisons) {
    if (comparison.segment != 0 || VerdictOf(comparison.difference) != Verdict::kBetter ||
        comparison.difference.mean <= margin)
      continue;
    sentences->push_back(absl::StrFormat(
        "Warning: before any learning '%s' exceeds %s on %s by %s. The signal "
        "cannot act there, so something leaks: weights used again, a visible "
        "goal, or a policy that sees the signal.",
        NameOf(comparison.method), NameOf(comparison.baseline),
        GoalsOf(comparison.split, comparison.has_goals), FormatInterval(comparison.difference)));
    return;
  }
}

}  // namespace

std::optional<uint32_t> BestUpdate(const std::vector<TrainingPoint>& training, uint32_t updates) {
  std::optional<uint32_t> best;
  double score = -INFINITY;
  for (const TrainingPoint& point : training) {
    const auto found = point.metrics.find("best_score");
    if (point.outer_update > updates || found == point.metrics.end() || !(found->second > score))
      continue;
    // The lifetimes of an update were taught by the weights before it. The score of the first point
    // may be older.
    score = found->second;
    if (&point != &training.front() || UpdatesBefore(training) == 0) best = point.outer_update - 1;
  }
  return best;
}

bool SawSuccess(const std::vector<TrainingPoint>& training) {
  return std::any_of(training.begin(), training.end(), [](const TrainingPoint& point) {
    return std::any_of(point.metrics.begin(), point.metrics.end(), [](const auto& metric) {
      return (metric.first.starts_with("seg") || metric.first == "success") && metric.second > 0;
    });
  });
}

std::string FormatInterval(const Interval& interval, const std::vector<double>& by_seed) {
  const std::string text = absl::StrFormat("%s [%s, %s]", Rounded(interval.mean),
                                           Rounded(interval.low), Rounded(interval.high));
  if (by_seed.empty()) return text;
  std::vector<std::string> own;
  for (const double value : by_seed) own.push_back(std::isfinite(value) ? Rounded(value) : "-");
  return absl::StrCat(text, " (", absl::StrJoin(own, ", "), ")");
}

Summary Summarise(const ReportData& data, const std::vector<MethodResult>& results,
                  const std::vector<Comparison>& comparisons, const Outcome& outcome) {
  Summary summary;
  std::vector<std::string>& opening = summary.opening;
  if (!data.failure.empty()) opening.push_back("The run failed: " + data.failure);
  if (data.goes_on) opening.push_back("The run is still active: these are its results so far.");
  opening.push_back(outcome.sentence);
  for (const Outcome::Step& step : outcome.next)
    opening.push_back(absl::StrCat(step.text, ": ", step.command));
  for (const Hint& hint : HintsOf(data)) opening.push_back(SentenceOf(hint));
  if (data.measures_nothing) {
    opening.push_back(
        "The spec asks for no outer updates and no baselines, so there is nothing to measure: set "
        "evaluation.baseline to [PPO_SPARSE, PPO_SHAPED, RANDOM_SIGNAL], or rule.outer_updates to "
        "more than 0.");
  }
  if (!results.empty() && data.seg0_is_control) AddLeak(comparisons, results[0].quantity, &opening);
  summary.training.push_back(Length(data));
  if (outcome.curve) summary.training.push_back(Capitalised(WordsOf(*outcome.curve)) + ".");
  if (outcome.learned) AddEvaluation(outcome, &summary.evaluation);
  if (results.empty()) {
    summary.evaluation.push_back(
        data.evaluation.empty()
            ? "There are no evaluated episodes."
            : "No episode ended within a lifetime, so there are no success rates.");
  }
  return summary;
}

}  // namespace mentor::report
