// The recurrent policy of RL^2 (Duan et al. 2016; methods/rl2/README.md): one network for all
// agents, whose state lives through a whole lifetime. Functions of (weights [Q], input), generic in
// dtype, on the CPU, differentiable once in the weights. Pure; threads may share.
//
//   q_t   = success signal and end of episode of step t-1
//   x_t   = o_t, a_{t-1} as sampled, q_t           all of t-1 is 0 at the first step of a lifetime
//   code1 = [relu(enc1 x), q],  z = [relu(enc2 code1), q],  h = LSTM(z), gates i, f, g, o
//   mean  = mean3 tanh(mean2 tanh(mean1 h))        discrete: logits of A choices
//   ln std = logstd2 tanh(logstd1 h)               continuous only
//   value = critic2 tanh(critic1 h)
//
// A memory of episodes (methods/rl2/README.md#episodic-memory) adds r tanh(m) to the cell. r is a
// fifth gate, m what memory gave for the episode; m follows the inputs x in the features.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include <absl/status/statusor.h>

#include "agents/param_layout.h"
#include "agents/segment.h"
#include "agents/worker_pool.h"
#include "common/options.h"
#include "mentor/v1/rollout_service.pb.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::methods {

// The policy's outputs for each of N x t steps.
struct RecurrentOutputs {
  torch::Tensor mean;                      // [N, t, A]; logits of discrete actions
  torch::Tensor log_std;                   // [N, t, A]; undefined for discrete actions
  torch::Tensor values;                    // [N, t]
  torch::Tensor reinstate_gate;            // [N, t, H], detached; undefined without a memory
  std::vector<torch::Tensor> final_state;  // Detached.
};

// A policy's memory of earlier episodes: v1::EpisodicMemory, and how its gate begins.
struct EpisodicMemory {
  double radius = 0.5;
  int64_t capacity = 1000;
  int64_t context_size = 0;
  bool reset_at_episode = true;
  double reinstate_bias = 1;
};

struct RecurrentPolicy {
  static constexpr int64_t kSide = 2;  // q

  int64_t observation_size = 0;  // D
  int64_t action_size = 0;       // A
  bool discrete = false;
  int64_t encoder1 = 126, encoder2 = 30, lstm = 256, heads = 128, critic = 512;
  std::optional<EpisodicMemory> memory = {};

  int64_t inputs() const { return observation_size + action_size + kSide; }  // x
  int64_t features() const { return inputs() + (memory ? lstm : 0); }        // x, m
  int64_t gates() const { return memory ? 5 : 4; }
  // enc1.W b, enc2.W b, lstm.W_ih W_hh b_ih b_hh, mean.W1 b1 W2 b2 W3 b3, logstd.W1 b1 W2 b2
  // (continuous only), critic.W1 b1 W2 b2. Actors do not get the critic.
  agents::ParamLayout Layout() const;
  // [Q] float32: orthogonal. The gains are those of the same layers in
  // methods/black_box/README.md#the-network, and 0.01 for the last layers of mean and logstd.
  // Biases are 0, except ln initial_std for the last bias of logstd.
  torch::Tensor InitialWeights(double initial_std, uint64_t seed) const;
  // h and c of N lifetimes before their first step.
  std::vector<torch::Tensor> InitialState(int64_t num_lifetimes, torch::Dtype dtype) const;

  // Runs N lifetimes along features [N, t, features] from `state`.
  RecurrentOutputs Forward(const torch::Tensor& weights, const torch::Tensor& features,
                           const std::vector<torch::Tensor>& state) const;

  v1::PolicyWeights ToPolicyWeights(const torch::Tensor& weights) const;
};

// The settings of the rule that trains the policy.
struct RecurrentConfig {
  RecurrentPolicy policy;
  bool regression = false;  // Descends the squared distance from labels, not the loss of PPO.
  bool episodic = false;    // The policy gets `memory`.
  EpisodicMemory memory = {};
};
const BoundOptions<RecurrentConfig>& RecurrentOptions();
RecurrentConfig ReadRecurrent(const OptionValues& options, const v1::EnvironmentShape& shape);
// Checks that the memory has a use, and a size that lifetimes and observations allow.
void CheckEpisodicMemory(const RecurrentPolicy& policy, int64_t episode_steps,
                         int64_t lifetime_steps, Violations* violations);

// Inputs [N, L, inputs] of recorded lifetimes, from their first step on.
torch::Tensor RecurrentFeatures(const agents::Segment& lifetimes);

// Lifetimes and steps that are relived at once. This bounds memory, and keeps the order of sums
// independent of the number of threads.
inline constexpr int64_t kLivesAtOnce = 16, kLifeStepsAtOnce = 512;

// Recorded lifetimes, relived.
struct RecurrentLives {
  torch::Tensor features;  // [N, L, features]: with what memory gave
  torch::Tensor values;    // [N, L]: the critic's values
  // Means over lifetimes, for policies with a memory: the share of episodes that found something,
  // and the fifth gate.
  double memory_hits = 0, reinstate_gate = 0;
};
// Relives by the weights that acted, in float32, without gradients, so memory gives what it gave
// the actor. A null pool runs on this thread.
absl::StatusOr<RecurrentLives> LiveAgain(const RecurrentPolicy& policy,
                                         const torch::Tensor& weights,
                                         const agents::Segment& lifetimes,
                                         agents::WorkerPool* pool);

// Log-density of actions [N, t, A], and entropy, for each step [N, t]; both are summed over A.
torch::Tensor RecurrentLogProb(const RecurrentOutputs& outputs, const torch::Tensor& actions);
torch::Tensor RecurrentEntropy(const RecurrentOutputs& outputs);

}  // namespace mentor::methods
