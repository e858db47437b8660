// Rollout units for tests: random policies on a cheap environment, on a Meta-World task, and where
// episodes end early.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/rng.h"
#include "mentor/v1/rollout_service.pb.h"

namespace mentor::testing {

inline v1::PolicyWeights RandomPolicy(uint32_t d, uint32_t h, uint32_t a, uint32_t number) {
  v1::PolicyWeights weights;
  weights.set_observation_size(d);
  weights.set_network(v1::POLICY_NETWORK_MLP);
  weights.set_hidden_units(h);
  weights.set_action_size(a);
  std::vector<double> normals(h * d + h + h * h + h + a * h + a + a);
  RandomStream{.seed = 77, .purpose = Purpose::kTest, .lifetime = number}.Normals(0, normals);
  for (const double normal : normals) {
    const float value = static_cast<float>(0.2 * normal);
    weights.mutable_weights()->append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return weights;
}

// The tensors that every trajectory has, with their names.
using TrajectoryPart = std::pair<std::string, std::function<v1::Tensor*(v1::Trajectory*)>>;
inline std::vector<TrajectoryPart> TrajectoryParts() {
  return {{"observations", [](auto* t) { return t->mutable_observations(); }},
          {"actions", [](auto* t) { return t->mutable_actions(); }},
          {"log_probs", [](auto* t) { return t->mutable_log_probs(); }},
          {"rewards", [](auto* t) { return t->mutable_rewards(); }},
          {"successes", [](auto* t) { return t->mutable_successes(); }},
          {"terminations", [](auto* t) { return t->mutable_terminations(); }},
          {"truncations", [](auto* t) { return t->mutable_truncations(); }},
          {"next_observation", [](auto* t) { return t->mutable_next_observation(); }}};
}

inline v1::Unit NewUnit(uint32_t agent, uint32_t steps) {
  v1::Unit unit;
  unit.mutable_id()->set_shard(1);
  unit.mutable_id()->set_agent(agent);
  unit.set_attempt(1);
  unit.mutable_random()->set_seed(42);
  unit.mutable_random()->set_lifetime(agent);
  unit.mutable_random()->set_iteration(1);
  unit.set_first_step(2000);
  unit.set_first_episode(4);
  unit.set_steps(steps);
  return unit;
}

// point_reach in its standard form: position and, near it, the goal.
inline v1::Unit PointReachUnit(uint32_t agent, uint32_t steps) {
  v1::Unit unit = NewUnit(agent, steps);
  *unit.mutable_policy() = RandomPolicy(4, 32, 2, agent);
  unit.mutable_task()->set_environment("point_reach");
  unit.mutable_task()->add_parameters(0.7);
  unit.mutable_task()->add_parameters(0.01 * agent);
  return unit;
}

// reach-v3 with a goal inside its range.
inline v1::Unit MetaWorldUnit(uint32_t agent, uint32_t steps) {
  v1::Unit unit = NewUnit(agent, steps);
  *unit.mutable_policy() = RandomPolicy(39, 64, 4, agent);
  unit.mutable_task()->set_environment("reach-v3");
  for (const double number : {0.0, 0.6, 0.02, 0.05 - 0.002 * agent, 0.85, 0.15})
    unit.mutable_task()->add_parameters(number);
  return unit;
}

// InvertedPendulum-v5, whose episodes end when the pole has fallen: after 3 to 100 steps or so.
inline v1::Unit PendulumUnit(uint32_t agent, uint32_t steps) {
  v1::Unit unit = NewUnit(agent, steps);
  *unit.mutable_policy() = RandomPolicy(4, 8, 1, agent);
  unit.mutable_task()->set_environment("InvertedPendulum-v5");
  return unit;
}

// A recurrent policy (methods/rl2/README.md#the-network) of small sizes, with the
// fifth gate if it has a memory.
inline v1::PolicyWeights RandomRecurrentPolicy(uint32_t d, uint32_t a, bool discrete,
                                               uint32_t encoder1, uint32_t encoder2, uint32_t lstm,
                                               uint32_t heads,
                                               const v1::EpisodicMemory* memory = nullptr) {
  v1::PolicyWeights weights;
  weights.set_network(v1::POLICY_NETWORK_RECURRENT);
  weights.set_observation_size(d);
  weights.set_action_size(a);
  weights.set_discrete(discrete);
  weights.mutable_recurrent()->set_encoder1(encoder1);
  weights.mutable_recurrent()->set_encoder2(encoder2);
  weights.mutable_recurrent()->set_lstm(lstm);
  weights.mutable_recurrent()->set_heads(heads);
  if (memory != nullptr) *weights.mutable_recurrent()->mutable_memory() = *memory;
  const uint32_t gates = memory != nullptr ? 5 : 4;
  const uint32_t head = heads * lstm + heads + a * heads + a;
  std::vector<double> normals(encoder1 * (d + a + 2) + encoder1 + encoder2 * (encoder1 + 2) +
                              encoder2 + gates * lstm * (encoder2 + 2 + lstm + 2) + head +
                              heads * heads + heads + (discrete ? 0 : head));
  RandomStream{.seed = 78, .purpose = Purpose::kTest}.Normals(0, normals);
  for (const double normal : normals) {
    const float value = static_cast<float>(0.3 * normal);
    weights.mutable_weights()->append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return weights;
}

}  // namespace mentor::testing
