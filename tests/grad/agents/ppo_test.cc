// Gradients of the PPO loss: LibTorch's against finite differences, the kernels' against
// LibTorch's.
#include <numeric>

#include "agents/agent_shape.h"
#include "agents/ppo_kernels.h"
#include "agents/ppo_loss.h"
#include "tests/normals.h"
#include "tests/torch_testing.h"

namespace mentor::agents::TEST_FILE {

torch::Tensor Normals(torch::IntArrayRef shape, uint32_t step) {
  return testing::Normals({.seed = 11}, step, shape, torch::kFloat64);
}

struct Problem {
  AgentShape shape;
  ParamLayout layout;
  PpoConfig config;
  torch::Tensor theta;
  Minibatch batch;
};

// Agents whose ratios lie on both sides of both clip limits, with advantages of both signs.
Problem MakeProblem(const AgentShape& shape, int64_t num_agents, int64_t rows,
                    const PpoConfig& config) {
  Problem problem{shape, AgentLayout(shape), config, {}, {}};
  // Weights that keep the units in the bent part of the tanh, whatever the width.
  const double scale = 1 / std::sqrt(static_cast<double>(
                               std::max<int64_t>({shape.observation_size, shape.hidden_units, 6})));
  problem.theta = scale * Normals({num_agents, problem.layout.size()}, 0);
  Minibatch& batch = problem.batch;
  batch.observations = Normals({num_agents, rows, shape.observation_size}, 1);
  batch.actions = Normals({num_agents, rows, shape.action_size}, 2);
  batch.log_probs = torch::zeros({num_agents, rows}, torch::kFloat64);
  batch.advantages = Normals({num_agents, rows}, 3);
  batch.returns = Normals({num_agents, rows}, 4);
  batch.values = Normals({num_agents, rows}, 5);
  const LossTerms terms = PpoLoss(problem.layout, problem.theta, batch, config);
  batch.log_probs = terms.log_probs + 0.3 * Normals({num_agents, rows}, 6);
  if (shape.critic) batch.values = terms.values + 0.3 * Normals({num_agents, rows}, 7);
  return problem;
}

std::vector<PpoConfig> Configs() {
  std::vector<PpoConfig> configs(6);
  configs[1].entropy_coef = 0.3;
  configs[1].normalize_advantage = false;
  configs[2].clip_value_loss = true;
  configs[3].clip = 0.05;
  configs[3].value_coef = 2;
  configs[4].drift.emplace();
  configs[5].drift = {.alpha = 0.1, .beta = 0.05};
  configs[5].normalize_advantage = false;
  return configs;
}

torch::Tensor Gradient(const Problem& problem, bool create_graph = false,
                       torch::Tensor* leaf = nullptr) {
  const torch::Tensor theta = problem.theta.detach().requires_grad_(true);
  if (leaf != nullptr) *leaf = theta;
  const LossTerms terms = PpoLoss(problem.layout, theta, problem.batch, problem.config);
  return torch::autograd::grad({terms.loss.sum()}, {theta}, {}, create_graph, create_graph)[0];
}

TEST_CASE("grad: the PPO loss against finite differences, every parameter of every agent",
          "[grad]") {
  for (bool critic : {true, false}) {
    for (const PpoConfig& config : Configs()) {
      Problem problem = MakeProblem(
          {.observation_size = 3, .action_size = 2, .hidden_units = 4, .critic = critic}, 2, 9,
          config);
      const LossTerms terms = PpoLoss(problem.layout, problem.theta, problem.batch, config);
      // Some rows are clipped, some not.
      CHECK(terms.clip_fraction.min().item<double>() > 0);
      CHECK(terms.clip_fraction.max().item<double>() < 1);
      const torch::Tensor grad = Gradient(problem), theta = problem.theta;
      constexpr double h = 1e-6;
      torch::Tensor difference = torch::empty_like(grad);
      for (int64_t s = 0; s < theta.size(0); ++s) {
        for (int64_t i = 0; i < theta.size(1); ++i) {
          double loss[2];
          for (int side : {0, 1}) {
            torch::Tensor moved = theta.clone();
            moved[s][i] += side ? h : -h;
            const LossTerms at = PpoLoss(problem.layout, moved, problem.batch, config);
            loss[side] = at.loss[s].item<double>();
            // The other agent's loss does not move.
            CHECK(at.loss[1 - s].item<double>() == terms.loss[1 - s].item<double>());
          }
          difference[s][i] = (loss[1] - loss[0]) / (2 * h);
        }
      }
      const double error = (grad - difference).abs().max().item<double>(),
                   size = grad.abs().max().item<double>();
      INFO("critic " << critic << ", error " << error << ", greatest entry " << size);
      CHECK(error < 1e-8 * testing::ToleranceScale());
      CHECK(error > 0);  // The two gradients are not the same object.
      CHECK(size > 1e-2);
    }
  }
}

void CheckSecondOrder(const PpoConfig& config) {
  Problem problem =
      MakeProblem({.observation_size = 3, .action_size = 2, .hidden_units = 4}, 2, 9, config);
  torch::Tensor leaf;
  const torch::Tensor grad = Gradient(problem, /*create_graph=*/true, &leaf);
  const torch::Tensor direction = Normals(problem.theta.sizes(), 8);
  const torch::Tensor product = torch::autograd::grad({(grad * direction).sum()}, {leaf})[0];
  constexpr double h = 1e-6;
  const torch::Tensor theta = problem.theta;
  problem.theta = theta + h * direction;
  const torch::Tensor above = Gradient(problem);
  problem.theta = theta - h * direction;
  const torch::Tensor difference = (above - Gradient(problem)) / (2 * h);
  const double error = (product - difference).abs().max().item<double>();
  INFO("error " << error);
  CHECK(error < 1e-7 * testing::ToleranceScale());
  CHECK(error > 0);
  CHECK(product.abs().max().item<double>() > 1e-2);
}

TEST_CASE("grad: second order through the PPO loss", "[grad]") {
  CheckSecondOrder({});
}

TEST_CASE("grad: second order through DPO's drift", "[grad]") {
  CheckSecondOrder({.drift = kernels::Drift()});
  CheckSecondOrder({.drift = kernels::Drift{.alpha = 0.1, .beta = 0.05}});
}

template <typename T>
void CompareKernels(const AgentShape& shape, int64_t rows, const PpoConfig& config,
                    double tolerance) {
  const Problem problem = MakeProblem(shape, 2, rows, config);
  const torch::Tensor want = Gradient(problem);
  const LossTerms terms = PpoLoss(problem.layout, problem.theta, problem.batch, config);
  const auto cast = [](const torch::Tensor& x) {
    return x.to(c10::CppTypeToScalarType<T>::value).contiguous();
  };
  const Minibatch b{cast(problem.batch.observations), cast(problem.batch.actions),
                    cast(problem.batch.log_probs),    cast(problem.batch.advantages),
                    cast(problem.batch.returns),      cast(problem.batch.values)};
  const torch::Tensor theta = cast(problem.theta);
  // Rows out of order, as minibatches have them.
  std::vector<int64_t> order(rows);
  for (int64_t i = 0; i < rows; ++i) order[i] = rows - 1 - i;
  PpoKernels<T> kernels(
      {shape.observation_size, shape.action_size, shape.hidden_units, shape.critic}, config,
      rows + 3);
  for (int64_t s = 0; s < 2; ++s) {
    torch::Tensor grad = torch::full({problem.layout.size()}, 7, theta.options());
    const MinibatchLoss loss = kernels.LossAndGradient(
        theta[s].data_ptr<T>(),
        {b.observations[s].data_ptr<T>(), b.actions[s].data_ptr<T>(), b.log_probs[s].data_ptr<T>(),
         b.advantages[s].data_ptr<T>(), b.returns[s].data_ptr<T>(), b.values[s].data_ptr<T>()},
        order, grad.data_ptr<T>());
    const double size = want[s].abs().max().item<double>();
    const double error = (grad.to(torch::kFloat64) - want[s]).abs().max().item<double>();
    INFO("D " << shape.observation_size << " A " << shape.action_size << " H " << shape.hidden_units
              << " critic " << shape.critic << " B " << rows << ": error " << error << " of "
              << size);
    CHECK(error <= tolerance * std::max(1.0, size));
    CHECK(size > 1e-3);
    CHECK(testing::Near(loss.loss, terms.loss[s].item<double>(),
                        {.rel = tolerance, .abs = tolerance}));
    CHECK(testing::Near(loss.policy_loss, terms.policy_loss[s].item<double>(),
                        {.rel = tolerance, .abs = tolerance}));
    CHECK(testing::Near(loss.entropy, terms.entropy[s].item<double>(),
                        {.rel = tolerance, .abs = tolerance}));
    CHECK(testing::Near(loss.approx_kl, terms.approx_kl[s].item<double>(),
                        {.rel = tolerance, .abs = tolerance}));
    CHECK(testing::Near(loss.clip_fraction, terms.clip_fraction[s].item<double>(), {.abs = 1e-12}));
    if (shape.critic) {
      CHECK(testing::Near(loss.value_loss, terms.value_loss[s].item<double>(),
                          {.rel = tolerance, .abs = tolerance}));
    }
  }
}

TEST_CASE("grad: the kernels equal LibTorch for all sizes and options", "[grad]") {
  for (bool critic : {true, false}) {
    for (const PpoConfig& config : Configs()) {
      for (const auto& [d, a, h, rows] : {std::array<int64_t, 4>{39, 4, 64, 125},
                                          {3, 2, 4, 6},
                                          {1, 1, 1, 2},
                                          {17, 9, 13, 31},
                                          {8, 8, 24, 12},
                                          {40, 3, 100, 7}}) {
        const AgentShape shape{
            .observation_size = d, .action_size = a, .hidden_units = h, .critic = critic};
        CompareKernels<double>(shape, rows, config, 1e-12);
        CompareKernels<float>(shape, rows, config, 1e-4);
      }
    }
  }
}

}  // namespace mentor::agents::TEST_FILE
