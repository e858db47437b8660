#include "meta_learner/shards.h"

#include <algorithm>

#include "common/rng.h"

namespace mentor::meta_learner {
namespace {

v1::EnvironmentShape ShapeOf(const envs::Benchmark& benchmark) {
  v1::EnvironmentShape shape;
  shape.set_observation_size(static_cast<uint32_t>(benchmark.info().observation_size));
  shape.set_action_size(static_cast<uint32_t>(benchmark.info().action_size));
  shape.set_episode_steps(static_cast<uint32_t>(benchmark.info().episode_steps));
  shape.set_independent_episodes(benchmark.info().independent_episodes);
  return shape;
}

// Shards of consecutive lifetimes.
std::vector<v1::Shard> Cut(const ShardOwner& owner, const std::vector<SampledTask>& tasks,
                           uint32_t first_number, Phase phase) {
  std::vector<v1::Shard> shards;
  const size_t size = owner.spec.rule().shard_lifetimes();
  for (size_t begin = 0; begin < tasks.size(); begin += size) {
    v1::Shard& shard = shards.emplace_back();
    shard.set_experiment(owner.experiment);
    *shard.mutable_spec() = owner.spec;
    shard.set_phase(static_cast<uint32_t>(phase));
    *shard.mutable_shape() = ShapeOf(owner.benchmark);
    shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
    for (size_t i = begin; i < std::min(begin + size, tasks.size()); ++i) {
      v1::Lifetime& lifetime = *shard.add_lifetimes();
      lifetime.set_number(first_number + static_cast<uint32_t>(i));
      *lifetime.mutable_task() = tasks[i].task;
    }
  }
  return shards;
}

}  // namespace

std::vector<v1::Shard> TrainingShards(const ShardOwner& owner,
                                      const std::vector<SampledTask>& tasks, uint32_t outer_step) {
  return Cut(owner, tasks, outer_step * owner.spec.rule().lifetimes_per_update(), Phase::kTraining);
}

std::vector<v1::Shard> EvaluationShards(const ShardOwner& owner,
                                        const std::vector<SampledTask>& tasks,
                                        uint32_t first_number, envs::Split split,
                                        v1::RewardSource source) {
  std::vector<v1::Shard> shards =
      Cut(owner, tasks, first_number,
          split == envs::Split::kTest ? Phase::kTestEvaluation : Phase::kTrainEvaluation);
  for (v1::Shard& shard : shards) {
    shard.set_reward_source(source);
    shard.set_signal_mean(true);
    shard.set_outcomes_only(true);
    shard.set_deterministic_episodes(owner.spec.evaluation().deterministic_episodes());
  }
  return shards;
}

}  // namespace mentor::meta_learner
