#include "meta_learner/experiment/parts.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "bonuses/bonus.h"
#include "common/check.h"
#include "common/spec/spec.h"
#include "meta_learner/experiment/shards.h"
#include "meta_learner/experiment/spec_memory.h"
#include "meta_learner/experiment/task_sampler.h"
#include "meta_learner/experiment/tensor_sections.h"
#include "methods/base/inner_loop.h"

namespace mentor::meta_learner {
namespace {

// 128 MiB as float32. Initial values, moments and temporaries are as long.
constexpr int64_t kMetaParametersMax = 1 << 25;
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

// Patience needs scores that come again and again.
void CheckPatience(const v1::RuleSpec& rule, const methods::RuleNeeds& needs, uint32_t iterations,
                   Violations* violations) {
  if (rule.patience() == 0) return;
  if (needs.names_tasks || !needs.task_rewards || !needs.meta_learns) {
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

// The context has the spec, the pool, and whether weights are drawn.
ExperimentParts MakeThem(methods::RuleContext context, const kernels::Device& device,
                         Violations* violations) {
  const v1::ExperimentSpec& spec = context.spec;
  ExperimentParts parts;
  parts.benchmark = envs::MakeBenchmark(spec.benchmark(), violations);
  // A part that cannot be made must not hide faults of the others, so they get a shape that fits
  // anything.
  context.shape = AnyShape();
  context.listed_tasks = 1;
  if (parts.benchmark != nullptr) {
    CheckTasks(*parts.benchmark, spec, violations);
    context.shape = ShapeOf(*parts.benchmark);
    context.listed_tasks = NumListedTasks(*parts.benchmark);
    context.has_labels = parts.benchmark->info().has_labels;
  }
  v1::Shard shard;  // It has one lifetime of training.
  shard.add_lifetimes();
  *shard.mutable_spec() = spec;
  *shard.mutable_shape() = context.shape;
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  signals::SignalContext seen = methods::SignalContextOf(shard);
  seen.device = device;
  parts.network = signals::MakeSignalNetwork(spec.signal(), seen, violations);
  // Comes before a rule allocates weights for it.
  if (parts.network != nullptr && parts.network->layout().size() > kMetaParametersMax) {
    violations->Add("signal.option",
                    absl::StrFormat("make a network of %d parameters; at most %d are allowed: give "
                                    "narrower or fewer layers",
                                    parts.network->layout().size(), kMetaParametersMax));
    parts.network = nullptr;
  }
  context.network = parts.network;
  if (context.network == nullptr) {
    seen.role = v1::REWARD;
    Violations named_already;
    context.network = signals::MakeSignalNetwork(v1::SignalSpec(), seen, &named_already);
  }
  parts.rule = methods::MakeOuterRule(context, violations);
  if (spec.has_curriculum()) {
    parts.curriculum = MakeCurriculum(
        {.spec = spec, .pairs = parts.rule != nullptr && parts.rule->needs().pairs()}, violations);
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
  bonuses::CheckSettings(spec.evaluation(), violations);
  CheckPatience(spec.rule(), parts.rule->needs(), spec.lifetime().iterations(), violations);
  if (parts.rule->needs().pairs()) CheckPairs(*parts.benchmark, spec, violations);
  if (parts.network != nullptr) {
    *shard.mutable_inner_loop() = methods::InnerLoopOf(spec.rule());
    methods::MakeInnerLoop(shard, /*meta_parameters=*/{}, /*pool=*/nullptr, {}, violations);
  }
  if (violations->empty()) CheckSnapshots(spec, parts, violations);
  return parts;
}

}  // namespace

ExperimentParts MakeParts(const v1::ExperimentSpec& spec, agents::WorkerPool* pool,
                          Violations* violations, const kernels::Device& device) {
  return MakeThem({.spec = spec, .pool = pool}, device, violations);
}

ExperimentParts LookAtParts(const v1::ExperimentSpec& spec, Violations* violations) {
  return MakeThem({.spec = spec, .draws_weights = false}, {}, violations);
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
  ExperimentParts parts = LookAtParts(spec, &violations);
  MENTOR_RETURN_IF_ERROR(violations.ToStatus());
  torch::Tensor sum;  // [Q] float64, in the order of the files.
  for (const std::filesystem::path& file : files) {
    const auto refuse = [&](const std::string& why) {
      return absl::DataLossError(
          absl::StrCat(file.string(), ", which evaluation.averaged_checkpoints needs, ", why,
                       "; leave that setting out, or run the experiment again"));
    };
    const auto checkpoint = ReadCheckpointOf(file, {.spec_hash = SpecHash(spec)});
    if (!checkpoint.ok())
      return refuse(absl::StrCat("cannot be used: ", std::string(checkpoint.status().message())));
    MENTOR_RETURN_IF_ERROR(LoadParts(*checkpoint, &parts));
    const torch::Tensor weights = parts.rule->meta_parameters().to(torch::kFloat64);
    if (sum.defined() && sum.numel() != weights.numel()) return refuse("has other weights");
    sum = sum.defined() ? sum + weights : weights;
  }
  return (sum / static_cast<double>(files.size())).to(torch::kFloat32);
}

}  // namespace mentor::meta_learner
