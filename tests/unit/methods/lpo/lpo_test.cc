// LPO (methods/lpo/README.md): what every drift satisfies, by which drift an agent lives, how the
// outer rule shrinks its steps, and what is refused.
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "methods/base/inner_loop.h"
#include "methods/base/outer_rule.h"
#include "methods/lpo/drift.h"
#include "methods/shared/evolution_strategies.h"
#include "methods/shared/perturbation.h"
#include "tests/conformance/recorded_lifetimes.h"
#include "tests/specs.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::kActionSize;
using mentor::testing::kObservationSize;
using mentor::testing::RandomNormals;
using mentor::testing::Settings;
using torch::Tensor;

constexpr int64_t kSteps = 20;
constexpr uint64_t kSeed = 3;

TEST_CASE("drift: never negative, and flat at 0 where the policy has not moved", "[unit]") {
  for (const bool from_ppo : {true, false}) {
    for (const double scale : {0.0, 0.1, 10.0}) {
      INFO(from_ppo << " " << scale);
      const DriftNetwork network({.hidden = 16, .from_ppo = from_ppo});
      const Tensor weights = scale * RandomNormals({4, network.layout().size()}, 1);
      const Tensor advantages = RandomNormals({4, 50}, 2);
      const auto drift = [&](const Tensor& log_ratio) {
        return network.Drift(weights, log_ratio, advantages, /*clip=*/0.2);
      };
      const Tensor far = drift(RandomNormals({4, 50}, 3));
      CHECK(far.min().item<double>() >= 0);
      CHECK((far.max().item<double>() > 0) == (from_ppo || scale > 0));
      const Tensor at = torch::zeros({4, 50}).requires_grad_();
      const Tensor unmoved = drift(at);
      CHECK(unmoved.abs().max().item<double>() == 0);
      CHECK(torch::autograd::grad({unmoved.sum()}, {at})[0].abs().max().item<double>() == 0);
    }
  }
}

TEST_CASE("drift: new weights have no effect, and no saddle either", "[unit]") {
  const DriftNetwork network({.hidden = 16, .from_ppo = false});
  const Tensor born = network.InitialWeights(kSeed), log_ratio = RandomNormals({1, 50}, 3);
  CHECK(torch::equal(born, network.InitialWeights(kSeed)));
  CHECK_FALSE(torch::equal(born, network.InitialWeights(kSeed + 1)));
  const auto drift = [&](const Tensor& weights) {
    return network.Drift(weights.unsqueeze(0), log_ratio, RandomNormals({1, 50}, 2), /*clip=*/0.2);
  };
  CHECK(drift(born).abs().max().item<double>() == 0);
  // The two of a pair differ; around zeros they would not.
  const Tensor noise = 0.1 * RandomNormals({born.numel()}, 5);
  CHECK_FALSE(torch::equal(drift(born + noise), drift(born - noise)));
  CHECK(torch::equal(drift(noise), drift(-noise)));
}

v1::Shard ShardOf(const std::vector<uint32_t>& lifetimes, const std::string& loop,
                  const Settings& options = {}) {
  v1::Shard shard;
  v1::ExperimentSpec& spec = *shard.mutable_spec();
  spec.set_seed(kSeed);
  spec.mutable_lifetime()->set_iterations(3);
  spec.mutable_lifetime()->set_steps_per_iteration(kSteps);
  spec.mutable_agent()->set_hidden_units(8);
  spec.mutable_agent()->set_epochs(4);
  spec.mutable_agent()->set_minibatches(2);
  spec.mutable_agent()->set_learning_rate(0.03125);  // Far enough to be clipped.
  spec.mutable_rule()->set_lifetimes_per_update(4);
  spec.mutable_signal()->set_name("drift");
  spec.mutable_signal()->set_input(v1::SHAPED);
  for (const uint32_t number : lifetimes) shard.add_lifetimes()->set_number(number);
  *shard.mutable_shape() =
      mentor::testing::Shape({.observation = kObservationSize, .action = kActionSize});
  shard.set_reward_source(loop == "ppo" ? v1::REWARD_SOURCE_SHAPED : v1::REWARD_SOURCE_SIGNAL);
  shard.set_outer_learning(true);
  shard.mutable_inner_loop()->set_name(loop);
  mentor::testing::SetOptions(shard.mutable_inner_loop(), options);
  return shard;
}

// [Q]
Tensor Zeros() {
  return torch::zeros({DriftNetwork(DriftConfig{}).layout().size()});
}

std::string Refusal(const v1::Shard& shard) {
  Violations violations;
  CHECK(MakeInnerLoop(shard, Zeros(), nullptr, {}, &violations) == nullptr);
  return std::string(violations.ToStatus().message());
}

struct Life {
  Tensor learned;  // [S, P] after the first inner iteration.
  LoopReport report;
};
Life Live(const v1::Shard& shard, const Tensor& phi, const agents::Segment& segment) {
  Violations violations;
  const auto loop = MakeInnerLoop(shard, phi, nullptr, {}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(loop != nullptr);
  loop->Begin();
  Life life;
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

bool Near(const Tensor& a, const Tensor& b) {
  return torch::allclose(a, b, /*rtol=*/1e-3, /*atol=*/1e-4);
}

TEST_CASE("drifting loop: agents of a drift of zeros are those of PPO, at its clip", "[unit]") {
  const agents::Segment steps = mentor::testing::RandomSegment(2, kSteps, /*seed=*/70);
  v1::Shard drifting = ShardOf({0, 1}, "drifting_ppo"), ppo = ShardOf({0, 1}, "ppo");
  drifting.set_outer_learning(false);
  mentor::testing::SetOptions(drifting.mutable_spec()->mutable_signal(), Settings{{"xi", "1e-12"}});
  for (const double clip : {0.2, 0.02}) {
    INFO(clip);
    for (v1::Shard* shard : {&drifting, &ppo})
      shard->mutable_spec()->mutable_agent()->set_clip(clip);
    const Life life = Live(drifting, Zeros(), steps);
    const Tensor want = Live(ppo, {}, steps).learned;
    CHECK(Near(life.learned, want));
    CHECK(life.report.nonfinite_updates == 0);
    CHECK(life.report.statistics.at("drift") > 0);
    CHECK(life.report.statistics.at("approx_kl") > 0);
    CHECK(life.report.statistics.at("beyond_clip") > 0);
  }
  // Without the clip's drift nothing holds them back.
  v1::Shard free = drifting;
  mentor::testing::SetOptions(free.mutable_spec()->mutable_signal(),
                              Settings{{"from_ppo", "false"}});
  CHECK_FALSE(Near(Live(free, Zeros(), steps).learned, Live(drifting, Zeros(), steps).learned));
  // The task's reward is that of signal.input.
  v1::Shard success = drifting;
  success.mutable_spec()->mutable_signal()->set_input(v1::SUCCESS);
  CHECK_FALSE(Near(Live(success, Zeros(), steps).learned, Live(drifting, Zeros(), steps).learned));
}

TEST_CASE("drifting loop: each agent has a drift of its own, of its number and outer update",
          "[unit]") {
  const Settings options = {{"sigma", "0.5"}, {"sigma_decay", "0.5"}};
  const agents::Segment steps = mentor::testing::RandomSegment(4, kSteps, /*seed=*/70);
  const Tensor phi = 0.1 * RandomNormals({Zeros().numel()}, 4);
  const std::vector<uint32_t> numbers = {6, 7, 8, 27};  // Outer updates 1, 1, 2 and 6.
  const Tensor learned = Live(ShardOf(numbers, "drifting_ppo", options), phi, steps).learned;
  for (int64_t s = 0; s < 4; ++s) {
    const uint32_t number = numbers[static_cast<size_t>(s)];
    INFO(number);
    v1::Shard frozen = ShardOf({number}, "drifting_ppo", options);
    frozen.set_outer_learning(false);
    const agents::Segment own = agents::SomeLifetimes(steps, s, 1);
    const double sigma = std::max(0.5 * std::pow(0.5, number / 4), 0.01);
    const auto at = [&](double factor) {
      return Live(frozen, Perturbed(phi, factor * sigma, kSeed, number), own).learned[0];
    };
    CHECK(Near(at(1), learned[s]));
    CHECK_FALSE(Near(at(0), learned[s]));
    CHECK_FALSE(Near(at(-1), learned[s]));
    CHECK_FALSE(Near(at(2), learned[s]));
  }
}

TEST_CASE("drifting loop: takes a drift alone, and a reward", "[unit]") {
  using Catch::Matchers::Contains;
  v1::Shard shard = ShardOf({0}, "drifting_ppo");
  shard.mutable_spec()->mutable_signal()->set_name("mlp");
  CHECK_THAT(Refusal(shard), Contains("signal.name: is mlp") && Contains("takes drift alone"));
  shard = ShardOf({0}, "drifting_ppo");
  shard.mutable_spec()->mutable_signal()->set_role(v1::ADVANTAGE);
  CHECK_THAT(Refusal(shard), Contains("signal.role: is ADVANTAGE") && Contains("set REWARD"));
  shard = ShardOf({0}, "drifting_ppo");
  shard.mutable_spec()->mutable_agent()->set_surrogate(v1::DPO);
  CHECK_THAT(Refusal(shard),
             Contains("agent.surrogate: is DPO") && Contains("a drift in the surrogate's place"));
  shard = ShardOf({0}, "ppo");
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  CHECK_THAT(Refusal(shard), Contains("signal.name: is drift") && Contains("drifting_ppo"));
}

std::unique_ptr<OuterRule> NewRule(const Settings& options, Violations* violations,
                                   const std::string& network = "drift") {
  v1::ExperimentSpec spec = mentor::testing::SpecOfRule(
      "lpo", {.seed = kSeed, .lifetimes = 4, .iterations = 2, .steps = 3}, options);
  spec.mutable_rule()->set_outer_updates(8);
  spec.mutable_rule()->set_shard_lifetimes(4);
  spec.mutable_signal()->set_name(network);
  const std::shared_ptr<const signals::SignalNetwork> made = signals::MakeSignalNetwork(
      spec.signal(), {.observation_size = 3, .action_size = 2}, violations);
  REQUIRE(made != nullptr);
  return MakeOuterRule({.spec = spec, .network = made}, violations);
}

RuleReport ReportOf(const Settings& options, uint32_t outer_step) {
  Violations violations;
  const auto rule = NewRule(options, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(rule != nullptr);
  LifetimeBatch batch;
  batch.environments.assign(4, "a");
  batch.steps_per_iteration = 3;
  batch.steps.shaped_rewards =
      torch::tensor({1.0, 2.0, 3.0, 7.0}, torch::kFloat64).unsqueeze(1).repeat({1, 6});
  const auto report = rule->Update(batch, outer_step);
  INFO(report.status());
  REQUIRE(report.ok());
  return *report;
}

TEST_CASE("lpo: fitness counts by its deviations, and sigma falls with the outer updates",
          "[unit]") {
  const std::vector<std::string> groups(4, "a");
  const Tensor fitness = torch::tensor({3.0, 6.0, 9.0, 21.0}, torch::kFloat64);
  const auto norm = [&](const Tensor& scores, double sigma, uint32_t outer_step) {
    return EvolutionGradient(scores, sigma, kSeed, 4 * outer_step, Zeros().numel())
        .norm()
        .item<double>();
  };
  const Tensor scores = StandardScores(fitness, groups), ranks = CentredRanks(fitness, groups);
  const double factors[] = {1, 0.999, 0.999 * 0.999};
  for (uint32_t step = 0; step < 3; ++step) {
    INFO(step);
    const double sigma = 0.04 * factors[step];
    CHECK(ReportOf({}, step).at("outer_grad_norm") == Approx(norm(scores, sigma, step)));
    CHECK(ReportOf({{"scores", "ranks"}}, step).at("outer_grad_norm") ==
          Approx(norm(ranks, sigma, step)));
  }
}

TEST_CASE("lpo: the learning rate falls with the outer updates, down to the least", "[unit]") {
  // Adam's first step has the length of its rate in every direction.
  const auto rate = [](const Settings& options, uint32_t outer_step) {
    return ReportOf(options, outer_step).at("step_norm") /
           std::sqrt(static_cast<double>(Zeros().numel()));
  };
  CHECK(rate({}, 0) == Approx(0.01).epsilon(1e-3));
  CHECK(rate({}, 100) == Approx(0.01 * std::pow(0.999, 100)).epsilon(1e-3));
  CHECK(rate({}, 7000) == Approx(0.001).epsilon(1e-3));
  CHECK(rate({{"learning_rate_decay", "1"}}, 7000) == Approx(0.01).epsilon(1e-3));
  CHECK(rate({{"learning_rate", "0"}}, 7000) == 0);
}

TEST_CASE("lpo: another network is refused by name", "[unit]") {
  Violations violations;
  CHECK(NewRule({}, &violations, "mlp") == nullptr);
  CHECK_THAT(std::string(violations.ToStatus().message()),
             Catch::Matchers::Contains("signal.name: is mlp, which is no drift: set drift"));
}

}  // namespace mentor::methods::TEST_FILE
