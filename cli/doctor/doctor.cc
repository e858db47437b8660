#include "cli/doctor/doctor.h"

#include <algorithm>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <nlohmann/json.hpp>

namespace mentor::doctor {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kPage[] = "docs/it_does_not_learn.md";

Json JsonOf(const report::Interval& interval) {
  return {{"mean", interval.mean}, {"low", interval.low}, {"high", interval.high}};
}

std::string RandomLine(const Measured& measured) {
  const RandomAgents& random = measured.random;
  if (random.steps == 0) return "random agents    none\n";
  const auto [least, most] = std::ranges::minmax(random.observation_deviation);
  std::string line = absl::StrFormat(
      "random agents    %d steps, %d episodes; reward of a step %.3g, deviation %.3g, 0 in %.0f "
      "%%\n"
      "                 observations of %d numbers, deviations %.3g to %.3g\n",
      random.steps, random.episodes, random.reward_mean, random.reward_deviation,
      100 * random.reward_zero, random.observation_deviation.size(), least, most);
  if (measured.reports_success) {
    absl::StrAppendFormat(&line, "                 %d of %d episodes succeed\n", random.successes,
                          random.episodes);
  }
  return line;
}

std::string LearningLine(const char* name, const Learning& learning, bool success) {
  std::string line = absl::StrFormat("%-16s %d iterations, %d lifetimes: ", name,
                                     learning.iterations, learning.lifetimes);
  if (success) {
    absl::StrAppendFormat(&line, "success %.1f %% to %.1f %%, %s, ", 100 * learning.success.first,
                          100 * learning.success.last, PointsText(learning.success.change));
  }
  absl::StrAppendFormat(&line, "return %.4g to %.4g\n", learning.returns.first,
                        learning.returns.last);
  return line;
}

void AddChange(const std::string& name, const Change& change, Json* json) {
  (*json)[name + "_first"] = change.first;
  (*json)[name + "_last"] = change.last;
  (*json)[name + "_change"] = JsonOf(change.change);
  (*json)[name] = change.word();
}

Json JsonOfLearning(const Learning& learning) {
  Json json = {{"iterations", learning.iterations},
               {"lifetimes", learning.lifetimes},
               {"episodes", learning.episodes},
               {"successes", learning.successes}};
  AddChange("success", learning.success, &json);
  AddChange("return", learning.returns, &json);
  return json;
}

}  // namespace

std::string TextOf(const Measured& measured, const std::vector<Finding>& findings,
                   const std::string& next) {
  std::string text = RandomLine(measured);
  const bool success = measured.reports_success;
  if (measured.sparse)
    absl::StrAppend(&text, LearningLine("PPO on success", *measured.sparse, success));
  if (measured.shaped)
    absl::StrAppend(&text, LearningLine("PPO on reward", *measured.shaped, success));
  if (measured.normalized)
    absl::StrAppend(&text, LearningLine("  normalising", *measured.normalized, success));
  for (const Learning& longer : measured.longer)
    absl::StrAppend(&text, LearningLine("  longer", longer, success));
  bool problem = false;
  for (const Finding& finding : findings) {
    problem |= finding.problem;
    absl::StrAppendFormat(&text, "\n%s %s\n  %s.\n  Try: %s%s\n",
                          finding.problem ? "PROBLEM" : "note", finding.id, finding.text,
                          finding.remedy, finding.remedy.ends_with('?') ? "" : ".");
  }
  if (findings.empty())
    absl::StrAppend(&text, "\nNothing was found that keeps it from learning.\n");
  if (!findings.empty()) absl::StrAppendFormat(&text, "\nMore on each: %s\n", kPage);
  absl::StrAppend(&text, "Next         ",
                  problem ? "change the spec, then the same command again" : next, "\n");
  return text;
}

std::string JsonOf(const Measured& measured, const std::vector<Finding>& findings,
                   const std::string& next) {
  Json json;
  json["findings"] = Json::array();
  for (const Finding& finding : findings) {
    json["findings"].push_back({{"id", finding.id},
                                {"problem", finding.problem},
                                {"text", finding.text},
                                {"remedy", finding.remedy}});
  }
  const RandomAgents& random = measured.random;
  json["random"] = {{"steps", random.steps},
                    {"episodes", random.episodes},
                    {"successes", random.successes},
                    {"reward_mean", random.reward_mean},
                    {"reward_deviation", random.reward_deviation},
                    {"reward_zero", random.reward_zero},
                    {"observation_mean", random.observation_mean},
                    {"observation_deviation", random.observation_deviation}};
  if (measured.sparse) json["sparse"] = JsonOfLearning(*measured.sparse);
  if (measured.shaped) json["shaped"] = JsonOfLearning(*measured.shaped);
  if (measured.normalized) json["normalized"] = JsonOfLearning(*measured.normalized);
  for (const Learning& longer : measured.longer) json["longer"].push_back(JsonOfLearning(longer));
  json["next"] = next;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace mentor::doctor
