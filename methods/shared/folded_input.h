// An input behind the observation that is constant through an episode (a latent, a skill). It is
// folded into the biases of the first layers, so actors get networks of the observation alone.
// Pure; threads may share.
//   W1 (o, c) + b1 = W1[:, :D] o + (b1 + W1[:, D:] c)
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "agents/agent_shape.h"
#include "common/violations.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::methods {

// The shape of networks that see `extra` more numbers.
agents::AgentShape WithInput(const agents::AgentShape& shape, int64_t extra);

// theta [R, P'] belongs to networks that see constant.size(1) numbers behind the observation; row r
// gets constant [R, E]. Returns the same functions of the observation alone, [R, P] of `shape`.
// Computed in float64; the dtype is theta's. Differentiable.
torch::Tensor FoldInput(const agents::AgentShape& shape, const torch::Tensor& theta,
                        const torch::Tensor& constant);

// Adds violations where an agent cannot have one policy for each episode: episodes must be
// independent, and T must hold whole episodes.
void CheckEpisodesOfIteration(const v1::ExperimentSpec& spec, const v1::EnvironmentShape& shape,
                              Violations* violations);
// T / M.
int64_t EpisodesOfIteration(const v1::ExperimentSpec& spec, const v1::EnvironmentShape& shape);

}  // namespace mentor::methods
