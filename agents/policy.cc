#include "agents/policy.h"

#include "common/exact_math.h"

namespace mentor::agents {

torch::Tensor Affine(const torch::Tensor& inputs, const torch::Tensor& weights,
                     const torch::Tensor& bias) {
  return torch::baddbmm(bias.unsqueeze(1), inputs, weights.transpose(1, 2));
}

AgentNetworks SplitAgents(const ParamLayout& layout, const torch::Tensor& theta) {
  const std::vector<torch::Tensor> p = layout.Split(theta);
  AgentNetworks networks{{p[0], p[1], p[2], p[3], p[4], p[5]}, {}, {}};
  size_t next = 6;
  if (next < p.size() && layout.slices()[next].name == "logstd") networks.log_std = p[next++];
  if (next < p.size()) {
    networks.value = {p[next], p[next + 1], p[next + 2], p[next + 3], p[next + 4], p[next + 5]};
  }
  return networks;
}

torch::Tensor Forward(const Mlp& mlp, const torch::Tensor& inputs) {
  const torch::Tensor first = Affine(inputs, mlp.w1, mlp.b1).tanh();
  const torch::Tensor second = Affine(first, mlp.w2, mlp.b2).tanh();
  return Affine(second, mlp.w3, mlp.b3);
}

torch::Tensor LogProb(const torch::Tensor& output, const torch::Tensor& log_std,
                      const torch::Tensor& actions) {
  if (!log_std.defined()) return (output.log_softmax(-1) * actions).sum(-1);
  const torch::Tensor log_std_row = log_std.unsqueeze(1);
  const torch::Tensor z = (actions - output) / log_std_row.exp();
  return (-0.5 * z.square() - log_std_row - exact::kHalfLogTwoPi).sum(-1);
}

torch::Tensor Entropy(const torch::Tensor& output, const torch::Tensor& log_std) {
  if (!log_std.defined()) {
    const torch::Tensor log_probs = output.log_softmax(-1);
    return -(log_probs.exp() * log_probs).sum(-1).sum(1) / static_cast<double>(output.size(1));
  }
  return (log_std + (0.5 + exact::kHalfLogTwoPi)).sum(-1);
}

std::vector<v1::PolicyWeights> ToPolicyWeights(const AgentShape& shape,
                                               const torch::Tensor& theta) {
  return ToPolicyWeights(shape, v1::POLICY_NETWORK_MLP,
                         theta.narrow(1, 0, AgentLayout(WithoutCritic(shape)).size()));
}

std::vector<v1::PolicyWeights> ToPolicyWeights(const AgentShape& shape, v1::PolicyNetwork network,
                                               const torch::Tensor& rows) {
  const torch::Tensor numbers = rows.detach().to(torch::kCPU, torch::kFloat32).contiguous();
  std::vector<v1::PolicyWeights> policies(static_cast<size_t>(numbers.size(0)));
  for (int64_t s = 0; s < numbers.size(0); ++s) {
    v1::PolicyWeights& weights = policies[s];
    weights.set_network(network);
    weights.set_discrete(shape.discrete);
    weights.set_observation_size(static_cast<uint32_t>(shape.observation_size));
    weights.set_action_size(static_cast<uint32_t>(shape.action_size));
    weights.set_hidden_units(static_cast<uint32_t>(shape.hidden_units));
    weights.set_weights(numbers.const_data_ptr<float>() + s * numbers.size(1),
                        static_cast<size_t>(numbers.size(1)) * sizeof(float));
  }
  return policies;
}

}  // namespace mentor::agents
