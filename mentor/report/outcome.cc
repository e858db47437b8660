#include "mentor/report/outcome.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/evaluation_method.h"
#include "mentor/report/figures.h"
#include "mentor/report/hints.h"
#include "mentor/report/summary.h"
#include "mentor/report/words.h"

namespace mentor::report {
namespace {

constexpr size_t kUpdatesMin = 8;          // Two in each quarter.
constexpr uint32_t kUpdatesWorthIt = 200;  // As many as ready specs make at least, about.
constexpr uint32_t kMoreUpdates = 4, kLongerLife = 4;
constexpr int kIterationsMax = 1000;  // The spec's bound.

struct CurveValues {
  std::string quantity;
  std::string unit = "outer updates";
  bool success = false;
  std::vector<double> values = {};
};
CurveValues CurveValuesOf(const ReportData& data) {
  if (!data.training.empty() && data.training.front().metrics.contains("generation")) {
    const std::vector<LifeCurve> lives = LifeCurves(data.training);
    CurveValues curve{.quantity = "the shaped return at the end of a lifetime",
                      .unit = "generations"};
    for (const LifeCurve& life : lives) {
      curve.success = life.success;
      curve.values.push_back(life.values.back());
    }
    if (curve.success) curve.quantity = "success at the end of a lifetime";
    return curve;
  }
  const bool success = SawSuccess(data.training);
  const int last = data.iterations - 1;
  CurveValues curve{
      .quantity = success ? "success " + PartWords(last, static_cast<size_t>(data.iterations))
                          : "the shaped return of an episode",
      .success = success};
  for (const auto& [update, value] :
       ValuesOf(data.training, success ? absl::StrFormat("seg%d", last) : "shaped_return"))
    curve.values.push_back(value);
  return curve;
}

double PartMean(const std::vector<double>& values, size_t first, size_t count) {
  double sum = 0;
  for (size_t i = first; i < first + count; ++i) sum += values[i];
  return sum / static_cast<double>(count);
}

// The result that the answer is about: final weights if there are any, on the tasks that come
// first.
const MethodResult* LearnedOf(const std::vector<MethodResult>& results) {
  const auto found = std::find_if(results.begin(), results.end(), [&](const MethodResult& result) {
    return IsLearned(result.method) && result.environment.empty() &&
           result.split == results[0].split;
  });
  return found == results.end() ? nullptr : &*found;
}

// The agents of PPO whose reward is the most help, on the same tasks.
const MethodResult* PpoOf(const std::vector<MethodResult>& results) {
  const MethodResult* ppo = nullptr;
  for (const MethodResult& result : results) {
    if (IsLearned(result.method) || result.method == v1::EVALUATION_METHOD_RANDOM_SIGNAL ||
        !result.environment.empty() || result.split != results[0].split)
      continue;
    if (ppo == nullptr || result.method == v1::EVALUATION_METHOD_PPO_SHAPED) ppo = &result;
  }
  return ppo;
}

std::string AgentsWords(const ReportData& data, const MethodResult& learned) {
  const size_t segments = learned.segments.size();
  const std::string taught =
      data.signal_role.empty()
          ? absl::StrCat("agents with the ", NameOf(learned.method), " meta-parameters")
          : absl::StrCat("agents taught by the ", NameOf(learned.method), " ", data.signal_role);
  const std::string value = FormatInterval(learned.segments.back());
  return absl::StrCat(taught,
                      learned.quantity == Quantity::kSuccess
                          ? absl::StrCat(" succeed in ", value, " of their episodes ")
                          : absl::StrCat(" have a shaped return of ", value, " in an episode "),
                      PartWords(static_cast<int>(segments) - 1, segments),
                      learned.has_goals ? " on " + GoalsOf(learned.split) : "");
}

// "better than A (difference 0.06 [0.01, 0.11]), cannot be told apart from B (difference ...)"
std::string VerdictWords(const std::vector<Comparison>& comparisons) {
  std::vector<std::string> words;
  for (const Verdict verdict : {Verdict::kBetter, Verdict::kAlike, Verdict::kWorse}) {
    for (const Comparison& comparison : comparisons) {
      if (VerdictOf(comparison.difference) != verdict) continue;
      words.push_back(WordsOf(comparison));
    }
  }
  return absl::StrJoin(words, ", ");
}

Answer AnswerOf(const Outcome& outcome) {
  size_t better = 0;
  for (const Comparison& comparison : outcome.comparisons)
    better += VerdictOf(comparison.difference) == Verdict::kBetter;
  if (better > 0) return better == outcome.comparisons.size() ? Answer::kWorked : Answer::kPartly;
  if (outcome.curve && outcome.curve->movement == Movement::kRises) return Answer::kLearning;
  return outcome.curve || !outcome.comparisons.empty() ? Answer::kNothing : Answer::kUnknown;
}

std::string OutcomeWords(const ReportData& data, const Outcome& outcome) {
  if (!outcome.learned) {
    if (outcome.curve) {
      return absl::StrCat(
          outcome.answer == Answer::kLearning ? "It learns: " : "Nothing was learned: ",
          WordsOf(*outcome.curve), "; nothing has been evaluated yet.");
    }
    if (data.outer_updates_total == 0 && data.training.empty())
      return "Nothing was to be learned: the spec asks for no outer updates.";
    return data.training.empty()
               ? "Nothing has been learned yet: there is no outer update and no evaluation."
               : absl::StrFormat("It is too early to say: %s, and nothing has been evaluated yet.",
                                 Several(data.training.size(), "outer update"));
  }
  const std::string agents = AgentsWords(data, *outcome.learned);
  const std::string verdicts = VerdictWords(outcome.comparisons);
  const std::string curve = outcome.curve
                                ? absl::StrCat("; ", outcome.curve->quantity, " ",
                                               WordOf(outcome.curve->movement), " in meta-training")
                                : "";
  switch (outcome.answer) {
    case Answer::kWorked:
      return absl::StrCat("It worked: ", agents, ", ", verdicts, ".");
    case Answer::kPartly:
      return absl::StrCat("It worked in part: ", agents, ", ", verdicts, ".");
    case Answer::kLearning:
      return absl::StrCat(verdicts.empty() ? "It learns: " : "Not yet: ", agents,
                          verdicts.empty() ? "" : ", ", verdicts, curve, ".");
    default:
      return absl::StrCat(
          outcome.answer == Answer::kNothing ? "It did not work: " : "It is too early to say: ",
          agents, verdicts.empty() ? "; no baseline was evaluated" : ", ", verdicts, curve, ".");
  }
}

Outcome::Step LongerLife(const ReportData& data, const MethodResult* ppo) {
  std::string because;
  if (ppo != nullptr && ppo->segments.size() > 1) {
    const Interval growth = GrowthWithinLifetime(*ppo);
    because = absl::StrFormat(": in this one %s of %s %s (%s to %s, change %s)",
                              ppo->quantity == Quantity::kSuccess ? "success" : "the return",
                              NameOf(ppo->method), WordOf(MovementOf(growth, kLeastOfSuccess)),
                              Rounded(ppo->segments.front().mean),
                              Rounded(ppo->segments.back().mean), FormatInterval(growth));
  }
  if (data.iterations < 2) {
    const int steps = data.identity.baseline_iteration_steps;
    return {absl::StrFormat("A longer life, %s steps in place of %s%s",
                            Grouped(static_cast<uint64_t>(kLongerLife) * steps),
                            Grouped(static_cast<uint64_t>(steps)), because),
            absl::StrFormat("mentor run --from %s --set lifetime.steps_per_iteration=%d",
                            data.folder, static_cast<int>(kLongerLife) * steps)};
  }
  const int longer = std::min(static_cast<int>(kLongerLife) * data.iterations, kIterationsMax);
  return {
      absl::StrFormat("A longer life, %d iterations in place of %d%s", longer, data.iterations,
                      because),
      absl::StrFormat("mentor run --from %s --set lifetime.iterations=%d", data.folder, longer)};
}

Outcome::Step MoreUpdates(const ReportData& data) {
  const uint32_t made =
      data.training.empty() ? data.outer_updates_made : data.training.back().outer_update;
  const uint32_t more = std::max(kUpdatesWorthIt, kMoreUpdates * made);
  std::string command =
      absl::StrFormat("mentor run --from %s --set rule.outer_updates=%d", data.folder, more);
  if (data.patience > 0)
    absl::StrAppendFormat(&command, " --set rule.patience=%d", kMoreUpdates * data.patience);
  return {absl::StrFormat("More updates, %s in place of %s", Grouped(more), Grouped(made)),
          command};
}

std::vector<Outcome::Step> NextOf(const ReportData& data, const MethodResult* ppo) {
  std::vector<Outcome::Step> next;
  const Outcome::Step longer = LongerLife(data, ppo), more = MoreUpdates(data);
  // Where PPO gets nowhere in such a life, a signal hardly can.
  const bool life_first =
      ppo != nullptr && ppo->segments.size() > 1 &&
      MovementOf(GrowthWithinLifetime(*ppo), kLeastOfSuccess) != Movement::kRises;
  next.push_back(life_first ? longer : more);
  next.push_back(life_first ? more : longer);
  next.push_back({"What keeps agents from learning", "mentor doctor " + data.spec_file});
  return next;
}

}  // namespace

std::optional<OuterCurve> OuterCurveOf(const ReportData& data) {
  if (data.identity.settings.contains("curriculum.name")) return std::nullopt;
  const CurveValues curve = CurveValuesOf(data);
  const size_t count = curve.values.size(), quarter = count / 4;
  if (count < kUpdatesMin) return std::nullopt;
  double squares = 0;
  for (size_t i = 1; i < count; ++i) squares += std::pow(curve.values[i] - curve.values[i - 1], 2);
  const double variance = squares / (2 * static_cast<double>(count - 1)),
               error = std::sqrt(2 * variance / static_cast<double>(quarter));
  OuterCurve found{.quantity = curve.quantity,
                   .unit = curve.unit,
                   .window = quarter,
                   .first = PartMean(curve.values, 0, quarter),
                   .last = PartMean(curve.values, count - quarter, quarter)};
  if (const uint32_t before = UpdatesBefore(data.training); before > 0)
    absl::StrAppendFormat(&found.unit, " since update %d", before);
  const double change = found.last - found.first;
  found.change = {change, change - 2 * error, change + 2 * error};
  found.movement = MovementOf(
      found.change, curve.success ? kLeastOfSuccess : kLeastOfDeviation * std::sqrt(variance));
  return found;
}

std::string WordsOf(const OuterCurve& curve) {
  return absl::StrFormat("%s %s in meta-training: %s (first %d %s) to %s (last %d), change %s",
                         curve.quantity, WordOf(curve.movement), Rounded(curve.first), curve.window,
                         curve.unit, Rounded(curve.last), curve.window,
                         FormatInterval(curve.change));
}

std::string WordsOf(const Comparison& comparison) {
  return absl::StrCat(WordsOf(VerdictOf(comparison.difference), NameOf(comparison.baseline)),
                      " (difference ", FormatInterval(comparison.difference), ")");
}

std::string WordOf(Answer answer) {
  constexpr const char* kNames[] = {"worked", "partly", "learning", "nothing", "unknown"};
  return kNames[static_cast<int>(answer)];
}

Outcome OutcomeOf(const ReportData& data, const std::vector<MethodResult>& results,
                  const std::vector<Comparison>& comparisons) {
  Outcome outcome{.curve = OuterCurveOf(data)};
  if (const MethodResult* learned = LearnedOf(results)) {
    outcome.learned = *learned;
    const int last = static_cast<int>(learned->segments.size()) - 1;
    for (const Comparison& comparison : comparisons) {
      if (comparison.method == learned->method && comparison.split == learned->split &&
          comparison.segment == last)
        outcome.comparisons.push_back(comparison);
    }
  }
  outcome.answer = AnswerOf(outcome);
  outcome.sentence = OutcomeWords(data, outcome);
  const bool stuck = outcome.answer == Answer::kNothing || outcome.answer == Answer::kUnknown ||
                     (outcome.answer == Answer::kLearning && !outcome.comparisons.empty());
  if (stuck && data.failure.empty() && !data.goes_on && data.outer_updates_total > 0 &&
      !data.folder.empty())
    outcome.next = NextOf(data, results.empty() ? nullptr : PpoOf(results));
  return outcome;
}

}  // namespace mentor::report
