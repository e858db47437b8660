// The hand-written gradient of the LSTM signal network against finite differences and against
// LibTorch's own.
#include "signals/lstm/lstm_plain.h"

#include "tests/golden/signal_fixture.h"

namespace mentor::testing::TEST_FILE {

using torch::Tensor;

constexpr int64_t kAfter = 2;  // Steps after the piece.

struct Problem {
  NetworkSizes sizes;
  std::unique_ptr<signals::SignalNetwork> network;
  signals::LstmPlain plain;
  Tensor weights, features, signals;
  std::vector<Tensor> recurrent;
  Tensor of_log_probs, of_log_stds, of_values;  // The loss is linear in the outputs.

  Problem(NetworkSizes sizes, int64_t lifetimes, int64_t steps)
      : sizes(sizes), network(MakeLstm(sizes)) {
    at::Generator generator = at::detail::createCPUGenerator(7);
    const auto normals = [&](at::IntArrayRef shape, double scale) {
      return scale * torch::randn(shape, generator, torch::kFloat64);
    };
    plain = {.sizes = {.features = sizes.observation_size + sizes.action_size + 4,
                       .enc1 = sizes.enc1,
                       .enc2 = sizes.enc2,
                       .hidden = sizes.lstm,
                       .heads = sizes.heads,
                       .critic = sizes.critic,
                       .both = sizes.both},
             .layout = network->layout(),
             .initial_std = sizes.initial_std};
    weights = normals({network->layout().size()}, 0.4);  // Biases too.
    features = normals({lifetimes, steps + kAfter * sizes.both, plain.recorded()}, 1);
    if (sizes.both) {  // Where the LSTM that runs backward begins anew.
      Tensor begins = features.select(-1, plain.recorded() - 1);
      begins.copy_(2 * begins.gt(1));
    }
    signals = normals({lifetimes, steps}, 0.3);
    recurrent = {normals({lifetimes, sizes.lstm}, 0.5), normals({lifetimes, sizes.lstm}, 0.5)};
    of_log_probs = normals({lifetimes, steps}, 1);
    of_log_stds = normals({lifetimes, steps}, 1);
    of_values = normals({lifetimes, steps}, 1);
  }

  Tensor Loss(const signals::SignalEvaluation& evaluation) const {
    return (of_log_probs * evaluation.log_probs + of_log_stds * evaluation.log_stds +
            of_values * evaluation.values)
        .sum();
  }
  Tensor Loss(const Tensor& at) const {
    return Loss(network->density()->Evaluate(at, features, signals, recurrent));
  }
  Tensor Gradient() const {
    const Tensor leaf = weights.clone().requires_grad_(true);
    return torch::autograd::grad({Loss(leaf)}, {leaf})[0];
  }
};

// Sizes around the widths of registers, panels and tiles, and one step.
const std::pair<NetworkSizes, std::pair<int64_t, int64_t>> kProblems[] = {
    {{.observation_size = 3, .action_size = 2}, {3, 7}},
    {{.observation_size = 1,
      .action_size = 1,
      .enc1 = 1,
      .enc2 = 1,
      .lstm = 1,
      .heads = 1,
      .critic = 1},
     {1, 4}},
    {{.observation_size = 2,
      .action_size = 1,
      .enc1 = 5,
      .enc2 = 3,
      .lstm = 4,
      .heads = 3,
      .critic = 17},
     {8, 1}},
    {{.observation_size = 2,
      .action_size = 2,
      .enc1 = 9,
      .enc2 = 4,
      .lstm = 9,
      .heads = 8,
      .critic = 7},
     {14, 15}},
    {{.observation_size = 3, .action_size = 2, .both = true}, {3, 7}},
    {{.observation_size = 2,
      .action_size = 2,
      .enc1 = 9,
      .enc2 = 4,
      .lstm = 9,
      .heads = 8,
      .critic = 7,
      .both = true},
     {14, 15}},
};

// With steps after the piece, from which no gradient comes, a difference would see more: finite
// differences are of pieces that end where the LSTM that runs backward begins anew.
TEST_CASE("grad: signal network against finite differences") {
  for (const auto& [sizes, shape] : kProblems) {
    Problem problem(sizes, shape.first, shape.second);
    if (sizes.both)
      problem.features.select(1, shape.second - 1)
          .select(-1, problem.plain.recorded() - 1)
          .fill_(2);
    const Tensor gradient = problem.Gradient();
    constexpr double kStep = 1e-5;
    Tensor differences = torch::empty_like(gradient);
    for (int64_t i = 0; i < gradient.numel(); ++i) {
      Tensor plus = problem.weights.clone(), minus = problem.weights.clone();
      plus[i] += kStep;
      minus[i] -= kStep;
      differences[i] = (problem.Loss(plus) - problem.Loss(minus)) / (2 * kStep);
    }
    CheckNear("gradient", gradient, differences, {.rel = 1e-6, .abs = 1e-6});
    // Two different computations of something that is not 0.
    CHECK_FALSE(gradient.equal(differences));
    const auto slices = problem.network->layout().Split(gradient);
    for (size_t i = 0; i < slices.size(); ++i) {
      INFO(problem.network->layout().slices()[i].name);
      CHECK(slices[i].abs().max().item<double>() > 1e-3);
    }
  }
}

TEST_CASE("grad: signal network against LibTorch's own gradient") {
  for (const auto& [sizes, shape] : kProblems) {
    const Problem problem(sizes, shape.first, shape.second);
    const Tensor leaf = problem.weights.clone().requires_grad_(true);
    const auto plain =
        problem.plain.Evaluate(leaf, problem.features, problem.signals, problem.recurrent);
    const auto own = problem.network->density()->Evaluate(problem.weights, problem.features,
                                                          problem.signals, problem.recurrent);
    CheckNear("log_probs", own.log_probs, plain.log_probs, {.rel = 1e-11, .abs = 1e-11});
    CheckNear("values", own.values, plain.values, {.rel = 1e-11, .abs = 1e-11});
    CheckNear("final h", own.final_recurrent[0], plain.final_recurrent[0],
              {.rel = 1e-11, .abs = 1e-11});
    CheckNear("final c", own.final_recurrent[1], plain.final_recurrent[1],
              {.rel = 1e-11, .abs = 1e-11});
    const Tensor want = torch::autograd::grad({problem.Loss(plain)}, {leaf})[0];
    CheckNear("gradient", problem.Gradient(), want, {.rel = 1e-9, .abs = 1e-9});
  }
}

TEST_CASE("grad: full-size signal network in float32 over more rows than a block") {
  const bool both = GENERATE(false, true);
  Problem problem({.observation_size = 39,
                   .action_size = 4,
                   .enc1 = 124,
                   .enc2 = 28,
                   .lstm = 128,
                   .heads = 128,
                   .critic = 512,
                   .both = both},
                  5, 41);
  problem.weights *= 0.2;
  const Tensor exact = problem.Gradient();
  const Tensor leaf = problem.weights.to(torch::kFloat32).requires_grad_(true);
  const Tensor got = torch::autograd::grad({problem.Loss(leaf)}, {leaf})[0];
  REQUIRE(got.scalar_type() == torch::kFloat32);
  const auto parts = problem.network->layout().Split(got),
             want = problem.network->layout().Split(exact);
  for (size_t i = 0; i < parts.size(); ++i) {
    CheckNear(problem.network->layout().slices()[i].name, parts[i], want[i],
              Float32Tolerance(want[i], 1e-4));
  }
}

}  // namespace mentor::testing::TEST_FILE
