// The agent that DiscoRL teaches (methods/disco/README.md#the-agent). It has the policy network
// that actors run and a head y on the last hidden layer. A one-step model gives z, aux and q for
// each action. Pure functions, generic in dtype; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "agents/agent_shape.h"
#include "methods/base/inner_loop.h"
#include "methods/disco/network.h"

namespace mentor::methods {

struct DiscoAgent {
  agents::AgentShape policy;  // Discrete, without a critic.
  int64_t prediction = 600;   // Y
  int64_t cells = 128;        // Units of the model's LSTM,
  int64_t units = 128;        // and of the hidden layer of its heads.
};

// The policy's tensors, y, the model's and its heads'. Matrices are [out, in].
agents::ParamLayout DiscoAgentLayout(const DiscoAgent& agent);
// [S, P]: new agents of the shard.
agents::AgentBatch NewDiscoAgents(const InnerLoopContext& context, const DiscoAgent& agent);
// theta [P], observations [..., D] -> [..., A].
torch::Tensor PolicyLogits(const DiscoAgent& agent, const torch::Tensor& theta,
                           const torch::Tensor& observations);
// theta [P], observations [T + 1, B, D].
DiscoHeads HeadsOf(const DiscoAgent& agent, const torch::Tensor& theta,
                   const torch::Tensor& observations);

}  // namespace mentor::methods
