#include "methods/shared/state_std_policy.h"

#include <cmath>
#include <utility>
#include <vector>

#include "agents/policy.h"
#include "common/check.h"

namespace mentor::methods {
namespace {

constexpr double kOutputGain = 0.01;

agents::ParamLayout Layout(const StateStdPolicy::Shape& shape) {
  const int64_t d = shape.observation_size, h = shape.hidden_units, a = shape.action_size;
  agents::NamedShapes tensors = agents::ThreeLayers("actor", d, h, a);
  if (!shape.discrete) {
    tensors.insert(
        tensors.end(),
        {{"logstd.W1", {h, d}}, {"logstd.b1", {h}}, {"logstd.W2", {1, h}}, {"logstd.b2", {1}}});
  }
  return agents::ParamLayout(std::move(tensors));
}

}  // namespace

StateStdPolicy::StateStdPolicy(const Shape& shape) : shape_(shape), layout_(Layout(shape)) {}

torch::Tensor StateStdPolicy::InitialWeights(const RandomStream& stream) const {
  torch::Tensor weights = torch::zeros({layout_.size()}, torch::kFloat32);
  const auto gain = [](const std::string& name) {
    return name == "actor.W3" || name == "logstd.W2" ? kOutputGain : std::sqrt(2.0);
  };
  agents::FillMatrices(layout_, stream, gain, weights);
  return weights;
}

ActionDistribution StateStdPolicy::Forward(const torch::Tensor& weights,
                                           const torch::Tensor& observations) const {
  const std::vector<torch::Tensor> p = layout_.Split(weights);
  const torch::Tensor first = torch::linear(observations, p[0], p[1]).tanh();
  const torch::Tensor second = torch::linear(first, p[2], p[3]).tanh();
  ActionDistribution distribution{torch::linear(second, p[4], p[5]), {}};
  if (!shape_.discrete) {
    const torch::Tensor hidden = torch::linear(observations, p[6], p[7]).tanh();
    distribution.log_std = torch::linear(hidden, p[8], p[9]);
  }
  return distribution;
}

v1::PolicyWeights StateStdPolicy::ToProto(const torch::Tensor& weights) const {
  MENTOR_CHECK(weights.dim() == 1 && weights.numel() == layout_.size());
  // Without the std this is the ordinary network.
  return agents::ToPolicyWeights(
      {.observation_size = shape_.observation_size,
       .action_size = shape_.action_size,
       .hidden_units = shape_.hidden_units,
       .discrete = shape_.discrete},
      shape_.discrete ? v1::POLICY_NETWORK_MLP : v1::POLICY_NETWORK_STATE_STD,
      weights.unsqueeze(0))[0];
}

torch::Tensor LogProb(const ActionDistribution& distribution, const torch::Tensor& actions) {
  if (!distribution.log_std.defined()) return agents::LogProb(distribution.output, {}, actions);
  // LogProb takes one log std for each agent; here each observation has its own, so it takes that
  // axis.
  return agents::LogProb(distribution.output.unsqueeze(1), distribution.log_std,
                         actions.unsqueeze(1))
      .squeeze(1);
}

torch::Tensor MeanKl(const ActionDistribution& p, const ActionDistribution& q) {
  if (!p.log_std.defined()) {
    const torch::Tensor log_p = p.output.log_softmax(-1), log_q = q.output.log_softmax(-1);
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean();
  }
  const torch::Tensor squares = (2 * p.log_std).exp() + (p.output - q.output).square();
  return (q.log_std - p.log_std + 0.5 * squares * (-2 * q.log_std).exp() - 0.5).mean();
}

}  // namespace mentor::methods
