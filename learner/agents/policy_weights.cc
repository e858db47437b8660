#include "learner/agents/policy_weights.h"

namespace mentor::learner {

std::vector<v1::PolicyWeights> ToPolicyWeights(const AgentShape& shape,
                                               const torch::Tensor& theta) {
  AgentShape policy = shape;
  policy.critic = false;
  const int64_t size = AgentLayout(policy).size();
  const torch::Tensor rows =
      theta.detach().narrow(1, 0, size).to(torch::kCPU, torch::kFloat32).contiguous();
  std::vector<v1::PolicyWeights> policies(rows.size(0));
  for (int64_t s = 0; s < rows.size(0); ++s) {
    v1::PolicyWeights& weights = policies[s];
    weights.set_network(v1::POLICY_NETWORK_MLP);
    weights.set_discrete(shape.discrete);
    weights.set_observation_size(static_cast<uint32_t>(shape.observation_size));
    weights.set_action_size(static_cast<uint32_t>(shape.action_size));
    weights.set_hidden_units(static_cast<uint32_t>(shape.hidden_units));
    weights.set_weights(rows[s].const_data_ptr(), static_cast<size_t>(size) * sizeof(float));
  }
  return policies;
}

}  // namespace mentor::learner
