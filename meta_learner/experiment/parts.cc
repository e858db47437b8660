#include "meta_learner/experiment/parts.h"

#include <algorithm>
#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/hosts.h"
#include "common/orthogonal.h"
#include "common/registry.h"
#include "common/spec/differences.h"
#include "common/spec/spec.h"
#include "envs/check.h"
#include "envs/environment.h"
#include "envs/host/host_facts.h"
#include "envs/wrapper.h"
#include "meta_learner/experiment/experiment_state.h"
#include "meta_learner/experiment/shards.h"
#include "meta_learner/experiment/task_sampler.h"
#include "meta_learner/experiment/tensor_sections.h"
#include "methods/base/inner_loop.h"

namespace mentor::meta_learner {
namespace {

// 128 MiB as float32. Initial values, moments and temporaries are as long.
constexpr int64_t kMetaParametersMax = 1 << 25;
constexpr size_t kDifferencesMax = 8;  // Differences between two specs in one message.
constexpr char kRuleSections[] = "rule/", kCurriculumSections[] = "curriculum/";

// Stands in for the shape of a refused benchmark.
v1::EnvironmentShape AnyShape() {
  v1::EnvironmentShape shape;
  shape.set_observation_size(1);
  shape.set_action_size(1);
  shape.set_episode_steps(1);
  shape.set_independent_episodes(true);
  return shape;
}

// Adds the violations that the rule's inner loop finds in the spec.
void CheckInnerLoop(const envs::Benchmark& benchmark, const v1::ExperimentSpec& spec,
                    Violations* violations) {
  v1::Shard shard;
  *shard.mutable_spec() = spec;
  shard.add_lifetimes();
  *shard.mutable_shape() = ShapeOf(benchmark);
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  *shard.mutable_inner_loop() = InnerLoopOf(spec.rule());
  learner::MakeInnerLoop(shard, /*meta_parameters=*/{}, /*pool=*/nullptr, {}, violations);
}

// Patience needs scores that come again and again.
void CheckPatience(const v1::RuleSpec& rule, const RuleNeeds& needs, uint32_t iterations,
                   Violations* violations) {
  if (rule.patience() == 0) return;
  if (needs.names_tasks || !needs.task_rewards) {
    violations->Add("rule.patience",
                    absl::StrFormat("is %d, but rule '%s' has no objective by which one update "
                                    "would be better than another; leave it out",
                                    rule.patience(), rule.name()));
  } else if (needs.decisions_inside_lifetime && rule.patience() < iterations) {
    violations->Add("rule.patience",
                    absl::StrFormat("is %d, but agents of rule '%s' have a score at the end of "
                                    "their lives alone, every lifetime.iterations = %d outer "
                                    "updates; give at least that",
                                    rule.patience(), rule.name(), iterations));
  }
}

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

std::vector<std::string> DefaultsOf(const v1::SignalSpec& signal) {
  const auto* entry = Registry<learner::SignalEntry>::Instance().Find(signal.name());
  if (entry == nullptr) return {};
  return Defaults(entry->name, entry->options, signal.option());
}

std::vector<std::string> DefaultsOf(const v1::RuleSpec& rule) {
  const auto* entry = Registry<RuleEntry>::Instance().Find(rule.name());
  if (entry == nullptr) return {};
  return Defaults(absl::StrCat(entry->name, " and its inner loop ", entry->inner_loop),
                  AllOptions(*entry), rule.option());
}

std::vector<std::string> DefaultsOf(const v1::CurriculumSpec& curriculum) {
  const auto* entry = Registry<CurriculumEntry>::Instance().Find(curriculum.name());
  if (entry == nullptr) return {};
  return Defaults(entry->name, entry->options, curriculum.option());
}

std::vector<std::string> DefaultsOf(const v1::WrapperSpec& wrapper) {
  const auto* entry = Registry<envs::WrapperEntry>::Instance().Find(wrapper.name());
  if (entry == nullptr) return {};
  return Defaults(entry->name, entry->options, wrapper.option());
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

// For a spec with its defaults. Empty: episodes continue from one inner iteration to the next.
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
  if (const auto* rule = Registry<RuleEntry>::Instance().Find(spec.rule().name()))
    fields = AsksForSuccess("rule", AllOptions(*rule), spec.rule().option());
  const v1::CurriculumSpec& curriculum = spec.curriculum();
  if (const auto* entry = Registry<CurriculumEntry>::Instance().Find(curriculum.name())) {
    const auto more = AsksForSuccess("curriculum", entry->options, curriculum.option());
    fields.insert(fields.end(), more.begin(), more.end());
  }
  return fields;
}

// True if the network's output depends on the outcome that signal.input names.
bool SeesOutcome(const learner::SignalNetwork& network) {
  const learner::SignalSource* signals = network.signals();
  return signals != nullptr ? signals->sees_outcome() : network.loss() != nullptr;
}

}  // namespace

std::string PrintWithDefaults(const v1::ExperimentSpec& spec) {
  const v1::ExperimentSpec whole = WithDefaults(spec);
  Violations none;
  const ExperimentParts parts = LookAtParts(whole, &none);
  const bool has_signal = parts.rule == nullptr || parts.rule->needs().signal_network;
  return PrintSpec(whole, [&](const google::protobuf::Message& part) -> std::vector<std::string> {
    if (const auto* benchmark = dynamic_cast<const v1::BenchmarkSpec*>(&part))
      return DefaultsOf(*benchmark);
    if (const auto* set = dynamic_cast<const v1::TaskSetSpec*>(&part))
      return EnvironmentDefaults(set->environment(), set->option());
    if (const auto* wrapper = dynamic_cast<const v1::WrapperSpec*>(&part))
      return DefaultsOf(*wrapper);
    if (const auto* rule = dynamic_cast<const v1::RuleSpec*>(&part)) return DefaultsOf(*rule);
    if (const auto* curriculum = dynamic_cast<const v1::CurriculumSpec*>(&part))
      return DefaultsOf(*curriculum);
    const auto* signal = dynamic_cast<const v1::SignalSpec*>(&part);
    if (signal == nullptr) return {};
    if (!has_signal)
      return {absl::StrFormat("Rule %s uses no signal network.", whole.rule().name())};
    return DefaultsOf(*signal);
  });
}

bool HasSuccess(const v1::ExperimentSpec& spec) {
  Violations none;
  const auto benchmark = envs::MakeBenchmark(WithDefaults(spec).benchmark(), &none);
  return benchmark == nullptr || AnyHasSuccess(TrainingExamples(*benchmark));
}

std::string CutEpisodes(const v1::ExperimentSpec& submitted) {
  Violations none;
  const v1::ExperimentSpec spec = WithDefaults(submitted);
  const auto benchmark = envs::MakeBenchmark(spec.benchmark(), &none);
  return benchmark == nullptr ? "" : CutEpisodes(*benchmark, spec);
}

std::vector<std::string> WarningsOfSpec(const v1::ExperimentSpec& submitted) {
  const v1::ExperimentSpec spec = WithDefaults(submitted);
  Violations none;
  const ExperimentParts parts = LookAtParts(spec, &none);
  if (!none.empty() || parts.rule == nullptr) return {};
  std::vector<std::string> warnings;
  if (const std::string cut = CutEpisodes(*parts.benchmark, spec); !cut.empty())
    warnings.push_back(absl::StrCat("benchmark.environment: ", cut));
  const std::vector<v1::EnvironmentTask> examples = TrainingExamples(*parts.benchmark);
  for (const std::string& leftover : Leftovers(examples))
    warnings.push_back(absl::StrCat("benchmark.environment: ", leftover));
  if (AnyHasSuccess(examples)) return warnings;
  std::set<std::string> environments;
  for (const v1::EnvironmentTask& task : examples) environments.insert(task.environment());
  const std::string names = absl::StrJoin(environments, ", ");
  if (parts.rule->needs().signal_network && SeesOutcome(*parts.network) &&
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

std::string SuccessInRandomSteps(const v1::ExperimentSpec& spec) {
  constexpr size_t kSetsMax = 10;
  constexpr int kSteps = 1000;
  Violations none;
  const auto benchmark = envs::MakeBenchmark(WithDefaults(spec).benchmark(), &none);
  if (benchmark == nullptr) return "";
  const std::vector<v1::EnvironmentTask> examples = TrainingExamples(*benchmark);
  if (!AnyHasSuccess(examples)) return "";
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
  const bool built_in = std::all_of(
      examples.begin(), examples.end(),
      [](const v1::EnvironmentTask& task) { return envs::IsBuiltIn(task.environment()); });
  return envs::SuccessSentence(all, built_in);
}

ExperimentParts MakeParts(const v1::ExperimentSpec& spec, learner::WorkerPool* pool,
                          Violations* violations, const learner::Device& device) {
  ExperimentParts parts;
  parts.benchmark = envs::MakeBenchmark(spec.benchmark(), violations);
  // A part that cannot be made must not hide faults of the others, so they get a shape that fits
  // anything.
  v1::EnvironmentShape shape = AnyShape();
  int64_t listed_tasks = 1;
  learner::SignalContext context{.observation_size = 1,
                                 .action_size = 1,
                                 .role = spec.signal().role(),
                                 .input = spec.signal().input(),
                                 .steps_per_iteration = spec.lifetime().steps_per_iteration(),
                                 .device = device};
  if (parts.benchmark != nullptr) {
    CheckTasks(*parts.benchmark, spec, violations);
    context.observation_size = parts.benchmark->info().observation_size;
    context.action_size = parts.benchmark->info().action_size;
    context.episode_steps = parts.benchmark->info().episode_steps;
    context.independent_episodes = parts.benchmark->info().independent_episodes;
    context.discrete_actions = parts.benchmark->info().discrete_actions;
    shape = ShapeOf(*parts.benchmark);
    listed_tasks = NumListedTasks(*parts.benchmark);
  }
  parts.network = learner::MakeSignalNetwork(spec.signal(), context, violations);
  // Comes before a rule allocates weights for it.
  if (parts.network != nullptr && parts.network->layout().size() > kMetaParametersMax) {
    violations->Add("signal.option",
                    absl::StrFormat("make a network of %d parameters; at most %d are allowed: give "
                                    "narrower or fewer layers",
                                    parts.network->layout().size(), kMetaParametersMax));
    parts.network = nullptr;
  }
  std::shared_ptr<const learner::SignalNetwork> taught = parts.network;
  if (taught == nullptr) {
    context.role = v1::REWARD;
    Violations named_already;
    taught = learner::MakeSignalNetwork(v1::SignalSpec(), context, &named_already);
  }
  parts.rule = MakeOuterRule(
      {.spec = spec, .shape = shape, .network = taught, .listed_tasks = listed_tasks, .pool = pool},
      violations);
  if (spec.has_curriculum()) {
    parts.curriculum = MakeCurriculum(
        {.spec = spec, .pairs = parts.rule != nullptr && parts.rule->needs().paired_noise},
        violations);
  }
  if (parts.rule == nullptr || parts.benchmark == nullptr) return parts;
  if (parts.curriculum != nullptr && parts.rule->needs().names_tasks) {
    violations->Add("curriculum",
                    absl::StrFormat("is set, but rule '%s' chooses its tasks itself: leave it out",
                                    spec.rule().name()));
  }
  if (spec.evaluation().averaged_checkpoints() > 0 && parts.rule->needs().names_tasks) {
    violations->Add("evaluation.averaged_checkpoints",
                    absl::StrFormat("is set, but rule '%s' has agents that come and go, so its "
                                    "checkpoints have no mean; leave it out",
                                    spec.rule().name()));
  }
  CheckPatience(spec.rule(), parts.rule->needs(), spec.lifetime().iterations(), violations);
  if (parts.rule->needs().labels && !parts.benchmark->info().has_labels) {
    violations->Add("rule.option.loss",
                    absl::StrFormat("is squared, but %s has no labels; set ppo, or an environment "
                                    "that says what each action should have been",
                                    parts.benchmark->info().name));
  }
  if (parts.rule->needs().paired_noise) CheckPairs(*parts.benchmark, spec, violations);
  if (parts.network != nullptr) CheckInnerLoop(*parts.benchmark, spec, violations);
  return parts;
}

ExperimentParts LookAtParts(const v1::ExperimentSpec& spec, Violations* violations) {
  const WithoutInitialWeights scope;
  return MakeParts(spec, /*pool=*/nullptr, violations);
}

void AddParts(const ExperimentParts& parts, std::map<std::string, std::string>* sections) {
  AddTensorSections(parts.rule->Save(), kRuleSections, sections);
  if (parts.curriculum != nullptr)
    AddTensorSections(parts.curriculum->Save(), kCurriculumSections, sections);
}

absl::Status LoadParts(const Checkpoint& checkpoint, ExperimentParts* parts) {
  MENTOR_ASSIGN_OR_RETURN(const auto rule, TensorsOfSections(checkpoint.sections, kRuleSections));
  MENTOR_RETURN_IF_ERROR(parts->rule->Load(rule));
  if (parts->curriculum == nullptr) return absl::OkStatus();
  MENTOR_ASSIGN_OR_RETURN(const auto curriculum,
                          TensorsOfSections(checkpoint.sections, kCurriculumSections));
  return parts->curriculum->Load(curriculum);
}

absl::StatusOr<torch::Tensor> AverageParameters(const std::vector<std::filesystem::path>& files,
                                                const v1::ExperimentSpec& spec) {
  if (files.empty()) return torch::Tensor();
  Violations violations;
  ExperimentParts parts = LookAtParts(WithDefaults(spec), &violations);
  MENTOR_RETURN_IF_ERROR(violations.ToStatus());
  torch::Tensor sum;  // [Q] float64, in the order of the files.
  for (const std::filesystem::path& file : files) {
    const auto refuse = [&](const std::string& why) {
      return absl::DataLossError(
          absl::StrCat(file.string(), ", which evaluation.averaged_checkpoints needs, ", why,
                       "; leave that setting out, or run the experiment again"));
    };
    const auto checkpoint = ReadCheckpoint(file);
    if (!checkpoint.ok())
      return refuse(absl::StrCat("is damaged: ", std::string(checkpoint.status().message())));
    if (checkpoint->spec_hash != SpecHash(spec)) return refuse("belongs to another spec");
    MENTOR_RETURN_IF_ERROR(LoadParts(*checkpoint, &parts));
    const torch::Tensor weights = parts.rule->meta_parameters().to(torch::kFloat64);
    if (sum.defined() && sum.numel() != weights.numel()) return refuse("has other weights");
    sum = sum.defined() ? sum + weights : weights;
  }
  return (sum / static_cast<double>(files.size())).to(torch::kFloat32);
}

void CheckParts(const v1::ExperimentSpec& spec, Violations* violations) {
  LookAtParts(WithDefaults(spec), violations);
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
