// What a meta-learner asks of learners: the lifetimes of an experiment, cut into shards. Pure
// functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "envs/benchmark.h"
#include "mentor/v1/shard_service.pb.h"
#include "mentor/v1/spec.pb.h"
#include "meta_learner/experiment/task_sampler.h"
#include "methods/base/outer_rule.h"

namespace mentor::meta_learner {

// The experiment that owns shards. The members outlive the call.
struct ShardOwner {
  const std::string& experiment;   // Its name.
  const v1::ExperimentSpec& spec;  // With defaults.
  const envs::Benchmark& benchmark;
};

v1::EnvironmentShape ShapeOf(const envs::Benchmark& benchmark);

// Shards of a generation of lifetimes: their whole lives, taught by the outer rule. For single
// inner iterations the caller sets where they begin and which snapshots they continue.
std::vector<v1::Shard> TrainingShards(const ShardOwner& owner,
                                      const std::vector<SampledTask>& tasks, uint32_t generation);

// Shards of a round that the rule asks for, with their tasks.
struct RequestedShards {
  std::vector<SampledTask> tasks;
  std::vector<v1::Shard> shards;
};
RequestedShards ShardsOf(const ShardOwner& owner, const methods::RoundRequest& round);

// Shards of lifetimes first_number, first_number + 1, ... of an evaluation. With
// REWARD_SOURCE_SIGNAL they live as in training, with frozen meta-parameters. With others they are
// those of the PPO baselines.
std::vector<v1::Shard> EvaluationShards(const ShardOwner& owner,
                                        const std::vector<SampledTask>& tasks,
                                        uint32_t first_number, envs::Split split,
                                        v1::RewardSource source);

}  // namespace mentor::meta_learner
