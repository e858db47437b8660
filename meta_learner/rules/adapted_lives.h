// What rules share that adapt again as their agents did, in whole lifetimes of a policy of their
// own (MAML, MAESN): the check of what they get, and means over lifetimes. Pure functions.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "learner/agents/worker_pool.h"
#include "meta_learner/rules/outer_rule.h"
#include "meta_learner/rules/trpo.h"

namespace mentor::meta_learner {

// INVALID_ARGUMENT unless there are so many lifetimes of so many steps, all numbers finite.
absl::Status CheckLives(const LifetimeBatch& batch, int64_t lifetimes, int64_t steps);

// Acting and training policy must agree: the greatest |rho - 1| of the densities that lifetime i's
// actions have here and had when they were taken; FAILED_PRECONDITION when it is no rounding.
absl::StatusOr<double> CheckedRho(int64_t lifetime, const torch::Tensor& here,
                                  const torch::Tensor& acted);

// What a rule of so many meta-parameters holds that goes over lifetimes by MeanOver: a gradient of
// each, and `kept` numbers more; on each thread one lifetime, of which a forward pass with its
// graph is `graph` numbers. `twice`: that is differentiated twice.
RuleSizes SizesOverLifetimes(int64_t meta_parameters, int64_t lifetimes, int64_t kept,
                             int64_t graph, bool twice);
// Mean over n lifetimes of what of_lifetime gives with gradients on: float64, added in their order.
// A null pool: on the calling thread.
absl::StatusOr<torch::Tensor> MeanOver(learner::WorkerPool* pool, int64_t n,
                                       const std::function<torch::Tensor(int64_t)>& of_lifetime);
// The same of losses and divergences, with gradients off.
absl::StatusOr<TrpoValue> MeanValue(learner::WorkerPool* pool, int64_t n,
                                    const std::function<TrpoValue(int64_t)>& of_lifetime);

}  // namespace mentor::meta_learner
