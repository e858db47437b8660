// A policy that conditional layer normalisation conditions on weights eta of the signal network
// (methods/response_gradient/README.md#conditional-layer-normalisation). Functions of (theta, eta,
// input), generic in dtype and device, differentiable to any order. Pure; threads may share.
//
//   h1 = tanh(W1 obs + b1)    a = W2 h1 + b2    z = (a - mean(a)) / sqrt(var(a) + 1e-5)
//   gain = Wg eta + bg        offset = Wb eta + bb        output = W3 tanh(gain z + offset) + b3
//
// The maps may have tanh layers before their last, and with FiLM z is a itself. Gain and offset do
// not depend on the observation. They are folded once into a plain layer normalisation or, with
// FiLM, into layer 2: the forms that actors get.
#pragma once

#include <torch/types.h>

#include <vector>

#include "agents/agent_shape.h"
#include "agents/param_layout.h"
#include "agents/policy.h"
#include "common/rng.h"
#include "mentor/v1/rollout_service.pb.h"
#include "signals/signal_network.h"

namespace mentor::methods {

// How many of the network's last weights a policy can be conditioned on; 0 without a network too.
int64_t ConditioningSize(const signals::SignalNetwork* network);

struct Conditioning {
  int64_t layers = 0;  // Hidden tanh layers of both maps,
  int64_t units = 32;  // and the units of each.
  bool film = false;   // No normalisation (Perez et al. 2018).
};

struct ConditionedPolicy {
  agents::Mlp mlp;  // Layer 2 is normalised before its tanh, unless film.
  bool film = false;
  std::vector<torch::Tensor> gain_hidden = {},
                             offset_hidden = {};  // W, b of each hidden layer of the maps.
  torch::Tensor gain_map, offset_map;             // [S, H, Qe], or [S, H, units]
  torch::Tensor gain_bias, offset_bias;           // [S, H]
  torch::Tensor log_std = {};                     // [S, A]; undefined for discrete actions.
};

// Gain and offset of E values of eta for each agent, [S, E, H].
struct Modulation {
  torch::Tensor gain, offset;
};

// actor.W1 b1 W2 b2 W3 b3, cln.Wg bg Wb bb, cln.g.W1 g.b1 .. o.W1 o.b1 .. (hidden layers of the
// maps), logstd (continuous). FiLM's begin with film. instead of cln. Only the policy: the two
// value networks of these agents are not conditioned and have separate parameters.
agents::ParamLayout ConditionedLayout(const agents::AgentShape& shape, int64_t eta_size,
                                      const Conditioning& conditioning = {});
// critic.W1 b1 W2 b2 W3 b3.
agents::ParamLayout ValueLayout(const agents::AgentShape& shape);

// New parameters of one agent, [P] float32. Matrices are orthogonal with the gains of
// agent_shape.h. The last maps to gain and offset are normal with deviation map_std; bg = 1. Tensor
// number = first_tensor + its index in the layout.
torch::Tensor InitialParameters(const agents::ParamLayout& layout, const agents::AgentShape& shape,
                                double initial_std, double map_std, const RandomStream& stream,
                                uint32_t first_tensor);

// Views of theta [S, P].
ConditionedPolicy SplitConditioned(const agents::ParamLayout& layout, const torch::Tensor& theta);
agents::Mlp SplitValue(const agents::ParamLayout& layout, const torch::Tensor& theta);

// eta [S, E, Qe].
Modulation Fold(const ConditionedPolicy& policy, const torch::Tensor& eta);

// Means or logits [S, B, A] for observations [S, B, D]. modulation[s, b] holds gain and offset of
// row b; with E = 1 all rows share them.
torch::Tensor Forward(const ConditionedPolicy& policy, const Modulation& modulation,
                      const torch::Tensor& observations);

// The agents' policies in the form that actors get, agent-major: one for each of the E modulations.
std::vector<v1::PolicyWeights> ToPolicyWeights(const agents::AgentShape& shape,
                                               const ConditionedPolicy& policy,
                                               const Modulation& modulation);

}  // namespace mentor::methods
