// Which numbers of the meta-parameters an agent lives by: its member's hyperparameters
// (population), its row (frozen), its own perturbed loss (evolved_loss).
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "agents/agent_shape.h"
#include "agents/policy.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/shared/perturbation.h"
#include "signals/signal_network.h"
#include "tests/conformance/recorded_lifetimes.h"
#include "tests/specs.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::kActionSize;
using mentor::testing::kObservationSize;
using mentor::testing::RandomNormals;
using mentor::testing::RandomSegment;
using mentor::testing::Settings;
using torch::Tensor;

constexpr int64_t kSteps = 20;
constexpr uint64_t kSeed = 3;

// A shard of agents that learn from the shaped reward.
v1::Shard ShardOf(const std::vector<uint32_t>& lifetimes, const std::string& loop,
                  const Settings& options = {}) {
  v1::Shard shard;
  v1::ExperimentSpec& spec = *shard.mutable_spec();
  spec.set_seed(kSeed);
  spec.mutable_lifetime()->set_iterations(3);
  spec.mutable_lifetime()->set_steps_per_iteration(kSteps);
  spec.mutable_agent()->set_hidden_units(8);
  spec.mutable_agent()->set_epochs(2);
  spec.mutable_agent()->set_minibatches(2);
  spec.mutable_rule()->set_lifetimes_per_update(4);
  spec.mutable_rule()->set_outer_updates(16);
  for (const uint32_t number : lifetimes) shard.add_lifetimes()->set_number(number);
  *shard.mutable_shape() = testing::Shape({.observation = kObservationSize, .action = kActionSize});
  shard.set_reward_source(v1::REWARD_SOURCE_SHAPED);
  shard.set_outer_learning(true);
  shard.mutable_inner_loop()->set_name(loop);
  testing::SetOptions(shard.mutable_inner_loop(), options);
  return shard;
}

std::unique_ptr<InnerLoop> Make(const v1::Shard& shard, const Tensor& numbers) {
  Violations violations;
  auto loop = MakeInnerLoop(shard, numbers, nullptr, {}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(loop != nullptr);
  return loop;
}

std::string Refusal(const v1::Shard& shard, const Tensor& numbers) {
  Violations violations;
  CHECK(MakeInnerLoop(shard, numbers, nullptr, {}, &violations) == nullptr);
  return violations.empty() ? "" : violations.list()[0].field;
}

agents::Segment Steps(int64_t agents) {
  return RandomSegment(agents, kSteps, /*seed=*/70);
}

// The agents' weights [S, P] at birth and after the first inner iteration.
struct Life {
  Tensor born, learned;
  LoopReport report;
};
Life Live(const v1::Shard& shard, const Tensor& numbers, const agents::Segment& segment) {
  const auto loop = Make(shard, numbers);
  loop->Begin();
  Life life;
  life.born = loop->Save().at("agents.theta").clone();
  const auto lived = loop->Iterate(
      0,
      [&](const std::vector<v1::PolicyWeights>&) -> absl::StatusOr<agents::Segment> {
        return segment;
      },
      &life.report);
  INFO(lived.status());
  REQUIRE(lived.ok());
  life.learned = loop->Save().at("agents.theta").clone();
  return life;
}

// Learning rate and coefficient of entropy of each of four members.
Tensor Members(const std::vector<float>& rates) {
  Tensor numbers = torch::full({4, 2}, 0.01F);
  for (size_t i = 0; i < rates.size(); ++i) numbers[static_cast<int64_t>(i)][0] = rates[i];
  return numbers.flatten();
}

TEST_CASE("population loop: an agent's member is its lifetime's number modulo the population",
          "[unit]") {
  const Tensor numbers = Members({0.01F, 0.0F, 0.02F, 0.03F});  // Member 1 stays as it is.
  for (const auto& lifetimes : std::vector<std::vector<uint32_t>>{{5, 6}, {2, 1}, {0, 9}, {4, 7}}) {
    const Life life = Live(ShardOf(lifetimes, "population"), numbers, Steps(2));
    for (int64_t s = 0; s < 2; ++s) {
      const uint32_t number = lifetimes[static_cast<size_t>(s)];
      INFO(number);
      CHECK(torch::equal(life.born[s], life.learned[s]) == (number % 4 == 1));
    }
  }
}

TEST_CASE("population loop: alone and in company an agent has the same bits", "[unit]") {
  const Tensor numbers = Members({0.01F, 0.02F, 0.03F, 0.04F});
  const Life both = Live(ShardOf({5, 6}, "population"), numbers, Steps(2)),
             alone =
                 Live(ShardOf({6}, "population"), numbers, agents::SomeLifetimes(Steps(2), 1, 1));
  CHECK(torch::equal(both.learned[1], alone.learned[0]));
}

TEST_CASE("population loop: each hyperparameter is that of PPO", "[unit]") {
  const struct {
    const char* name;
    void (v1::AgentSpec::*set)(double);
    double value;  // Exact as float32.
  } cases[] = {{"learning_rate", &v1::AgentSpec::set_learning_rate, 0.015625},
               {"entropy", &v1::AgentSpec::set_entropy_coef, 0.25},
               {"clip", &v1::AgentSpec::set_clip, 0.0078125},
               {"gamma", &v1::AgentSpec::set_gamma, 0.75},
               {"lambda", &v1::AgentSpec::set_gae_lambda, 0.5}};
  // Steps are long enough to be clipped.
  const auto shard_of = [](const std::string& loop, const Settings& options = {}) {
    v1::Shard shard = ShardOf({6}, loop, options);
    shard.mutable_spec()->mutable_agent()->set_learning_rate(0.03125);
    return shard;
  };
  const Tensor plain = Live(shard_of("ppo"), {}, Steps(1)).learned;
  for (const auto& [name, set, value] : cases) {
    INFO(name);
    Settings options = {{"tune_learning_rate", "false"}, {"tune_entropy", "false"}};
    for (auto& [option, on] : options) {
      if (option == std::string("tune_") + name) on = "true";
    }
    if (options[0].second == "false" && options[1].second == "false")
      options.emplace_back(std::string("tune_") + name, "true");
    Tensor numbers = torch::zeros({4});
    numbers[2] = value;  // Lifetime 6.
    const Tensor tuned = Live(shard_of("population", options), numbers, Steps(1)).learned;
    v1::Shard same = shard_of("ppo");
    (same.mutable_spec()->mutable_agent()->*set)(value);
    const Tensor want = Live(same, {}, Steps(1)).learned;
    CHECK(torch::allclose(tuned, want, /*rtol=*/1e-5, /*atol=*/1e-6));
    CHECK_FALSE(torch::allclose(tuned, plain, /*rtol=*/1e-5, /*atol=*/1e-6));
  }
}

TEST_CASE("population loop: agents learn from the reward that was asked for", "[unit]") {
  const Tensor numbers = Members({0.01F, 0.01F, 0.01F, 0.01F});
  agents::Segment other = Steps(1);
  other.success_signals = 1 - other.success_signals;
  const v1::Shard shaped = ShardOf({0}, "population", {{"reward", "shaped"}}),
                  success = ShardOf({0}, "population", {{"reward", "success"}});
  CHECK(
      torch::equal(Live(shaped, numbers, Steps(1)).learned, Live(shaped, numbers, other).learned));
  CHECK_FALSE(torch::equal(Live(success, numbers, Steps(1)).learned,
                           Live(success, numbers, other).learned));
  CHECK(Refusal(shaped, numbers.narrow(0, 0, 7)) == "shard.signal_version");
}

// Rows of policies, and the deviation of perturbations behind them.
struct Policies {
  static agents::AgentShape ShapeOf(const v1::Shard& shard) {
    agents::AgentShape shape = ShapeOfAgents(shard.spec().agent(), shard.shape());
    shape.critic = false;
    return shape;
  }
  explicit Policies(int64_t rows, double sigma = 0.25) {
    shard = ShardOf({}, "frozen");
    shard.mutable_spec()->mutable_lifetime()->set_iterations(1);
    shape = ShapeOf(shard);
    thetas = RandomNormals({rows, agents::AgentLayout(shape).size()}, 9);
    numbers = torch::cat({thetas.flatten(), torch::full({1}, sigma)});
  }
  void Add(uint32_t number, uint32_t variant) {
    v1::Lifetime& lifetime = *shard.add_lifetimes();
    lifetime.set_number(number);
    lifetime.set_variant(variant);
  }
  // The weights with which agents act.
  std::vector<std::string> Acting() const {
    const auto loop = Make(shard, numbers);
    loop->Begin();
    CHECK(loop->acts_with_means());
    std::vector<std::string> weights;
    for (const v1::PolicyWeights& policy : loop->Policies()) weights.push_back(policy.weights());
    return weights;
  }
  std::string Weights(const Tensor& theta) const {
    return agents::ToPolicyWeights(shape, theta.unsqueeze(0))[0].weights();
  }

  v1::Shard shard;
  agents::AgentShape shape;
  Tensor thetas, numbers;
};

TEST_CASE("frozen loop: in training the plan names the row, in evaluations the number does",
          "[unit]") {
  Policies policies(3);
  policies.shard.set_outer_learning(false);
  policies.Add(/*number=*/4, /*variant=*/2);
  policies.Add(5, 0);
  CHECK(policies.Acting() == std::vector<std::string>{policies.Weights(policies.thetas[2]),
                                                      policies.Weights(policies.thetas[0])});
  policies.shard.set_phase(static_cast<uint32_t>(Phase::kTestEvaluation));
  CHECK(policies.Acting() == std::vector<std::string>{policies.Weights(policies.thetas[1]),
                                                      policies.Weights(policies.thetas[2])});
}

TEST_CASE("frozen loop: perturbed agents go both ways from their row, by their numbers", "[unit]") {
  Policies policies(2);
  const int64_t size = policies.thetas.size(1);
  policies.Add(/*number=*/6, /*variant=*/1);
  policies.Add(7, 1);
  policies.Add(8, 0);
  const auto want = [&](int64_t row, double sign, uint32_t pair) {
    return policies.Weights(policies.thetas[row] +
                            0.25 * sign * PairPerturbation(kSeed, pair, size));
  };
  CHECK(policies.Acting() ==
        std::vector<std::string>{want(1, 1, 3), want(1, -1, 3), want(0, 1, 4)});
}

TEST_CASE("frozen loop: what cannot be is refused, and nothing goes on", "[unit]") {
  Policies policies(2);
  policies.Add(0, 1);
  CHECK_FALSE(Make(policies.shard, policies.numbers)->Load({}).ok());
  CHECK(Refusal(policies.shard, policies.thetas.flatten()) == "shard.signal_version");
  v1::Shard shard = policies.shard;
  shard.mutable_lifetimes(0)->set_variant(2);
  CHECK(Refusal(shard, policies.numbers) == "shard.lifetimes.variant");
  shard = policies.shard;
  shard.mutable_spec()->mutable_lifetime()->set_iterations(2);
  CHECK(Refusal(shard, policies.numbers) == "lifetime.iterations");
  shard = policies.shard;
  shard.mutable_spec()->mutable_lifetime()->set_steps_per_iteration(9);  // Episodes have ten.
  CHECK(Refusal(shard, policies.numbers) == "lifetime.steps_per_iteration");
  shard = policies.shard;
  shard.mutable_spec()->mutable_agent()->set_normalize_observations(true);
  CHECK(Refusal(shard, policies.numbers) == "agent.normalize_observations");
}

v1::Shard LossShard(const std::vector<uint32_t>& lifetimes, const Settings& options) {
  v1::Shard shard = ShardOf(lifetimes, "evolved_loss", options);
  v1::SignalSpec& signal = *shard.mutable_spec()->mutable_signal();
  signal.set_name("loss_conv");
  signal.set_role(v1::LOSS);
  testing::SetOptions(&signal, Settings{{"buffer", "30"}, {"context", "2"}});
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  return shard;
}

Tensor LossWeights(const v1::Shard& shard) {
  Violations violations;
  const auto network =
      signals::MakeSignalNetwork(shard.spec().signal(), SignalContextOf(shard), &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(network != nullptr);
  return network->InitialWeights(1);
}

TEST_CASE("evolved loss loop: each agent has a loss of its own, by its lifetime's number",
          "[unit]") {
  // The learned loss alone.
  const Settings options = {{"mix_fraction", "0"}, {"sigma", "0.5"}};
  const v1::Shard whole = LossShard({6, 7, 8}, options);
  const Tensor phi = LossWeights(whole);
  const Tensor learned = Live(whole, phi, Steps(3)).learned;
  for (int64_t s = 0; s < 3; ++s) {
    INFO(s);
    const uint32_t number = 6 + static_cast<uint32_t>(s);
    // The same agent with that loss as it is.
    v1::Shard frozen = LossShard({number}, options);
    frozen.set_outer_learning(false);
    const Tensor own =
        phi + 0.5 * (number % 2 == 0 ? 1 : -1) * PairPerturbation(kSeed, number / 2, phi.numel());
    const agents::Segment steps = agents::SomeLifetimes(Steps(3), s, 1);
    CHECK(torch::allclose(Live(frozen, own, steps).learned[0], learned[s], /*rtol=*/1e-5,
                          /*atol=*/1e-6));
    CHECK_FALSE(torch::allclose(Live(frozen, phi, steps).learned[0], learned[s], /*rtol=*/1e-5,
                                /*atol=*/1e-6));
  }
}

TEST_CASE("evolved loss loop: PPO's part falls with the outer updates, and is the final one later",
          "[unit]") {
  const Settings options = {{"mix_fraction", "0.5"}, {"mix_final", "0.2"}};
  const auto mix = [&](uint32_t number, bool outer_learning) {
    v1::Shard shard = LossShard({number}, options);
    shard.set_outer_learning(outer_learning);
    const Life life = Live(shard, LossWeights(shard), Steps(1));
    CHECK(life.report.nonfinite_updates == 0);
    return life.report.statistics.at("mix");
  };
  // Four lifetimes an update; over eight of sixteen updates.
  CHECK(mix(0, true) == 1);
  CHECK(mix(3, true) == 1);
  CHECK(mix(8, true) == Approx(1 - 0.8 * 2 / 8));
  CHECK(mix(31, true) == Approx(1 - 0.8 * 7 / 8));
  CHECK(mix(32, true) == Approx(0.2));
  CHECK(mix(60, true) == Approx(0.2));
  CHECK(mix(0, false) == Approx(0.2));  // Evaluations.
}

TEST_CASE("evolved loss loop: agents descend the loss of their newest steps", "[unit]") {
  v1::Shard shard = LossShard({0}, {{"mix_fraction", "0"}});
  shard.set_outer_learning(false);
  shard.mutable_spec()->mutable_agent()->set_epochs(1);
  shard.mutable_spec()->mutable_agent()->set_minibatches(1);
  const Tensor phi = LossWeights(shard);
  const agents::Segment steps = Steps(1);
  const Life life = Live(shard, phi, steps);
  // Computed by the network itself: ten empty steps and then these, all of which are rows.
  Violations violations;
  const auto network =
      signals::MakeSignalNetwork(shard.spec().signal(), SignalContextOf(shard), &violations);
  const auto behind_nothing = [](const Tensor& x) {
    return torch::cat({torch::zeros({1, 10, x.size(2)}), x.to(torch::kFloat32)}, 1);
  };
  const c10::AutoGradMode gradients_on(true);
  const Tensor theta = life.born.clone().requires_grad_(true);
  const agents::ParamLayout layout =
      agents::AgentLayout(ShapeOfAgents(shard.spec().agent(), shard.shape()));
  const agents::AgentNetworks networks =
      agents::SplitAgents(layout, theta.narrow(1, 0, layout.size()));
  const Tensor observations = behind_nothing(steps.observations);
  const Tensor mean = agents::Forward(networks.policy, observations);
  const Tensor loss = network->loss()->Loss(
      phi.unsqueeze(0),
      {.observations = observations,
       .actions = behind_nothing(steps.actions),
       .rewards =
           behind_nothing(signals::TaskReward(steps, shard.spec().signal().input()).unsqueeze(2))
               .squeeze(2),
       .dones = behind_nothing(
                    torch::cat({steps.prev_done.narrow(1, 1, kSteps - 1), torch::zeros({1, 1})}, 1)
                        .unsqueeze(2))
                    .squeeze(2),
       .policy = torch::cat({mean, networks.log_std.unsqueeze(1).expand_as(mean)}, 2),
       .context = theta.narrow(1, layout.size(), 2),
       .rows = torch::arange(10, 30, torch::kInt64).unsqueeze(0)});
  const Tensor gradient = torch::autograd::grad({loss.sum()}, {theta})[0];
  // Adam's first step.
  const v1::AgentSpec& agent = shard.spec().agent();
  const Tensor want =
      theta.detach() - agent.learning_rate() * gradient / (gradient.abs() + agent.adam_epsilon());
  CHECK(torch::allclose(life.learned, want, /*rtol=*/0, /*atol=*/1e-5));
  CHECK((life.learned - life.born).abs().max().item<double>() > 1e-4);
}

TEST_CASE("evolved loss loop: the last iteration only collects, and a short buffer is refused",
          "[unit]") {
  v1::Shard shard = LossShard({0}, {});
  const Tensor phi = LossWeights(shard);
  const auto loop = Make(shard, phi);
  loop->Begin();
  LoopReport report;
  const auto collect =
      [&](const std::vector<v1::PolicyWeights>&) -> absl::StatusOr<agents::Segment> {
    return Steps(1);
  };
  for (uint32_t iteration = 0; iteration < 3; ++iteration) {
    const Tensor before = loop->Save().at("agents.theta").clone();
    REQUIRE(loop->Iterate(iteration, collect, &report).ok());
    CHECK(torch::equal(before, loop->Save().at("agents.theta")) == (iteration == 2));
  }
  // The newest steps are the last ones of the buffer.
  const TensorMap state = loop->Save();
  const Tensor kept = state.at("buffer.observations");
  REQUIRE(kept.size(1) == 30);
  CHECK(torch::equal(kept.narrow(1, 10, kSteps), Steps(1).observations));
  CHECK(torch::equal(kept.narrow(1, 0, 10), Steps(1).observations.narrow(1, 10, 10)));
  CHECK(torch::equal(state.at("buffer.dones").squeeze(2).narrow(1, 10, kSteps - 1),
                     Steps(1).prev_done.narrow(1, 1, kSteps - 1)));
  shard.mutable_spec()->mutable_signal()->mutable_option(0)->set_value("25");
  shard.mutable_spec()->mutable_lifetime()->set_steps_per_iteration(26);
  CHECK(Refusal(shard, phi) == "signal.option.buffer");
}

}  // namespace mentor::methods::TEST_FILE
