#include "meta_learner/experiment/shards.h"

#include <algorithm>

#include "common/rng.h"
#include "learner/inner_loops/inner_loop.h"
#include "meta_learner/rules/outer_rule.h"

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

// Shards of consecutive lifetimes.
std::vector<v1::Shard> Cut(const ShardOwner& owner, const std::vector<SampledTask>& tasks,
                           uint32_t first_number, Phase phase, v1::RewardSource source) {
  v1::InnerLoopSpec inner_loop;
  inner_loop.set_name("ppo");  // The baselines' loop.
  if (source == v1::REWARD_SOURCE_SIGNAL) inner_loop = InnerLoopOf(owner.spec.rule());
  const int collections = learner::FindInnerLoop(inner_loop.name())->collections;
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
