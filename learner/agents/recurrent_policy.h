// The recurrent policy of RL^2 (Duan et al. 2016) as docs/algorithms/recurrent_policy.md has it:
// one network for all agents, whose state lives through a whole lifetime. Functions of (weights
// [Q], input), generic in dtype, on the CPU, differentiable once in the weights. Pure; threads may
// share.
//
//   q_t   = success signal and end of episode of step t-1
//   x_t   = o_t, a_{t-1} as sampled, q_t           all of t-1 is 0 at the first step of a lifetime
//   code1 = [relu(enc1 x), q],  z = [relu(enc2 code1), q],  h = LSTM(z), gates i, f, g, o
//   mean  = mean3 tanh(mean2 tanh(mean1 h))        discrete: logits of A choices
//   ln std = logstd2 tanh(logstd1 h)               continuous only
//   value = critic2 tanh(critic1 h)
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "common/options.h"
#include "learner/agents/param_layout.h"
#include "learner/agents/segment.h"
#include "mentor/v1/rollout_service.pb.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::learner {

// What the policy gives for each of N x t steps.
struct RecurrentOutputs {
  torch::Tensor mean;                      // [N, t, A]; logits of discrete actions
  torch::Tensor log_std;                   // [N, t, A]; undefined for discrete actions
  torch::Tensor values;                    // [N, t]
  std::vector<torch::Tensor> final_state;  // Detached.
};

struct RecurrentPolicy {
  static constexpr int64_t kSide = 2;  // q

  int64_t observation_size = 0;  // D
  int64_t action_size = 0;       // A
  bool discrete = false;
  int64_t encoder1 = 126, encoder2 = 30, lstm = 256, heads = 128, critic = 512;

  int64_t features() const { return observation_size + action_size + kSide; }
  // enc1.W b, enc2.W b, lstm.W_ih W_hh b_ih b_hh, mean.W1 b1 W2 b2 W3 b3, logstd.W1 b1 W2 b2
  // (continuous only), critic.W1 b1 W2 b2. Actors get all but the critic.
  ParamLayout Layout() const;
  // [Q] float32: orthogonal, gains as docs/algorithms/black_box.md#the-network has them for the
  // same layers, 0.01 for the last layers of mean and logstd; biases 0 but for logstd's last, ln
  // initial_std.
  torch::Tensor InitialWeights(double initial_std, uint64_t seed) const;
  // h and c of N lifetimes before their first step.
  std::vector<torch::Tensor> InitialState(int64_t num_lifetimes, torch::Dtype dtype) const;

  // Runs N lifetimes along features [N, t, features] from `state`.
  RecurrentOutputs Forward(const torch::Tensor& weights, const torch::Tensor& features,
                           const std::vector<torch::Tensor>& state) const;

  v1::PolicyWeights ToPolicyWeights(const torch::Tensor& weights) const;
};

// Sizes, as settings of the rule that trains the policy.
OptionTable RecurrentPolicyOptions();
RecurrentPolicy ReadRecurrentPolicy(const OptionValues& options, const v1::EnvironmentShape& shape);

// Inputs [N, L, features] of recorded lifetimes, from their first step on.
torch::Tensor RecurrentFeatures(const Segment& lifetimes);

// Log-density of actions [N, t, A], and entropy, for each step [N, t]; both are summed over A.
torch::Tensor RecurrentLogProb(const RecurrentOutputs& outputs, const torch::Tensor& actions);
torch::Tensor RecurrentEntropy(const RecurrentOutputs& outputs);

}  // namespace mentor::learner
