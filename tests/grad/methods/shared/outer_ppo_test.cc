// The gradient of the outer loss, over several groups of lifetimes, against finite differences.
#include "methods/shared/outer_ppo.h"

#include "agents/worker_pool.h"
#include "tests/golden/signal_fixture.h"
#include "tests/normals.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

constexpr int64_t kLifetimes = 12, kSteps = 9;

Tensor Normals(uint32_t number, at::IntArrayRef shape) {
  return testing::Normals({.seed = 8}, number, shape, torch::kFloat64);
}

TEST_CASE("grad: outer PPO loss of a piece") {
  const auto network = testing::MakeLstm({});
  agents::Segment steps;
  steps.observations = Normals(0, {kLifetimes, kSteps, 3});
  steps.actions = Normals(1, {kLifetimes, kSteps, 2});
  steps.log_probs = Normals(2, {kLifetimes, kSteps}) - 2;
  steps.success_signals = Normals(3, {kLifetimes, kSteps});
  steps.prev_done = Normals(4, {kLifetimes, kSteps}).gt(0).to(torch::kFloat64);
  const Tensor weights = 0.4 * Normals(5, {network->layout().size()});
  auto state = network->signals()->InitialState(kLifetimes, torch::kFloat64);
  const auto acted =
      network->signals()->Run(weights, steps, Normals(6, {kLifetimes, kSteps}), &state);
  steps.signals = acted.signals;
  // Densities of a somewhat different network: some ratios are clipped, and not all.
  steps.signal_log_probs = acted.log_probs + 0.2 * Normals(7, {kLifetimes, kSteps});
  const std::vector<Tensor> recurrent = {0.3 * Normals(10, {kLifetimes, 6}),
                                         0.3 * Normals(11, {kLifetimes, 6})};
  agents::WorkerPool pool(2);
  for (const bool zero_prev_at_cut : {false, true}) {
    const OuterPpoConfig config{.loss = {.entropy_coef = 0.1}};
    const OuterPpoBatch batch = MakeOuterPpoBatch(
        *network->density(), steps, StandardiseAdvantages(Normals(8, {kLifetimes, kSteps})),
        Normals(9, {kLifetimes, kSteps}), zero_prev_at_cut);
    const Piece piece{2, 8};
    const auto evaluate = [&](const Tensor& at) {
      auto result = EvaluatePiece(*network, config, batch, piece, at, recurrent, &pool);
      REQUIRE(result.ok());
      return *std::move(result);
    };
    const PieceResult result = evaluate(weights);
    CHECK(result.report.clip_fraction > 0.1);
    CHECK(result.report.clip_fraction < 0.7);
    constexpr double kStep = 1e-6;
    Tensor differences = torch::empty_like(weights);
    for (int64_t i = 0; i < weights.numel(); ++i) {
      Tensor plus = weights.clone(), minus = weights.clone();
      plus[i] += kStep;
      minus[i] -= kStep;
      differences[i] = (evaluate(plus).report.loss - evaluate(minus).report.loss) / (2 * kStep);
    }
    testing::CheckNear("gradient", result.gradient, differences, {.rel = 1e-5, .abs = 1e-8});
    CHECK_FALSE(result.gradient.equal(differences));
    CHECK(differences.abs().max().item<double>() > 1e-2);
    CHECK(testing::Near(result.report.grad_norm, result.gradient.norm().item<double>(),
                        {.rel = 1e-12}));
  }
}

}  // namespace mentor::methods::TEST_FILE
