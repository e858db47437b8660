// The hand-written gradient of the recurrent policy's LSTM against finite differences.
#include "methods/rl2/recurrent_policy.h"

#include "tests/golden.h"

namespace mentor::methods::TEST_FILE {

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
    // A fifth gate and episodes that begin within the piece.
    {{.observation_size = 2,
      .action_size = 2,
      .encoder1 = 4,
      .encoder2 = 3,
      .lstm = 9,
      .heads = 4,
      .critic = 3,
      .memory = EpisodicMemory{.context_size = 2}},
     3,
     6},
};

// Ends of episodes as flags: the steps 2 and 3 of the first lifetime begin episodes, step 4 of the
// second.
Tensor WithEnds(const RecurrentPolicy& policy, Tensor features) {
  if (!policy.memory) return features;
  Tensor ends = features.select(2, policy.inputs() - 1);
  ends.zero_();
  ends[0][2] = ends[0][3] = ends[1][4] = 1;
  return features;
}

TEST_CASE("grad: recurrent policy, densities, entropies and values") {
  for (const auto& [policy, lifetimes, steps] : kProblems) {
    INFO("A=" << policy.action_size << (policy.discrete ? " discrete" : ""));
    at::Generator generator = at::detail::createCPUGenerator(11);
    const auto normals = [&](at::IntArrayRef shape, double scale) {
      return scale * torch::randn(shape, generator, torch::kFloat64);
    };
    const Tensor weights = normals({policy.Layout().size()}, 0.5);
    const Tensor features = WithEnds(policy, normals({lifetimes, steps, policy.features()}, 1));
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
  for (const int problem : {0, 3}) {
    const RecurrentPolicy& policy = kProblems[problem].policy;
    at::Generator generator = at::detail::createCPUGenerator(12);
    const Tensor weights =
        0.5 *
        torch::randn({policy.Layout().size()}, generator, torch::kFloat64).requires_grad_(true);
    const Tensor features =
        WithEnds(policy, torch::randn({2, 7, policy.features()}, generator, torch::kFloat64));
    const auto begin = policy.InitialState(2, torch::kFloat64);
    const RecurrentOutputs whole = policy.Forward(weights, features, begin);
    const RecurrentOutputs head = policy.Forward(weights, features.narrow(1, 0, 3), begin);
    const RecurrentOutputs tail =
        policy.Forward(weights, features.narrow(1, 3, 4), head.final_state);
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
}

// Steps before an episode do not affect it.
TEST_CASE("grad: an episode that resets a recurrent policy knows nothing of what was before") {
  RecurrentPolicy policy = kProblems[3].policy;
  at::Generator generator = at::detail::createCPUGenerator(13);
  const Tensor weights = 0.5 * torch::randn({policy.Layout().size()}, generator, torch::kFloat64);
  const auto begin = policy.InitialState(2, torch::kFloat64);
  for (const bool reset : {true, false}) {
    policy.memory->reset_at_episode = reset;
    Tensor features = torch::randn({2, 5, policy.features()}, generator, torch::kFloat64);
    features.select(2, policy.inputs() - 1).zero_();
    features.select(2, policy.inputs() - 1).select(1, 3).fill_(1);
    const Tensor values = policy.Forward(weights, features, begin).values;
    Tensor other = features.clone();
    other.narrow(1, 0, 3).narrow(2, 0, 2).add_(1);  // Observations before the episode.
    const Tensor changed = policy.Forward(weights, other, begin).values;
    CHECK(changed.narrow(1, 3, 2).equal(values.narrow(1, 3, 2)) == reset);
    CHECK_FALSE(changed.narrow(1, 0, 3).equal(values.narrow(1, 0, 3)));
    // The features from memory reach every step of the episode.
    other = features.clone();
    other.narrow(1, 3, 2).narrow(2, policy.inputs(), policy.lstm).add_(1);
    const Tensor told = policy.Forward(weights, other, begin).values;
    CHECK(told.narrow(1, 0, 3).equal(values.narrow(1, 0, 3)));
    CHECK((told - values).narrow(1, 3, 2).abs().min().item<double>() > 1e-6);
  }
}

}  // namespace mentor::methods::TEST_FILE
