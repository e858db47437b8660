// A step of trust region policy optimisation (Schulman et al. 2015) as MAML's outer rule makes it
// (methods/maml/README.md#maml): conjugate gradient, then a line search. Vectors are [P] float64.
// Pure, if the problem's functions are.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include <absl/status/statusor.h>

#include "common/options.h"

namespace mentor::methods {

struct TrpoConfig {
  double max_kl = 0.001;
  double damping = 0.01;
  int64_t cg_steps = 10;
  double cg_residual = 1e-10;  // Conjugate gradient ends below this squared residual.
  double line_search_start = 3.0;
  double line_search_factor = 0.6;
  int64_t line_search_tries = 10;
};

// max_kl, damping, cg_steps and line_search_*, with these defaults.
BoundOptions<TrpoConfig> TrpoOptions(const TrpoConfig& defaults = {});

struct TrpoValue {
  double loss = 0;  // Mean surrogate.
  double kl = 0;    // Mean KL divergence from the policy that collected the data.
};

struct TrpoProblem {
  torch::Tensor gradient;  // The loss's gradient at the start.
  double loss = 0;         // At the start.
  // Hessian of the KL divergence at the start, times a vector.
  std::function<absl::StatusOr<torch::Tensor>(const torch::Tensor&)> hessian_vector;
  // Loss and divergence after this displacement.
  std::function<absl::StatusOr<TrpoValue>(const torch::Tensor&)> evaluate;
};

struct TrpoTry {
  double alpha = 0;
  TrpoValue value;
};

struct TrpoResult {
  torch::Tensor direction;  // solves (H + damping) x = gradient
  torch::Tensor step;  // direction scaled to a quadratic KL of max_kl; zeros without a gradient
  std::vector<TrpoTry> tries;
  // The greatest tried step size that lowers the loss within max_kl; the displacement is -alpha
  // step. Unset: there was none, so the weights stay.
  std::optional<double> alpha;
};

absl::StatusOr<TrpoResult> RunTrpo(const TrpoConfig& config, const TrpoProblem& problem);

}  // namespace mentor::methods
