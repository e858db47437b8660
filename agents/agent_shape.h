// The networks of one agent: sizes, names of their parameters and initial weights
// (methods/ppo/README.md#networks). Immutable values and pure functions; threads may share.
//
//   policy mean : D -> H -> tanh -> H -> tanh -> A     discrete: logits of A choices
//   log std     : A free numbers                       continuous only
//   value       : D -> H -> tanh -> H -> tanh -> 1     with a critic only, or value_outputs
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "agents/param_layout.h"
#include "common/rng.h"

namespace mentor::agents {

struct AgentShape {
  int64_t observation_size = 0;  // D
  int64_t action_size = 0;       // A
  int64_t hidden_units = 64;     // H
  bool critic = true;            // False in the role advantage, which has no value network.
  bool discrete = false;         // Actions are one of A choices, one-hot.
  double output_gain = 0.01;     // Gain of a new policy's last layer.
  int64_t value_outputs = 1;     // More are a prediction in place of the value.
};

// actor.W1 b1 W2 b2 W3 b3, logstd (continuous), then critic.W1 b1 W2 b2 W3 b3. Weights are [out,
// in].
ParamLayout AgentLayout(const AgentShape& shape);
// The same agents without their value network.
AgentShape WithoutCritic(AgentShape shape);

// Gain of a new network's matrix of this name (methods/ppo/README.md#initial-weights).
double InitialGain(const AgentShape& shape, const std::string& name);

// [S, P] float32: agents of these lifetime numbers. Tensor number = its index in the layout.
torch::Tensor InitialTheta(const AgentShape& shape, double initial_std, uint64_t seed, Phase phase,
                           std::span<const uint32_t> lifetimes);

// The state of S agents between updates: weights and optimizer state. Part of every snapshot.
struct AgentBatch {
  torch::Tensor theta;       // [S, P]
  torch::Tensor adam_m;      // [S, P]: first moment
  torch::Tensor adam_v;      // [S, P]: second moment
  torch::Tensor adam_steps;  // [S] int64: optimizer steps of the whole life
};

// The tensors `member` of all parts, one below the other.
template <class Part>
torch::Tensor Joined(const std::vector<Part>& parts, torch::Tensor Part::*member) {
  std::vector<torch::Tensor> rows;
  for (const Part& part : parts) rows.push_back(part.*member);
  return torch::cat(rows);
}

// Agents before their first optimizer step.
AgentBatch NewAgents(torch::Tensor theta);
// Agents first .. first + count, as views; and batches one after the other.
AgentBatch SomeAgents(const AgentBatch& agents, int64_t first, int64_t count);
AgentBatch JoinAgents(const std::vector<AgentBatch>& parts);

}  // namespace mentor::agents
