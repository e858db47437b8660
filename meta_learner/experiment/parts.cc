#include "meta_learner/experiment/parts.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/spec/spec.h"
#include "learner/inner_loops/inner_loop.h"
#include "meta_learner/experiment/experiment_state.h"
#include "meta_learner/experiment/shards.h"
#include "meta_learner/experiment/task_sampler.h"
#include "meta_learner/experiment/tensor_sections.h"

namespace mentor::meta_learner {
namespace {

// 128 MiB as float32. Their first values, a rule's moments of them and what makes them are as long.
constexpr int64_t kMetaParametersMax = 1 << 25;

// What the rule's inner loop says of the spec.
void CheckInnerLoop(const envs::Benchmark& benchmark, const v1::ExperimentSpec& spec,
                    Violations* violations) {
  v1::Shard shard;
  *shard.mutable_spec() = spec;
  shard.add_lifetimes();
  *shard.mutable_shape() = ShapeOf(benchmark);
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  *shard.mutable_inner_loop() = InnerLoopOf(spec.rule());
  learner::MakeInnerLoop(shard, /*meta_parameters=*/{}, /*pool=*/nullptr, torch::kCPU, violations);
}

}  // namespace

ExperimentParts MakeParts(const v1::ExperimentSpec& spec, int num_threads, Violations* violations) {
  ExperimentParts parts;
  parts.benchmark = envs::MakeBenchmark(spec.benchmark(), violations);
  // A part that cannot be made does not hide what is wrong with the others.
  v1::EnvironmentShape shape;
  learner::SignalContext context{.observation_size = 1,
                                 .action_size = 1,
                                 .role = spec.signal().role(),
                                 .input = spec.signal().input()};
  if (parts.benchmark != nullptr) {
    CheckTasks(*parts.benchmark, spec, violations);
    context.observation_size = parts.benchmark->info().observation_size;
    context.action_size = parts.benchmark->info().action_size;
    context.episode_steps = parts.benchmark->info().episode_steps;
    shape = ShapeOf(*parts.benchmark);
  }
  parts.network = learner::MakeSignalNetwork(spec.signal(), context, violations);
  // Before a rule makes weights for it.
  if (parts.network != nullptr && parts.network->layout().size() > kMetaParametersMax) {
    violations->Add("signal.option",
                    absl::StrFormat("make a network of %d parameters; at most %d are allowed: give "
                                    "narrower or fewer layers",
                                    parts.network->layout().size(), kMetaParametersMax));
    parts.network = nullptr;
  }
  std::shared_ptr<const learner::SignalNetwork> taught = parts.network;
  if (taught == nullptr) {
    Violations named_already;
    taught = learner::MakeSignalNetwork(v1::SignalSpec(), context, &named_already);
  }
  parts.rule = MakeOuterRule(
      {.spec = spec, .shape = shape, .network = taught, .num_threads = num_threads}, violations);
  if (parts.rule != nullptr && parts.network != nullptr && parts.benchmark != nullptr)
    CheckInnerLoop(*parts.benchmark, spec, violations);
  return parts;
}

void CheckParts(const v1::ExperimentSpec& spec, Violations* violations) {
  MakeParts(WithDefaults(spec), /*num_threads=*/1, violations);
}

void CheckCheckpoint(const v1::ExperimentSpec& source, const v1::ExperimentSpec& spec,
                     const Checkpoint& checkpoint, Violations* violations) {
  if (spec.rule().outer_updates() < checkpoint.outer_step) {
    violations->Add("rule.outer_updates",
                    absl::StrFormat("is %d, but the checkpoint has %d already; give at least that",
                                    spec.rule().outer_updates(), checkpoint.outer_step));
  }
  if (HasRunningLives(checkpoint)) {
    // Agents in the middle of their lives cannot become others.
    const auto of_lives = [](v1::ExperimentSpec of) {
      of.mutable_rule()->clear_outer_updates();
      of.clear_evaluation();
      return SpecHash(of);
    };
    if (of_lives(source) != of_lives(spec)) {
      violations->Add("spec_overrides",
                      "change more than rule.outer_updates and evaluation, but in this checkpoint "
                      "agents are in the middle of their lives; take the checkpoint after a whole "
                      "generation (a multiple of lifetime.iterations)");
    }
  }
  const ExperimentParts parts = MakeParts(spec, /*num_threads=*/1, violations);
  if (!violations->empty()) return;
  auto rule = TensorsOfSections(checkpoint.sections, "rule/");
  const absl::Status loaded = rule.ok() ? parts.rule->Load(*rule) : rule.status();
  if (!loaded.ok()) {
    violations->Add("spec_overrides",
                    absl::StrCat("make a rule or network that the checkpoint does not fit: ",
                                 loaded.message()));
  }
}

}  // namespace mentor::meta_learner
