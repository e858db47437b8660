// The hand-written gradient of the recurrent policy's LSTM against finite differences.
#include "learner/agents/recurrent_policy.h"
#include "tests/golden.h"

namespace mentor::learner {
namespace {

using torch::Tensor;

// Sizes beside those of vector registers, one step, one lifetime.
struct Problem {
  RecurrentPolicy policy;
  int64_t lifetimes, steps;
};
const Problem kProblems[] = {
    {{.observation_size = 3,
      .action_size = 2,
      .encoder1 = 5,
      .encoder2 = 4,
      .lstm = 9,
      .heads = 6,
      .critic = 7},
     3,
     6},
    {{.observation_size = 1,
      .action_size = 3,
      .discrete = true,
      .encoder1 = 4,
      .encoder2 = 3,
      .lstm = 5,
      .heads = 3,
      .critic = 2},
     2,
     5},
    {{.observation_size = 2,
      .action_size = 1,
      .encoder1 = 2,
      .encoder2 = 2,
      .lstm = 4,
      .heads = 2,
      .critic = 2},
     1,
     1},
};

TEST_CASE("grad: recurrent policy, densities, entropies and values") {
  for (const auto& [policy, lifetimes, steps] : kProblems) {
    INFO("A=" << policy.action_size << (policy.discrete ? " discrete" : ""));
    at::Generator generator = at::detail::createCPUGenerator(11);
    const auto normals = [&](at::IntArrayRef shape, double scale) {
      return scale * torch::randn(shape, generator, torch::kFloat64);
    };
    const Tensor weights = normals({policy.Layout().size()}, 0.5);
    const Tensor features = normals({lifetimes, steps, policy.features()}, 1);
    Tensor actions = normals({lifetimes, steps, policy.action_size}, 1);
    if (policy.discrete) {
      actions = torch::one_hot(actions.argmax(-1), policy.action_size).to(torch::kFloat64);
    }
    const std::vector<Tensor> state = {normals({lifetimes, policy.lstm}, 0.5),
                                       normals({lifetimes, policy.lstm}, 0.5)};
    const Tensor of_log_probs = normals({lifetimes, steps}, 1),
                 of_entropies = normals({lifetimes, steps}, 1),
                 of_values = normals({lifetimes, steps}, 1);
    const auto loss = [&](const Tensor& at) {
      const RecurrentOutputs outputs = policy.Forward(at, features, state);
      return (of_log_probs * RecurrentLogProb(outputs, actions) +
              of_entropies * RecurrentEntropy(outputs) + of_values * outputs.values)
          .sum();
    };
    const Tensor leaf = weights.clone().requires_grad_(true);
    const Tensor gradient = torch::autograd::grad({loss(leaf)}, {leaf})[0];

    constexpr double kStep = 1e-6;
    Tensor differences = torch::empty_like(weights);
    for (int64_t i = 0; i < weights.numel(); ++i) {
      Tensor plus = weights.clone(), minus = weights.clone();
      plus[i] += kStep;
      minus[i] -= kStep;
      differences[i] = (loss(plus) - loss(minus)).item<double>() / (2 * kStep);
    }
    testing::CheckNear("gradient", gradient, differences, {.rel = 1e-5, .abs = 1e-7});
    CHECK_FALSE(gradient.equal(differences));
    CHECK(gradient.abs().max().item<double>() > 1e-2);
  }
}

// A piece and its rest are the whole; the state between them has no gradient.
TEST_CASE("grad: recurrent policy, pieces continue each other") {
  const RecurrentPolicy& policy = kProblems[0].policy;
  at::Generator generator = at::detail::createCPUGenerator(12);
  const Tensor weights =
      0.5 * torch::randn({policy.Layout().size()}, generator, torch::kFloat64).requires_grad_(true);
  const Tensor features = torch::randn({2, 7, policy.features()}, generator, torch::kFloat64);
  const auto begin = policy.InitialState(2, torch::kFloat64);
  const RecurrentOutputs whole = policy.Forward(weights, features, begin);
  const RecurrentOutputs head = policy.Forward(weights, features.narrow(1, 0, 3), begin);
  const RecurrentOutputs tail = policy.Forward(weights, features.narrow(1, 3, 4), head.final_state);
  testing::CheckNear("mean", torch::cat({head.mean, tail.mean}, 1).detach(), whole.mean.detach(),
                     {.rel = 1e-12, .abs = 1e-12});
  testing::CheckNear("values", torch::cat({head.values, tail.values}, 1).detach(),
                     whole.values.detach(), {.rel = 1e-12, .abs = 1e-12});
  for (int i = 0; i < 2; ++i) {
    CHECK_FALSE(head.final_state[i].requires_grad());
    testing::CheckNear("state", tail.final_state[i], whole.final_state[i],
                       {.rel = 1e-12, .abs = 1e-12});
  }
}

}  // namespace
}  // namespace mentor::learner
