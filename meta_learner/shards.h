// What a meta-learner asks learners for: the lifetimes of an experiment, cut into shards. Pure
// functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "envs/benchmark.h"
#include "mentor/v1/shard_service.pb.h"
#include "mentor/v1/spec.pb.h"
#include "meta_learner/task_sampler.h"

namespace mentor::meta_learner {

// Whose shards they are. The members outlive the call.
struct ShardOwner {
  const std::string& experiment;   // Its name.
  const v1::ExperimentSpec& spec;  // With defaults.
  const envs::Benchmark& benchmark;
};

// Shards of the lifetimes of an outer update.
std::vector<v1::Shard> TrainingShards(const ShardOwner& owner,
                                      const std::vector<SampledTask>& tasks, uint32_t outer_step);

// Shards of lifetimes first_number, first_number + 1, ... of an evaluation, taught by `source`.
std::vector<v1::Shard> EvaluationShards(const ShardOwner& owner,
                                        const std::vector<SampledTask>& tasks,
                                        uint32_t first_number, envs::Split split,
                                        v1::RewardSource source);

}  // namespace mentor::meta_learner
