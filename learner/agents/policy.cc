#include "learner/agents/policy.h"

#include <cmath>
#include <numbers>

namespace mentor::learner {
namespace {

const double kHalfLog2Pi = 0.5 * std::log(2 * std::numbers::pi);

// inputs [S, B, in], weights [S, out, in], bias [S, out].
torch::Tensor Affine(const torch::Tensor& inputs, const torch::Tensor& weights,
                     const torch::Tensor& bias) {
  return torch::baddbmm(bias.unsqueeze(1), inputs, weights.transpose(1, 2));
}

}  // namespace

AgentNetworks SplitAgents(const ParamLayout& layout, const torch::Tensor& theta) {
  const std::vector<torch::Tensor> p = layout.Split(theta);
  AgentNetworks networks{{p[0], p[1], p[2], p[3], p[4], p[5]}, p[6], {}};
  if (p.size() > 7) networks.value = {p[7], p[8], p[9], p[10], p[11], p[12]};
  return networks;
}

torch::Tensor Forward(const Mlp& mlp, const torch::Tensor& inputs) {
  const torch::Tensor first = Affine(inputs, mlp.w1, mlp.b1).tanh();
  const torch::Tensor second = Affine(first, mlp.w2, mlp.b2).tanh();
  return Affine(second, mlp.w3, mlp.b3);
}

torch::Tensor LogProb(const torch::Tensor& mean, const torch::Tensor& log_std,
                      const torch::Tensor& actions) {
  const torch::Tensor log_std_row = log_std.unsqueeze(1);
  const torch::Tensor z = (actions - mean) / log_std_row.exp();
  return (-0.5 * z.square() - log_std_row - kHalfLog2Pi).sum(-1);
}

torch::Tensor Entropy(const torch::Tensor& log_std) {
  return (log_std + (0.5 + kHalfLog2Pi)).sum(-1);
}

}  // namespace mentor::learner
