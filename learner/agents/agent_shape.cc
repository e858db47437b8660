#include "learner/agents/agent_shape.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/exact_math.h"
#include "learner/agents/orthogonal.h"

namespace mentor::learner {
namespace {

void AddNetwork(const std::string& name, int64_t in, int64_t hidden, int64_t out,
                std::vector<std::pair<std::string, std::vector<int64_t>>>* tensors) {
  tensors->push_back({name + ".W1", {hidden, in}});
  tensors->push_back({name + ".b1", {hidden}});
  tensors->push_back({name + ".W2", {hidden, hidden}});
  tensors->push_back({name + ".b2", {hidden}});
  tensors->push_back({name + ".W3", {out, hidden}});
  tensors->push_back({name + ".b3", {out}});
}

double Gain(const AgentShape& shape, const std::string& name) {
  if (name == "actor.W3") return shape.output_gain;
  if (name == "critic.W3") return 1.0;
  return std::sqrt(2.0);
}

}  // namespace

ParamLayout AgentLayout(const AgentShape& shape) {
  std::vector<std::pair<std::string, std::vector<int64_t>>> tensors;
  AddNetwork("actor", shape.observation_size, shape.hidden_units, shape.action_size, &tensors);
  if (!shape.discrete) tensors.push_back({"logstd", {shape.action_size}});
  if (shape.critic) AddNetwork("critic", shape.observation_size, shape.hidden_units, 1, &tensors);
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
    for (size_t i = 0; i < layout.slices().size(); ++i) {
      const ParamSlice& slice = layout.slices()[i];
      torch::Tensor part = theta[static_cast<int64_t>(s)].narrow(0, slice.offset, slice.size);
      if (slice.name == "logstd") {
        part.fill_(exact::Log(initial_std));
      } else if (slice.shape.size() == 2) {
        part.copy_(Orthogonal(slice.shape[0], slice.shape[1], Gain(shape, slice.name), stream,
                              static_cast<uint32_t>(i))
                       .flatten());
      }
    }
  }
  return theta;
}

}  // namespace mentor::learner
