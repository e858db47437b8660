#include "mentor/report/hints.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "mentor/report/statistics.h"
#include "mentor/report/summary.h"
#include "mentor/report/words.h"

namespace mentor::report {
namespace {

constexpr size_t kLatest = 10;       // Updates that count as the latest ones.
constexpr double kMostOfThem = 0.8;  // Their share that shows a symptom.
constexpr double kEntropyGrowth = 1;
constexpr double kSignalDead = 1e-6, kSignalWild = 1e3;

using Values = std::vector<std::pair<uint32_t, double>>;

// True if most of the latest values are `bad`. False for runs with fewer updates.
template <typename Bad>
bool MostlyLately(const Values& values, Bad&& bad) {
  if (values.size() < kLatest) return false;
  const auto count = std::count_if(values.end() - kLatest, values.end(),
                                   [&](const auto& value) { return bad(value.second); });
  return static_cast<double>(count) >= kMostOfThem * kLatest;
}

// The first update from which on all values are `bad`.
template <typename Bad>
uint32_t Since(const Values& values, Bad&& bad) {
  uint32_t since = values.back().first;
  for (auto value = values.rbegin(); value != values.rend() && bad(value->second); ++value)
    since = value->first;
  return since;
}

bool Grew(const Values& entropy) {
  return entropy.size() >= kLatest &&
         entropy.back().second - entropy.front().second > kEntropyGrowth;
}

// Reports meta-training that lost at least half of its gain, by means over a tenth of it. The loss
// must exceed what chance explains between updates. Adds a remedy.
std::string Decline(const ReportData& data, bool success) {
  constexpr size_t kFewest = 10;
  constexpr double kErrors = 4;  // The best of many means exceeds its expectation.
  const auto values = ValuesOf(
      data.training, success ? absl::StrFormat("seg%d", data.iterations - 1) : "shaped_return");
  if (values.size() < kFewest) return "";
  const auto width = static_cast<size_t>(RunningWindow(values.size()));
  // Running means by their last update.
  std::vector<double> means;
  double changes = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) changes += std::pow(values[i].second - values[i - 1].second, 2);
    if (i + 1 < width) continue;
    double sum = 0;
    for (size_t j = i + 1 - width; j <= i; ++j) sum += values[j].second;
    means.push_back(sum / static_cast<double>(width));
  }
  const auto [lowest, highest] = std::minmax_element(means.begin(), means.end());
  const double variance = changes / (2 * static_cast<double>(values.size() - 1)),
               error = std::sqrt(2 * variance / static_cast<double>(width)),
               lost = *highest - means.back();
  if (lost <= kErrors * error || lost < (*highest - *lowest) / 2) return "";
  const size_t first = static_cast<size_t>(highest - means.begin());
  std::string text = absl::StrFormat(
      "It got worse: from %s (outer update %d to %d) to %s at the end.", Rounded(*highest),
      values[first].first, values[first + width - 1].first, Rounded(means.back()));
  absl::StrAppend(
      &text,
      " Take the best weights (--weights best of mentor evaluate and mentor export), or "
      "train with a smaller learning rate of the rule");
  // Only rules that train by PPO have this metric, and its weight in their loss.
  const auto entropy = ValuesOf(data.training, "entropy");
  if (entropy.size() > 1 && entropy.back().second - entropy.front().second > 1) {
    absl::StrAppendFormat(&text, " or a smaller entropy_coef: the entropy went from %s to %s",
                          Rounded(entropy.front().second), Rounded(entropy.back().second));
  }
  return text + ".";
}

void AddSignalHints(const ReportData& data, std::vector<Hint>* hints) {
  // The name depends on the inner loop.
  for (const char* metric : {"signal_sd", "signal_std"}) {
    const Values deviation = ValuesOf(data.training, metric);
    const auto dead = [](double value) { return value < kSignalDead; };
    if (MostlyLately(deviation, dead)) {
      hints->push_back(
          {"signal-died",
           absl::StrFormat("The signal has died: since outer update %d it is the same in every "
                           "step. Begin again with a smaller learning rate of the rule.",
                           Since(deviation, dead))});
    }
    const auto wild = [](double value) { return value > kSignalWild; };
    if (MostlyLately(deviation, wild)) {
      hints->push_back(
          {"signal-runs-away",
           absl::StrFormat("The signal runs away: since outer update %d its deviation is above "
                           "%g. Bound it (signal.bounded, where the network has it), or lower the "
                           "learning rate of the rule.",
                           Since(deviation, wild), kSignalWild)});
    }
  }
}

}  // namespace

std::vector<std::pair<uint32_t, double>> ValuesOf(const std::vector<TrainingPoint>& training,
                                                  const std::string& metric) {
  std::vector<std::pair<uint32_t, double>> values;
  for (const TrainingPoint& point : training) {
    const auto found = point.metrics.find(metric);
    if (found != point.metrics.end() && std::isfinite(found->second))
      values.emplace_back(point.outer_update, found->second);
  }
  return values;
}

std::vector<Hint> HintsOf(const ReportData& data) {
  std::vector<Hint> hints;
  // Ranges of a curriculum become harder, and agents of a generation are of any age.
  const bool comparable =
      !data.identity.settings.contains("curriculum.name") &&
      (data.training.empty() || !data.training.front().metrics.contains("generation"));
  const bool success = SawSuccess(data.training);
  if (comparable) {
    const std::string decline = Decline(data, success);
    if (!decline.empty()) hints.push_back({"training-got-worse", decline});
  }
  const Values entropy = ValuesOf(data.training, "entropy");
  if (comparable && hints.empty() && Grew(entropy)) {
    hints.push_back(
        {"entropy-grows",
         absl::StrFormat("The entropy of what the rule trains grew from %s to %s. If "
                         "success does not grow, lower entropy_coef of the rule.",
                         Rounded(entropy.front().second), Rounded(entropy.back().second))});
  }
  const auto floored = [](double value) { return value >= 0.5; };
  const Values floor = ValuesOf(data.training, "advantage_floored");
  if (MostlyLately(floor, floored)) {
    hints.push_back({"advantage-floored",
                     absl::StrFormat("Since outer update %d the rule's advantages hardly differ, "
                                     "so that their deviation is replaced by its floor. Raise "
                                     "target_mean, or give agents tasks on which they differ.",
                                     Since(floor, floored))});
  }
  const Values epochs = ValuesOf(data.training, "epochs");
  const auto one = [](double value) { return value <= 1; };
  const auto asked = data.identity.settings.find("rule.epochs");
  if (MostlyLately(epochs, one) &&
      (asked == data.identity.settings.end() || asked->second != "1")) {
    hints.push_back({"kl-stops-at-once",
                     absl::StrFormat("Since outer update %d target_kl is reached in the first "
                                     "epoch, so that each update is small. Lower the learning rate "
                                     "of the rule, or raise target_kl.",
                                     Since(epochs, one))});
  }
  AddSignalHints(data, &hints);
  return hints;
}

std::string SentenceOf(const Hint& hint) {
  return absl::StrCat(hint.text, " More: docs/it_does_not_learn.md#", hint.id, ".");
}

}  // namespace mentor::report
