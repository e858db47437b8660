// Gradients through agents' updates: against a closed form, finite differences, and each other.
#include "agents/differentiable_update.h"

#include <c10/core/GradMode.h>

#include <atomic>

#include "agents/gae.h"
#include "agents/policy.h"
#include "agents/worker_pool.h"
#include "common/rng.h"
#include "methods/shared/outer_objective.h"
#include "tests/normals.h"
#include "tests/torch_testing.h"

namespace mentor::agents::TEST_FILE {

using torch::Tensor;

constexpr int64_t kAgents = 2, kSteps = 12, kObservation = 3, kAction = 2;

Tensor Normals(torch::IntArrayRef shape, uint32_t step) {
  return testing::Normals({.seed = 23}, step, shape, torch::kFloat64);
}

struct Problem {
  AgentShape shape;
  UpdateConfig config;
  UpdateInputs inputs;
  methods::OuterRows rows;
};

Problem MakeProblem(bool critic, bool discrete, int64_t steps) {
  Problem problem;
  problem.shape = {.observation_size = kObservation,
                   .action_size = kAction,
                   .hidden_units = 4,
                   .critic = critic,
                   .discrete = discrete};
  problem.config.ppo.learning_rate = 0.05;
  problem.config.ppo.entropy_coef = 0.01;
  problem.config.stop_second_moment = false;
  UpdateInputs& inputs = problem.inputs;
  inputs.agents = NewAgents(0.5 * Normals({kAgents, AgentLayout(problem.shape).size()}, 0));
  // A state as after some steps: from a zero state Adam's step is a sign.
  inputs.agents.adam_m = 0.01 * Normals(inputs.agents.theta.sizes(), 1);
  inputs.agents.adam_v = 0.01 * Normals(inputs.agents.theta.sizes(), 2).square() + 1e-3;
  inputs.agents.adam_steps.fill_(7);
  inputs.observations = Normals({kAgents, kSteps, kObservation}, 3);
  inputs.actions = Normals({kAgents, kSteps, kAction}, 4);
  if (discrete) {
    inputs.actions =
        torch::one_hot((inputs.actions.select(-1, 0) > 0).to(torch::kInt64), 2).to(torch::kFloat64);
  }
  const AgentNetworks networks = SplitAgents(AgentLayout(problem.shape), inputs.agents.theta);
  inputs.log_probs =
      LogProb(Forward(networks.policy, inputs.observations), networks.log_std, inputs.actions) +
      0.05 * Normals({kAgents, kSteps}, 5);
  if (critic) inputs.values = Normals({kAgents, kSteps}, 6);
  inputs.advantages = Normals({kAgents, kSteps}, 7);
  const MinibatchOrder order = KeyedOrder(3, Phase::kTraining, 0, {0, 1});
  inputs.minibatches = DrawMinibatches(order, kAgents, kSteps, steps, 2).value();
  inputs.minibatches.resize(static_cast<size_t>(steps));
  problem.rows = {Normals({kAgents, kSteps, kObservation}, 8),
                  inputs.actions,
                  inputs.log_probs,
                  Normals({kAgents, kSteps}, 9),
                  {}};
  return problem;
}

UpdateGradient Differentiate(const Problem& problem, UpdateImplementation implementation) {
  return *DifferentiateUpdate(
      problem.shape, problem.config, problem.inputs,
      [&](const Tensor& theta) {
        return methods::OuterLoss(AgentLayout(problem.shape), theta, problem.rows,
                                  methods::OuterConfig{});
      },
      implementation);
}

double OuterLossAfter(const Problem& problem, const Tensor& advantages) {
  UpdateInputs inputs = problem.inputs;
  inputs.advantages = advantages;
  const Tensor theta = RunUpdate(problem.shape, problem.config, inputs)->agents.theta;
  return methods::OuterLoss(AgentLayout(problem.shape), theta, problem.rows, methods::OuterConfig{})
      .sum()
      .item<double>();
}

enum class Kind { kAdam, kSgd, kRmsProp, kDrift };

TEST_CASE("grad: through updates against finite differences", "[grad]") {
  for (bool critic : {false, true}) {
    for (bool discrete : {false, true}) {
      for (Kind kind : {Kind::kAdam, Kind::kSgd, Kind::kRmsProp, Kind::kDrift}) {
        Problem problem = MakeProblem(critic, discrete, /*steps=*/3);
        problem.config.ppo.adam = kind == Kind::kAdam || kind == Kind::kDrift;
        // By Adam, too; constants at which it pulls hard.
        if (kind == Kind::kDrift) problem.config.ppo.drift = {.alpha = 0.2, .beta = 0.1};
        problem.config.rms_prop = kind == Kind::kRmsProp;
        INFO("critic " << critic << ", discrete " << discrete << ", optimizer "
                       << static_cast<int>(kind));
        const Tensor got = Differentiate(problem, UpdateImplementation::kReplay).advantages;
        CHECK(got.abs().max().item<double>() > 1e-4);
        constexpr double h = 1e-5;
        double worst = 0;
        for (int64_t i = 0; i < got.numel(); i += 3) {
          Tensor up = problem.inputs.advantages.clone(), down = up.clone();
          up.view({-1})[i] += h;
          down.view({-1})[i] -= h;
          const double difference =
              (OuterLossAfter(problem, up) - OuterLossAfter(problem, down)) / (2 * h);
          worst = std::max(worst, std::abs(difference - got.reshape({-1})[i].item<double>()));
        }
        CHECK(worst < 1e-7 * testing::ToleranceScale() + 1e-5 * got.abs().max().item<double>());
      }
    }
  }
}

TEST_CASE("updates and the draws of minibatches end where their owner interrupts them") {
  const Problem problem = MakeProblem(/*critic=*/true, /*discrete=*/false, /*steps=*/3);
  const std::atomic<bool> interrupt = true;
  const CallerScope caller(&interrupt);
  constexpr auto kCode = absl::StatusCode::kCancelled;
  CHECK(RunUpdate(problem.shape, problem.config, problem.inputs).status().code() == kCode);
  const AgentLoss loss = [](const Tensor& theta) { return theta.sum(1); };
  for (UpdateImplementation one : {UpdateImplementation::kReplay, UpdateImplementation::kUnrolled})
    CHECK(DifferentiateUpdate(problem.shape, problem.config, problem.inputs, loss, one)
              .status()
              .code() == kCode);
  const MinibatchOrder order = KeyedOrder(3, Phase::kTraining, 0, {0, 1});
  CHECK(DrawMinibatches(order, kAgents, kSteps, 3, 2).status().code() == kCode);
}

TEST_CASE("grad: both implementations agree, whatever is a constant", "[grad]") {
  for (int variant = 0; variant < 16; ++variant) {
    Problem problem = MakeProblem(/*critic=*/true, /*discrete=*/variant % 2 == 0, /*steps=*/6);
    problem.config.stop_second_moment = (variant & 1) != 0;
    problem.config.stop_clip = (variant & 2) != 0;
    problem.config.first_order = (variant & 4) != 0;
    problem.config.last_n = (variant & 8) != 0 ? 2 : 0;
    INFO("variant " << variant);
    const UpdateGradient unrolled = Differentiate(problem, UpdateImplementation::kUnrolled);
    const UpdateGradient replay = Differentiate(problem, UpdateImplementation::kReplay);
    CHECK(torch::equal(unrolled.after.agents.theta, replay.after.agents.theta));
    CHECK(torch::equal(unrolled.outer_loss, replay.outer_loss));
    CHECK(torch::allclose(unrolled.advantages, replay.advantages, 1e-9, 1e-13));
    CHECK(torch::allclose(unrolled.theta, replay.theta, 1e-9, 1e-13));
    // The dropped terms matter.
    if (problem.config.first_order || problem.config.last_n > 0) {
      Problem full = problem;
      full.config.first_order = false;
      full.config.last_n = 0;
      const Tensor all = Differentiate(full, UpdateImplementation::kReplay).advantages;
      CHECK_FALSE(torch::allclose(all, replay.advantages, 1e-6, 1e-9));
    }
  }
}

TEST_CASE("grad: an agent's result does not depend on the others", "[grad]") {
  const Problem problem = MakeProblem(/*critic=*/true, /*discrete=*/true, /*steps=*/5);
  const UpdateGradient both = Differentiate(problem, UpdateImplementation::kAuto);
  for (int64_t s = 0; s < kAgents; ++s) {
    Problem one = problem;
    one.inputs = problem.inputs.Agents(s, 1);
    one.rows = problem.rows.Agents(s, 1);
    const UpdateGradient own = Differentiate(one, UpdateImplementation::kAuto);
    CHECK(torch::allclose(own.after.agents.theta, both.after.agents.theta.narrow(0, s, 1)));
    CHECK(torch::allclose(own.advantages, both.advantages.narrow(0, s, 1), 1e-9, 1e-13));
  }
}

// Section 4: with one plain step on -sum A ln pi, a reward counts by the eligibility trace of
// w_t = <u, grad ln pi(a_t | s_t)>.
TEST_CASE("grad: one plain policy step has its closed form", "[grad]") {
  Problem problem = MakeProblem(/*critic=*/false, /*discrete=*/true, /*steps=*/1);
  problem.config.policy_gradient = true;
  problem.config.ppo.adam = false;
  problem.config.ppo.entropy_coef = 0;
  problem.config.ppo.normalize_advantage = false;
  problem.config.ppo.max_grad_norm.reset();
  problem.inputs.minibatches = {
      torch::arange(kSteps, torch::kInt64).unsqueeze(0).expand({kAgents, kSteps})};
  Tensor prev_done = torch::zeros({kAgents, kSteps}, torch::kFloat64);
  prev_done.select(1, 5).fill_(1);
  const double gamma = 0.9, lambda = 0.8;
  const UpdateGradient got = Differentiate(problem, UpdateImplementation::kAuto);
  const Tensor rewards = GaeAdjoint(got.advantages, prev_done, gamma, lambda);

  const ParamLayout layout = AgentLayout(problem.shape);
  const c10::AutoGradMode gradients(true);
  for (int64_t s = 0; s < kAgents; ++s) {
    double trace = 0;
    for (int64_t t = 0; t < kSteps; ++t) {
      const Tensor theta =
          problem.inputs.agents.theta.narrow(0, s, 1).detach().requires_grad_(true);
      const auto step = [&](const Tensor& x) { return x.narrow(0, s, 1).narrow(1, t, 1); };
      const AgentNetworks networks = SplitAgents(layout, theta);
      const Tensor log_prob = LogProb(Forward(networks.policy, step(problem.inputs.observations)),
                                      networks.log_std, step(problem.inputs.actions));
      const Tensor score = torch::autograd::grad({log_prob.sum()}, {theta})[0];
      const double w = (score * got.outer_theta.narrow(0, s, 1)).sum().item<double>();
      const bool begins = prev_done[s][t].item<double>() != 0;
      trace = (begins ? 0 : gamma * lambda * trace) + w;
      const double want = problem.config.ppo.learning_rate / kSteps * trace;
      CHECK(rewards[s][t].item<double>() == Approx(want).epsilon(1e-9).margin(1e-14));
    }
  }
}

TEST_CASE("grad: advantages without any spread give an update without a direction, and no NaN",
          "[grad]") {
  Problem problem = MakeProblem(/*critic=*/false, /*discrete=*/true, /*steps=*/3);
  problem.inputs.advantages.fill_(0.25);
  problem.config.ppo.entropy_coef = 0;
  const UpdateGradient got = Differentiate(problem, UpdateImplementation::kUnrolled);
  CHECK(got.after.agents.theta.isfinite().all().item<bool>());
  CHECK(got.advantages.isfinite().all().item<bool>());
}

// Section 11: softmax over two arms, zero logits; arm 1 pays 1 at once, arm 2 pays 2 after three
// steps. Inner loss -sum p A with A = value - mean and alpha 0.5, outer the same with gamma_bar;
// gradient descent on logit(gamma) with beta 10.
TEST_CASE("grad: gamma is learned where the policy has not saturated, and only there", "[grad]") {
  const auto run = [](double gamma, int iterations, double* p_late) {
    const auto f64 = torch::dtype(torch::kFloat64);
    Tensor logits = torch::zeros({2}, f64);
    Tensor logit = torch::full({}, std::log(gamma / (1 - gamma)), torch::kFloat64);
    const auto loss = [](const Tensor& theta, const Tensor& discount) {
      const Tensor p = theta.softmax(0);
      const Tensor value = torch::stack({torch::ones_like(discount), 2 * discount.pow(3)});
      return -(p * (value - (p.detach() * value).sum())).sum();
    };
    for (int i = 0; i < iterations; ++i) {
      const c10::AutoGradMode gradients(true);
      const Tensor theta = logits.detach().requires_grad_(true);
      const Tensor x = logit.detach().requires_grad_(true);
      const Tensor grad =
          torch::autograd::grad({loss(theta, x.sigmoid())}, {theta}, {}, true, true)[0];
      const Tensor after = theta - 0.5 * grad;
      const Tensor outer = loss(after, torch::full({}, 0.99, torch::kFloat64));
      logit = (x - 10 * torch::autograd::grad({outer}, {x})[0]).detach();
      logits = after.detach();
    }
    *p_late = logits.softmax(0)[1].item<double>();
    return logit.sigmoid().item<double>();
  };
  double p_late = 0;
  CHECK(run(0.5, 60, &p_late) > 0.95);
  CHECK(p_late > 0.95);
  CHECK(run(0.3, 300, &p_late) < 0.7);
  CHECK(p_late < 0.05);
}

}  // namespace mentor::agents::TEST_FILE
