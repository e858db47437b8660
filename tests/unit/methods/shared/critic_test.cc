// One critic for several discounts: what it sees of them lets it fit all of them at once.
#include "methods/shared/critic.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "agents/worker_pool.h"
#include "common/rng.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

constexpr int64_t kSteps = 10, kEmbedding = 16;
const std::vector<double> kGammas = {0.5, 0.8, 0.95};

Tensor Normals(const std::vector<int64_t>& sizes, uint32_t step) {
  Tensor numbers = torch::empty(sizes, torch::kFloat64);
  RandomStream{.seed = 1}.Normals(
      step, {numbers.mutable_data_ptr<double>(), static_cast<size_t>(numbers.numel())});
  return numbers.to(torch::kFloat32);
}

// Greatest of the mean squared errors under the discounts, after learning all in turn. sees: what
// gamma and lambda are multiplied by on the way to the critic.
double WorstError(double sees) {
  const agents::AgentShape shape{.observation_size = 1, .action_size = 1, .hidden_units = 16};
  const int64_t size = CriticSize(shape, kEmbedding);
  Tensor theta = Normals({1, size}, 0) / 4;
  const agents::ParamLayout layout = CriticLayout(shape, kEmbedding);
  layout.Part("embed.W", theta[0]).copy_(Normals({2 * kEmbedding}, 1) / std::sqrt(2.0));
  agents::AgentBatch critic = agents::NewAgents(theta);
  agents::PpoConfig config;
  config.learning_rate = 1e-2;
  config.max_grad_norm = std::nullopt;
  // The returns of an episode of reward 1, as the critic sees its steps.
  const Tensor observations =
      (torch::arange(kSteps, torch::kFloat32) / kSteps).view({1, kSteps, 1});
  const auto returns = [&](double gamma) {
    Tensor of = torch::empty({1, kSteps});
    for (int64_t t = 0; t < kSteps; ++t)
      of[0][t] = (1 - std::pow(gamma, static_cast<double>(kSteps - t))) / (1 - gamma);
    return of;
  };
  const auto input = [&](double gamma) {
    return signals::DiscountInput{
        .embedding = kEmbedding, .gamma = sees * gamma, .lambda = sees * 0.95};
  };
  const std::vector<Tensor> all = {torch::arange(kSteps).unsqueeze(0)};
  for (int step = 0; step < 1500; ++step) {
    const double gamma = kGammas[static_cast<size_t>(step) % kGammas.size()];
    critic =
        FitCritic(shape, config, critic, observations, returns(gamma), all, input(gamma)).value();
  }
  double worst = 0;
  for (const double gamma : kGammas) {
    const Tensor error =
        CriticValues(shape, critic.theta, observations, input(gamma)) - returns(gamma);
    worst = std::max(worst, error.square().mean().item<double>());
  }
  return worst;
}

TEST_CASE("critic: one that sees gamma fits the returns of several, one that does not fits none") {
  const double sees = WorstError(1), blind = WorstError(0);
  INFO(sees << ", blind " << blind);
  CHECK(sees <= 0.05);
  CHECK(blind > 1);
}

TEST_CASE("critic: a fit ends where its owner interrupts it") {
  const agents::AgentShape shape{.observation_size = 3, .action_size = 1, .hidden_units = 4};
  const std::atomic<bool> interrupt = true;
  const agents::CallerScope caller(&interrupt);
  const auto fit =
      FitCritic(shape, agents::PpoConfig(), agents::NewAgents(Normals({1, CriticSize(shape)}, 0)),
                Normals({1, 5, 3}, 1), Normals({1, 5}, 2), {torch::arange(5).unsqueeze(0)});
  CHECK(fit.status().code() == absl::StatusCode::kCancelled);
}

TEST_CASE("critic: without an embedding nothing is there to see") {
  const agents::AgentShape shape{.observation_size = 3, .action_size = 1, .hidden_units = 4};
  CHECK(CriticSize(shape) == 3 * 4 + 4 + 16 + 4 + 4 + 1);
  CHECK(CriticSize(shape, 5) == CriticSize(shape) + 5 * 2 + 5 * 4);
  const Tensor theta = Normals({2, CriticSize(shape)}, 2), o = Normals({2, 7, 3}, 3);
  CHECK(torch::equal(CriticValues(shape, theta, o),
                     CriticValues(shape, theta, o, {.embedding = 0, .gamma = 3, .lambda = 4})));
}

}  // namespace mentor::methods::TEST_FILE
