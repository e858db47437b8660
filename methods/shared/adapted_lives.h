// For rules that repeat their agents' adaptation on whole lifetimes of a policy of their own (MAML,
// MAESN): checks of the batch, and means over lifetimes. Pure functions.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "agents/worker_pool.h"
#include "methods/base/outer_rule.h"
#include "methods/shared/trpo.h"

namespace mentor::methods {

// INVALID_ARGUMENT unless there are `lifetimes` lifetimes of `steps` steps, all numbers finite.
absl::Status CheckLives(const LifetimeBatch& batch, int64_t lifetimes, int64_t steps);

// Checks that acting and training policy agree. Returns the greatest |rho - 1| between the
// densities of the lifetimes' actions from step `begin` on here, log_probs(i), and when they were
// taken. FAILED_PRECONDITION when rounding does not explain it.
absl::StatusOr<double> CheckedRho(const LifetimeBatch& batch, int64_t begin,
                                  const std::function<torch::Tensor(int64_t)>& log_probs);

// Sizes of a rule that goes over lifetimes by MeanOver: a gradient of each, and `kept` numbers
// more. Each thread holds one lifetime, whose forward pass with its graph is `graph` numbers.
// `twice`: the pass is differentiated twice.
RuleSizes SizesOverLifetimes(int64_t meta_parameters, int64_t lifetimes, int64_t kept,
                             int64_t graph, bool twice);
// Mean over n lifetimes of what of_lifetime returns, with gradients on: float64, added in their
// order. A null pool runs on the calling thread.
absl::StatusOr<torch::Tensor> MeanOver(agents::WorkerPool* pool, int64_t n,
                                       const std::function<torch::Tensor(int64_t)>& of_lifetime);
// The same for losses and divergences, with gradients off.
absl::StatusOr<TrpoValue> MeanValue(agents::WorkerPool* pool, int64_t n,
                                    const std::function<TrpoValue(int64_t)>& of_lifetime);

}  // namespace mentor::methods
