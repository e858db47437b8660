#include "methods/shared/trained_weights.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "common/check.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

template <typename T>
std::span<const T> Values(const Tensor& x) {
  return {x.const_data_ptr<T>(), static_cast<size_t>(x.numel())};
}

template <typename T>
void Step(const kernels::AdamConfig& config, double scale, const Tensor& gradient, Tensor* weights,
          AdamState* adam) {
  kernels::AdamStepInPlace<T>(config, ++adam->step, scale, Values<T>(gradient),
                              weights->mutable_data_ptr<T>(), adam->m.mutable_data_ptr<T>(),
                              adam->v.mutable_data_ptr<T>());
}

}  // namespace

BoundOptions<kernels::AdamConfig> AdamOptions(const std::string& learning_rate,
                                              const std::string& epsilon,
                                              const std::string& beta1) {
  using Adam = kernels::AdamConfig;
  return Bind<Adam>(
      {{&Adam::learning_rate, "learning_rate", learning_rate, 0, 100, "Learning rate of Adam."},
       {&Adam::beta1, "adam_beta1", beta1, 0, 0.999999, "Decay of Adam's first moment."},
       {&Adam::beta2, "adam_beta2", "0.999", 0, 0.99999999, "Decay of Adam's second moment."},
       {&Adam::epsilon, "adam_epsilon", epsilon, 1e-30, 1,
        "Adam's epsilon, added after bias correction."}});
}

const char kAnnealHelp[] =
    "Share of rule.outer_updates within which the learning rate falls in a line to a tenth; 0: it "
    "stays.";

kernels::AdamConfig Annealed(kernels::AdamConfig adam, double anneal, uint32_t outer_step,
                             uint32_t outer_updates) {
  if (anneal == 0) return adam;
  const double fallen = std::min(1.0, outer_step / (anneal * std::max(1U, outer_updates)));
  adam.learning_rate *= 1 - 0.9 * fallen;
  return adam;
}

double GradientNorm(const Tensor& gradient) {
  const Tensor x = gradient.contiguous();
  return std::sqrt(x.scalar_type() == torch::kFloat64 ? kernels::SquaredNorm(Values<double>(x))
                                                      : kernels::SquaredNorm(Values<float>(x)));
}

void ClipAndStep(const kernels::AdamConfig& config, std::optional<double> max_grad_norm,
                 const Tensor& gradient, Tensor weights, AdamState* adam) {
  for (const Tensor& x : {weights, adam->m, adam->v})
    MENTOR_CHECK(x.is_contiguous() && x.scalar_type() == gradient.scalar_type());
  const Tensor dense = gradient.contiguous();
  const double scale =
      max_grad_norm ? kernels::ClipScale(GradientNorm(dense), *max_grad_norm) : 1.0;
  if (dense.scalar_type() == torch::kFloat64) {
    Step<double>(config, scale, dense, &weights, adam);
  } else {
    Step<float>(config, scale, dense, &weights, adam);
  }
}

TrainedRule::TrainedRule(const RuleContext& context, Tensor weights)
    : OuterRule(context),
      weights_(std::move(weights)),
      adam_{torch::zeros_like(weights_), torch::zeros_like(weights_), 0} {}

void TrainedRule::State(StateFields* fields) {
  fields->Add("weights", &weights_);
  fields->Add("adam.m", &adam_.m);
  fields->Add("adam.v", &adam_.v);
  fields->Add("adam.step", &adam_.step);
}

}  // namespace mentor::methods
