// Bootstrapped meta-gradients (Flennerhag et al. 2022;
// methods/meta_gradient/README.md#bootstrapped-targets): the outer loss is how far agents' policies
// are from those that they would have after more steps. Pure functions, generic in dtype; threads
// may share.
#pragma once

#include <torch/types.h>

#include <absl/status/statusor.h>

#include "agents/differentiable_update.h"

namespace mentor::methods {

// The weights [S, P] of the target, without a graph. `further` holds the agents after the update
// that is differentiated, and the L - 1 minibatches that they learn from next. The last step goes
// down the task's own loss.
absl::StatusOr<torch::Tensor> BootstrapTarget(const agents::AgentShape& shape,
                                              const agents::UpdateConfig& config,
                                              const agents::UpdateInputs& further,
                                              const agents::AgentLoss& task_loss);

// KL(target, theta) of the policies, mean over the observations [S, N, D]: [S] float64. The target
// is a constant.
torch::Tensor MatchingLoss(const agents::ParamLayout& layout, const torch::Tensor& target,
                           const torch::Tensor& theta, const torch::Tensor& observations);

}  // namespace mentor::methods
