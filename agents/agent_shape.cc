#include "agents/agent_shape.h"

#include <cmath>
#include <utility>

#include "common/check.h"
#include "common/exact_math.h"

namespace mentor::agents {

AgentShape WithoutCritic(AgentShape shape) {
  shape.critic = false;
  return shape;
}

double InitialGain(const AgentShape& shape, const std::string& name) {
  if (name == "actor.W3") return shape.output_gain;
  return name == "critic.W3" ? 1.0 : std::sqrt(2.0);
}

ParamLayout AgentLayout(const AgentShape& shape) {
  NamedShapes tensors =
      ThreeLayers("actor", shape.observation_size, shape.hidden_units, shape.action_size);
  if (!shape.discrete) tensors.push_back({"logstd", {shape.action_size}});
  if (shape.critic) {
    const NamedShapes critic =
        ThreeLayers("critic", shape.observation_size, shape.hidden_units, shape.value_outputs);
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

AgentBatch NewAgents(torch::Tensor theta) {
  const torch::Tensor steps = torch::zeros({theta.size(0)}, theta.options().dtype(torch::kInt64));
  return {theta, torch::zeros_like(theta), torch::zeros_like(theta), steps};
}

AgentBatch SomeAgents(const AgentBatch& agents, int64_t first, int64_t count) {
  const auto some = [&](const torch::Tensor& x) { return x.narrow(0, first, count); };
  return {some(agents.theta), some(agents.adam_m), some(agents.adam_v), some(agents.adam_steps)};
}

AgentBatch JoinAgents(const std::vector<AgentBatch>& parts) {
  return {Joined(parts, &AgentBatch::theta), Joined(parts, &AgentBatch::adam_m),
          Joined(parts, &AgentBatch::adam_v), Joined(parts, &AgentBatch::adam_steps)};
}

}  // namespace mentor::agents
