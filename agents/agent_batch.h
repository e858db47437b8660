// The state of S agents between updates: weights and optimizer state. Part of every snapshot.
#pragma once

#include <torch/types.h>

namespace mentor::learner {

struct AgentBatch {
  torch::Tensor theta;       // [S, P]
  torch::Tensor adam_m;      // [S, P]: first moment
  torch::Tensor adam_v;      // [S, P]: second moment
  torch::Tensor adam_steps;  // [S] int64: optimizer steps of the whole life
};

// Agents before their first optimizer step.
AgentBatch NewAgents(torch::Tensor theta);

}  // namespace mentor::learner
