#include "envs/describe.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "envs/benchmark.h"
#include "envs/environment.h"

namespace mentor::envs {
namespace {

std::string DescribeOption(const OptionInfo& option) {
  std::string legal;
  switch (option.kind) {
    case OptionInfo::Kind::kNumber:
    case OptionInfo::Kind::kInteger:
      legal = absl::StrFormat("%s from %g to %g",
                              option.kind == OptionInfo::Kind::kNumber ? "number" : "integer",
                              option.min, option.max);
      break;
    case OptionInfo::Kind::kFlag:
      legal = "true or false";
      break;
    case OptionInfo::Kind::kChoice:
      legal = absl::StrJoin(option.choices, " | ");
      break;
  }
  return absl::StrFormat("  %-16s default %s; %s\n  %-16s %s\n", option.name, option.default_value,
                         legal, "", option.help);
}

}  // namespace

std::string DescribeCatalogue() {
  std::string text = "Environments (details: mentor env show NAME)\n";
  for (const EnvironmentEntry* entry : Catalogue())
    absl::StrAppendFormat(&text, "  %-24s %s\n", entry->name, entry->summary);
  absl::StrAppend(&text, "Benchmarks\n");
  for (const BenchmarkEntry* entry : Benchmarks())
    absl::StrAppendFormat(&text, "  %-24s %s\n", entry->name, entry->summary);
  absl::StrAppend(&text, "Catalogue ", CatalogueHash(), "\n");
  return text;
}

absl::StatusOr<std::string> DescribeEnvironment(std::string_view name) {
  MENTOR_ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment,
                          MakeEnvironment(name, {}));
  const EnvironmentEntry& entry = *FindEnvironment(name);
  const EnvironmentInfo& info = environment->info();
  std::string text = absl::StrCat(entry.name, ": ", entry.summary, "\n");
  absl::StrAppendFormat(
      &text, "observation %d numbers, action %d numbers, episode %d steps (with default options)\n",
      info.observation_size, info.action_size, info.episode_steps);
  absl::StrAppend(&text, info.independent_episodes
                             ? "episodes are independent: a rollout unit can be one episode\n"
                             : "episodes follow one another in one rollout unit\n");
  absl::StrAppend(&text, entry.task_help, "\n");
  absl::StrAppend(&text, entry.options.empty() ? "options: none\n" : "options:\n");
  for (const OptionInfo& option : entry.options) absl::StrAppend(&text, DescribeOption(option));
  return text;
}

}  // namespace mentor::envs
