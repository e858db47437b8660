#include "meta_learner/experiment/shards.h"

#include <algorithm>

#include "common/rng.h"
#include "methods/base/inner_loop.h"

namespace mentor::meta_learner {

v1::EnvironmentShape ShapeOf(const envs::Benchmark& benchmark) {
  v1::EnvironmentShape shape;
  shape.set_observation_size(static_cast<uint32_t>(benchmark.info().observation_size));
  shape.set_action_size(static_cast<uint32_t>(benchmark.info().action_size));
  shape.set_episode_steps(static_cast<uint32_t>(benchmark.info().episode_steps));
  shape.set_independent_episodes(benchmark.info().independent_episodes);
  shape.set_discrete_actions(benchmark.info().discrete_actions);
  return shape;
}

namespace {

// Cuts consecutive lifetimes into shards.
std::vector<v1::Shard> Cut(const ShardOwner& owner, const std::vector<SampledTask>& tasks,
                           uint32_t first_number, Phase phase, v1::RewardSource source) {
  v1::InnerLoopSpec inner_loop;
  inner_loop.set_name("ppo");  // The baselines' loop.
  if (source == v1::REWARD_SOURCE_SIGNAL) inner_loop = methods::InnerLoopOf(owner.spec.rule());
  const int collections = methods::FindInnerLoop(inner_loop.name())->collections;
  std::vector<v1::Shard> shards;
  const size_t size = owner.spec.rule().shard_lifetimes();
  for (size_t begin = 0; begin < tasks.size(); begin += size) {
    v1::Shard& shard = shards.emplace_back();
    shard.set_experiment(owner.experiment);
    *shard.mutable_spec() = owner.spec;
    shard.set_phase(static_cast<uint32_t>(phase));
    *shard.mutable_shape() = ShapeOf(owner.benchmark);
    shard.set_reward_source(source);
    *shard.mutable_inner_loop() = inner_loop;
    shard.set_collections(static_cast<uint32_t>(collections));
    shard.set_iterations(owner.spec.lifetime().iterations());
    for (size_t i = begin; i < std::min(begin + size, tasks.size()); ++i) {
      v1::Lifetime& lifetime = *shard.add_lifetimes();
      lifetime.set_number(first_number + static_cast<uint32_t>(i));
      *lifetime.mutable_task() = tasks[i].task;
      if (tasks[i].index) lifetime.set_task_index(*tasks[i].index);
    }
  }
  return shards;
}

}  // namespace

std::vector<v1::Shard> TrainingShards(const ShardOwner& owner,
                                      const std::vector<SampledTask>& tasks, uint32_t generation) {
  std::vector<v1::Shard> shards =
      Cut(owner, tasks, generation * owner.spec.rule().lifetimes_per_update(), Phase::kTraining,
          v1::REWARD_SOURCE_SIGNAL);
  for (v1::Shard& shard : shards) shard.set_outer_learning(true);
  return shards;
}

RequestedShards ShardsOf(const ShardOwner& owner, const methods::RoundRequest& round) {
  const envs::TaskSet& set = owner.benchmark.Tasks(envs::Split::kTrain)[0];
  // A task of the set; only its numbers will differ.
  const v1::EnvironmentTask pattern =
      set.tasks.empty() ? set.draw({.seed = owner.spec.seed(), .purpose = Purpose::kTasks}, 0)
                        : set.tasks[0];
  RequestedShards requested;
  for (const methods::RequestedLifetime& lifetime : round.lifetimes) {
    SampledTask task{.environment = set.name, .goal = 0, .task = pattern};
    task.task.mutable_parameters()->Assign(lifetime.parameters.begin(), lifetime.parameters.end());
    requested.tasks.push_back(std::move(task));
  }
  requested.shards =
      Cut(owner, requested.tasks, round.first_number, Phase::kTraining, v1::REWARD_SOURCE_SIGNAL);
  size_t i = 0;
  for (v1::Shard& shard : requested.shards) {
    shard.set_outer_learning(round.outer_learning);
    shard.set_outcomes_only(true);
    shard.set_deterministic_episodes(round.deterministic_episodes);
    for (v1::Lifetime& lifetime : *shard.mutable_lifetimes()) {
      lifetime.set_variant(round.lifetimes[i].variant);
      lifetime.set_noise_number(round.lifetimes[i].noise_number);
      ++i;
    }
  }
  return requested;
}

std::vector<v1::Shard> EvaluationShards(const ShardOwner& owner,
                                        const std::vector<SampledTask>& tasks,
                                        uint32_t first_number, envs::Split split,
                                        v1::RewardSource source) {
  std::vector<v1::Shard> shards =
      Cut(owner, tasks, first_number,
          split == envs::Split::kTest ? Phase::kTestEvaluation : Phase::kTrainEvaluation, source);
  for (v1::Shard& shard : shards) {
    shard.set_outcomes_only(true);
    shard.set_deterministic_episodes(owner.spec.evaluation().deterministic_episodes());
  }
  return shards;
}

}  // namespace mentor::meta_learner
