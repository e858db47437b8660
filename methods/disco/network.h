// The meta-network of DiscoRL, which says what an agent's heads should become
// (methods/disco/README.md#the-network), and the agent's loss towards it
// (methods/disco/README.md#the-loss). For one agent: B rollouts of T steps. Pure functions, generic
// in dtype; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "agents/param_layout.h"

namespace mentor::methods {

struct DiscoSizes {
  int64_t prediction = 600;  // Y: categories of y and z
  int64_t hidden = 256;      // Units of the LSTM along a rollout,
  int64_t memory = 128;      // and of the one along the agent's life.
};

// Names and shapes as in the published file, in the order of bytes. Matrices are [in, out].
agents::ParamLayout DiscoLayout(const DiscoSizes& sizes);
// [Q] float32: normals over the square root of a matrix's inputs, keyed by the seed; biases are 0.
torch::Tensor RandomDisco(const DiscoSizes& sizes, uint64_t seed);

// The agent's heads at T + 1 observations; the last is the one after the rollout.
struct DiscoHeads {
  torch::Tensor logits;  // [T + 1, B, A]: the policy
  torch::Tensor y;       // [T + 1, B, Y]
  torch::Tensor z;       // [T + 1, B, A, Y]: for each action
  torch::Tensor aux;     // [T + 1, B, A, A]: the policy after the action
  torch::Tensor q;       // [T + 1, B, A, kValueBins]: binned_value.h
};

struct DiscoRollouts {
  DiscoHeads own, target;           // The agent's, and its target network's.
  torch::Tensor behaviour;          // [T + 1, B, A]: logits that it acted with
  torch::Tensor actions;            // [T, B] int64
  torch::Tensor rewards, terminal;  // [T, B]
};

// What goes on along an agent's life.
struct DiscoMemory {
  torch::Tensor hidden, cell;  // [M]
  // [3] float64: moving averages of the advantages and of their squares; the product of decays.
  torch::Tensor average;
};
DiscoMemory NewDiscoMemory(const DiscoSizes& sizes, torch::Dtype dtype = torch::kFloat32);

struct DiscoTargets {
  torch::Tensor pi;          // [T, B, A]: logits
  torch::Tensor y, z;        // [T, B, Y]: logits; z for the action that was taken
  torch::Tensor q;           // [T, B]: of that action, in the scale of rewards
  torch::Tensor advantages;  // [T, B]: normalised
};

// weights [Q]. Moves *memory on. No gradients flow.
DiscoTargets Teach(const DiscoSizes& sizes, const torch::Tensor& weights,
                   const DiscoRollouts& rollouts, DiscoMemory* memory);

struct DiscoLoss {
  torch::Tensor rule;   // [T, B]: towards pi, y and z, and aux towards the next policy
  torch::Tensor value;  // [T, B]: q, with its weight
};

// Differentiable in rollouts.own.
DiscoLoss LossOf(const DiscoRollouts& rollouts, const DiscoTargets& targets);

}  // namespace mentor::methods
