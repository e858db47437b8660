// The network lstm_both as black_box trains it: pieces may be cut at any step, and what its second
// LSTM sees can be learned.
#include "methods/shared/outer_ppo.h"
#include "tests/conformance/recorded_lifetimes.h"
#include "tests/specs.h"

namespace mentor::methods::TEST_FILE {

using agents::Segment;
using signals::SignalNetwork;
using testing::kActionSize;
using testing::kObservationSize;
using testing::RandomNormals;
using torch::Tensor;

// Segments of 20 steps end within episodes of six.
constexpr int64_t kLifetimes = 6, kEpisode = 6, kSteps = 20, kTrained = 3 * kSteps;
constexpr int64_t kShortEpisode = 5;
const kernels::Device kEmulated = {.kind = kernels::DeviceKind::kEmulated, .name = "emulated"};

std::unique_ptr<SignalNetwork> Network(const std::string& name, bool independent = true,
                                       const kernels::Device& device = {},
                                       int64_t episode = kEpisode) {
  v1::SignalSpec spec;
  spec.set_name(name);
  testing::SetOptions(
      &spec, testing::Settings{
                 {"enc1", "16"}, {"enc2", "8"}, {"lstm", "8"}, {"heads", "8"}, {"critic", "4"}});
  Violations violations;
  auto network = signals::MakeSignalNetwork(spec,
                                            {.observation_size = kObservationSize,
                                             .action_size = kActionSize,
                                             .episode_steps = episode,
                                             .independent_episodes = independent,
                                             .steps_per_iteration = kSteps,
                                             .device = device},
                                            &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(network != nullptr);
  return network;
}

Tensor Weights(const SignalNetwork& network) {
  const Tensor initial = network.InitialWeights(3);
  return initial + 0.1 * RandomNormals(initial.sizes(), 17);
}

// Lifetimes whose signals the network has made, segment by segment. Episodes have kEpisode steps,
// or end anywhere.
Segment Lived(const SignalNetwork& network, const Tensor& weights, bool independent) {
  Segment lived = testing::RandomSegment(kLifetimes, kTrained, 5);
  lived.prev_done = RandomNormals({kLifetimes, kTrained}, 6).gt(1).to(torch::kFloat32);
  if (independent) {
    const Tensor steps = torch::arange(kTrained);
    lived.prev_done.copy_(
        (steps.remainder(kEpisode).eq(0)).to(torch::kFloat32).expand({kLifetimes, kTrained}));
  }
  lived.prev_done.select(1, 0).fill_(0);
  const Tensor noise = RandomNormals({kLifetimes, kTrained}, 7);
  signals::SignalState state = network.signals()->InitialState(kLifetimes, torch::kFloat32);
  std::vector<Tensor> signals, log_probs;
  for (int64_t begin = 0; begin < kTrained; begin += kSteps) {
    const auto out = network.signals()->Run(weights, testing::Piece(lived, begin, kSteps),
                                            noise.narrow(1, begin, kSteps).contiguous(), &state);
    signals.push_back(out.signals);
    log_probs.push_back(out.log_probs);
  }
  lived.signals = torch::cat(signals, 1);
  lived.signal_log_probs = torch::cat(log_probs, 1);
  return lived;
}

// Greatest |rho - 1| over the pieces at the weights that acted.
double RhoError(const TrainedNetwork& trained, const OuterPpoBatch& batch, const Tensor& weights,
                int64_t displacement) {
  std::vector<Tensor> recurrent = trained.initial_recurrent(kLifetimes, torch::kFloat32);
  double greatest = 0;
  for (const Piece& piece : SplitIntoPieces(kTrained, /*k=*/14, displacement)) {
    const auto result =
        EvaluatePiece(trained, {.k = 14}, batch, piece, weights, recurrent, /*pool=*/nullptr);
    REQUIRE(result.ok());
    recurrent = result->final_recurrent;
    greatest = std::max(greatest, result->report.rho_error);
  }
  return greatest;
}

// Lifetimes whose episodes end well or badly by chance, which shows at their last step alone. To
// be learned: the outcome, at each step.
OuterPpoBatch Outcomes(const SignalNetwork& network, uint64_t seed) {
  Segment lived = testing::RandomSegment(kLifetimes, kTrained, seed);
  lived.prev_done = torch::arange(kTrained)
                        .remainder(kShortEpisode)
                        .eq(0)
                        .to(torch::kFloat32)
                        .repeat({kLifetimes, 1});
  lived.prev_done.select(1, 0).fill_(0);
  const Tensor outcome =
      RandomNormals({kLifetimes, kTrained / kShortEpisode}, seed + 1).sign().unsqueeze(-1);
  lived.success_signals = torch::zeros({kLifetimes, kTrained});
  lived.success_signals.view({kLifetimes, -1, kShortEpisode})
      .select(-1, kShortEpisode - 1)
      .copy_(outcome.squeeze(-1));
  lived.signals = (0.5 * outcome).expand({-1, -1, kShortEpisode}).reshape({kLifetimes, kTrained});
  lived.signal_log_probs = torch::zeros({kLifetimes, kTrained});
  const Tensor none = torch::zeros({kLifetimes, kTrained}, torch::kFloat64);
  OuterPpoBatch batch = MakeOuterPpoBatch(*network.density(), lived, none, none);
  // Earlier signals of the episode would tell.
  batch.features = network.density()->Features(lived, torch::zeros({kLifetimes, kTrained}));
  return batch;
}

// The mean log-density of fresh outcomes, after training.
double Learned(const std::string& name) {
  const auto made = Network(name, /*independent=*/true, {}, kShortEpisode);
  const SignalNetwork& network = *made;
  Tensor weights = network.InitialWeights(1);
  AdamState adam{torch::zeros_like(weights), torch::zeros_like(weights), 0};
  const OuterPpoConfig config = {
      .adam = {.learning_rate = 1e-2}, .regression = true, .target_kl = 0, .k = 15};
  std::vector<int64_t> displacements;
  for (int64_t i = 0; i < 60; ++i) displacements.push_back(1 + i % 15);
  const auto result = RunOuterPpo(network, config, Outcomes(network, 20), displacements, weights,
                                  &adam, /*pool=*/nullptr);
  INFO(std::string(result.status().message()));
  REQUIRE(result.ok());
  const OuterPpoBatch fresh = Outcomes(network, 40);
  return network.density()
      ->Evaluate(weights, fresh.features, fresh.outputs,
                 network.signals()->InitialState(kLifetimes, torch::kFloat32).recurrent)
      .log_probs.mean()
      .item<double>();
}

TEST_CASE("lstm_both: pieces that end anywhere have the ratio 1") {
  const bool independent = GENERATE(true, false);
  const auto network = Network("lstm_both", independent);
  CHECK(network->density()->piece_unit() == 1);
  CHECK(network->density()->looks_ahead() == (independent ? kEpisode : kSteps));
  const Tensor weights = Weights(*network);
  const Segment lived = Lived(*network, weights, independent);
  const Tensor none = torch::zeros({kLifetimes, kTrained}, torch::kFloat64);
  const OuterPpoBatch batch = MakeOuterPpoBatch(*network->density(), lived, none, none);
  TrainedNetwork trained(*network);
  for (const int64_t displacement : {1, 7, 14})
    CHECK(RhoError(trained, batch, weights, displacement) == 0);
  // Without the steps behind them the network would be another one.
  trained.looks_ahead = 1;
  CHECK(RhoError(trained, batch, weights, 7) > 1e-4);
}

TEST_CASE("lstm_both: a device acts with the bits of the CPU over many segments") {
  const auto network = Network("lstm_both"), emulated = Network("lstm_both", true, kEmulated);
  const Tensor weights = Weights(*network);
  const Segment here = Lived(*network, weights, true), there = Lived(*emulated, weights, true);
  CHECK(torch::equal(here.signals, there.signals));
  CHECK(torch::equal(here.signal_log_probs, there.signal_log_probs));
}

TEST_CASE("lstm_both: it learns what an episode comes to, which lstm cannot know") {
  const double both = Learned("lstm_both"), forward = Learned("lstm");
  INFO("log-density " << both << ", of lstm " << forward);
  CHECK(both > 0.3);
  // The outcome is +- 0.5 by chance: a normal distribution of that width has -0.73. The last step
  // of five shows it.
  CHECK(forward < -0.1);
}

}  // namespace mentor::methods::TEST_FILE
