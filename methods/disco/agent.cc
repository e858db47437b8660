#include "methods/disco/agent.h"

#include <cmath>
#include <string>
#include <vector>

#include "methods/base/loop_parts.h"
#include "methods/shared/binned_value.h"

namespace mentor::methods {

using torch::Tensor;

namespace {

constexpr double kHeadStd = 0.01;  // Deviation of y's new weights in the source.

// Takes weights one after the other, in the order of the layout.
class Layers {
 public:
  Layers(const DiscoAgent& agent, const Tensor& theta)
      : weights_(DiscoAgentLayout(agent).Split(theta)) {}

  Tensor Linear(const Tensor& x) {
    const Tensor &w = weights_[next_], &b = weights_[next_ + 1];
    next_ += 2;
    return x.matmul(w.t()) + b;
  }
  const Tensor& Take() { return weights_[next_++]; }

 private:
  const std::vector<Tensor> weights_;
  size_t next_ = 0;
};

}  // namespace

agents::ParamLayout DiscoAgentLayout(const DiscoAgent& agent) {
  const int64_t hidden = agent.policy.hidden_units, actions = agent.policy.action_size;
  agents::NamedShapes tensors =
      agents::ThreeLayers("actor", agent.policy.observation_size, hidden, actions);
  const auto add = [&](const std::string& name, int64_t out, int64_t in) {
    tensors.push_back({name + ".W", {out, in}});
    tensors.push_back({name + ".b", {out}});
  };
  add("y", agent.prediction, hidden);
  add("root", agent.cells, hidden);
  add("model", 4 * agent.cells, actions + agent.cells);
  const auto head = [&](const std::string& name, int64_t out) {
    add(name + ".hidden", agent.units, agent.cells);
    add(name, out, agent.units);
  };
  head("z", agent.prediction);
  head("aux", actions);
  head("q", kValueBins);
  return agents::ParamLayout(std::move(tensors));
}

agents::AgentBatch NewDiscoAgents(const InnerLoopContext& context, const DiscoAgent& agent) {
  const agents::ParamLayout layout = DiscoAgentLayout(agent);
  const Tensor policy = FreshAgents(context, agent.policy).theta;
  Tensor theta = torch::zeros({policy.size(0), layout.size()});
  for (int64_t s = 0; s < context.num_agents(); ++s) {
    const RandomStream random = context.Random(Purpose::kAgentWeights, s, /*iteration=*/0);
    for (size_t i = 0; i < layout.slices().size(); ++i) {
      const agents::ParamSlice& slice = layout.slices()[i];
      if (slice.shape.size() < 2) continue;
      const double deviation =
          slice.name == "y.W" ? kHeadStd : 1 / std::sqrt(static_cast<double>(slice.shape[1]));
      theta[s]
          .narrow(0, slice.offset, slice.size)
          .copy_(deviation * agents::Normals(random, static_cast<uint32_t>(i), {slice.size}));
    }
  }
  theta.narrow(1, 0, policy.size(1)).copy_(policy);
  return agents::NewAgents(theta);
}

Tensor PolicyLogits(const DiscoAgent& agent, const Tensor& theta, const Tensor& observations) {
  Layers layers(agent, theta);
  const Tensor hidden = layers.Linear(layers.Linear(observations).tanh());
  return layers.Linear(hidden.tanh());
}

DiscoHeads HeadsOf(const DiscoAgent& agent, const Tensor& theta, const Tensor& observations) {
  Layers layers(agent, theta);
  const Tensor first = layers.Linear(observations).tanh(), torso = layers.Linear(first).tanh();
  DiscoHeads heads;
  heads.logits = layers.Linear(torso);
  heads.y = layers.Linear(torso);
  const Tensor cell = layers.Linear(torso).unsqueeze(2);  // [T + 1, B, 1, cells]
  // One step of the LSTM from (tanh(cell), cell), with each action's one-hot vector as its input.
  const Tensor& w = layers.Take();
  const std::vector<Tensor> columns =
      w.split_with_sizes({agent.policy.action_size, agent.cells}, 1);
  const std::vector<Tensor> gates =
      (cell.tanh().matmul(columns[1].t()) + columns[0].t() + layers.Take()).chunk(4, -1);
  const Tensor next = (gates[2] + 1).sigmoid() * cell + gates[0].sigmoid() * gates[1].tanh();
  const Tensor model = gates[3].sigmoid() * next.tanh();  // [T + 1, B, A, cells]
  for (Tensor* head : {&heads.z, &heads.aux, &heads.q}) {
    const Tensor hidden = layers.Linear(model).relu();
    *head = layers.Linear(hidden);
  }
  return heads;
}

}  // namespace mentor::methods
