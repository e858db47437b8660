// The terms of the response gradient against finite differences in double
// (methods/response_gradient/README.md#terms-of-the-gradient), with eta perturbed in parts of the
// collection.
#include <cmath>
#include <functional>

#include "agents/adam.h"
#include "agents/differentiable_update.h"
#include "agents/gae.h"
#include "agents/row_statistics.h"
#include "methods/response_gradient/conditioned_policy.h"
#include "methods/response_gradient/response_terms.h"
#include "signals/signal_network.h"
#include "tests/conformance/recorded_lifetimes.h"
#include "tests/policy_step.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::kActionSize;
using mentor::testing::kObservationSize;
using mentor::testing::RandomNormals;
using mentor::testing::RandomSegment;
using torch::Tensor;

constexpr int64_t kAgents = 2, kSteps = 20, kParts = 4;

Tensor Doubles(at::IntArrayRef shape, uint64_t seed) {
  return RandomNormals(shape, seed, torch::kFloat64);
}

void CheckSlopes(const Tensor& at, const Tensor& gradient,
                 const std::function<double(const Tensor&)>& value) {
  CHECK(gradient.norm().item<double>() > 1e-4);
  for (uint64_t seed : {60, 61, 62}) {
    const Tensor direction = Doubles(at.sizes(), seed) / std::sqrt(static_cast<double>(at.numel()));
    const double h = 1e-5;
    const double difference = (value(at + h * direction) - value(at - h * direction)) / (2 * h);
    const double slope = (gradient * direction).sum().item<double>();
    INFO("slope " << slope << ", difference " << difference);
    CHECK(std::abs(slope - difference) <= 1e-6 * (1 + std::abs(difference)));
    CHECK(slope != difference);
  }
}

struct Fixture {
  Fixture() {
    v1::SignalSpec spec;
    spec.set_name("bottleneck");
    Violations violations;
    network = signals::MakeSignalNetwork(
        spec, {.observation_size = kObservationSize, .action_size = kActionSize}, &violations);
    REQUIRE(network != nullptr);
    phi = network->InitialWeights(3).to(torch::kFloat64);
    phi = phi + 0.05 * Doubles(phi.sizes(), 1);
    eta_size = network->gradient()->conditioning_size();
    eta = phi.narrow(0, phi.numel() - eta_size, eta_size).clone();
    layout = ConditionedLayout(
        {.observation_size = kObservationSize, .action_size = kActionSize, .hidden_units = 6},
        eta_size);
    theta = 0.3 * Doubles({kAgents, layout.size()}, 2);
    first = RandomSegment(kAgents, kSteps, 10);
    second = RandomSegment(kAgents, kSteps, 20);
    noise = 0.1 * Doubles({kAgents, kParts, eta_size}, 3);
    // Near the policy, so that some rows are clipped and some are not.
    log_probs = Density(first, noise)(theta, eta) + 0.1 * Doubles({kAgents, kSteps}, 4);
    denominator = Density(second, {})(theta, eta) + 0.2 * Doubles({kAgents, kSteps}, 5);
    advantages = Doubles({kAgents, kSteps}, 6);
  }

  // noise undefined: none.
  LogProbs Density(const agents::Segment& segment, const Tensor& noise) const {
    return [this, segment, noise](const Tensor& theta, const Tensor& eta) {
      const ConditionedPolicy policy = SplitConditioned(layout, theta);
      Modulation modulation =
          Fold(policy, noise.defined() ? eta + noise : eta.expand({kAgents, 1, eta_size}));
      if (noise.defined()) {
        modulation.gain = modulation.gain.repeat_interleave(kSteps / kParts, 1);
        modulation.offset = modulation.offset.repeat_interleave(kSteps / kParts, 1);
      }
      return agents::LogProb(Forward(policy, modulation, segment.observations.to(torch::kFloat64)),
                             policy.log_std, segment.actions.to(torch::kFloat64));
    };
  }

  std::unique_ptr<signals::SignalNetwork> network;
  Tensor phi, eta;  // [Q], [Qe]
  int64_t eta_size = 0;
  agents::ParamLayout layout;
  Tensor theta;  // [S, P]
  agents::Segment first, second;
  Tensor noise, log_probs, denominator, advantages;
};

TEST_CASE("response gradient: the direct term, by eta and by theta", "[grad]") {
  const Fixture f;
  for (const bool clip_only : {false, true}) {
    const Clipping clipping{.range = 0.2, .clip_only = clip_only};
    const auto objective = [&](const Tensor& theta, const Tensor& eta) {
      return ClippedSurrogate(f.Density(f.second, {})(theta, eta), f.denominator, f.advantages,
                              clipping)
          .objective.sum()
          .item<double>();
    };
    const DirectGradient direct = ThroughPolicy(f.Density(f.second, {}), f.theta, f.eta,
                                                f.denominator, f.advantages, clipping);
    CheckSlopes(f.eta, direct.eta, [&](const Tensor& eta) { return objective(f.theta, eta); });
    CheckSlopes(f.theta, direct.theta,
                [&](const Tensor& theta) { return objective(theta, f.eta); });
    const double active = direct.surrogate.active.mean().item<double>();
    CHECK(active > 0.1);
    CHECK(active < 0.95);
  }
}

TEST_CASE("response gradient: through the policy step, by eta and by the reward's weights",
          "[grad]") {
  const Fixture f;
  const double gamma = 0.9, lambda = 0.8;
  const Tensor u = Doubles(f.theta.sizes(), 7);
  const Tensor values = Doubles({kAgents, kSteps}, 8), last_values = Doubles({kAgents}, 9);
  const auto signals = [&](const Tensor& phi) {
    signals::SignalState state = f.network->signals()->InitialState(kAgents, torch::kFloat64);
    return f.network->gradient()->Signals(phi, f.first, &state);
  };
  const auto step = [&](const Tensor& phi) {
    return agents::PolicyStep{
        .log_probs = f.log_probs,
        .advantages = agents::Gae(signals(phi), values, f.first.prev_done, torch::zeros({kAgents}),
                                  last_values, gamma, lambda)
                          .advantages,
        .length = 0.7};
  };
  const LogProbs density = f.Density(f.first, f.noise);
  const auto value = [&](const Tensor& eta, const Tensor& phi) {
    return (u * agents::AfterPolicyStep(density, f.theta, eta, step(phi))).sum().item<double>();
  };
  const StepGradient through = agents::ThroughPolicyStep(density, f.theta, f.eta, step(f.phi), u);
  CheckSlopes(f.eta, through.eta, [&](const Tensor& eta) { return value(eta, f.phi); });

  const Tensor leaf = f.phi.clone().requires_grad_(true);
  const Tensor gradient = torch::autograd::grad(
      {signals(leaf)}, {leaf},
      {agents::GaeAdjoint(through.advantages, f.first.prev_done, gamma, lambda)})[0];
  CheckSlopes(f.phi, gradient, [&](const Tensor& phi) { return value(f.eta, phi); });
}

TEST_CASE("response gradient: through a policy round of Adam, by eta and by the advantages",
          "[grad]") {
  const Fixture f;
  const Tensor u = Doubles(f.theta.sizes(), 7);
  const Tensor order = torch::arange(kSteps, torch::kInt64).flip(0).repeat({kAgents, 1});
  const auto act = [&](const Tensor& theta, const Tensor& eta, const Tensor& rows) -> RowDensities {
    const ConditionedPolicy policy = SplitConditioned(f.layout, theta);
    const Tensor output = Forward(policy, Fold(policy, eta.expand({kAgents, 1, f.eta_size})),
                                  agents::TakeRows(f.first.observations.to(torch::kFloat64), rows));
    return {agents::LogProb(output, policy.log_std,
                            agents::TakeRows(f.first.actions.to(torch::kFloat64), rows)),
            agents::Entropy(output, policy.log_std)};
  };
  // From a state that is not zero, so that the step of Adam is no sign.
  TakenRound round{
      .agents = {f.theta, 0.1 * Doubles(f.theta.sizes(), 40),
                 0.1 * Doubles(f.theta.sizes(), 41).square() + 1e-3,
                 torch::full({kAgents}, 3, torch::kInt64)},
      .log_probs = f.log_probs,
      .advantages = f.advantages,
      .config = {.entropy_coef = 0.02, .learning_rate = 0.01},
      .minibatches = {order.narrow(1, 0, 8), order.narrow(1, 5, 8), order.narrow(1, 12, 8)},
      .stop_second_moment = false};
  const auto value = [&](const Tensor& eta, const Tensor& advantages) {
    TakenRound moved = round;
    moved.advantages = advantages;
    agents::UpdateConfig config;
    config.ppo = round.config;
    const Tensor used = agents::Standardised(advantages);
    const Tensor after = agents::DifferentiateSteps(
                             config, round.agents, 3,
                             [&](const Tensor& theta, const std::vector<Tensor>&, int64_t k) {
                               const Tensor& rows = round.minibatches[k];
                               return PolicyLoss(act(theta, eta, rows), moved, used, rows);
                             },
                             {}, [](const Tensor& theta) { return theta.sum(1); })
                             ->after.theta;
    return (u * after).sum().item<double>();
  };
  const StepGradient through = ThroughPolicyRound(act, f.eta, round, u).value();
  CheckSlopes(f.eta, through.eta, [&](const Tensor& eta) { return value(eta, f.advantages); });
  CheckSlopes(f.advantages, through.advantages,
              [&](const Tensor& advantages) { return value(f.eta, advantages); });
}

// The same computation as a meta-gradient through one step of gradient descent, judged on fresh
// data (methods/response_gradient/README.md#terms-of-the-gradient): policies that eta does not
// condition.
TEST_CASE("response gradient: the term through the reward alone is the meta-gradient of LIRPG",
          "[grad]") {
  const agents::AgentShape shape{
      .observation_size = kObservationSize, .action_size = kActionSize, .hidden_units = 6};
  const agents::ParamLayout layout = agents::AgentLayout(shape);
  const Tensor theta = 0.4 * Doubles({kAgents, layout.size()}, 30);
  const agents::Segment first = RandomSegment(kAgents, kSteps, 40),
                        second = RandomSegment(kAgents, kSteps, 50);
  const auto density = [&](const agents::Segment& segment) -> LogProbs {
    return [&](const Tensor& at, const Tensor&) {
      const agents::AgentNetworks networks = agents::SplitAgents(layout, at);
      return agents::LogProb(Forward(networks.policy, segment.observations.to(torch::kFloat64)),
                             networks.log_std, segment.actions.to(torch::kFloat64));
    };
  };
  const Tensor none = torch::zeros({1}, torch::kFloat64);
  const Tensor log_probs = density(first)(theta, none) + 0.1 * Doubles({kAgents, kSteps}, 31);
  const Tensor inner = Doubles({kAgents, kSteps}, 32), task = Doubles({kAgents, kSteps}, 33);
  const double length = 0.3;

  const agents::PolicyStep step{.log_probs = log_probs, .advantages = inner, .length = length};
  const Tensor theta1 = agents::AfterPolicyStep(density(first), theta, none, step);
  const Tensor behaviour = density(second)(theta1, none);
  const DirectGradient direct =
      ThroughPolicy(density(second), theta1, none, behaviour, task, {.range = 0.2});
  CHECK(direct.eta.abs().max().item<double>() == 0);
  const StepGradient through =
      agents::ThroughPolicyStep(density(first), theta, none, step, direct.theta);
  CHECK(through.eta.abs().max().item<double>() == 0);

  agents::UpdateConfig config;
  config.ppo = {
      .value_coef = 0.5, .max_grad_norm = std::nullopt, .adam = false, .learning_rate = length};
  const agents::UpdateInputs inputs{
      .agents = agents::NewAgents(theta),
      .observations = first.observations.to(torch::kFloat64),
      .actions = first.actions.to(torch::kFloat64),
      .log_probs = log_probs,
      .values = Doubles({kAgents, kSteps}, 34),
      .advantages = inner,
      .minibatches = {torch::arange(kSteps, torch::kInt64).repeat({kAgents, 1})}};
  const agents::UpdateGradient meta =
      *agents::DifferentiateUpdate(shape, config, inputs, [&](const Tensor& at) {
        return -ClippedSurrogate(density(second)(at, none), behaviour, task, {.range = 0.2})
                    .objective;
      });
  CHECK(through.advantages.norm().item<double>() > 1e-3);
  CHECK((meta.advantages + through.advantages).abs().max().item<double>() < 1e-12);
}

}  // namespace mentor::methods::TEST_FILE
