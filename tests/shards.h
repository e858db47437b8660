// A small shard of plain PPO agents on point_reach, and actors that need no simulator.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/rng.h"
#include "common/spec/spec.h"
#include "learner/tensor_proto.h"
#include "mentor/v1/shard_service.pb.h"
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
  shard.mutable_shape()->set_observation_size(4);
  shard.mutable_shape()->set_action_size(2);
  shard.mutable_shape()->set_episode_steps(10);
  shard.mutable_shape()->set_independent_episodes(true);
  shard.mutable_inner_loop()->set_name("ppo");
  shard.set_iterations(3);
  shard.set_collections(1);
  return shard;
}

// A made-up result: a function of the unit and its policy alone. Episodes are cut at the limit.
inline v1::Result MadeUpResult(const v1::Unit& unit, int64_t episode_steps = 10) {
  const int64_t n = unit.steps(), d = unit.policy().observation_size(),
                a = unit.policy().action_size();
  const RandomStream random{.seed = unit.random().seed(),
                            .purpose = Purpose::kTest,
                            .lifetime = unit.random().lifetime()};
  const auto normals = [&](at::IntArrayRef shape, uint32_t draw) {
    torch::Tensor x = torch::empty(shape, torch::kFloat64);
    random.Normals(4 * unit.first_step() + draw,
                   {x.data_ptr<double>(), static_cast<size_t>(x.numel())});
    return x.to(torch::kFloat32);
  };
  torch::Tensor truncations = torch::zeros({n}, torch::kUInt8);
  for (int64_t t = 0; t < n; ++t)
    truncations[t] = (unit.first_step() + t + 1) % episode_steps == 0 ? 1 : 0;
  v1::Result result;
  *result.mutable_id() = unit.id();
  result.set_cpu_seconds(0.5);
  v1::Trajectory& trajectory = *result.mutable_trajectory();
  *trajectory.mutable_observations() = learner::ToProto(normals({n, d}, 0));
  *trajectory.mutable_actions() = learner::ToProto(normals({n, a}, 1));
  // Any policy's: the first byte of its weights shows who acted.
  *trajectory.mutable_log_probs() =
      learner::ToProto(torch::full({n}, -2.0 - 0.001 * (unit.policy().weights().at(0) & 0x7f)));
  *trajectory.mutable_rewards() = learner::ToProto(normals({n}, 2).to(torch::kFloat64));
  *trajectory.mutable_successes() = learner::ToProto((normals({n}, 3) > 1).to(torch::kUInt8));
  *trajectory.mutable_terminations() = learner::ToProto(torch::zeros_like(truncations));
  *trajectory.mutable_truncations() = learner::ToProto(truncations);
  *trajectory.mutable_next_observation() = learner::ToProto(normals({d}, 0));
  if (unit.return_state() && truncations[n - 1].item<int64_t>() == 0)
    result.set_final_state("state");
  return result;
}

}  // namespace mentor::testing
