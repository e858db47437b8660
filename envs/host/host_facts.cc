#include "envs/host/host_facts.h"

#include <cmath>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include "common/check.h"
#include "common/hosts.h"
#include "common/printable.h"

namespace mentor::envs {
namespace {

constexpr uint32_t kObservationSizeMax = 65536, kActionSizeMax = 4096, kEpisodeStepsMax = 1'000'000;
constexpr int kTaskNumbersMax = 64;
constexpr size_t kFactsTextBytesMax = 200;

absl::Status CheckCount(const char* name, uint32_t count, uint32_t min, uint32_t max) {
  if (count >= min && count <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("%s is %d; %d to %d are allowed", name, count, min, max));
}

absl::Status CheckText(const char* name, const std::string& text) {
  if (text.size() <= kFactsTextBytesMax && Printable(text) == text) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("%s: is no plain text of at most %d bytes", name, kFactsTextBytesMax));
}

absl::Status CheckRange(const std::string& name, double low, double high) {
  if (std::isfinite(low) && std::isfinite(high) && low <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("%s: %g to %g is no range of numbers", name, low, high));
}

}  // namespace

absl::Status CheckFacts(const v1::EnvironmentFacts& facts) {
  MENTOR_RETURN_IF_ERROR(CheckText("name", facts.name()));
  MENTOR_RETURN_IF_ERROR(CheckText("digest", facts.digest()));
  if (facts.name().empty()) return absl::InvalidArgumentError("name: is missing");
  MENTOR_RETURN_IF_ERROR(
      CheckCount("observation_size", facts.observation_size(), 1, kObservationSizeMax));
  MENTOR_RETURN_IF_ERROR(CheckCount("action_size", facts.action_size(),
                                    facts.discrete_actions() ? 2 : 1, kActionSizeMax));
  MENTOR_RETURN_IF_ERROR(CheckCount("episode_steps", facts.episode_steps(), 1, kEpisodeStepsMax));
  MENTOR_RETURN_IF_ERROR(
      CheckRange("action_low to action_high", facts.action_low(), facts.action_high()));
  if (!(facts.action_low() < facts.action_high()) ||
      !std::isfinite(static_cast<float>(facts.action_high() - facts.action_low())))
    return absl::InvalidArgumentError("action_low to action_high: is no range of actions");
  if (facts.parameters_size() > kTaskNumbersMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("parameters: has %d entries; at most %d are allowed",
                        facts.parameters_size(), kTaskNumbersMax));
  }
  for (int i = 0; i < facts.parameters_size(); ++i) {
    MENTOR_RETURN_IF_ERROR(CheckRange(absl::StrCat("parameters[", i, "]"),
                                      facts.parameters(i).low(), facts.parameters(i).high()));
  }
  return absl::OkStatus();
}

std::string FactsText(const v1::EnvironmentFacts& facts) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string text;
  MENTOR_CHECK(printer.PrintToString(facts, &text));
  if (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

absl::StatusOr<v1::EnvironmentFacts> ParseFacts(const std::string& text) {
  google::protobuf::TextFormat::Parser parser;
  // Rewords errors.
  class : public google::protobuf::io::ErrorCollector {
   public:
    void AddError(int line, google::protobuf::io::ColumnNumber column,
                  const std::string& message) override {
      if (first.empty()) first = absl::StrCat("character ", column + 1, ": ", message);
    }
    void AddWarning(int line, google::protobuf::io::ColumnNumber column,
                    const std::string& message) override {}
    std::string first;
  } errors;
  parser.RecordErrorsTo(&errors);
  v1::EnvironmentFacts facts;
  if (!parser.ParseFromString(text, &facts)) return absl::InvalidArgumentError(errors.first);
  MENTOR_RETURN_IF_ERROR(CheckFacts(facts));
  return facts;
}

EnvironmentInfo InfoOf(const v1::EnvironmentFacts& facts) {
  return {.name = std::string(kHostEnvironment),
          .summary = facts.name(),
          .observation_size = static_cast<int>(facts.observation_size()),
          .action_size = static_cast<int>(facts.action_size()),
          .episode_steps = static_cast<int>(facts.episode_steps()),
          .action_low = facts.action_low(),
          .action_high = facts.action_high(),
          .discrete_actions = facts.discrete_actions(),
          .independent_episodes = facts.independent_episodes(),
          .saves_state = facts.saves_state()};
}

std::string NotReset(const v1::EnvironmentFacts& facts) {
  constexpr std::string_view kBegin = " [not reset: ";  // mentor_env/gymnasium_adapter.py
  const size_t begin = facts.name().find(kBegin);
  if (begin == std::string::npos) return "";
  const size_t names = begin + kBegin.size();
  return facts.name().substr(names, facts.name().find(']', names) - names);
}

std::string DifferencesOfFacts(const v1::EnvironmentFacts& got,
                               const v1::EnvironmentFacts& expected) {
  const auto* type = v1::EnvironmentFacts::descriptor();
  std::vector<std::string> differences;
  for (int i = 0; i < type->field_count(); ++i) {
    // Clears all other fields, so that one line tells of one field.
    const auto only = [&](const v1::EnvironmentFacts& facts) {
      v1::EnvironmentFacts copy = facts;
      for (int k = 0; k < type->field_count(); ++k) {
        if (k != i) copy.GetReflection()->ClearField(&copy, type->field(k));
      }
      const std::string text = FactsText(copy);
      return text.empty() ? absl::StrCat("no ", type->field(i)->name()) : text;
    };
    const std::string here = only(got), there = only(expected);
    if (here != there) differences.push_back(absl::StrCat(here, ", expected ", there));
  }
  return absl::StrJoin(differences, "; ");
}

}  // namespace mentor::envs
