// The policies of stacked agents in the form that actors get. Pure.
#pragma once

#include <torch/types.h>

#include <vector>

#include "agents/agent_shape.h"
#include "mentor/v1/rollout_service.pb.h"

namespace mentor::learner {

// The policy part of each row of theta [S, P], any dtype and device.
std::vector<v1::PolicyWeights> ToPolicyWeights(const AgentShape& shape, const torch::Tensor& theta);

// Each row of `rows` [S, n], which holds what the network wants, in its order
// (rollout_service.proto).
std::vector<v1::PolicyWeights> ToPolicyWeights(const AgentShape& shape, v1::PolicyNetwork network,
                                               const torch::Tensor& rows);

}  // namespace mentor::learner
