// Evolution strategies: ranks, the gradient estimate, the test function of
// methods/evolution_strategies/README.md, and what is refused.
#include "methods/shared/evolution_strategies.h"

#include <cmath>
#include <limits>

#include "methods/base/outer_rule.h"
#include "methods/shared/perturbation.h"
#include "tests/specs.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

Tensor Doubles(std::vector<double> values) {
  return torch::tensor(values, torch::kFloat64);
}

TEST_CASE("evolution: ranks are centred, equal ones equal, each environment by itself") {
  CHECK(torch::equal(CentredRanks(Doubles({5, -1, 100}), {"a", "a", "a"}), Doubles({0, -.5, .5})));
  CHECK(torch::equal(CentredRanks(Doubles({2, 2, 1, 3, 2}), {"a", "a", "a", "a", "a"}),
                     Doubles({0, 0, -.5, .5, 0})));
  // "b" pays a hundred times as much; the lifetime on "c" has no other one to be compared with.
  CHECK(torch::equal(CentredRanks(Doubles({1, 200, 2, 100, 7}), {"a", "b", "a", "b", "c"}),
                     Doubles({-.5, .5, .5, -.5, 0})));
}

TEST_CASE("evolution: the gradient is the sum over pairs with the perturbations of their numbers") {
  const uint64_t seed = 7;
  const int64_t size = 3;
  const Tensor got = EvolutionGradient(Doubles({.5, -.5, .25, .25}), /*sigma=*/0.1, seed,
                                       /*first_lifetime=*/8, size);
  // Pair 4 counts with .5 + .5, pair 5 not at all; F sigma = 0.4.
  const Tensor want = PairPerturbation(seed, 4, size).to(torch::kFloat64) / 0.4;
  CHECK((got - want).abs().max().item<double>() < 1e-12);
  CHECK(want.abs().min().item<double>() > 1e-3);
  CHECK_FALSE(torch::equal(PairPerturbation(seed, 4, size), PairPerturbation(seed, 5, size)));
  CHECK(PairOf(9) == 4);
  CHECK(SignOf(8) == 1);
  CHECK(SignOf(9) == -1);
}

// Around 1, for around 0 weight decay alone would find it.
double Sphere(const Tensor& x) {
  return (x.to(torch::kFloat64) - 1).square().sum().item<double>();
}

// f after 600 generations of 50, from a point with f about 100; `direction` multiplies the
// gradient.
double AfterGenerations(double direction) {
  const uint64_t seed = 11;
  const int64_t size = 50, population = 50;
  const EvolutionConfig config;
  Tensor x = PairPerturbation(seed + 1, 0, size);
  AdamState adam{torch::zeros_like(x), torch::zeros_like(x), 0};
  const std::vector<std::string> groups(population, "sphere");
  for (uint32_t generation = 0; generation < 600; ++generation) {
    const uint32_t first = generation * population;
    std::vector<double> fitness;
    for (uint32_t i = first; i < first + population; ++i) {
      fitness.push_back(
          -Sphere(x + config.sigma * SignOf(i) * PairPerturbation(seed, PairOf(i), size)));
    }
    const Tensor gradient =
        EvolutionGradient(CentredRanks(Doubles(fitness), groups), config.sigma, seed, first, size);
    EvolutionStep(config, direction * gradient, x, &adam);
  }
  return Sphere(x);
}

TEST_CASE("evolution: the 50-dimensional sphere is solved, by a right gradient only") {
  CHECK(AfterGenerations(1) < 1e-3);
  CHECK(AfterGenerations(-1) > 100);
  CHECK(AfterGenerations(0) > 10);
}

TEST_CASE("evolution: weights decay towards 0") {
  EvolutionConfig config;
  config.weight_decay = 0.1;
  config.adam.learning_rate = 0.01;
  Tensor weights = torch::ones({3});
  AdamState adam{torch::zeros({3}), torch::zeros({3}), 0};
  EvolutionStep(config, torch::zeros({3}, torch::kFloat64), weights, &adam);
  CHECK(weights.max().item<double>() < 1);
  CHECK(weights.min().item<double>() > 0.9);
}

v1::ExperimentSpec Spec() {
  v1::ExperimentSpec spec;
  spec.mutable_rule()->set_name("evolution_strategies");
  spec.mutable_rule()->set_lifetimes_per_update(4);
  spec.mutable_signal()->set_name("mlp");
  return spec;
}

std::string Refusal(const v1::ExperimentSpec& spec) {
  Violations violations;
  const signals::SignalContext context{
      .observation_size = 3, .action_size = 2, .role = spec.signal().role()};
  const std::shared_ptr<const signals::SignalNetwork> network =
      signals::MakeSignalNetwork(spec.signal(), context, &violations);
  REQUIRE(network != nullptr);
  const auto rule = MakeOuterRule({.spec = spec, .network = network}, &violations);
  CHECK((rule == nullptr) == !violations.empty());
  return std::string(violations.ToStatus().message());
}

TEST_CASE("evolution: any network will do, odd numbers of lifetimes and one iteration will not") {
  using Catch::Matchers::Contains;
  for (const char* name : {"mlp", "lstm", "lstm_both", "attention"}) {
    v1::ExperimentSpec spec = Spec();
    spec.mutable_signal()->set_name(name);
    CHECK(Refusal(spec).empty());
  }
  v1::ExperimentSpec odd = Spec();
  odd.mutable_rule()->set_lifetimes_per_update(5);
  CHECK_THAT(Refusal(odd), Contains("lifetimes_per_update: is 5"));
  v1::ExperimentSpec one = Spec();
  one.mutable_lifetime()->set_iterations(1);
  CHECK_THAT(Refusal(one), Contains("lifetime.iterations: is 1"));
  v1::ExperimentSpec discount = Spec();
  discount.mutable_signal()->set_name("discount");
  discount.mutable_signal()->set_role(v1::ADVANTAGE);
  CHECK_THAT(Refusal(discount), Contains("reads the values"));
}

// Four lifetimes of two iterations of three steps.
std::unique_ptr<OuterRule> NewRule(const std::string& name,
                                   const mentor::testing::Settings& options = {}) {
  v1::ExperimentSpec spec = mentor::testing::SpecOfRule(
      name, {.seed = 3, .lifetimes = 4, .iterations = 2, .steps = 3}, options);
  spec.mutable_rule()->set_outer_updates(8);
  spec.mutable_rule()->set_shard_lifetimes(4);
  spec.mutable_signal()->set_name("mlp");
  Violations violations;
  const std::shared_ptr<const signals::SignalNetwork> network = signals::MakeSignalNetwork(
      spec.signal(), {.observation_size = 3, .action_size = 2}, &violations);
  auto rule = MakeOuterRule({.spec = spec, .network = network}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(rule != nullptr);
  return rule;
}

// Rewards of the first iteration and of the last; successes the other way round.
LifetimeBatch Outcomes(const std::vector<double>& first, const std::vector<double>& last) {
  const auto steps = [](const std::vector<double>& x) {
    return Doubles(x).unsqueeze(1).repeat({1, 3});
  };
  LifetimeBatch batch;
  batch.environments.assign(4, "a");
  batch.steps_per_iteration = 3;
  batch.steps.shaped_rewards = torch::cat({steps(first), steps(last)}, 1);
  batch.steps.success_signals = torch::cat({steps(last), steps(first)}, 1);
  return batch;
}

// Adam's first step has the length of its learning rate in every direction.
double FirstStep(const std::string& rule, const mentor::testing::Settings& options,
                 uint32_t outer_step) {
  mentor::testing::Settings settings = options;
  settings.emplace_back("weight_decay", "0");
  const auto report =
      NewRule(rule, settings)->Update(Outcomes({0, 0, 0, 0}, {1, 2, 3, 5}), outer_step);
  INFO(report.status());
  REQUIRE(report.ok());
  return report->at("step_norm");
}

TEST_CASE(
    "evolution: the learning rate falls to a tenth over the first half, where it is annealed") {
  for (const char* name : {"epg", "evolution_strategies"}) {
    INFO(name);
    const double whole = FirstStep(name, {{"anneal", "0"}}, 0);
    CHECK(whole > 0);
    const auto share = [&](const mentor::testing::Settings& options, uint32_t outer_step) {
      return FirstStep(name, options, outer_step) / whole;
    };
    // Over eight updates.
    for (const auto& [outer_step, want] : std::vector<std::pair<uint32_t, double>>{
             {0, 1}, {1, 0.775}, {2, 0.55}, {4, 0.1}, {7, 0.1}}) {
      INFO(outer_step);
      CHECK(share({{"anneal", "0.5"}}, outer_step) == Approx(want).epsilon(1e-3));
      CHECK(share({{"anneal", "0"}}, outer_step) == Approx(1).epsilon(1e-3));
    }
  }
  // The default settings.
  CHECK(FirstStep("epg", {}, 4) == FirstStep("epg", {{"anneal", "0.5"}}, 4));
  CHECK(FirstStep("evolution_strategies", {}, 4) ==
        FirstStep("evolution_strategies", {{"anneal", "0"}}, 4));
}

TEST_CASE("evolution: fitness is the sum of rewards, or of successes, in the last iteration") {
  const LifetimeBatch batch = Outcomes({1, 0, 0, 1}, {5, 6, 7, 2});
  const auto shaped = NewRule("evolution_strategies")->Update(batch, 0);
  REQUIRE(shaped.ok());
  CHECK(shaped->at("fitness_mean") == 3 * 5);
  CHECK(shaped->at("fitness_std") == Approx(3 * std::sqrt(14.0 / 3)));
  const auto success = NewRule("evolution_strategies", {{"fitness", "success"}})->Update(batch, 0);
  REQUIRE(success.ok());
  CHECK(success->at("fitness_mean") == 3 * 0.5);
  LifetimeBatch bad = batch;
  bad.steps.shaped_rewards[2][5] = std::numeric_limits<double>::quiet_NaN();
  const auto refused = NewRule("evolution_strategies")->Update(bad, 0);
  CHECK_FALSE(refused.ok());
  CHECK(refused.status().message().find("lifetime 2") != std::string_view::npos);
  bad.steps.shaped_rewards = batch.steps.shaped_rewards.narrow(1, 0, 5);
  CHECK_FALSE(NewRule("evolution_strategies")->Update(bad, 0).ok());
}

TEST_CASE("evolution: whether pairs share their chance is an option, and they do") {
  CHECK(NewRule("evolution_strategies")->needs().pairs());
  CHECK_FALSE(NewRule("epg", {{"paired_noise", "false"}})->needs().pairs());
}

TEST_CASE(
    "evolution: the correlation of pairs is one where both do the same, each from its group") {
  using Groups = std::vector<std::string>;
  CHECK(*PairCorrelation(Doubles({1, 1, 3, 3}), Groups(4, "a")) == Approx(1));
  CHECK(*PairCorrelation(Doubles({1, 3, 1, 3}), Groups(4, "a")) == Approx(-1));
  // Environments far apart say nothing of pairs.
  CHECK(*PairCorrelation(Doubles({1, 3, 101, 103}), {"a", "a", "b", "b"}) == Approx(-1));
  CHECK_FALSE(PairCorrelation(Doubles({2, 2, 2, 2}), Groups(4, "a")).has_value());
}

TEST_CASE("evolution: the gradient of an update is that of its lifetimes' numbers") {
  // Eighteen pairs, in six parts.
  v1::ExperimentSpec spec = mentor::testing::SpecOfRule(
      "evolution_strategies", {.seed = 3, .lifetimes = 36, .iterations = 2, .steps = 1},
      mentor::testing::Settings{{"weight_decay", "0"}, {"adam_beta1", "0"}, {"sigma", "0.5"}});
  spec.mutable_signal()->set_name("mlp");
  Violations violations;
  const std::shared_ptr<const signals::SignalNetwork> network = signals::MakeSignalNetwork(
      spec.signal(), {.observation_size = 3, .action_size = 2}, &violations);
  const auto rule = MakeOuterRule({.spec = spec, .network = network}, &violations);
  REQUIRE(rule != nullptr);
  LifetimeBatch batch;
  batch.steps_per_iteration = 1;
  std::vector<double> fitness;
  for (int i = 0; i < 36; ++i) fitness.push_back((i * 7) % 36);
  batch.environments.assign(36, "a");
  batch.steps.shaped_rewards =
      torch::stack({torch::zeros({36}, torch::kFloat64), Doubles(fitness)}, 1);
  const Tensor before = rule->meta_parameters().clone();
  const auto report = rule->Update(batch, /*outer_step=*/2);
  REQUIRE(report.ok());
  const Tensor gradient =
      EvolutionGradient(CentredRanks(Doubles(fitness), batch.environments), 0.5, 3,
                        /*first_lifetime=*/72, before.numel());
  CHECK(report->at("outer_grad_norm") == Approx(gradient.norm().item<double>()));
  // The first step goes up it everywhere.
  const Tensor step = (rule->meta_parameters() - before).to(torch::kFloat64);
  CHECK((step * gradient).min().item<double>() > 0);
}

}  // namespace mentor::methods::TEST_FILE
