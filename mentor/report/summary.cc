#include "mentor/report/summary.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_format.h>

#include "common/evaluation_method.h"

namespace mentor::report {
namespace {

// Untrained policies are the same for all methods, so a seg0 above a baseline by more than this is
// a leak, not chance.
constexpr double kLeakMargin = 0.03;
constexpr int kFewLifetimes = 20;

std::string Number(double value) {
  const std::string text = absl::StrFormat("%.2f", value);
  return text == "-0.00" ? "0.00" : text;
}

std::string Segment(int number) {
  return absl::StrFormat("seg%d", number);
}

std::string Count(size_t count, const std::string& noun) {
  return absl::StrFormat("%d %s%s", count, noun, count == 1 ? "" : "s");
}

// 1536000 as "1,536,000".
std::string Grouped(uint64_t number) {
  const std::string digits = absl::StrFormat("%d", number);
  std::string grouped;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped += ',';
    grouped += digits[i];
  }
  return grouped;
}

std::string Length(const ReportData& data) {
  if (data.training.empty())
    return "No outer update has been made: the signal network is untrained.";
  const uint32_t done = data.training.back().outer_update;
  std::string text = "The run made " + Count(done, "outer update");
  if (data.outer_updates_total > 0)
    text += absl::StrFormat(" of the %d that its spec asks for", data.outer_updates_total);
  text += absl::StrFormat(" (%s environment steps)", Grouped(data.training.back().env_steps));
  if (data.outer_updates_paper > 0) {
    text += absl::StrFormat("; the published experiment makes %d, so this is %.2g %% of its length",
                            data.outer_updates_paper, 100.0 * done / data.outer_updates_paper);
  }
  return text + ".";
}

// Mean of a metric over at most kRunningMean points from `begin` on, and how many there were.
std::pair<double, int> MeanOf(const std::vector<TrainingPoint>& training, size_t begin,
                              const std::string& metric) {
  double sum = 0;
  int count = 0;
  for (size_t i = begin; i < std::min(training.size(), begin + kRunningMean); ++i) {
    const auto found = training[i].metrics.find(metric);
    if (found == training[i].metrics.end() || !std::isfinite(found->second)) continue;
    sum += found->second;
    ++count;
  }
  return {count > 0 ? sum / count : 0, count};
}

// First and last agents that lived to the end of their lifetime.
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
  // age: no trend over updates.
  if (!data.training.empty() && data.training.front().metrics.contains("generation"))
    return GenerationTrend(data);
  const std::string last = success ? Segment(data.iterations - 1) : "shaped_return";
  if (data.training.size() < 2 * kRunningMean) return "";
  const auto [early, early_count] = MeanOf(data.training, 0, last);
  const auto [late, late_count] = MeanOf(data.training, data.training.size() - kRunningMean, last);
  if (early_count == 0 || late_count == 0) return "";
  return absl::StrFormat(
      "On the goals of meta-training, with sampled signals, %s went from %.2f in the first %d "
      "outer "
      "updates to %.2f in the last %d.",
      success ? "success in the last segment (" + last + ")" : "the shaped return of an episode",
      early, early_count, late, late_count);
}

std::string Goals(const std::string& split) {
  return split == "test" ? "unseen goals" : split == "train" ? "training goals" : split;
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

// On the test tasks, which come first; on those for training where a benchmark has no others.
void AddEvaluation(const std::string& role, const std::vector<MethodResult>& results,
                   const std::vector<Comparison>& comparisons,
                   std::vector<std::string>* sentences) {
  int fewest = 0;
  for (const MethodResult& result : results) {
    if (!IsLearned(result.method) || result.split != results[0].split ||
        !result.environment.empty())
      continue;
    const int last = static_cast<int>(result.segments.size()) - 1;
    std::string text = absl::StrFormat(
        result.quantity == Quantity::kSuccess
            ? "On %s (%s, %s), agents %s the %s %s succeed in %s of the episodes of %s"
            : "On %s (%s, %s), agents %s the %s %s have a shaped return of %s in an episode of %s",
        Goals(result.split), Count(result.goals, "goal"), Count(result.lifetimes, "lifetime"),
        role.empty() ? "with" : "taught by", NameOf(result.method),
        role.empty() ? "meta-parameters" : role, FormatInterval(result.segments[last]),
        Segment(last));
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
                              : "Within a lifetime no improvement can be told from chance";
      sentences->push_back(
          absl::StrFormat("%s: %s - seg0 = %s.", words, Segment(last), FormatInterval(growth)));
    }
    fewest = fewest == 0 ? result.lifetimes : std::min(fewest, result.lifetimes);
  }
  if (fewest > 0 && fewest < kFewLifetimes) {
    sentences->push_back(absl::StrFormat("With %s, intervals are rough; take them as a hint.",
                                         Count(fewest, "lifetime")));
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
    sentences->push_back(
        absl::StrFormat("Warning: before any learning (seg0) '%s' exceeds %s on %s by %s. The "
                        "signal cannot act there, so something leaks: "
                        "weights used again, a visible goal, or a policy that sees the signal.",
                        NameOf(comparison.method), NameOf(comparison.baseline),
                        Goals(comparison.split), FormatInterval(comparison.difference)));
    return;
  }
  if (checked) {
    sentences->push_back(
        "The control holds: before any learning (seg0) no learned signal is ahead of a baseline, "
        "as it must be.");
  }
}

// `untrained` methods have no row; the baselines still say what the task is like.
void AddBaselines(const std::vector<MethodResult>& results, std::vector<std::string>* sentences) {
  std::string text;
  for (const MethodResult& result : results) {
    if (IsLearned(result.method) || result.split != results[0].split || !result.environment.empty())
      continue;
    text += absl::StrFormat("%s%s %s", text.empty() ? "" : ", ", NameOf(result.method),
                            FormatInterval(result.segments.back()));
  }
  if (!text.empty())
    sentences->push_back("For comparison, the baselines in the last segment: " + text + ".");
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
        "The signal or the shaped reward is constant, so they have no correlation.");
    return;
  }
  std::string text = absl::StrFormat(
      "The signal is %s correlated with the shaped reward (Pearson %s, Spearman %s over %s steps "
      "of %s)",
      Strength(pooled.spearman), Number(pooled.pearson), Number(pooled.spearman),
      Grouped(pooled.steps), Count(samples.size(), "lifetime"));
  if (!std::isnan(pooled.change_pearson)) {
    text += absl::StrFormat(
        " and %s with the progress that a step makes, the change of the shaped reward (%s, %s)",
        Strength(pooled.change_spearman), Number(pooled.change_pearson),
        Number(pooled.change_spearman));
  }
  sentences->push_back(text + ".");
}

}  // namespace

bool SawSuccess(const std::vector<TrainingPoint>& training) {
  return std::any_of(training.begin(), training.end(), [](const TrainingPoint& point) {
    return std::any_of(point.metrics.begin(), point.metrics.end(), [](const auto& metric) {
      return (metric.first.starts_with("seg") || metric.first == "success") && metric.second > 0;
    });
  });
}

std::string FormatInterval(const Interval& interval) {
  return absl::StrFormat("%s [%s, %s]", Number(interval.mean), Number(interval.low),
                         Number(interval.high));
}

std::vector<std::string> Summarise(const ReportData& data, const std::vector<MethodResult>& results,
                                   const std::vector<Comparison>& comparisons) {
  std::vector<std::string> sentences = {Length(data)};
  if (std::string trend = Trend(data); !trend.empty()) sentences.push_back(std::move(trend));
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
    AddEvaluation(data.signal_role, results, comparisons, &sentences);
    AddBaselines(results, &sentences);
    if (data.seg0_is_control) AddControl(comparisons, results[0].quantity, &sentences);
  }
  AddSignals(data.signals, &sentences);
  return sentences;
}

}  // namespace mentor::report
