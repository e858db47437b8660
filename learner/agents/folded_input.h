// An input that is constant through an episode (a latent, a skill), behind the observation: it is
// folded into the biases of the first layers, so that actors get ordinary networks of the
// observation alone. Pure; threads may share.
//
//   W1 (o, c) + b1 = W1[:, :D] o + (b1 + W1[:, D:] c)
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "common/violations.h"
#include "learner/agents/agent_shape.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::learner {

// The networks that see `extra` numbers more.
AgentShape WithInput(const AgentShape& shape, int64_t extra);

// theta [R, P'] of networks that see constant.size(1) numbers behind the observation, row r with
// constant [R, E]: the same functions of the observation, [R, P] of `shape`, which has the
// observation alone. Computed in float64; the dtype is theta's. Differentiable.
torch::Tensor FoldInput(const AgentShape& shape, const torch::Tensor& theta,
                        const torch::Tensor& constant);

// Violations where an agent cannot have one policy for each episode: episodes must be independent
// and T must hold whole ones.
void CheckEpisodesOfIteration(const v1::ExperimentSpec& spec, const v1::EnvironmentShape& shape,
                              Violations* violations);
// T / M.
int64_t EpisodesOfIteration(const v1::ExperimentSpec& spec, const v1::EnvironmentShape& shape);

}  // namespace mentor::learner
