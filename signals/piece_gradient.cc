#include "signals/piece_gradient.h"

#include <torch/csrc/autograd/autograd.h>

#include <utility>

namespace mentor::signals {
namespace {

using torch::Tensor;

Tensor NumbersOf(const Tensor& x) {
  return x.detach().to(torch::kCPU, torch::kFloat64).contiguous();
}

}  // namespace

PieceGradient GradientByAutograd(
    const Tensor& weights, std::function<PieceEvaluation(const Tensor&, const Tensor&,
                                                         const Tensor&, const std::vector<Tensor>&)>
                               evaluate) {
  return [weights, evaluate = std::move(evaluate)](const Tensor& features, const Tensor& outputs,
                                                   const std::vector<Tensor>& recurrent,
                                                   LossOfStep loss, Tensor* gradient) {
    const at::AutoGradMode gradients(true);
    const Tensor leaf = weights.detach().requires_grad_(true);
    PieceEvaluation now = evaluate(leaf, features, outputs, recurrent);
    const Tensor log_probs = NumbersOf(now.log_probs), entropies = NumbersOf(now.entropies),
                 values = NumbersOf(now.values);
    Tensor d_log_probs = torch::empty_like(log_probs), d_entropies = torch::empty_like(log_probs),
           d_values = torch::empty_like(log_probs);
    const int64_t lifetimes = log_probs.size(0), steps = log_probs.size(1);
    for (int64_t t = 0; t < steps; ++t) {
      for (int64_t l = 0; l < lifetimes; ++l) {
        const int64_t i = l * steps + t;
        const kernels::StepTerms d = loss(l, t,
                                          {.log_prob = log_probs.const_data_ptr<double>()[i],
                                           .entropy = entropies.const_data_ptr<double>()[i],
                                           .value = values.const_data_ptr<double>()[i]});
        d_log_probs.mutable_data_ptr<double>()[i] = d.log_prob;
        d_entropies.mutable_data_ptr<double>()[i] = d.entropy;
        d_values.mutable_data_ptr<double>()[i] = d.value;
      }
    }
    std::vector<Tensor> results, derivatives;
    const auto add = [&](const Tensor& result, const Tensor& derivative) {
      if (!result.requires_grad()) return;
      results.push_back(result);
      derivatives.push_back(derivative.to(result.options()));
    };
    add(now.log_probs, d_log_probs);
    add(now.entropies, d_entropies);
    add(now.values, d_values);
    *gradient = torch::autograd::grad(results, {leaf}, derivatives)[0];
    return std::move(now.final_recurrent);
  };
}

}  // namespace mentor::signals
