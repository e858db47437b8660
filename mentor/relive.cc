#include "mentor/relive.h"

#include <torch/types.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "actor/unit_runner.h"
#include "common/check.h"
#include "common/file.h"
#include "common/spec.h"
#include "learner/segment_proto.h"
#include "learner/shard_runner.h"
#include "mentor/run_report.h"
#include "meta_learner/checkpoint.h"
#include "meta_learner/experiment_runner.h"
#include "meta_learner/shards.h"
#include "meta_learner/task_sampler.h"
#include "meta_learner/tensor_sections.h"

namespace mentor {
namespace {

template <typename T>
std::vector<T> Numbers(const v1::Tensor& tensor) {
  std::vector<T> numbers(tensor.data().size() / sizeof(T));
  std::memcpy(numbers.data(), tensor.data().data(), tensor.data().size());
  return numbers;
}

struct Teacher {
  const char* option;
  v1::RewardSource source;
  const char* name;  // As in evaluations.
};

constexpr Teacher kTeachers[] = {
    {"learned", v1::REWARD_SOURCE_SIGNAL, "learned"},
    {"best", v1::REWARD_SOURCE_SIGNAL, "learned (best)"},
    {"sparse", v1::REWARD_SOURCE_SPARSE, "PPO sparse"},
    {"shaped", v1::REWARD_SOURCE_SHAPED, "PPO shaped"},
    {"sparse_and_shaped", v1::REWARD_SOURCE_SPARSE_AND_SHAPED, "PPO sparse and shaped"}};

absl::StatusOr<Teacher> FindTeacher(const std::string& option) {
  std::vector<std::string> known;
  for (const Teacher& teacher : kTeachers) {
    if (option == teacher.option) return teacher;
    known.emplace_back(teacher.option);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown teacher '", option, "'; known: ", absl::StrJoin(known, ", ")));
}

struct Run {
  v1::ExperimentSpec spec;  // With defaults.
  meta_learner::ExperimentParts parts;
  torch::Tensor best_weights;
  uint32_t outer_step = 0;
};

// Spec and checkpoint of a run. Reads only.
absl::StatusOr<Run> ReadRun(const std::filesystem::path& path) {
  const bool is_checkpoint = path.extension() == ".ckpt";
  MENTOR_ASSIGN_OR_RETURN(
      const RunFolder folder,
      FindRun(is_checkpoint ? std::filesystem::absolute(path).parent_path().parent_path() : path));
  std::filesystem::path file = path;
  if (!is_checkpoint) {
    MENTOR_ASSIGN_OR_RETURN(const RunHash newest, HashRun(folder.experiment));
    file = newest.checkpoint;
  }
  const std::filesystem::path spec_file = folder.experiment / "spec.txtpb";
  MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadFile(spec_file, kSpecBytesMax));
  Violations violations;
  Run run;
  run.spec = WithDefaults(ParseSpec(text, {}, &violations, meta_learner::CheckParts));
  if (!violations.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        spec_file.string(), " is not a spec of this build: ", violations.ToStatus().ToString()));
  }
  run.parts = meta_learner::MakeParts(run.spec, /*num_threads=*/1, &violations);
  MENTOR_RETURN_IF_ERROR(violations.ToStatus());
  MENTOR_ASSIGN_OR_RETURN(const meta_learner::Checkpoint checkpoint,
                          meta_learner::ReadCheckpoint(file));
  if (checkpoint.spec_hash != SpecHash(run.spec)) {
    return absl::FailedPreconditionError(
        absl::StrCat(file.string(), " belongs to another spec than ", spec_file.string()));
  }
  MENTOR_ASSIGN_OR_RETURN(const auto rule,
                          meta_learner::TensorsOfSections(checkpoint.sections, "rule/"));
  MENTOR_RETURN_IF_ERROR(run.parts.rule->Load(rule));
  MENTOR_ASSIGN_OR_RETURN(const auto own,
                          meta_learner::TensorsOfSections(checkpoint.sections, "experiment/"));
  run.best_weights =
      own.contains("best_weights") ? own.at("best_weights") : run.parts.rule->meta_parameters();
  run.outer_step = checkpoint.outer_step;
  return run;
}

// The first lifetime on a goal of the evaluation.
absl::StatusOr<uint32_t> FindLifetime(const std::vector<meta_learner::SampledTask>& tasks,
                                      const ReliveOptions& options) {
  int goals = 0;
  std::vector<std::string> environments;
  for (uint32_t i = 0; i < tasks.size(); ++i) {
    const std::string& environment = tasks[i].task.environment();
    if (std::find(environments.begin(), environments.end(), environment) == environments.end())
      environments.push_back(environment);
    if (environment != options.environment) continue;
    if (tasks[i].goal == options.goal) return i;
    goals = std::max(goals, tasks[i].goal + 1);
  }
  if (goals > 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("goal %d: the run's goals of %s are counted from 0, the last is %d",
                        options.goal, options.environment, goals - 1));
  }
  return absl::NotFoundError(absl::StrCat("the run's agents do not live in ", options.environment,
                                          "; they do in ", absl::StrJoin(environments, ", ")));
}

// Appends what happened in a unit to the episodes of the lifetime.
void AddSteps(const v1::Unit& unit, const v1::Trajectory& trajectory,
              std::vector<LivedEpisode>* episodes) {
  const auto actions = Numbers<float>(trajectory.actions());
  const auto rewards = Numbers<double>(trajectory.rewards());
  const auto successes = Numbers<uint8_t>(trajectory.successes());
  const auto dones = Numbers<uint8_t>(trajectory.dones());
  const size_t action_size = unit.policy().action_size();
  uint32_t number = unit.first_episode();
  for (size_t t = 0; t < rewards.size(); ++t) {
    if (episodes->empty() || episodes->back().number != number)
      episodes->push_back({.number = number, .deterministic = unit.deterministic()});
    LivedEpisode& episode = episodes->back();
    episode.actions.insert(episode.actions.end(), actions.begin() + t * action_size,
                           actions.begin() + (t + 1) * action_size);
    episode.rewards.push_back(rewards[t]);
    episode.success |= successes[t] != 0;
    episode.complete = dones[t] != 0;
    if (episode.complete) ++number;
  }
}

}  // namespace

absl::StatusOr<Lifetime> Relive(const ReliveOptions& options, const envs::Progress& progress) {
  MENTOR_ASSIGN_OR_RETURN(const Teacher teacher, FindTeacher(options.teacher));
  MENTOR_ASSIGN_OR_RETURN(const Run run, ReadRun(options.run));
  const std::vector<meta_learner::SampledTask> tasks =
      meta_learner::EvaluationTasks(*run.parts.benchmark, run.spec, options.split);
  if (tasks.empty()) {
    return absl::FailedPreconditionError(
        "the run has no evaluation: its spec sets evaluation.lifetimes_per_goal to 0");
  }
  Lifetime lifetime;
  MENTOR_ASSIGN_OR_RETURN(lifetime.number, FindLifetime(tasks, options));
  const std::string name = "experiments/watched";
  const v1::Shard shard = meta_learner::EvaluationShards({name, run.spec, *run.parts.benchmark},
                                                         {tasks[lifetime.number]}, lifetime.number,
                                                         options.split, teacher.source)[0];
  lifetime.task = tasks[lifetime.number].task;
  lifetime.reset = {.seed = run.spec.seed(),
                    .purpose = Purpose::kEnvironmentReset,
                    .phase = static_cast<Phase>(shard.phase()),
                    .lifetime = lifetime.number};
  lifetime.name = teacher.source == v1::REWARD_SOURCE_SIGNAL
                      ? absl::StrFormat("%s, outer update %d", teacher.name, run.outer_step)
                      : teacher.name;

  int64_t steps = 0, steps_done = 0;
  for (uint32_t i = 0; i < learner::IterationsOf(shard); ++i)
    steps += learner::StepsOfIteration(shard, i);
  actor::UnitRunner runner;
  const learner::RunUnits run_units =
      [&](std::vector<v1::Unit> units,
          const std::atomic<bool>&) -> absl::StatusOr<std::vector<v1::Result>> {
    std::vector<v1::Result> results;
    for (const v1::Unit& unit : units) {
      results.push_back(runner.Run(unit));
      if (!results.back().error().empty()) return absl::InternalError(results.back().error());
      AddSteps(unit, results.back().trajectory(), &lifetime.episodes);
      steps_done += unit.steps();
      if (!progress(static_cast<int>(steps_done), static_cast<int>(steps)))
        return absl::CancelledError("stopped");
    }
    return results;
  };
  const std::atomic<bool> never = false;
  const torch::Tensor weights = teacher.source != v1::REWARD_SOURCE_SIGNAL ? torch::Tensor()
                                : options.teacher == "best"                ? run.best_weights
                                                            : run.parts.rule->meta_parameters();
  MENTOR_RETURN_IF_ERROR(learner::RunShard(
                             {.shard = &shard, .meta_parameters = weights}, run_units,
                             [](const v1::Segment&) { return absl::OkStatus(); }, never)
                             .status());
  return lifetime;
}

absl::StatusOr<envs::Episode> PlayAgain(envs::Environment& environment, const Lifetime& lifetime,
                                        const LivedEpisode& lived, const envs::Progress& progress) {
  const envs::EnvironmentInfo info = environment.info();
  const size_t action_size = info.action_size;
  size_t step = 0;
  const envs::Act act = [&](std::span<const double>, std::span<float> action) {
    envs::ClipAction(info, std::span(lived.actions).subspan(step++ * action_size, action_size),
                     action);
    return absl::OkStatus();
  };
  MENTOR_ASSIGN_OR_RETURN(envs::Episode episode,
                          PlayEpisode(environment, lifetime.reset, lived.number, act,
                                      static_cast<int>(lived.rewards.size()), progress));
  for (size_t t = 0; t < lived.rewards.size(); ++t) {
    if (t + 1 < episode.moments.size() && episode.moments[t + 1].reward == lived.rewards[t])
      continue;
    return absl::InternalError(absl::StrFormat(
        "episode %d of %s does not play again as it was lived: step %d has another reward",
        lived.number, info.name, t + 1));
  }
  return episode;
}

}  // namespace mentor
