// Evolution strategies: ranks, the gradient estimate, the test function of
// docs/algorithms/evolution_strategies.md, and what is refused.
#include "meta_learner/rules/evolution_strategies.h"

#include "learner/inner_loops/perturbation.h"
#include "meta_learner/rules/outer_rule.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner {
namespace {

using torch::Tensor;

Tensor Doubles(std::vector<double> values) {
  return torch::tensor(values, torch::kFloat64);
}

TEST_CASE("evolution: ranks are centred, equal ones equal, each environment by itself") {
  CHECK(torch::equal(CentredRanks(Doubles({5, -1, 100}), {"a", "a", "a"}), Doubles({0, -.5, .5})));
  CHECK(torch::equal(CentredRanks(Doubles({2, 2, 1, 3, 2}), {"a", "a", "a", "a", "a"}),
                     Doubles({0, 0, -.5, .5, 0})));
  // "b" pays a hundred times as much; the lifetime on "c" has nobody to be compared with.
  CHECK(torch::equal(CentredRanks(Doubles({1, 200, 2, 100, 7}), {"a", "b", "a", "b", "c"}),
                     Doubles({-.5, .5, .5, -.5, 0})));
}

TEST_CASE("evolution: the gradient is the sum over pairs with the perturbations of their numbers") {
  const uint64_t seed = 7;
  const int64_t size = 3;
  const Tensor got = EvolutionGradient(Doubles({.5, -.5, .25, .25}), /*sigma=*/0.1, seed,
                                       /*first_lifetime=*/8, size);
  // Pair 4 counts with .5 + .5, pair 5 not at all; F sigma = 0.4.
  const Tensor want = learner::PairPerturbation(seed, 4, size).to(torch::kFloat64) / 0.4;
  CHECK((got - want).abs().max().item<double>() < 1e-12);
  CHECK(want.abs().min().item<double>() > 1e-3);
  CHECK_FALSE(torch::equal(learner::PairPerturbation(seed, 4, size),
                           learner::PairPerturbation(seed, 5, size)));
  CHECK(learner::PairOf(9) == 4);
  CHECK(learner::SignOf(8) == 1);
  CHECK(learner::SignOf(9) == -1);
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
  Tensor x = learner::PairPerturbation(seed + 1, 0, size);
  AdamState adam{torch::zeros_like(x), torch::zeros_like(x), 0};
  const std::vector<std::string> groups(population, "sphere");
  for (uint32_t generation = 0; generation < 600; ++generation) {
    const uint32_t first = generation * population;
    std::vector<double> fitness;
    for (uint32_t i = first; i < first + population; ++i) {
      fitness.push_back(-Sphere(x + config.sigma * learner::SignOf(i) *
                                        learner::PairPerturbation(seed, learner::PairOf(i), size)));
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
  const learner::SignalContext context{
      .observation_size = 3, .action_size = 2, .role = spec.signal().role()};
  const std::shared_ptr<const learner::SignalNetwork> network =
      learner::MakeSignalNetwork(spec.signal(), context, &violations);
  REQUIRE(network != nullptr);
  const auto rule = MakeOuterRule({.spec = spec, .network = network}, &violations);
  CHECK((rule == nullptr) == !violations.empty());
  return std::string(violations.ToStatus().message());
}

TEST_CASE("evolution: any network will do, odd numbers of lifetimes and one iteration will not") {
  using Catch::Matchers::Contains;
  for (const char* name : {"mlp", "lstm", "attention"}) {
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

}  // namespace
}  // namespace mentor::meta_learner
