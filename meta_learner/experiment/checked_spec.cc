#include "meta_learner/experiment/checked_spec.h"

#include <algorithm>
#include <set>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/hosts.h"
#include "common/registry.h"
#include "common/spec/differences.h"
#include "common/spec/spec.h"
#include "envs/environment.h"
#include "envs/host/host_facts.h"
#include "envs/promises.h"
#include "envs/wrapper.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/experiment/experiment_state.h"
#include "meta_learner/experiment/parts.h"
#include "meta_learner/experiment/task_sampler.h"
#include "methods/base/inner_loop.h"

namespace mentor::meta_learner {
namespace {

constexpr size_t kDifferencesMax = 8;  // Differences between two specs in one message.

// ---- Defaults of registered parts.

using Options = google::protobuf::RepeatedPtrField<v1::Option>;

// Comments that list the settings of the table that are not set.
std::vector<std::string> Defaults(const std::string& whose, const OptionTable& table,
                                  const Options& set) {
  std::vector<std::string> lines;
  for (const OptionInfo& info : table) {
    // A spec cannot say that a text is empty.
    if (info.required || info.kind == OptionInfo::Kind::kOthers || info.default_value.empty())
      continue;
    if (std::any_of(set.begin(), set.end(),
                    [&](const v1::Option& option) { return option.name() == info.name; }))
      continue;
    if (lines.empty()) lines.push_back(absl::StrCat("Defaults of ", whose, ":"));
    lines.push_back(
        absl::StrFormat("option { name: \"%s\" value: \"%s\" }", info.name, info.default_value));
  }
  return lines;
}

std::vector<std::string> EnvironmentDefaults(const std::string& name, const Options& set) {
  const envs::EnvironmentEntry* entry = envs::FindEnvironment(name);
  return entry == nullptr ? std::vector<std::string>() : Defaults(name, entry->options, set);
}

std::vector<std::string> DefaultsOf(const v1::BenchmarkSpec& benchmark) {
  const auto* entry = Registry<envs::BenchmarkEntry>::Instance().Find(benchmark.name());
  if (entry == nullptr) return {};
  if (!entry->options.empty()) return Defaults(entry->name, entry->options, benchmark.option());
  // Benchmark single, and its short names.
  return EnvironmentDefaults(entry->takes_environment ? benchmark.environment() : entry->name,
                             benchmark.option());
}

template <typename Entry, typename Part>
std::vector<std::string> DefaultsOf(const Part& part) {
  const auto* entry = Registry<Entry>::Instance().Find(part.name());
  if (entry == nullptr) return {};
  return Defaults(entry->name, entry->options, part.option());
}

std::vector<std::string> DefaultsOf(const v1::RuleSpec& rule) {
  const auto* entry = Registry<methods::RuleEntry>::Instance().Find(rule.name());
  if (entry == nullptr) return {};
  return Defaults(absl::StrCat(entry->name, " and its inner loop ", entry->inner_loop),
                  methods::AllOptions(*entry), rule.option());
}

// ---- Parts that never report success.

// A task of each set that the benchmark trains on.
std::vector<v1::EnvironmentTask> TrainingExamples(const envs::Benchmark& benchmark) {
  std::vector<v1::EnvironmentTask> examples;
  for (const envs::TaskSet& set : benchmark.Tasks(envs::Split::kTrain)) {
    examples.push_back(set.tasks.empty() ? set.draw({.purpose = Purpose::kTasks}, 0)
                                         : set.tasks[0]);
  }
  return examples;
}

// Simulators of these tasks whose episodes leave something behind, as their facts say.
std::set<std::string> Leftovers(const std::vector<v1::EnvironmentTask>& tasks) {
  std::set<std::string> warnings;
  for (const v1::EnvironmentTask& task : tasks) {
    for (const v1::Option& option : task.options()) {
      if (task.environment() != kHostEnvironment || option.name() != kFactsOption) continue;
      const auto facts = envs::ParseFacts(option.value());
      const std::string names = facts.ok() ? envs::NotReset(*facts) : "";
      if (names.empty()) continue;
      warnings.insert(absl::StrFormat(
          "%s: the running statistics of %s outlive a reset, so bits depend on what each actor has "
          "simulated before; leave the wrapper out, and set agent.normalize_observations",
          facts->name().substr(0, facts->name().find(' ')), names));
    }
  }
  return warnings;
}

bool AnyHasSuccess(const std::vector<v1::EnvironmentTask>& tasks) {
  return std::any_of(tasks.begin(), tasks.end(), [](const v1::EnvironmentTask& task) {
    return envs::GiveSuccess(task.wrappers()) || envs::MaySucceed(task);
  });
}

// Settings of a part that ask for success, as "rule.objective".
std::vector<std::string> AsksForSuccess(const std::string& part, const OptionTable& table,
                                        const Options& set) {
  std::vector<std::string> fields;
  Violations none;
  const OptionValues values = OptionValues::Parse(table, set, part, &none);
  for (const OptionInfo& info : table) {
    if (info.kind == OptionInfo::Kind::kChoice && values.text(info.name) == "success")
      fields.push_back(absl::StrCat(part, ".", info.name));
  }
  return fields;
}

std::vector<std::string> AsksForSuccess(const v1::ExperimentSpec& spec) {
  std::vector<std::string> fields;
  if (const auto* rule = Registry<methods::RuleEntry>::Instance().Find(spec.rule().name()))
    fields = AsksForSuccess("rule", methods::AllOptions(*rule), spec.rule().option());
  const v1::CurriculumSpec& curriculum = spec.curriculum();
  if (const auto* entry = Registry<CurriculumEntry>::Instance().Find(curriculum.name())) {
    const auto more = AsksForSuccess("curriculum", entry->options, curriculum.option());
    fields.insert(fields.end(), more.begin(), more.end());
  }
  return fields;
}

// True if the network's output depends on the outcome that signal.input names.
bool SeesOutcome(const signals::SignalNetwork& network) {
  const signals::SignalSource* signals = network.signals();
  return signals != nullptr ? signals->sees_outcome() : network.loss() != nullptr;
}

uint64_t StepsOfUpdate(const v1::ExperimentSpec& spec, const methods::RuleNeeds& needs) {
  if (needs.names_tasks) return 0;
  const auto* loop = methods::FindInnerLoop(methods::InnerLoopOf(spec.rule()).name());
  return uint64_t{spec.rule().lifetimes_per_update()} *
         needs.iterations_of_update(spec.lifetime()) * static_cast<uint64_t>(loop->collections) *
         spec.lifetime().steps_per_iteration();
}

// Settings that are legal but hardly meant. `succeeds`: an environment may report success.
std::vector<std::string> WarningsOf(const v1::ExperimentSpec& spec, const ExperimentParts& parts,
                                    const std::vector<v1::EnvironmentTask>& examples,
                                    bool succeeds) {
  std::vector<std::string> warnings;
  if (const std::string cut = CutEpisodes(*parts.benchmark, spec); !cut.empty())
    warnings.push_back(absl::StrCat("benchmark.environment: ", cut));
  for (const std::string& leftover : Leftovers(examples))
    warnings.push_back(absl::StrCat("benchmark.environment: ", leftover));
  for (const std::string& more : parts.rule->Warnings()) warnings.push_back(more);
  for (const envs::TaskSet& set :
       parts.benchmark->Tasks(EvaluatedSplits(*parts.benchmark, spec).front())) {
    if (set.tasks.empty() || spec.evaluation().goals() <= set.tasks.size()) continue;
    warnings.push_back(absl::StrFormat(
        "evaluation.goals: is %d, but %s has %d, so no more are tested; for more lives raise "
        "evaluation.lifetimes_per_goal",
        spec.evaluation().goals(), set.name, set.tasks.size()));
    break;  // One line for the fifty environments of MT50.
  }
  if (const v1::SignalSpec& signal = spec.signal(); !parts.rule->needs().signal_network()) {
    const bool named = signal.name() != v1::SignalSpec().name() || signal.option_size() > 0;
    if (named || signal.role() != v1::SignalSpec().role()) {
      warnings.push_back(absl::StrFormat(
          "signal.%s: is %s, but rule '%s' uses no signal network, so name, role and options have "
          "no effect; leave them out",
          named ? "name" : "role", named ? signal.name() : v1::SignalRole_Name(signal.role()),
          spec.rule().name()));
    }
  }
  if (spec.rule().outer_updates() == 0 && EvaluationCost(*parts.benchmark, spec).done == 0) {
    warnings.push_back(
        "rule.outer_updates: is 0, and the evaluation has no baseline, so no agent lives; set "
        "evaluation.baseline, RANDOM_SIGNAL for agents with the signal as it begins");
  }
  if (succeeds) return warnings;
  std::set<std::string> environments;
  for (const v1::EnvironmentTask& task : examples) environments.insert(task.environment());
  const std::string names = absl::StrJoin(environments, ", ");
  if (parts.rule->needs().signal_network() && SeesOutcome(*parts.network) &&
      spec.signal().input() == v1::SUCCESS) {
    warnings.push_back(absl::StrFormat(
        "signal.input: is SUCCESS, but %s never reports success, so the network would see no "
        "outcome; set SHAPED",
        names));
  }
  for (const std::string& field : AsksForSuccess(spec)) {
    warnings.push_back(absl::StrFormat(
        "%s: is success, but %s never reports success, so there is nothing to learn from; set "
        "shaped",
        field, names));
  }
  return warnings;
}

}  // namespace

std::optional<SpecFacts> CheckParts(const v1::ExperimentSpec& spec, Violations* violations) {
  Violations found;
  const ExperimentParts parts = LookAtParts(spec, &found);
  violations->AddAll(found);
  if (!found.empty()) return std::nullopt;
  const std::vector<v1::EnvironmentTask> examples = TrainingExamples(*parts.benchmark);
  const bool has_success = AnyHasSuccess(examples);
  return SpecFacts{.needs = parts.rule->needs(),
                   .memory = MemoryOfParts(spec, parts),
                   .warnings = WarningsOf(spec, parts, examples, has_success),
                   .reported_numbers = ReportedNumbers(spec, parts),
                   .has_success = has_success,
                   .steps_of_update = StepsOfUpdate(spec, parts.rule->needs())};
}

std::optional<CheckedSpec> Check(const v1::ExperimentSpec& given, Violations* violations) {
  std::optional<CheckedSpec> checked;
  CheckSpec(given, violations, [&](const v1::ExperimentSpec& spec, Violations* found) {
    if (auto facts = CheckParts(spec, found)) checked = {*std::move(facts), given, spec};
  });
  return violations->empty() ? std::move(checked) : std::nullopt;
}

bool HasSuccess(const envs::Benchmark& benchmark) {
  return AnyHasSuccess(TrainingExamples(benchmark));
}

std::string CutEpisodes(const envs::Benchmark& benchmark, const v1::ExperimentSpec& spec) {
  const envs::EnvironmentInfo& info = benchmark.info();
  const uint32_t steps = spec.lifetime().steps_per_iteration();
  if (info.saves_state ||
      (info.independent_episodes && steps % static_cast<uint32_t>(info.episode_steps) == 0))
    return "";
  return absl::StrFormat(
      "%s cannot save its state, so each inner iteration begins with a reset, and the last episode "
      "of its %d steps is truncated",
      info.summary, steps);
}

std::string PrintWithDefaults(const v1::ExperimentSpec& spec, bool has_signal) {
  return PrintSpec(spec, [&](const google::protobuf::Message& part) -> std::vector<std::string> {
    if (const auto* benchmark = dynamic_cast<const v1::BenchmarkSpec*>(&part))
      return DefaultsOf(*benchmark);
    if (const auto* set = dynamic_cast<const v1::TaskSetSpec*>(&part))
      return EnvironmentDefaults(set->environment(), set->option());
    if (const auto* wrapper = dynamic_cast<const v1::WrapperSpec*>(&part))
      return DefaultsOf<envs::WrapperEntry>(*wrapper);
    if (const auto* rule = dynamic_cast<const v1::RuleSpec*>(&part)) return DefaultsOf(*rule);
    if (const auto* curriculum = dynamic_cast<const v1::CurriculumSpec*>(&part))
      return DefaultsOf<CurriculumEntry>(*curriculum);
    const auto* signal = dynamic_cast<const v1::SignalSpec*>(&part);
    if (signal == nullptr) return {};
    if (!has_signal)
      return {absl::StrFormat("Rule %s uses no signal network.", spec.rule().name())};
    return DefaultsOf<signals::SignalEntry>(*signal);
  });
}

std::string SuccessInRandomSteps(const CheckedSpec& checked) {
  constexpr size_t kSetsMax = 10;
  constexpr int kSteps = 1000;
  Violations none;
  const auto benchmark = envs::MakeBenchmark(checked.spec.benchmark(), &none);
  if (benchmark == nullptr || !checked.has_success) return "";
  const std::vector<envs::TaskSet>& sets = benchmark->Tasks(envs::Split::kTrain);
  const size_t tried = std::min(sets.size(), kSetsMax);
  envs::RandomSteps all;
  for (size_t i = 0; i < tried; ++i) {
    const auto task = [&set = sets[i]](uint32_t index) {
      return set.tasks.empty() ? set.draw({.purpose = Purpose::kTasks}, index)
                               : set.tasks[index % set.tasks.size()];
    };
    const envs::RandomSteps random =
        envs::CheckManySteps({.name = sets[i].name,
                              .make = [&task] { return envs::MakeEnvironment(task(0)); },
                              .task = task},
                             kSteps / static_cast<int>(tried));
    if (!random.complaints.empty()) return "";
    all.steps += random.steps;
    all.successes += random.successes;
  }
  const bool built_in = std::ranges::all_of(
      TrainingExamples(*benchmark),
      [](const v1::EnvironmentTask& task) { return envs::IsBuiltIn(task.environment()); });
  return envs::SuccessSentence(all, built_in);
}

void CheckCheckpoint(const v1::ExperimentSpec& source, const v1::ExperimentSpec& spec,
                     const Checkpoint& checkpoint, Violations* violations) {
  if (spec.rule().outer_updates() < checkpoint.outer_step) {
    violations->Add("rule.outer_updates",
                    absl::StrFormat("is %d, but the checkpoint has %d already; give at least that",
                                    spec.rule().outer_updates(), checkpoint.outer_step));
  }
  if (const auto state = ReadState(checkpoint);
      state.ok() && checkpoint.outer_step < spec.rule().outer_updates() &&
      IsTrained(*state, spec.rule()) &&
      (!IsTrained(*state, source.rule()) ||
       spec.rule().outer_updates() > source.rule().outer_updates())) {
    violations->Add(
        "rule.patience",
        absl::StrFormat("is %d, and the checkpoint's best weights are %d updates old, "
                        "so no update would follow; give more, or 0",
                        spec.rule().patience(), checkpoint.outer_step - state->best.outer_step));
  }
  const uint32_t every = std::max(1U, spec.checkpoint().every());
  const uint32_t own = 1 + (std::max(spec.rule().outer_updates(), checkpoint.outer_step) -
                            checkpoint.outer_step + every - 1) /
                               every;
  if (spec.evaluation().averaged_checkpoints() > own) {
    violations->Add("evaluation.averaged_checkpoints",
                    absl::StrFormat("is %d, but from the checkpoint on there are %d; give at most "
                                    "that, or 0",
                                    spec.evaluation().averaged_checkpoints(), own));
  }
  if (HasRunningLives(checkpoint)) {
    // Agents in the middle of their lives cannot change into others.
    const auto of_lives = [](v1::ExperimentSpec of) {
      of.mutable_rule()->clear_outer_updates();
      of.mutable_rule()->clear_patience();
      of.clear_evaluation();
      return SpecHash(of);
    };
    if (of_lives(source) != of_lives(spec)) {
      violations->Add("spec_overrides",
                      "change more than rule.outer_updates, rule.patience and evaluation, but in "
                      "this checkpoint "
                      "agents are in the middle of their lives; take the checkpoint after a whole "
                      "generation (a multiple of lifetime.iterations)");
    }
  }
  ExperimentParts parts = LookAtParts(spec, violations);
  if (!violations->empty()) return;
  const absl::Status loaded = LoadParts(checkpoint, &parts);
  if (!loaded.ok()) {
    v1::ExperimentSpec before = source;  // Without fields on which no state depends.
    before.set_seed(spec.seed());
    before.mutable_rule()->set_outer_updates(spec.rule().outer_updates());
    *before.mutable_evaluation() = spec.evaluation();
    violations->Add(
        "spec_overrides",
        absl::StrCat("change what the checkpoint's state does not fit: ",
                     absl::StrJoin(SpecDifferences(before, spec, kDifferencesMax), ", "),
                     "; leave rule, signal network, agents and curriculum as they are, or begin "
                     "without the checkpoint (",
                     loaded.message(), ")"));
  }
}

}  // namespace mentor::meta_learner
