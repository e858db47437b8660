// A step of trust region policy optimisation (Schulman et al. 2015) as MAML's outer rule makes it
// (docs/algorithms/initial_weights.md#maml): conjugate gradient, then a line search. Vectors are
// [P] float64. Pure but for what the problem's functions do.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include <absl/status/statusor.h>

#include "common/options.h"

namespace mentor::meta_learner {

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
OptionTable TrpoOptions(const TrpoConfig& defaults);
TrpoConfig ReadTrpo(const OptionValues& options);

struct TrpoValue {
  double loss = 0;  // Mean surrogate.
  double kl = 0;    // Mean KL divergence from where the data come from.
};

struct TrpoProblem {
  torch::Tensor gradient;  // The loss's, here.
  double loss = 0;         // Here.
  // Hessian of the KL divergence, here, times a vector.
  std::function<absl::StatusOr<torch::Tensor>(const torch::Tensor&)> hessian_vector;
  // After this displacement.
  std::function<absl::StatusOr<TrpoValue>(const torch::Tensor&)> evaluate;
};

struct TrpoTry {
  double alpha = 0;
  TrpoValue value;
};

struct TrpoResult {
  torch::Tensor direction;  // x of (H + damping) x = gradient
  torch::Tensor step;       // x scaled to a quadratic KL of max_kl; zeros without a gradient
  std::vector<TrpoTry> tries;
  // The greatest one tried that lowers the loss within max_kl; the displacement is -alpha step.
  // Unset: there was none, so nothing moves.
  std::optional<double> alpha;
};

absl::StatusOr<TrpoResult> RunTrpo(const TrpoConfig& config, const TrpoProblem& problem);

}  // namespace mentor::meta_learner
