#include "mentor/report/summary.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/evaluation_method.h"
#include "mentor/report/hints.h"
#include "mentor/report/words.h"

namespace mentor::report {
namespace {

// Untrained policies are the same for all methods. A seg0 further above a baseline than this margin
// is a leak, not chance.
constexpr double kLeakMargin = 0.03;
constexpr int kFewLifetimes = 20;

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

// Compares the first and the last agents that lived to the end of their lifetime.
std::string GenerationTrend(const ReportData& data) {
  const std::vector<LifeCurve> lives = LifeCurves(data.training);
  if (lives.empty()) return "";
  const auto last = [](const LifeCurve& life) { return life.values.back(); };
  const std::string quantity = lives[0].success ? "success" : "the shaped return of an episode";
  if (lives.size() < 2) {
    return absl::StrFormat(
        "During meta-training, %s of the first agents went from %.2f in their first inner "
        "iteration to %.2f in iteration %d.",
        quantity, lives[0].values.front(), last(lives[0]), lives[0].iterations.back());
  }
  return absl::StrFormat(
      "During meta-training, %s in the last inner iteration of a lifetime was %.2f for the first "
      "agents (generation %d) and %.2f for the last ones (generation %d).",
      quantity, last(lives.front()), lives.front().generation, last(lives.back()),
      lives.back().generation);
}

std::string Trend(const ReportData& data) {
  const bool success = SawSuccess(data.training);
  // An update of a rule with decisions inside a lifetime is one inner iteration of agents of any
  // age, so there is no trend over updates.
  if (!data.training.empty() && data.training.front().metrics.contains("generation"))
    return GenerationTrend(data);
  const std::string last = absl::StrFormat("seg%d", data.iterations - 1);
  const auto values = ValuesOf(data.training, success ? last : "shaped_return");
  if (values.size() < 2) return "";
  // Means of the first and the last tenth; in a short run, of one update each.
  const size_t tenth = static_cast<size_t>(RunningWindow(values.size()));
  double first_mean = 0, last_mean = 0;
  for (size_t i = 0; i < tenth; ++i) {
    first_mean += values[i].second / static_cast<double>(tenth);
    last_mean += values[values.size() - 1 - i].second / static_cast<double>(tenth);
  }
  const auto best =
      std::max_element(values.begin(), values.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  const std::string updates = tenth == 1 ? "outer update" : Several(tenth, "outer update");
  std::string first = "first " + updates;
  if (UpdatesBefore(data.training) > 0) {
    first = absl::StrFormat("outer update %d", values.front().first);
    if (tenth > 1) first += absl::StrFormat(" to %d", values[tenth - 1].first);
    first += ", where this run began";
    if (!data.origin.empty()) first += ", from " + data.origin;
  }
  return absl::StrFormat(
      "On the goals of meta-training, with sampled signals, %s went from %.2f (%s) to %.2f "
      "(last %s); the best single one was %.2f, at outer update %d.",
      success ? "success " + PartWords(data.iterations - 1, static_cast<size_t>(data.iterations))
              : "the shaped return of an episode",
      first_mean, first, last_mean, updates, best->second, best->first);
}

std::string Verdict(const Comparison& comparison) {
  const Interval& d = comparison.difference;
  const std::string baseline = NameOf(comparison.baseline);
  const std::string difference = absl::StrFormat("difference %s", FormatInterval(d));
  if (d.low > 0) return absl::StrFormat("better than %s (%s)", baseline, difference);
  if (d.high < 0) return absl::StrFormat("worse than %s (%s)", baseline, difference);
  return absl::StrFormat("not yet distinguishable from %s (%s, which includes 0)", baseline,
                         difference);
}

// Says from which update the best weights are.
std::string OfUpdate(const ReportData& data, v1::EvaluationMethod method) {
  if (method != v1::EVALUATION_METHOD_LEARNED_BEST) return "";
  const auto update = BestUpdate(data.training, data.evaluated_update);
  return update ? absl::StrFormat(
                      " (weights after outer update %d, chosen by their score on training goals)",
                      *update)
                : "";
}

// Describes the test tasks, which come first, or the training tasks if the benchmark has no others.
void AddEvaluation(const ReportData& data, const std::vector<MethodResult>& results,
                   const std::vector<Comparison>& comparisons,
                   std::vector<std::string>* sentences) {
  const std::string& role = data.signal_role;
  int fewest = 0, goals = 0;
  for (const MethodResult& result : results) {
    if (!IsLearned(result.method) || result.split != results[0].split ||
        !result.environment.empty())
      continue;
    const int last = static_cast<int>(result.segments.size()) - 1;
    const std::string lifetimes = Several(result.lifetimes, "lifetime");
    const std::string goals_of = GoalsOf(result.split, result.has_goals);
    std::string text = result.has_goals ? absl::StrFormat("On %s (%s, %s), agents", goals_of,
                                                          Several(result.goals, "goal"), lifetimes)
                                        : absl::StrFormat("Of %s (%s), those", goals_of, lifetimes);
    text += absl::StrFormat(result.quantity == Quantity::kSuccess
                                ? " %s the %s %s%s succeed in %s of their episodes %s"
                                : " %s the %s %s%s have a shaped return of %s in an episode %s",
                            role.empty() ? "with" : "taught by", NameOf(result.method),
                            role.empty() ? "meta-parameters" : role, OfUpdate(data, result.method),
                            FormatInterval(result.segments[last]),
                            PartWords(last, result.segments.size()));
    std::string verdicts;
    for (const Comparison& comparison : comparisons) {
      if (comparison.method != result.method || comparison.split != result.split ||
          comparison.segment != last)
        continue;
      verdicts += (verdicts.empty() ? ": " : "; ") + Verdict(comparison);
    }
    sentences->push_back(text + verdicts + ".");
    if (last > 0) {
      const Interval growth = GrowthWithinLifetime(result);
      const char* words = growth.low > 0 ? "Agents get better within their lifetime"
                          : growth.high < 0
                              ? "Agents get worse within their lifetime"
                              : "Within a lifetime no improvement can be told apart from chance";
      sentences->push_back(absl::StrFormat("%s: %s from %s to %s.", words, FormatInterval(growth),
                                           PartName(0, result.segments.size()),
                                           PartName(last, result.segments.size())));
    }
    fewest = fewest == 0 ? result.lifetimes : std::min(fewest, result.lifetimes);
    if (result.has_goals) goals = std::max(goals, result.goals);
  }
  if (fewest > 0) {
    sentences->push_back(
        absl::StrFormat("One seed: the intervals cover other %s, not other meta-seeds.",
                        goals > 1    ? "goals and lifetimes"
                        : goals == 1 ? "lifetimes on this goal"
                                     : "lifetimes"));
  }
  if (fewest > 0 && fewest < kFewLifetimes) {
    sentences->push_back(absl::StrFormat("With %s, the intervals are rough; take them as a hint.",
                                         Several(fewest, "lifetime")));
  }
}

void AddControl(const std::vector<Comparison>& comparisons, Quantity quantity,
                std::vector<std::string>* sentences) {
  const double margin = quantity == Quantity::kSuccess ? kLeakMargin : 0;
  bool checked = false;
  for (const Comparison& comparison : comparisons) {
    if (comparison.segment != 0) continue;
    checked = true;
    if (comparison.difference.low <= 0 || comparison.difference.mean <= margin) continue;
    sentences->push_back(absl::StrFormat(
        "Warning: before any learning '%s' exceeds %s on %s by %s. The signal "
        "cannot act there, so something leaks: weights used again, a visible "
        "goal, or a policy that sees the signal.",
        NameOf(comparison.method), NameOf(comparison.baseline),
        GoalsOf(comparison.split, comparison.has_goals), FormatInterval(comparison.difference)));
    return;
  }
  if (checked) {
    sentences->push_back(
        "The control holds: before any learning no learned signal is ahead of a baseline, as it "
        "must be.");
  }
}

// Untrained methods have no row here; the baselines still describe the task.
void AddBaselines(const std::vector<MethodResult>& results, std::vector<std::string>* sentences) {
  std::string text;
  for (const MethodResult& result : results) {
    if (IsLearned(result.method) || result.split != results[0].split || !result.environment.empty())
      continue;
    text += absl::StrFormat("%s%s %s", text.empty() ? "" : ", ", NameOf(result.method),
                            FormatInterval(result.segments.back()));
  }
  if (!text.empty())
    sentences->push_back(absl::StrFormat(
        "For comparison, the baselines %s: %s.",
        results[0].segments.size() == 1 ? PartWords(0, 1) : "at the end of a lifetime", text));
}

std::string Strength(double correlation) {
  const double size = std::abs(correlation);
  const std::string words = size < 0.1   ? "hardly"
                            : size < 0.3 ? "weakly"
                            : size < 0.6 ? "moderately"
                                         : "strongly";
  return size >= 0.1 && correlation < 0 ? words + " negatively" : words;
}

void AddSignals(const std::vector<SignalSample>& samples, std::vector<std::string>* sentences) {
  if (samples.empty()) return;
  const Correlation pooled = Correlate(samples).back();
  if (pooled.steps == 0) return;
  if (std::isnan(pooled.pearson)) {
    sentences->push_back(
        "The signal or the shaped reward is constant, so there is no correlation between them.");
    return;
  }
  std::string text = absl::StrFormat(
      "The signal is %s correlated with the shaped reward (Pearson %s, Spearman %s over %s steps "
      "of %s)",
      Strength(pooled.spearman), Rounded(pooled.pearson), Rounded(pooled.spearman),
      Grouped(pooled.steps), Several(samples.size(), "lifetime"));
  if (!std::isnan(pooled.change_pearson)) {
    text += absl::StrFormat(
        " and %s with the progress that a step makes, the change of the shaped reward (%s, %s)",
        Strength(pooled.change_spearman), Rounded(pooled.change_pearson),
        Rounded(pooled.change_spearman));
  }
  sentences->push_back(text + ".");
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

std::vector<std::string> Summarise(const ReportData& data, const std::vector<MethodResult>& results,
                                   const std::vector<Comparison>& comparisons) {
  std::vector<std::string> sentences;
  if (!data.failure.empty()) sentences.push_back("The run failed: " + data.failure);
  if (data.goes_on) sentences.push_back("The run is still active: these are its results so far.");
  sentences.push_back(Length(data));
  if (std::string trend = Trend(data); !trend.empty()) sentences.push_back(std::move(trend));
  for (const Hint& hint : HintsOf(data)) sentences.push_back(SentenceOf(hint));
  if (data.measures_nothing) {
    sentences.push_back(
        "The spec asks for no outer updates and no baselines, so there is nothing to measure: set "
        "evaluation.baseline to [PPO_SPARSE, PPO_SHAPED, RANDOM_SIGNAL], or rule.outer_updates to "
        "more than 0.");
  } else if (results.empty() && !data.evaluation.empty()) {
    sentences.push_back("No episode ended within a lifetime, so there are no success rates.");
  } else if (results.empty()) {
    sentences.push_back(
        "Nothing has been evaluated yet, so nothing can be said about unseen goals or the "
        "baselines.");
  } else {
    AddEvaluation(data, results, comparisons, &sentences);
    AddBaselines(results, &sentences);
    if (data.seg0_is_control) AddControl(comparisons, results[0].quantity, &sentences);
  }
  AddSignals(data.signals, &sentences);
  return sentences;
}

}  // namespace mentor::report
