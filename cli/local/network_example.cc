#include "cli/local/network_example.h"

#include <algorithm>

#include "common/rng.h"
#include "methods/diayn/discriminator.h"
#include "methods/lpo/drift.h"

namespace mentor {

using torch::Tensor;

Tensor DrawNumbers(uint32_t number, const std::vector<int64_t>& shape) {
  Tensor normals = torch::empty(shape, torch::kFloat64);
  const RandomStream stream{.seed = 1, .purpose = Purpose::kTest};
  stream.Normals(number,
                 {normals.mutable_data_ptr<double>(), static_cast<size_t>(normals.numel())});
  return normals.to(torch::kFloat32);
}

namespace {

constexpr int64_t kExampleSteps = 64;

NetworkExample SkillsExample(const methods::Discriminator& discriminator, const Tensor& weights,
                             const signals::SignalContext& context) {
  const Tensor observations = DrawNumbers(0, {kExampleSteps, context.observation_size});
  return {.kind = "skills",
          .steps = kExampleSteps,
          .tensors = {{"observations", observations},
                      {"log_skills", discriminator.LogSkills(weights, observations)}}};
}

NetworkExample DriftExample(const methods::DriftNetwork& drift, const Tensor& weights,
                            double clip) {
  const Tensor log_ratio = DrawNumbers(0, {1, kExampleSteps}),
               advantages = DrawNumbers(1, {1, kExampleSteps});
  return {.kind = "drift",
          .steps = kExampleSteps,
          .tensors = {{"log_ratio", log_ratio},
                      {"advantages", advantages},
                      {"drift", drift.Drift(weights.unsqueeze(0), log_ratio, advantages, clip)}}};
}

NetworkExample LossExample(const signals::LearnedLoss& loss, const Tensor& weights,
                           const signals::SignalContext& context) {
  const signals::LossSizes sizes = loss.sizes();
  const int64_t agents = 2, n = sizes.steps, a = context.action_size, rows = 8;
  const Tensor numbers = DrawNumbers(4, {agents, n, (context.discrete_actions ? 1 : 2) * a});
  Tensor actions = DrawNumbers(1, {agents, n, a});
  if (context.discrete_actions) actions = torch::one_hot(actions.argmax(2), a).to(torch::kFloat32);
  const signals::LossInputs in = {
      .observations = DrawNumbers(0, {agents, n, context.observation_size}),
      .actions = actions,
      .rewards = DrawNumbers(2, {agents, n}),
      .dones = DrawNumbers(3, {agents, n}).gt(1).to(torch::kFloat32),
      .policy = context.discrete_actions ? numbers.softmax(2) : numbers,
      .context = DrawNumbers(5, {agents, sizes.context}),
      .rows = DrawNumbers(6, {agents, n})
                  .argsort(int64_t{1})
                  .narrow(1, 0, std::min(rows, n))
                  .contiguous()};
  return {.kind = "loss",
          .steps = n,
          .tensors = {{"observations", in.observations},
                      {"actions", in.actions},
                      {"rewards", in.rewards},
                      {"dones", in.dones},
                      {"policy", in.policy},
                      {"context", in.context},
                      {"rows", in.rows},
                      {"loss", loss.Loss(weights.unsqueeze(0).repeat({agents, 1}), in)}}};
}

}  // namespace

NetworkExample ExampleOf(const std::shared_ptr<const signals::SignalNetwork>& network,
                         const Tensor& weights, const signals::SignalContext& context,
                         const v1::AgentSpec& agent) {
  if (network->loss() != nullptr) return LossExample(*network->loss(), weights, context);
  if (const auto discriminator = methods::AsDiscriminator(network))
    return SkillsExample(*discriminator, weights, context);
  if (const auto drift = methods::AsDrift(network))
    return DriftExample(*drift, weights, agent.clip());
  return {};
}

}  // namespace mentor
