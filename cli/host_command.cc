#include <cstdio>
#include <string>
#include <vector>

#include <absl/strings/str_format.h>

#include "cli/commands.h"
#include "cli/env_subject.h"
#include "common/check.h"
#include "common/hosts.h"
#include "common/lifecycle.h"
#include "common/process/flags.h"
#include "common/spec/spec.h"
#include "envs/environment.h"
#include "envs/host/host_facts.h"

namespace mentor {
namespace {

struct FactsFlags {
  SimulatorFlags hosts;
  std::vector<std::string> options;
};

// Returns the facts as comments for people, followed by a spec.
std::string PageOf(const v1::EnvironmentFacts& facts, const v1::BenchmarkSpec& benchmark) {
  std::string page = absl::StrFormat(
      "# %s\n# observation: %d numbers\n# action: %s\n# episode: at most %d steps%s\n# state: %s\n"
      "# success: %s\n# task: %d numbers\n",
      facts.name(), facts.observation_size(),
      facts.discrete_actions() ? absl::StrFormat("one of %d choices", facts.action_size())
                               : absl::StrFormat("%d numbers in [%g, %g]", facts.action_size(),
                                                 facts.action_low(), facts.action_high()),
      facts.episode_steps(),
      facts.independent_episodes() ? ", all of that length, each by itself" : "",
      facts.saves_state() ? "saved, so episodes go on from one inner iteration to the next"
                          : "not saved, so each inner iteration begins with a reset",
      facts.has_success() ? "steps may report it; mentor env check tries it" : "never reported",
      facts.parameters_size());
  v1::ExperimentSpec spec;
  *spec.mutable_benchmark() = benchmark;
  return page + PrintSpec(spec);
}

absl::StatusOr<std::string> FactsPage(const FactsFlags& flags) {
  std::string name;
  MENTOR_ASSIGN_OR_RETURN(EnvironmentOptions options, TakeEnvironment(&name, flags.options));
  MENTOR_RETURN_IF_ERROR(TakeSimulators(flags.hosts, &name, &options));
  if (flags.hosts.hosts.size() > 1)
    return BadFlag("--simulator", flags.hosts.hosts[1], "is the second one; ask one at a time");
  if (name.empty())
    return BadFlag("--simulator", "",
                   "give one, for instance --simulator gym='python3 -m mentor_env'");
  Violations violations;
  const OptionValues values =
      OptionValues::Parse(envs::FindEnvironment(name)->options, options, "--option", &violations);
  MENTOR_RETURN_IF_ERROR(violations.ToStatus());
  MENTOR_ASSIGN_OR_RETURN(const v1::EnvironmentFacts facts,
                          envs::ParseFacts(values.text(kFactsOption)));
  v1::BenchmarkSpec benchmark;
  benchmark.set_name("single");
  benchmark.set_environment(name);
  *benchmark.mutable_option() = options;
  return PageOf(facts, benchmark);
}

int RunFacts(const FactsFlags& flags) {
  ExitOnStopSignal();  // The simulator ends with this process.
  const auto page = FactsPage(flags);
  if (!page.ok())
    return Fail(page.status(), absl::IsInvalidArgument(page.status()) ? kExitUsage : kExitFailed);
  std::printf("%s", page->c_str());
  return kExitOk;
}

}  // namespace

void AddFacts(CLI::App* env, Action* action) {
  const auto [facts, flags] = AddCommand<FactsFlags>(
      env, action, "facts",
      "Ask a simulator what its environment is like, and print what a spec needs", RunFacts);
  facts->add_option("--option", flags->options, "NAME=VALUE: a setting, which goes to the host")
      ->allow_extra_args(false);
  AddSimulatorFlags(facts, &flags->hosts);
  facts->footer(
      "Example:\n"
      "  mentor env facts --simulator gym='python3 -m mentor_env' --option id=FetchReach-v4");
}

}  // namespace mentor
