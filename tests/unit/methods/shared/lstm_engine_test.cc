// The LSTM signal network on an emulated device (signals/lstm/lstm_device.h) against the CPU's
// kernels: acting, and epochs of outer PPO, the same bits.
#include "methods/shared/outer_ppo.h"
#include "tests/golden/signal_fixture.h"
#include "tests/normals.h"

namespace mentor::methods::TEST_FILE {

using testing::NetworkSizes;
using torch::Tensor;

constexpr int64_t kLifetimes = 7, kSteps = 90;
const NetworkSizes kSizes{};

Tensor Normals(uint32_t number, at::IntArrayRef shape) {
  return testing::Normals({.seed = 3}, number, shape);
}

// Lifetimes whose signals the network has made with these weights.
agents::Segment Collect(const signals::SignalNetwork& network, const Tensor& weights) {
  agents::Segment steps;
  steps.observations = Normals(0, {kLifetimes, kSteps, kSizes.observation_size});
  steps.actions = Normals(1, {kLifetimes, kSteps, kSizes.action_size});
  steps.log_probs = Normals(2, {kLifetimes, kSteps}) - 2;
  steps.success_signals = Normals(4, {kLifetimes, kSteps}).gt(1.5).to(torch::kFloat32);
  steps.prev_done = torch::zeros({kLifetimes, kSteps});
  for (const int64_t begin : {30, 60}) steps.prev_done.select(1, begin).fill_(1);
  auto state = network.signals()->InitialState(kLifetimes, torch::kFloat32);
  const auto outputs =
      network.signals()->Run(weights, steps, Normals(5, {kLifetimes, kSteps}), &state);
  steps.signals = outputs.signals;
  steps.signal_log_probs = outputs.log_probs;
  return steps;
}

std::unique_ptr<signals::SignalNetwork> Emulated(const NetworkSizes& sizes = kSizes) {
  return testing::MakeLstm(sizes, v1::SUCCESS,
                           {.kind = kernels::DeviceKind::kEmulated, .name = "emulated"});
}

struct Trained {
  Tensor weights;
  AdamState adam;
  OuterPpoResult result = {};
};

TEST_CASE("lstm on a device: acting has the bits of the CPU, and goes on from its state") {
  auto sizes = kSizes;
  sizes.both = GENERATE(false, true);
  if (GENERATE(false, true)) sizes.heads = 300;  // More than a block has threads.
  const auto network = testing::MakeLstm(sizes), emulated = Emulated(sizes);
  const Tensor weights = network->InitialWeights(/*seed=*/4);
  agents::Segment steps = Collect(*network, weights);
  const bool noisy = GENERATE(true, false);
  const Tensor noise = noisy ? Normals(5, {kLifetimes, kSteps}) : Tensor();
  auto here = network->signals()->InitialState(kLifetimes, torch::kFloat32), there = here;
  for (int segment = 0; segment < 2; ++segment) {
    const auto want = network->signals()->Run(weights, steps, noise, &here);
    const auto got = emulated->signals()->Run(weights, steps, noise, &there);
    CHECK(torch::equal(got.signals, want.signals));
    CHECK(got.log_probs.defined() == noisy);
    if (noisy) {
      CHECK(torch::equal(got.log_probs, want.log_probs));
      CHECK(torch::equal(got.values, want.values));
    }
    CHECK(torch::equal(there.recurrent[0], here.recurrent[0]));
    CHECK(torch::equal(there.recurrent[1], here.recurrent[1]));
    CHECK(torch::equal(there.previous, here.previous));
  }
}

TEST_CASE("lstm on a device: outer PPO has the bits of the CPU") {
  const bool zero_prev_at_cut = GENERATE(false, true);
  const int64_t num_minibatches = GENERATE(0, 2);
  INFO("zero_prev_at_cut " << zero_prev_at_cut << ", num_minibatches " << num_minibatches);
  NetworkSizes sizes;
  sizes.both = GENERATE(false, true);
  sizes.episode_steps = 30;
  const auto network = testing::MakeLstm(sizes), emulated = Emulated(sizes);
  const Tensor weights =
      network->InitialWeights(/*seed=*/4) + 0.05 * Normals(9, {network->layout().size()});
  const OuterPpoConfig config = {.adam = {.learning_rate = 3e-3},
                                 .target_kl = 0,
                                 .k = 20,
                                 .num_minibatches = num_minibatches,
                                 .group_lifetimes = 3,
                                 .rho_error_max = 1e-5};
  const OuterPpoBatch batch =
      MakeOuterPpoBatch(*network->density(), Collect(*network, weights),
                        StandardiseAdvantages(Normals(6, {kLifetimes, kSteps})),
                        Normals(7, {kLifetimes, kSteps}), zero_prev_at_cut);
  const std::vector<int64_t> displacements = {7, 20};

  const auto train = [&](const signals::SignalNetwork& one) {
    Trained trained{weights.clone(), {torch::zeros_like(weights), torch::zeros_like(weights), 0}};
    auto result =
        RunOuterPpo(one, config, batch, displacements, trained.weights, &trained.adam, nullptr);
    INFO(std::string(result.status().message()));
    REQUIRE(result.ok());
    trained.result = *std::move(result);
    return trained;
  };
  const Trained want = train(*network), got = train(*emulated);
  CHECK(torch::equal(got.weights, want.weights));
  CHECK(torch::equal(got.adam.m, want.adam.m));
  CHECK(torch::equal(got.adam.v, want.adam.v));
  CHECK(got.adam.step == want.adam.step);
  CHECK(got.result.optimizer_steps == want.result.optimizer_steps);
  CHECK_FALSE(torch::equal(got.weights, weights));
  const auto &got_epochs = got.result.epochs, &want_epochs = want.result.epochs;
  REQUIRE(got_epochs.size() == want_epochs.size());
  for (size_t epoch = 0; epoch < got_epochs.size(); ++epoch) {
    REQUIRE(got_epochs[epoch].size() == want_epochs[epoch].size());
    for (size_t i = 0; i < got_epochs[epoch].size(); ++i) {
      const PieceReport &x = got_epochs[epoch][i], &y = want_epochs[epoch][i];
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

}  // namespace mentor::methods::TEST_FILE
