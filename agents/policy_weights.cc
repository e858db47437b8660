#include "agents/policy_weights.h"

namespace mentor::learner {

std::vector<v1::PolicyWeights> ToPolicyWeights(const AgentShape& shape,
                                               const torch::Tensor& theta) {
  AgentShape policy = shape;
  policy.critic = false;
  return ToPolicyWeights(shape, v1::POLICY_NETWORK_MLP,
                         theta.narrow(1, 0, AgentLayout(policy).size()));
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

}  // namespace mentor::learner
