#include "meta_learner/rules/trained_weights.h"

#include <cmath>
#include <span>
#include <string>
#include <utility>

#include "common/check.h"

namespace mentor::meta_learner {
namespace {

using torch::Tensor;

template <typename T>
std::span<const T> Numbers(const Tensor& x) {
  return {x.const_data_ptr<T>(), static_cast<size_t>(x.numel())};
}

template <typename T>
void Step(const learner::AdamConfig& config, double scale, const Tensor& gradient, Tensor* weights,
          AdamState* adam) {
  learner::AdamStepInPlace<T>(config, ++adam->step, scale, Numbers<T>(gradient),
                              weights->mutable_data_ptr<T>(), adam->m.mutable_data_ptr<T>(),
                              adam->v.mutable_data_ptr<T>());
}

}  // namespace

OptionTable AdamOptions(const std::string& learning_rate, const std::string& epsilon,
                        const std::string& beta1) {
  return {NumberOption("learning_rate", learning_rate, 0, 100, "Learning rate of Adam."),
          NumberOption("adam_beta1", beta1, 0, 0.999999, "Decay of Adam's first moment."),
          NumberOption("adam_beta2", "0.999", 0, 0.99999999, "Decay of Adam's second moment."),
          NumberOption("adam_epsilon", epsilon, 1e-30, 1,
                       "Adam's epsilon, added after bias correction.")};
}

learner::AdamConfig ReadAdam(const OptionValues& options) {
  return {.learning_rate = options.Number("learning_rate"),
          .beta1 = options.Number("adam_beta1"),
          .beta2 = options.Number("adam_beta2"),
          .epsilon = options.Number("adam_epsilon")};
}

double GradientNorm(const Tensor& gradient) {
  const Tensor x = gradient.contiguous();
  return std::sqrt(x.scalar_type() == torch::kFloat64 ? learner::SquaredNorm(Numbers<double>(x))
                                                      : learner::SquaredNorm(Numbers<float>(x)));
}

void ClipAndStep(const learner::AdamConfig& config, std::optional<double> max_grad_norm,
                 const Tensor& gradient, Tensor weights, AdamState* adam) {
  for (const Tensor& x : {weights, adam->m, adam->v})
    MENTOR_CHECK(x.is_contiguous() && x.scalar_type() == gradient.scalar_type());
  const Tensor dense = gradient.contiguous();
  const double scale =
      max_grad_norm ? learner::ClipScale(GradientNorm(dense), *max_grad_norm) : 1.0;
  if (dense.scalar_type() == torch::kFloat64) {
    Step<double>(config, scale, dense, &weights, adam);
  } else {
    Step<float>(config, scale, dense, &weights, adam);
  }
}

learner::TensorMap SaveTrained(const Tensor& weights, const AdamState& adam) {
  return {{"weights", weights.clone()},
          {"adam.m", adam.m.clone()},
          {"adam.v", adam.v.clone()},
          {"adam.step", torch::full({}, adam.step, torch::kInt64)}};
}

absl::Status LoadTrained(const learner::TensorMap& state, Tensor* weights, AdamState* adam) {
  const auto read = [&](const std::string& name, at::IntArrayRef axes, torch::Dtype dtype) {
    return learner::ReadTensor(state, name, axes, dtype, "the rule");
  };
  AdamState loaded;
  MENTOR_ASSIGN_OR_RETURN(Tensor loaded_weights,
                          read("weights", weights->sizes(), torch::kFloat32));
  MENTOR_ASSIGN_OR_RETURN(loaded.m, read("adam.m", weights->sizes(), torch::kFloat32));
  MENTOR_ASSIGN_OR_RETURN(loaded.v, read("adam.v", weights->sizes(), torch::kFloat32));
  MENTOR_ASSIGN_OR_RETURN(const Tensor step, read("adam.step", {}, torch::kInt64));
  loaded.step = step.item<int64_t>();
  if (loaded.step < 0)
    return absl::DataLossError("'adam.step' in the state of the rule is negative");
  *weights = std::move(loaded_weights);
  *adam = std::move(loaded);
  return absl::OkStatus();
}

}  // namespace mentor::meta_learner
