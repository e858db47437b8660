#include "cli/local/relive.h"

#include <torch/types.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "actor/unit_runner.h"
#include "cli/local/trained_run.h"
#include "common/check.h"
#include "common/evaluation_method.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/experiment/shards.h"
#include "meta_learner/experiment/task_sampler.h"
#include "shards/segment_proto.h"

namespace mentor {
namespace {

template <typename T>
std::vector<T> Numbers(const v1::Tensor& tensor) {
  std::vector<T> numbers(tensor.data().size() / sizeof(T));
  std::memcpy(numbers.data(), tensor.data().data(), tensor.data().size());
  return numbers;
}

absl::StatusOr<v1::EvaluationMethod> FindMethod(const std::string& option) {
  if (const auto method = MethodOfOption(option)) return *method;
  std::vector<std::string> known;
  for (const EvaluationMethodInfo& info : EvaluationMethods()) known.emplace_back(info.option);
  return absl::InvalidArgumentError(
      absl::StrCat("unknown teacher '", option, "'; known: ", absl::StrJoin(known, ", ")));
}

// Returns the index of the first lifetime on the requested goal.
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
        absl::StrFormat("--goal %d: the run has the goals 0 to %d of %s", options.goal, goals - 1,
                        options.environment));
  }
  return absl::NotFoundError(absl::StrCat("the run's agents do not live in ", options.environment,
                                          "; they live in ", absl::StrJoin(environments, ", ")));
}

// Appends the steps of a unit to the episodes of the lifetime.
void AddSteps(const v1::Unit& unit, const v1::Trajectory& trajectory,
              std::vector<LivedEpisode>* episodes) {
  const auto actions = Numbers<float>(trajectory.actions());
  const auto rewards = Numbers<double>(trajectory.rewards());
  const auto successes = Numbers<uint8_t>(trajectory.successes());
  const auto terminations = Numbers<uint8_t>(trajectory.terminations());
  const auto truncations = Numbers<uint8_t>(trajectory.truncations());
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
    episode.complete = terminations[t] != 0 || truncations[t] != 0;
    if (episode.complete) ++number;
  }
}

}  // namespace

absl::StatusOr<Lifetime> Relive(const ReliveOptions& options, const envs::Progress& progress) {
  MENTOR_ASSIGN_OR_RETURN(const v1::EvaluationMethod method, FindMethod(options.teacher));
  MENTOR_ASSIGN_OR_RETURN(const TrainedRun run, ReadRun(options.run));
  if (IsLearned(method) && run.state_hash.empty()) {
    return absl::FailedPreconditionError(
        "the run has learned nothing to teach with: its spec sets rule.outer_updates to 0; choose "
        "the teacher random, sparse or shaped, or run the spec with more outer updates");
  }
  const std::vector<meta_learner::SampledTask> tasks =
      meta_learner::EvaluationTasks(*run.parts.benchmark, run.spec, options.split);
  if (tasks.empty()) {
    return absl::FailedPreconditionError(
        "the run has no evaluation: its spec sets evaluation.lifetimes_per_goal to 0");
  }
  const meta_learner::Teacher teacher = meta_learner::TeacherOf(method, run.parameters());
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
  lifetime.name = NameOf(method);
  if (IsLearned(method)) absl::StrAppendFormat(&lifetime.name, ", outer update %d", run.outer_step);

  int64_t steps = 0, steps_done = 0;
  for (uint32_t i = 0; i < agents::IterationsOf(shard); ++i)
    steps += agents::StepsOfIteration(shard, i);
  const auto on_unit = [&](const v1::Unit& unit, const v1::Trajectory& trajectory) {
    AddSteps(unit, trajectory, &lifetime.episodes);
    steps_done += unit.steps();
    return progress(static_cast<int>(steps_done), static_cast<int>(steps));
  };
  MENTOR_RETURN_IF_ERROR(LiveShard(shard, teacher.parameters, on_unit,
                                   [](const v1::Segment&) { return absl::OkStatus(); }));
  return lifetime;
}

absl::Status LiveShard(const v1::Shard& shard, const torch::Tensor& meta_parameters,
                       const std::function<bool(const v1::Unit&, const v1::Trajectory&)>& on_unit,
                       const shards::EmitSegment& emit) {
  actor::UnitRunner runner;
  const shards::RunUnits run_units =
      [&](std::vector<v1::Unit> units,
          const std::atomic<bool>&) -> absl::StatusOr<std::vector<v1::Result>> {
    std::vector<v1::Result> results;
    for (const v1::Unit& unit : units) {
      results.push_back(runner.Run(unit));
      if (!results.back().error().empty()) return absl::InternalError(results.back().error());
      if (!on_unit(unit, results.back().trajectory())) return absl::CancelledError("stopped");
    }
    return results;
  };
  const std::atomic<bool> never = false;
  return shards::RunShard({.shard = &shard, .meta_parameters = meta_parameters}, run_units, emit,
                          never)
      .status();
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
    return absl::InternalError(
        absl::StrFormat("episode %d of %s does not replay as recorded: step %d has another reward",
                        lived.number, info.name, t + 1));
  }
  return episode;
}

}  // namespace mentor
