// What MAML's outer step needs of the lifetimes
// (methods/maml/README.md#reading-first-order): the loss of the adapted policies as a
// function of a displacement d of the initial weights,
//
//   loss(d) = mean over lifetimes of -mean_t(rho_t A_t),   rho = p(U_i(weights + d)) /
//   p(U_i(weights))
//
// with its gradient, and the KL divergence of the adapted policies with its Hessian, at d = 0. U_i
// is lifetime i's adaptation. First order puts U_i(weights) + d for U_i(weights + d): nothing is
// differentiated through the adaptation, and candidates of a line search do not adapt again. Second
// order differentiates, and adapts again by the recorded steps, weighted by the ratio of their
// densities (methods/maml/README.md#reading-ratio-in-the-adaptation).
//
// Generic in dtype; sums over lifetimes are in float64, in their order. Memory: graphs of one
// lifetime for each thread; second order holds its K adaptation steps too. Not thread-safe.
#pragma once

#include <torch/types.h>

#include <vector>

#include <absl/status/statusor.h>

#include "agents/worker_pool.h"
#include "methods/maml/loop.h"
#include "methods/shared/state_std_policy.h"
#include "methods/shared/trpo.h"

namespace mentor::methods {

struct MamlLifetime {
  std::vector<PolicyGradientData> adaptation;  // K steps; old_log_probs are not read
  // The lifetime of the adapted policy; old_log_probs likewise.
  PolicyGradientData meta;
};

class MamlObjective {
 public:
  // weights [P] are the initial ones. A null pool: on the calling thread.
  MamlObjective(const AdaptationConfig& config, bool first_order, torch::Tensor weights,
                std::vector<MamlLifetime> lifetimes, agents::WorkerPool* pool);

  // Adapts everybody. Before anything else.
  absl::Status Prepare();
  // The adapted weights of lifetime i, and its policy's log-probabilities of the actions taken.
  const torch::Tensor& adapted(int64_t i) const { return prepared_[i].adapted; }
  const torch::Tensor& log_probs(int64_t i) const { return lifetimes_[i].meta.old_log_probs; }

  absl::StatusOr<torch::Tensor> Gradient() const;  // [P] float64
  absl::StatusOr<torch::Tensor> HessianVector(const torch::Tensor& v) const;
  absl::StatusOr<TrpoValue> Evaluate(const torch::Tensor& displacement) const;

 private:
  struct Prepared {
    torch::Tensor adapted;     // [P]
    ActionDistribution acted;  // Output of the adapted policy at its observations.
  };
  torch::Tensor Adapted(int64_t i, const torch::Tensor& displacement) const;
  torch::Tensor Displacement(const torch::Tensor& d) const;  // A leaf, in the dtype of the weights.
  int64_t size() const { return static_cast<int64_t>(lifetimes_.size()); }

  // Fixed after construction; lifetimes get their old_log_probs in Prepare.
  const AdaptationConfig config_;
  const StateStdPolicy policy_;
  const bool first_order_;
  const torch::Tensor weights_;
  std::vector<MamlLifetime> lifetimes_;
  agents::WorkerPool* const pool_;
  // Set by Prepare.
  std::vector<Prepared> prepared_;
};

}  // namespace mentor::methods
