// A small shard of plain PPO agents on point_reach, and actors that need no simulator. Also a shard
// that only needs outcomes, and learners that need no actor.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/hash.h"
#include "common/rng.h"
#include "common/spec/spec.h"
#include "mentor/v1/shard_service.pb.h"
#include "shards/segment_proto.h"
#include "shards/tensor_proto.h"
#include "tests/normals.h"
#include "tests/specs.h"
#include "tests/torch_testing.h"

namespace mentor::testing {

// Three iterations of 40 steps and a deterministic episode, on the sparse reward.
inline v1::Shard SmallShard(uint64_t id = 7) {
  const auto spec = LoadSpec(R"(
    seed: 11
    benchmark { name: "point_reach" }
    lifetime { iterations: 3 steps_per_iteration: 40 }
    agent { hidden_units: 4 epochs: 2 minibatches: 2 learning_rate: 1e-2 }
    signal { name: "lstm" role: REWARD }
    rule { name: "black_box" }
  )");
  INFO(spec.status());
  REQUIRE(spec.ok());
  v1::Shard shard;
  shard.set_shard_id(id);
  shard.set_epoch(1);
  shard.set_experiment("experiments/small");
  *shard.mutable_spec() = WithDefaults(*spec);
  for (uint32_t i = 0; i < 3; ++i) {
    v1::Lifetime& lifetime = *shard.add_lifetimes();
    lifetime.set_number(i);
    lifetime.mutable_task()->set_environment("point_reach");
    lifetime.mutable_task()->add_parameters(0.7);
    lifetime.mutable_task()->add_parameters(0.1 * i);
  }
  shard.set_reward_source(v1::REWARD_SOURCE_SPARSE);
  shard.set_deterministic_episodes(1);
  *shard.mutable_shape() = Shape({.observation = 4, .independent_episodes = true});
  shard.mutable_inner_loop()->set_name("ppo");
  shard.set_iterations(3);
  shard.set_collections(1);
  return shard;
}

// A made-up result that depends only on the unit and its policy. Episodes are cut at the limit.
inline v1::Result MadeUpResult(const v1::Unit& unit, int64_t episode_steps = 10) {
  const int64_t n = unit.steps(), d = unit.policy().observation_size(),
                a = unit.policy().action_size();
  const RandomStream random{.seed = unit.random().seed(),
                            .purpose = Purpose::kTest,
                            .lifetime = unit.random().lifetime()};
  const auto normals = [&](at::IntArrayRef shape, uint32_t draw) {
    return Normals(random, 4 * unit.first_step() + draw, shape);
  };
  torch::Tensor truncations = torch::zeros({n}, torch::kUInt8);
  for (int64_t t = 0; t < n; ++t)
    truncations[t] = (unit.first_step() + t + 1) % episode_steps == 0 ? 1 : 0;
  v1::Result result;
  *result.mutable_id() = unit.id();
  result.set_cpu_seconds(0.5);
  v1::Trajectory& trajectory = *result.mutable_trajectory();
  *trajectory.mutable_observations() = shards::ToProto(normals({n, d}, 0));
  *trajectory.mutable_actions() = shards::ToProto(normals({n, a}, 1));
  // Works with any policy: the first byte of its weights identifies it.
  *trajectory.mutable_log_probs() =
      shards::ToProto(torch::full({n}, -2.0 - 0.001 * (unit.policy().weights().at(0) & 0x7f)));
  *trajectory.mutable_rewards() = shards::ToProto(normals({n}, 2).to(torch::kFloat64));
  *trajectory.mutable_successes() = shards::ToProto((normals({n}, 3) > 1).to(torch::kUInt8));
  *trajectory.mutable_terminations() = shards::ToProto(torch::zeros_like(truncations));
  *trajectory.mutable_truncations() = shards::ToProto(truncations);
  *trajectory.mutable_next_observation() = shards::ToProto(normals({d}, 0));
  if (unit.return_state() && truncations[n - 1].item<int64_t>() == 0)
    result.set_final_state("state");
  return result;
}

// A lifetime of four steps that only needs outcomes.
inline v1::Shard OutcomesShard(const std::string& experiment = "") {
  v1::Shard shard;
  shard.set_experiment(experiment);
  shard.mutable_spec()->mutable_lifetime()->set_iterations(1);
  shard.mutable_spec()->mutable_lifetime()->set_steps_per_iteration(4);
  *shard.mutable_shape() = Shape({.observation = 1, .action = 1, .episode_steps = 4});
  shard.set_reward_source(v1::REWARD_SOURCE_SPARSE);
  shard.set_outcomes_only(true);
  shard.set_iterations(1);
  shard.set_collections(1);
  shard.add_lifetimes();
  return shard;
}
// A learner's report of it: each step has this reward.
inline v1::Segment OutcomesSegment(const v1::Shard& shard, double reward) {
  v1::Segment segment;
  segment.set_shard_id(shard.shard_id());
  segment.set_epoch(shard.epoch());
  const agents::Segment values{.shaped_rewards = torch::full({1, 4}, reward, torch::kFloat64),
                               .success_signals = torch::zeros({1, 4}),
                               .successes = torch::zeros({1, 4}),
                               .prev_done = torch::zeros({1, 4}),
                               .last_done = torch::ones({1}),
                               .open_steps = torch::zeros({1}),
                               .open_returns = torch::zeros({1}, torch::kFloat64),
                               .open_successes = torch::zeros({1})};
  shards::AddTensors(values, /*outcomes_only=*/true, &segment);
  return segment;
}
// The end of a shard that has one segment.
inline v1::ShardDone DoneAfter(const v1::Segment& segment) {
  Sha256 hash;
  shards::HashSegment(segment, &hash);
  v1::ShardDone done;
  done.set_shard_id(segment.shard_id());
  done.set_epoch(segment.epoch());
  done.set_segments_hash(hash.Finish());
  return done;
}

}  // namespace mentor::testing
