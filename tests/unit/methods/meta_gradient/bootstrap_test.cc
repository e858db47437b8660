// Targets of bootstrapped meta-gradients: the divergence by hand, a short step's closed form, and
// an MDP of two states with exact expectations.
#include "methods/meta_gradient/bootstrap.h"

#include <cmath>
#include <vector>

#include "agents/policy.h"
#include "methods/shared/outer_objective.h"
#include "tests/normals.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

Tensor Normals(torch::IntArrayRef shape, uint32_t step) {
  return testing::Normals({.seed = 41}, step, shape, torch::kFloat64);
}

agents::AgentShape Shape(bool discrete) {
  return {.observation_size = 2,
          .action_size = 2,
          .hidden_units = 4,
          .critic = false,
          .discrete = discrete};
}

// KL(p, q) of agent s, row by row, with plain numbers.
double ByHand(const agents::AgentShape& shape, const Tensor& p, const Tensor& q,
              const Tensor& observations, int64_t s) {
  const agents::ParamLayout layout = agents::AgentLayout(shape);
  const agents::AgentNetworks of_p = agents::SplitAgents(layout, p),
                              of_q = agents::SplitAgents(layout, q);
  const Tensor out_p = agents::Forward(of_p.policy, observations)[s],
               out_q = agents::Forward(of_q.policy, observations)[s];
  const auto at = [](const Tensor& x, int64_t b, int64_t j) { return x[b][j].item<double>(); };
  double sum = 0;
  for (int64_t b = 0; b < observations.size(1); ++b) {
    if (shape.discrete) {
      const double sum_p = std::exp(at(out_p, b, 0)) + std::exp(at(out_p, b, 1)),
                   sum_q = std::exp(at(out_q, b, 0)) + std::exp(at(out_q, b, 1));
      for (int64_t j = 0; j < 2; ++j) {
        const double prob_p = std::exp(at(out_p, b, j)) / sum_p,
                     prob_q = std::exp(at(out_q, b, j)) / sum_q;
        sum += prob_p * std::log(prob_p / prob_q);
      }
      continue;
    }
    for (int64_t j = 0; j < 2; ++j) {
      const double std_p = std::exp(of_p.log_std[s][j].item<double>()),
                   std_q = std::exp(of_q.log_std[s][j].item<double>());
      const double moved = at(out_p, b, j) - at(out_q, b, j);
      sum += std::log(std_q / std_p) + (std_p * std_p + moved * moved) / (2 * std_q * std_q) - 0.5;
    }
  }
  return sum / static_cast<double>(observations.size(1));
}

TEST_CASE("bootstrap: the matching loss is the divergence of the target from each agent",
          "[unit]") {
  for (const bool discrete : {false, true}) {
    const agents::AgentShape shape = Shape(discrete);
    const agents::ParamLayout layout = agents::AgentLayout(shape);
    const Tensor target = 0.5 * Normals({3, layout.size()}, 0),
                 theta = 0.5 * Normals({3, layout.size()}, 1), observations = Normals({3, 5, 2}, 2);
    const Tensor loss = MatchingLoss(layout, target, theta, observations);
    const Tensor reversed = MatchingLoss(layout, theta, target, observations);
    for (int64_t s = 0; s < 3; ++s) {
      const double want = ByHand(shape, target, theta, observations, s);
      CHECK(testing::Near(loss[s].item<double>(), want, {.rel = 1e-12}));
      CHECK(want > 1e-3);
      CHECK(std::abs(reversed[s].item<double>() - want) > 1e-4);
    }
    // It has no slope where the policies are equal.
    const Tensor leaf = target.clone().requires_grad_(true);
    const Tensor same = MatchingLoss(layout, target, leaf, observations);
    CHECK(same.abs().max().item<double>() < 1e-15);
    CHECK(torch::autograd::grad({same.sum()}, {leaf})[0].abs().max().item<double>() < 1e-15);
    // Small divergences keep their digits in float32.
    const Tensor near = target + 1e-3 * Normals(target.sizes(), 3);
    const auto narrow = [](const Tensor& x) { return x.to(torch::kFloat32); };
    const double exact = ByHand(shape, target, near, observations, 0);
    CHECK(testing::Near(
        MatchingLoss(layout, narrow(target), narrow(near), narrow(observations))[0].item<double>(),
        exact, {.rel = 0.05}));
  }
}

// Action 0 leads to state 1, action 1 to state 0. It pays 0.5 to stay in state 0 and 1 to stay in
// state 1; a change pays nothing. From discount 0.5 on it is worth to leave state 0.
struct TwoStates {
  const agents::AgentShape shape = {.observation_size = 2,
                                    .action_size = 2,
                                    .hidden_units = 2,
                                    .critic = false,
                                    .discrete = true};
  const agents::ParamLayout layout = agents::AgentLayout(shape);
  // A row for each state and action: (0, 0), (0, 1), (1, 0), (1, 1).
  const Tensor observations = Rows({{1, 0}, {1, 0}, {0, 1}, {0, 1}}),
               actions = Rows({{1, 0}, {0, 1}, {1, 0}, {0, 1}});

  static Tensor Rows(const std::vector<std::vector<double>>& rows) {
    std::vector<Tensor> all;
    for (const std::vector<double>& row : rows) all.push_back(torch::tensor(row, torch::kFloat64));
    return torch::stack(all).unsqueeze(0);
  }

  // An agent whose units tell the states apart, and whose policy is uniform.
  Tensor NewAgent() const {
    Tensor theta = torch::zeros({1, layout.size()}, torch::kFloat64);
    for (const int64_t own : {0, 3, 6, 9}) theta[0][own] = 3;  // The diagonals of W1 and W2.
    return theta;
  }
  // [1, 4]
  Tensor LogProbs(const Tensor& theta) const {
    return agents::LogProb(agents::Forward(agents::SplitAgents(layout, theta).policy, observations),
                           {}, actions);
  }
  // [2]: values of the policy with these log-probabilities.
  static Tensor Values(const Tensor& log_probs, const Tensor& gamma) {
    const Tensor p = log_probs.exp()[0];
    const Tensor rewards = torch::stack({0.5 * p[1], p[2]});
    const Tensor leave0 = p[0], leave1 = p[3];
    // (I - gamma P) v = r, solved by Cramer's rule.
    const Tensor a = 1 - gamma * p[1], b = -gamma * leave0, c = -gamma * leave1,
                 d = 1 - gamma * p[2], det = a * d - b * c;
    return torch::stack(
        {(d * rewards[0] - b * rewards[1]) / det, (a * rewards[1] - c * rewards[0]) / det});
  }
  // [1, 4]: advantages, times how often a row is seen where both states are seen alike. Their mean
  // over the rows is an expectation.
  static Tensor Weighted(const Tensor& log_probs, const Tensor& gamma) {
    const Tensor v = Values(log_probs, gamma);
    const Tensor q =
        torch::stack({gamma * v[1], 0.5 + gamma * v[0], 1 + gamma * v[1], gamma * v[0]});
    return (4 * 0.5 * log_probs.exp()[0] * (q - torch::stack({v[0], v[0], v[1], v[1]})))
        .unsqueeze(0);
  }
};

struct Settings {
  int64_t bootstrap_steps = 1;
  double rate = 0.2;  // The step of gamma's logit; below 0 it climbs.
  double gamma = 0.3;
  int iterations = 300;
};

// The value of state 0 under the last policy, at the task's discount of 0.95.
double Learn(const Settings& settings) {
  const TwoStates mdp;
  agents::UpdateConfig config;
  config.policy_gradient = true;
  config.ppo.adam = false;
  config.ppo.learning_rate = 0.3;
  config.ppo.normalize_advantage = false;
  config.ppo.max_grad_norm.reset();
  OuterConfig outer;
  outer.form = OuterConfig::Form::kRatio;
  outer.normalize_advantage = false;
  agents::AgentBatch agents = agents::NewAgents(mdp.NewAgent());
  double logit = std::log(settings.gamma / (1 - settings.gamma)), m = 0, v = 0;
  const Tensor all = torch::arange(4).unsqueeze(0);
  const Tensor task = torch::tensor(0.95, torch::kFloat64);
  for (int i = 1; i <= settings.iterations; ++i) {
    const Tensor log_probs = mdp.LogProbs(agents.theta).detach();
    const Tensor x = torch::tensor(logit, torch::kFloat64).requires_grad_(true);
    const Tensor advantages = TwoStates::Weighted(log_probs, x.sigmoid());
    agents::UpdateInputs inputs{agents, mdp.observations,    mdp.actions, log_probs,
                                {},     advantages.detach(), {all}};
    const OuterRows rows{mdp.observations,
                         mdp.actions,
                         log_probs,
                         TwoStates::Weighted(log_probs, task).detach(),
                         {}};
    const agents::AgentLoss task_loss = [&](const Tensor& theta) {
      return OuterLoss(mdp.layout, theta, rows, outer);
    };
    const agents::AgentBatch after = agents::RunUpdate(mdp.shape, config, inputs)->agents;
    agents::UpdateInputs further = inputs;
    further.agents = after;
    further.minibatches.assign(settings.bootstrap_steps - 1, all);
    const Tensor target = BootstrapTarget(mdp.shape, config, further, task_loss).value();
    const auto gradient =
        agents::DifferentiateUpdate(mdp.shape, config, inputs, [&](const Tensor& theta) {
          return MatchingLoss(mdp.layout, target, theta, mdp.observations);
        });
    REQUIRE(gradient.ok());
    const double g =
        torch::autograd::grad({(advantages * gradient->advantages).sum()}, {x})[0].item<double>();
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    logit -= settings.rate * m / (1 - std::pow(0.9, i)) /
             (std::sqrt(v / (1 - std::pow(0.999, i))) + 1e-8);
    agents = after;
  }
  return TwoStates::Values(mdp.LogProbs(agents.theta).detach(), task)[0].item<double>();
}

// Leaving state 0 is worth 0.95 / (1 - 0.95) = 19, staying 10.
constexpr double kLeaves = 18, kStays = 12;

TEST_CASE("bootstrap: a learned discount leads the agent of two states out of the poor one",
          "[unit]") {
  for (const int64_t steps : {1, 4}) {
    INFO(steps << " steps to the target");
    CHECK(Learn({.bootstrap_steps = steps}) > kLeaves);
  }
  CHECK(Learn({.rate = 0}) < kStays);
  CHECK(Learn({.rate = -0.2}) < kStays);
  CHECK(Learn({.bootstrap_steps = 4, .rate = -0.2}) < kStays);
  // A discount that is high enough needs no help.
  CHECK(Learn({.rate = 0, .gamma = 0.9}) > kLeaves);
}

TEST_CASE("bootstrap: many steps of a wrong teacher make a target that confirms it",
          "[unit][nightly]") {
  CHECK(Learn({.bootstrap_steps = 30}) < kStays);
}

TEST_CASE(
    "bootstrap: after a short step down the task's loss, the slope is Fisher's matrix times "
    "that step",
    "[unit]") {
  const TwoStates mdp;
  agents::UpdateConfig config;
  config.ppo.adam = false;
  config.ppo.learning_rate = 1e-6;
  config.ppo.max_grad_norm.reset();
  const Tensor theta = 0.5 * Normals({1, mdp.layout.size()}, 9);
  const Tensor log_probs = mdp.LogProbs(theta).detach();
  const Tensor direction = Normals({1, mdp.layout.size()}, 10);
  const agents::UpdateInputs further{agents::NewAgents(theta),
                                     mdp.observations,
                                     mdp.actions,
                                     log_probs,
                                     {},
                                     torch::zeros({1, 4}, torch::kFloat64),
                                     {}};
  const Tensor target = BootstrapTarget(mdp.shape, config, further, [&](const Tensor& x) {
                          return (direction * x).sum(1);
                        }).value();
  const Tensor leaf = theta.clone().requires_grad_(true);
  const Tensor slope = torch::autograd::grad(
      {MatchingLoss(mdp.layout, target, leaf, mdp.observations).sum()}, {leaf})[0];
  // The mean of the scores' products; each state has the weight of its two rows.
  Tensor product = torch::zeros_like(theta);
  for (int64_t i = 0; i < 4; ++i) {
    const Tensor at = theta.clone().requires_grad_(true);
    const Tensor score = torch::autograd::grad({mdp.LogProbs(at)[0][i]}, {at})[0];
    product += 0.5 * log_probs[0][i].exp() * score * (score * (theta - target)).sum();
  }
  CHECK(product.abs().max().item<double>() > 1e-8);
  CHECK((slope - product).abs().max().item<double>() < 1e-4 * product.abs().max().item<double>());
}

}  // namespace mentor::methods::TEST_FILE
