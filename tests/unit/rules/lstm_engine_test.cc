// Outer PPO of the LSTM signal network by phases (learner/signals/lstm_engine.h) against
// RunOuterPpo: epochs of pieces, the same bits.
#include "learner/signals/lstm_engine.h"

#include <cmath>

#include "common/exact_math.h"
#include "learner/kernels/dense.h"
#include "meta_learner/rules/outer_ppo.h"
#include "tests/golden/signal_fixture.h"
#include "tests/normals.h"

namespace mentor::meta_learner {
namespace {

using testing::NetworkSizes;
using torch::Tensor;

constexpr int64_t kLifetimes = 7, kSteps = 90;
const NetworkSizes kSizes{};

Tensor Normals(uint32_t number, at::IntArrayRef shape) {
  return testing::Normals({.seed = 3}, number, shape);
}

// Lifetimes whose signals the network has made with these weights.
learner::Segment Collect(const learner::SignalNetwork& network, const Tensor& weights) {
  learner::Segment steps;
  steps.observations = Normals(0, {kLifetimes, kSteps, kSizes.observation_size});
  steps.actions = Normals(1, {kLifetimes, kSteps, kSizes.action_size});
  steps.log_probs = Normals(2, {kLifetimes, kSteps}) - 2;
  steps.success_signals = Normals(4, {kLifetimes, kSteps}).gt(1.5).to(torch::kFloat32);
  steps.prev_done = torch::zeros({kLifetimes, kSteps});
  steps.prev_done.select(1, 30).fill_(1);
  auto state = network.InitialState(kLifetimes, torch::kFloat32);
  const auto outputs = network.Run(weights, steps, Normals(5, {kLifetimes, kSteps}), &state);
  steps.signals = outputs.signals;
  steps.signal_log_probs = outputs.log_probs;
  return steps;
}

// As RunOuterPpo, but for early stopping.
std::vector<std::vector<PieceReport>> RunByEngine(const OuterPpoConfig& config,
                                                  const OuterPpoBatch& batch,
                                                  const std::vector<int64_t>& displacements,
                                                  const Tensor& weights, const AdamState& adam) {
  const learner::LstmEngineShape shape = {.sizes = {.features = batch.features.size(2),
                                                    .side = 4,
                                                    .enc1 = kSizes.enc1,
                                                    .enc2 = kSizes.enc2,
                                                    .hidden = kSizes.lstm,
                                                    .heads = kSizes.heads,
                                                    .critic = kSizes.critic},
                                          .log_initial_std = exact::Log(kSizes.initial_std),
                                          .lifetimes = kLifetimes,
                                          .piece_steps = 2 * config.k,
                                          .group_lifetimes = config.group_lifetimes};
  learner::AlignedVector<unsigned char> memory(learner::LstmEngineBytes<float>(shape) + 256);
  const auto at = reinterpret_cast<uintptr_t>(memory.data());
  const auto engine =
      learner::MakeEmulatedLstmEngine<float>(shape, memory.data() + (256 - at % 256) % 256);

  const auto floats = [](const Tensor& x) {
    return x.defined() ? x.const_data_ptr<float>() : nullptr;
  };
  const Tensor features = batch.features.contiguous(), outputs = batch.outputs.contiguous(),
               log_probs = batch.log_probs.contiguous();
  const Tensor cut = batch.cut_features.defined() ? batch.cut_features.contiguous() : Tensor();
  const Tensor advantages = batch.advantages.to(torch::kFloat64).contiguous(),
               targets = batch.returns.to(torch::kFloat64).contiguous();
  const learner::LstmBatch<float> data = {.lifetimes = kLifetimes,
                                          .steps = kSteps,
                                          .features = floats(features),
                                          .cut_features = floats(cut),
                                          .signals = floats(outputs),
                                          .log_probs = floats(log_probs),
                                          .advantages = advantages.const_data_ptr<double>(),
                                          .targets = targets.const_data_ptr<double>()};
  float* theta = weights.mutable_data_ptr<float>();
  std::vector<std::vector<PieceReport>> epochs;
  int64_t step = 0;
  for (const int64_t displacement : displacements) {
    const std::vector<Piece> pieces = SplitIntoPieces(kSteps, config.k, displacement);
    const std::vector<int64_t> boundaries =
        StepBoundaries(static_cast<int64_t>(pieces.size()), config.num_minibatches);
    const int64_t groups = (kLifetimes + config.group_lifetimes - 1) / config.group_lifetimes;
    std::vector<float> h(kLifetimes * kSizes.lstm), c(h.size());
    auto& reports = epochs.emplace_back();
    for (const Piece& piece : pieces) {
      std::vector<learner::OuterLossTerms> sums(groups);
      PieceReport report{.piece = piece};
      REQUIRE(engine
                  ->TrainPiece(config.loss, theta, data, piece.begin, piece.end, h.data(), c.data(),
                               sums.data(), &report.grad_norm)
                  .ok());
      const auto numbers = static_cast<double>(kLifetimes * (piece.end - piece.begin));
      for (const learner::OuterLossTerms& x : sums) {
        report.pg_loss += x.pg / numbers;
        report.value_loss += x.value / numbers;
        report.entropy += x.entropy / numbers;
        report.kl += x.kl / numbers;
        report.clip_fraction += x.clipped / numbers;
        report.rho_error = learner::GreaterRhoError(report.rho_error, x.rho_error);
      }
      reports.push_back(report);
      if (std::binary_search(boundaries.begin(), boundaries.end(),
                             static_cast<int64_t>(reports.size()))) {
        REQUIRE(engine
                    ->ClipAndStep(config.adam, ++step, config.max_grad_norm, theta,
                                  adam.m.mutable_data_ptr<float>(),
                                  adam.v.mutable_data_ptr<float>())
                    .ok());
      }
    }
  }
  return epochs;
}

}  // namespace

TEST_CASE("lstm engine: outer PPO has the bits of RunOuterPpo") {
  const bool zero_prev_at_cut = GENERATE(false, true);
  const int64_t num_minibatches = GENERATE(0, 2);
  INFO("zero_prev_at_cut " << zero_prev_at_cut << ", num_minibatches " << num_minibatches);
  const auto network = testing::MakeLstm(kSizes);
  const Tensor weights =
      network->InitialWeights(/*seed=*/4) + 0.05 * Normals(9, {network->layout().size()});
  const OuterPpoConfig config = {.adam = {.learning_rate = 3e-3},
                                 .target_kl = std::nullopt,
                                 .k = 20,
                                 .num_minibatches = num_minibatches,
                                 .group_lifetimes = 3,
                                 .rho_error_max = 10};
  const OuterPpoBatch batch = MakeOuterPpoBatch(
      *network, Collect(*network, weights), StandardiseAdvantages(Normals(6, {kLifetimes, kSteps})),
      Normals(7, {kLifetimes, kSteps}), zero_prev_at_cut);
  const std::vector<int64_t> displacements = {7, 20};

  const Tensor want_weights = weights.clone(), got_weights = weights.clone();
  const auto zeros = [&] {
    return AdamState{.m = torch::zeros_like(weights), .v = torch::zeros_like(weights)};
  };
  AdamState want_adam = zeros(), got_adam = zeros();
  const auto want =
      RunOuterPpo(*network, config, batch, displacements, want_weights, &want_adam, nullptr);
  INFO(std::string(want.status().message()));
  REQUIRE(want.ok());
  const auto got = RunByEngine(config, batch, displacements, got_weights, got_adam);

  CHECK(torch::equal(got_weights, want_weights));
  CHECK(torch::equal(got_adam.m, want_adam.m));
  CHECK(torch::equal(got_adam.v, want_adam.v));
  CHECK_FALSE(torch::equal(got_weights, weights));
  REQUIRE(got.size() == want->epochs.size());
  for (size_t epoch = 0; epoch < got.size(); ++epoch) {
    REQUIRE(got[epoch].size() == want->epochs[epoch].size());
    for (size_t i = 0; i < got[epoch].size(); ++i) {
      const PieceReport &x = got[epoch][i], &y = want->epochs[epoch][i];
      CHECK(x.pg_loss == y.pg_loss);
      CHECK(x.value_loss == y.value_loss);
      CHECK(x.entropy == y.entropy);
      CHECK(x.kl == y.kl);
      CHECK(x.clip_fraction == y.clip_fraction);
      CHECK(x.rho_error == y.rho_error);
      CHECK(x.grad_norm == y.grad_norm);
    }
  }
}

}  // namespace mentor::meta_learner
