#include "methods/shared/trpo.h"

#include <cmath>
#include <string>

#include <absl/strings/str_format.h>

#include "common/check.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

double Dot(const Tensor& a, const Tensor& b) {
  return a.dot(b).item<double>();
}

absl::StatusOr<Tensor> Damped(const TrpoConfig& config, const TrpoProblem& problem,
                              const Tensor& v) {
  MENTOR_ASSIGN_OR_RETURN(Tensor product, problem.hessian_vector(v));
  return product + config.damping * v;
}

// Solves (H + damping) x = gradient for x, from 0.
absl::StatusOr<Tensor> ConjugateGradient(const TrpoConfig& config, const TrpoProblem& problem) {
  Tensor x = torch::zeros_like(problem.gradient), residual = problem.gradient.clone(),
         direction = problem.gradient.clone();
  double square = Dot(residual, residual);
  for (int64_t i = 0; i < config.cg_steps && square >= config.cg_residual; ++i) {
    MENTOR_ASSIGN_OR_RETURN(const Tensor product, Damped(config, problem, direction));
    const double length = square / Dot(direction, product);
    x = x + length * direction;
    residual = residual - length * product;
    const double next = Dot(residual, residual);
    direction = residual + next / square * direction;
    square = next;
  }
  return x;
}

std::string Text(double number) {
  return absl::StrFormat("%g", number);
}

}  // namespace

BoundOptions<TrpoConfig> TrpoOptions(const TrpoConfig& defaults) {
  return Bind<TrpoConfig>(
      {{&TrpoConfig::max_kl, "max_kl", Text(defaults.max_kl), 1e-30, 1e30,
        "Bound of the mean KL divergence of an outer step."},
       {&TrpoConfig::damping, "damping", Text(defaults.damping), 0, 1e30,
        "Added to the diagonal of the KL divergence's Hessian."},
       {&TrpoConfig::cg_steps, "cg_steps", std::to_string(defaults.cg_steps), 1, 10000,
        "Conjugate gradient steps of an outer step."},
       {&TrpoConfig::line_search_start, "line_search_start", Text(defaults.line_search_start), 0,
        1e30, "First candidate, in steps of length max_kl; 0: the weights never change."},
       {&TrpoConfig::line_search_factor, "line_search_factor", Text(defaults.line_search_factor),
        1e-9, 0.999999, "From one candidate to the next."},
       {&TrpoConfig::line_search_tries, "line_search_tries",
        std::to_string(defaults.line_search_tries), 1, 1000,
        "Candidates; when none is better, the weights stay."}});
}

absl::StatusOr<TrpoResult> RunTrpo(const TrpoConfig& config, const TrpoProblem& problem) {
  TrpoResult result;
  MENTOR_ASSIGN_OR_RETURN(result.direction, ConjugateGradient(config, problem));
  MENTOR_ASSIGN_OR_RETURN(const Tensor product, Damped(config, problem, result.direction));
  const double curvature = 0.5 * Dot(result.direction, product);
  if (!std::isfinite(curvature) || curvature < 0)
    return absl::InternalError("the direction of the trust region step is not finite");
  if (curvature == 0) {
    result.step = torch::zeros_like(result.direction);
    return result;
  }
  result.step = result.direction / std::sqrt(curvature / config.max_kl);
  double alpha = config.line_search_start;
  for (int64_t i = 0; i < config.line_search_tries; ++i, alpha *= config.line_search_factor) {
    MENTOR_ASSIGN_OR_RETURN(const TrpoValue value, problem.evaluate(-alpha * result.step));
    result.tries.push_back({alpha, value});
    // A value that is not finite fails both.
    if (value.loss < problem.loss && value.kl < config.max_kl) {
      result.alpha = alpha;
      break;
    }
  }
  return result;
}

}  // namespace mentor::methods
