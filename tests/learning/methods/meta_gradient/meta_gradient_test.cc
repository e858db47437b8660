// The blind agent of Umbrella Length (methods/meta_gradient/README.md#umbrella-length) through the
// real services in one process. It learns nothing by itself and everything from a signal learned by
// meta-gradient. It learns nothing from a signal whose outer gradient is missing or has the wrong
// sign.
#include <string>
#include <vector>

#include "tests/learning/learning.h"
#include "tests/normals.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

// The last rounds: 192 training episodes, 32 in each.
constexpr size_t kRounds = 6;

testing::Learned Learn(std::vector<std::string> overrides) {
  const std::vector<std::string> all = {"seed=3", "benchmark.length=2",
                                        "lifetime.steps_per_iteration=64", "lifetime.iterations=60",
                                        "rule.outer_updates=60"};
  overrides.insert(overrides.begin(), all.begin(), all.end());
  return testing::Run("umbrella_blind.txtpb", overrides);
}

double Success(const testing::Learned& learned) {
  return learned.Last("success", kRounds);
}

// The signal at the first step of many episodes of two steps, on the average: with the right first
// action less with the wrong one, both forced.
double CreditOfFirstAction(const testing::Learned& learned) {
  constexpr int64_t kEpisodes = 256;
  const auto coin = [](uint32_t number) {
    return testing::Normals({.seed = 11}, number, {kEpisodes}).gt(0).to(torch::kFloat32);
  };
  double credit = 0;
  for (const bool right : {true, false}) {
    const torch::Tensor need = coin(0), action = right ? need : 1 - need, later = coin(1);
    agents::Segment episodes;
    // need, have and the countdown; before the first step `have` is a coin.
    episodes.observations =
        torch::stack({torch::stack({need, coin(2), torch::ones({kEpisodes})}, 1),
                      torch::stack({need, action, torch::full({kEpisodes}, 0.5)}, 1)},
                     1);
    const torch::Tensor taken = torch::stack({action, later}, 1);
    episodes.actions = torch::stack({1 - taken, taken}, 2);
    // Scaled as agents see them: a tenth of the noise of 0.1 and of the last reward of 10.
    episodes.shaped_rewards =
        torch::stack({0.01 * (2 * coin(3) - 1), torch::full({kEpisodes}, right ? 1.0 : -1.0)}, 1)
            .to(torch::kFloat64);
    episodes.prev_done = torch::zeros({kEpisodes, 2});
    episodes.last_done = torch::ones({kEpisodes});
    auto state = learned.network->signals()->InitialState(kEpisodes, torch::kFloat32);
    const torch::Tensor signals =
        learned.network->signals()->Run(learned.meta_parameters, episodes, {}, &state).signals;
    credit += (right ? 1 : -1) * signals.select(1, 0).mean().item<double>();
  }
  return credit;
}

constexpr double kSolved = 0.9, kChance = 0.7;

TEST_CASE("learning: a signal learned by meta-gradient teaches the blind agent", "[learning]") {
  const testing::Learned learned = Learn({});
  CHECK(Success(learned) >= kSolved);
  // The credit lies on the first step.
  const double credit = CreditOfFirstAction(learned);
  WARN("credit of the first action: " << credit);
  CHECK(credit > 0.05);
  // Within the bounds for a gradient, and a signal that says something.
  CHECK(learned.Last("outer_clip_fraction", kRounds) < 0.3);
  CHECK(learned.Last("signal_sd", kRounds) > 1e-3);
  // Episodes differ in `need` and noise: they are not one episode, replayed.
  for (const double spread : learned.metrics.at("episode_return_sd")) CHECK(spread > 0);
}

TEST_CASE("learning: the blind agent learns nothing without a signal, or from a broken rule",
          "[learning][nightly]") {
  CHECK(Success(Learn({"rule.c_in=0"})) < kChance);
  CHECK(Success(Learn({"rule.learning_rate=0"})) < kChance);
  CHECK(Success(Learn({"rule.name=meta_gradient_flipped"})) < kChance);
}

TEST_CASE("learning: bootstrapped targets teach the blind agent, unless broken",
          "[learning][nightly]") {
  // The agents' steps are shorter than above, and so is the last step to a target. Long ones make
  // some agents sure of the wrong action before the signal has learned.
  const auto learn = [](std::vector<std::string> overrides) {
    const std::vector<std::string> slower = {"agent.learning_rate=0.1", "lifetime.iterations=120",
                                             "rule.outer_updates=120", "rule.bootstrap_steps=1"};
    overrides.insert(overrides.begin(), slower.begin(), slower.end());
    return Learn(overrides);
  };
  CHECK(Success(learn({})) >= kSolved);
  CHECK(Success(learn({"rule.learning_rate=0"})) < kChance);
  CHECK(Success(learn({"rule.name=meta_gradient_flipped"})) < kChance);
}

}  // namespace mentor::TEST_FILE
