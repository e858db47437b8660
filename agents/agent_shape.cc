#include "agents/agent_shape.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "agents/param_layout.h"
#include "common/check.h"
#include "common/exact_math.h"

namespace mentor::learner {
double InitialGain(const AgentShape& shape, const std::string& name) {
  if (name == "actor.W3") return shape.output_gain;
  return name == "critic.W3" ? 1.0 : std::sqrt(2.0);
}

ParamLayout AgentLayout(const AgentShape& shape) {
  NamedShapes tensors =
      ThreeLayers("actor", shape.observation_size, shape.hidden_units, shape.action_size);
  if (!shape.discrete) tensors.push_back({"logstd", {shape.action_size}});
  if (shape.critic) {
    const NamedShapes critic = ThreeLayers("critic", shape.observation_size, shape.hidden_units, 1);
    tensors.insert(tensors.end(), critic.begin(), critic.end());
  }
  return ParamLayout(std::move(tensors));
}

torch::Tensor InitialTheta(const AgentShape& shape, double initial_std, uint64_t seed, Phase phase,
                           std::span<const uint32_t> lifetimes) {
  MENTOR_CHECK(initial_std > 0);
  const ParamLayout layout = AgentLayout(shape);
  torch::Tensor theta =
      torch::zeros({static_cast<int64_t>(lifetimes.size()), layout.size()}, torch::kFloat32);
  for (size_t s = 0; s < lifetimes.size(); ++s) {
    const RandomStream stream{seed, Purpose::kAgentWeights, phase, lifetimes[s], /*iteration=*/0};
    torch::Tensor own = theta[static_cast<int64_t>(s)];
    FillMatrices(
        layout, stream, [&](const std::string& name) { return InitialGain(shape, name); }, own);
    if (!shape.discrete) layout.Part("logstd", own).fill_(exact::Log(initial_std));
  }
  return theta;
}

}  // namespace mentor::learner
