#include "signals/stacked_success.h"
#include "tests/golden/signal_fixture.h"
#include "tests/normals.h"

namespace mentor::testing::TEST_FILE {

using torch::Tensor;

constexpr int64_t kLifetimes = 7, kSteps = 60;
const NetworkSizes kSmall{.observation_size = 3,
                          .action_size = 2,
                          .enc1 = 12,
                          .enc2 = 5,
                          .lstm = 9,
                          .heads = 7,
                          .critic = 11};
const NetworkSizes kFull{.observation_size = 39,
                         .action_size = 4,
                         .enc1 = 124,
                         .enc2 = 28,
                         .lstm = 128,
                         .heads = 128,
                         .critic = 512};

Tensor Normals(uint32_t number, at::IntArrayRef shape) {
  return testing::Normals({.seed = 3}, number, shape);
}

agents::Segment RandomSegment(const NetworkSizes& sizes, int64_t lifetimes, int64_t steps) {
  agents::Segment segment;
  segment.observations = Normals(0, {lifetimes, steps, sizes.observation_size});
  segment.actions = Normals(1, {lifetimes, steps, sizes.action_size});
  segment.log_probs = Normals(2, {lifetimes, steps}) - 2;
  segment.shaped_rewards = Normals(3, {lifetimes, steps}).abs().to(torch::kFloat64);
  segment.success_signals = 0.3 * Normals(4, {lifetimes, steps}).clamp_min(0);
  segment.prev_done = torch::zeros({lifetimes, steps});
  for (int64_t t = 10; t < steps; t += 10) segment.prev_done.select(1, t).fill_(1);
  return segment;
}

// Rows [first, first + count) and steps [begin, begin + length) of a segment.
agents::Segment Cut(const agents::Segment& all, int64_t first, int64_t count, int64_t begin,
                    int64_t length) {
  agents::Segment cut;
  for (auto member : {&agents::Segment::observations, &agents::Segment::actions,
                      &agents::Segment::log_probs, &agents::Segment::shaped_rewards,
                      &agents::Segment::success_signals, &agents::Segment::prev_done}) {
    cut.*member = (all.*member).narrow(0, first, count).narrow(1, begin, length);
  }
  return cut;
}

Tensor RandomWeights(const signals::SignalNetwork& network) {
  return network.InitialWeights(11) + 0.05 * Normals(5, {network.layout().size()});
}

std::string Refusal(const v1::SignalSpec& spec) {
  Violations violations;
  const auto network =
      signals::MakeSignalNetwork(spec, {.observation_size = 3, .action_size = 2}, &violations);
  CHECK(network == nullptr);
  return std::string(violations.ToStatus().message());
}

TEST_CASE("signal network: state crosses segments as if there were no border") {
  const auto network = MakeLstm(kSmall);
  const Tensor weights = RandomWeights(*network), noise = Normals(6, {kLifetimes, kSteps});
  const agents::Segment all = RandomSegment(kSmall, kLifetimes, kSteps);
  for (const bool sampled : {true, false}) {
    auto whole_state = network->signals()->InitialState(kLifetimes, torch::kFloat32);
    const auto whole =
        network->signals()->Run(weights, all, sampled ? noise : Tensor(), &whole_state);
    auto state = network->signals()->InitialState(kLifetimes, torch::kFloat32);
    int64_t begin = 0;
    for (const int64_t length : {1, 16, 20, 23}) {
      const auto part =
          network->signals()->Run(weights, Cut(all, 0, kLifetimes, begin, length),
                                  sampled ? noise.narrow(1, begin, length) : Tensor(), &state);
      CHECK(part.signals.equal(whole.signals.narrow(1, begin, length)));
      CHECK(part.values.defined() == sampled);
      if (sampled) {
        CHECK(part.values.equal(whole.values.narrow(1, begin, length)));
        CHECK(part.log_probs.equal(whole.log_probs.narrow(1, begin, length)));
      }
      begin += length;
    }
    REQUIRE(begin == kSteps);
    CHECK(state.recurrent[0].equal(whole_state.recurrent[0]));
    CHECK(state.recurrent[1].equal(whole_state.recurrent[1]));
    CHECK(state.previous.equal(whole_state.previous));
    CHECK(state.previous.equal(whole.signals.select(1, kSteps - 1)));
  }
}

TEST_CASE("signal network: a lifetime's signals do not depend on who shares its shard") {
  const auto network = MakeLstm(kSmall);
  const Tensor weights = RandomWeights(*network), noise = Normals(6, {kLifetimes, kSteps});
  const agents::Segment all = RandomSegment(kSmall, kLifetimes, kSteps);
  auto state = network->signals()->InitialState(kLifetimes, torch::kFloat32);
  const auto together = network->signals()->Run(weights, all, noise, &state);
  for (int64_t l = 0; l < kLifetimes; ++l) {
    auto own = network->signals()->InitialState(1, torch::kFloat32);
    const auto alone =
        network->signals()->Run(weights, Cut(all, l, 1, 0, kSteps), noise.narrow(0, l, 1), &own);
    CHECK(alone.signals.equal(together.signals.narrow(0, l, 1)));
    CHECK(alone.log_probs.equal(together.log_probs.narrow(0, l, 1)));
    CHECK(alone.values.equal(together.values.narrow(0, l, 1)));
  }
}

TEST_CASE("signal network: training sees the bits of acting, so that rho is 1") {
  for (const NetworkSizes& sizes : {kSmall, kFull}) {
    const auto network = MakeLstm(sizes);
    const Tensor weights = RandomWeights(*network), noise = Normals(6, {kLifetimes, kSteps});
    const agents::Segment segment = RandomSegment(sizes, kLifetimes, kSteps);
    auto state = network->signals()->InitialState(kLifetimes, torch::kFloat32);
    const auto acted = network->signals()->Run(weights, segment, noise, &state);
    const Tensor previous =
        torch::cat({torch::zeros({kLifetimes, 1}), acted.signals.narrow(1, 0, kSteps - 1)}, 1);
    const Tensor features = network->density()->Features(segment, previous);
    auto recurrent = network->signals()->InitialState(kLifetimes, torch::kFloat32).recurrent;
    for (const auto& [begin, length] : {std::pair<int64_t, int64_t>{0, 25}, {25, 35}}) {
      const auto trained =
          network->density()->Evaluate(weights, features.narrow(1, begin, length),
                                       acted.signals.narrow(1, begin, length), recurrent);
      CHECK(trained.log_probs.equal(acted.log_probs.narrow(1, begin, length)));
      CHECK(trained.values.equal(acted.values.narrow(1, begin, length)));
      recurrent = trained.final_recurrent;
    }
    CHECK(recurrent[0].equal(state.recurrent[0]));
    CHECK(recurrent[1].equal(state.recurrent[1]));
    // The test would notice a shifted input.
    const auto shifted = network->density()->Evaluate(
        weights, network->density()->Features(segment, acted.signals), acted.signals,
        network->signals()->InitialState(kLifetimes, torch::kFloat32).recurrent);
    CHECK_FALSE(shifted.log_probs.equal(acted.log_probs));
  }
}

TEST_CASE("signal network: birth") {
  const auto network = MakeLstm(kFull);
  const auto& layout = network->layout();
  CHECK(layout.size() == 208863);
  const Tensor weights = network->InitialWeights(1);
  CHECK(weights.equal(network->InitialWeights(1)));
  CHECK_FALSE(weights.equal(network->InitialWeights(2)));
  const auto parts = layout.Split(weights);
  const std::map<std::string, double> gains = {
      {"lstm.W_ih", 1}, {"lstm.W_hh", 1}, {"critic.W2", 1}, {"mean.W3", 0.01}, {"logstd.W2", 0.01}};
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string& name = layout.slices()[i].name;
    INFO(name);
    if (parts[i].dim() == 1) {
      CHECK(parts[i].eq(0).all().item<bool>());
      continue;
    }
    const double gain = gains.contains(name) ? gains.at(name) : std::sqrt(2.0);
    const Tensor w = parts[i].to(torch::kFloat64) / gain;
    const Tensor gram = w.size(0) <= w.size(1) ? w.mm(w.t()) : w.t().mm(w);
    CHECK((gram - torch::eye(gram.size(0), torch::kFloat64)).abs().max().item<double>() < 1e-5);
  }
  // Means near 0, standard deviations near initial_std.
  const agents::Segment segment = RandomSegment(kFull, 2, 30);
  auto state = network->signals()->InitialState(2, torch::kFloat32);
  const auto means = network->signals()->Run(weights, segment, Tensor(), &state);
  CHECK(means.signals.abs().max().item<double>() < 0.05);
  const auto evaluation = network->density()->Evaluate(
      weights, network->density()->Features(segment, torch::zeros({2, 30})), means.signals,
      network->signals()->InitialState(2, torch::kFloat32).recurrent);
  CHECK((evaluation.log_stds - std::log(0.2)).abs().max().item<double>() < 0.05);
}

TEST_CASE("signal network: the outcome it sees") {
  agents::Segment segment = RandomSegment(kSmall, 2, 4);
  const Tensor previous = Normals(8, {2, 4});
  const Tensor sparse = MakeLstm(kSmall)->density()->Features(segment, previous);
  const Tensor shaped = MakeLstm(kSmall, v1::SHAPED)->density()->Features(segment, previous);
  const int64_t outcome = kSmall.observation_size + kSmall.action_size + 1;
  CHECK(sparse.select(2, outcome).equal(3 * segment.success_signals));
  CHECK(shaped.select(2, outcome).equal(segment.shaped_rewards.to(torch::kFloat32)));
  CHECK(sparse.select(2, outcome + 1).equal(2 * segment.prev_done));
  CHECK(sparse.select(2, outcome + 2).equal(previous));
  CheckNear("density", sparse.select(2, outcome - 1), segment.log_probs.exp(), {.rel = 1e-6});
  const Tensor both =
      MakeLstm(kSmall, v1::SUCCESS_AND_SHAPED)->density()->Features(segment, previous);
  REQUIRE(both.size(2) == sparse.size(2) + 1);
  CHECK(both.narrow(2, 0, outcome + 1).equal(sparse.narrow(2, 0, outcome + 1)));
  CHECK(both.narrow(2, outcome + 1, 3).equal(shaped.narrow(2, outcome, 3)));
}

TEST_CASE("signal network: a number that is not finite is not hidden") {
  const auto network = MakeLstm(kSmall);
  agents::Segment segment = RandomSegment(kSmall, 2, 20);
  segment.observations[1][5][0] = std::nanf("");
  auto state = network->signals()->InitialState(2, torch::kFloat32);
  const auto outputs =
      network->signals()->Run(RandomWeights(*network), segment, torch::zeros({2, 20}), &state);
  CHECK(outputs.signals[0].isfinite().all().item<bool>());
  CHECK(outputs.signals[1].narrow(0, 0, 5).isfinite().all().item<bool>());
  CHECK(outputs.signals[1].narrow(0, 5, 15).isnan().all().item<bool>());
  CHECK(outputs.values[1].narrow(0, 5, 15).isnan().all().item<bool>());
}

TEST_CASE("signal network: refused specs") {
  v1::SignalSpec spec;
  spec.set_name("gru");
  CHECK_THAT(Refusal(spec),
             Catch::Contains("signal.name") && Catch::Contains("gru") && Catch::Contains("lstm"));
  spec = LstmSpec({.enc1 = 0});
  CHECK_THAT(Refusal(spec), Catch::Contains("enc1") && Catch::Contains("0"));
  spec = LstmSpec({.initial_std = -1});
  CHECK_THAT(Refusal(spec), Catch::Contains("initial_std") && Catch::Contains("-1"));
  spec = LstmSpec({});
  spec.mutable_option(0)->set_name("layers");
  CHECK_THAT(Refusal(spec), Catch::Contains("layers"));
}

TEST_CASE("success signal: an episode goes on from the segment before") {
  // M = 4; lifetime 0 fails its first episode, lifetime 1 succeeds at its first step and again
  // later.
  auto state = signals::InitialSuccessState(2);
  const Tensor first = signals::SuccessSignals(torch::tensor({{0.f, 0.f, 0.f}, {1.f, 0.f, 1.f}}),
                                               torch::zeros({2, 3}), 4, &state);
  CHECK(first.equal(torch::tensor({{0.f, 0.f, 0.f}, {1.f, 0.f, 0.f}})));
  CHECK(state.episode_steps.equal(torch::full({2}, 3, torch::kInt64)));
  CHECK(state.succeeded.equal(torch::tensor({0, 1}, torch::kUInt8)));
  const Tensor second =
      signals::SuccessSignals(torch::tensor({{0.f, 0.f, 1.f}, {1.f, 0.f, 0.f}}),
                              torch::tensor({{0.f, 1.f, 0.f}, {0.f, 1.f, 0.f}}), 4, &state);
  // Step 3 ends the first episodes; then k = 0, 1 of the second ones. 1 - 0.7 * 1 / 4 = 0.825.
  CheckNear("signals", second,
            torch::tensor({{-0.2, 0.0, 0.825}, {0.0, 0.0, 0.0}}, torch::kFloat64), {.rel = 1e-6});
  CHECK(state.episode_steps.equal(torch::full({2}, 2, torch::kInt64)));
  CHECK(state.succeeded.equal(torch::tensor({1, 0}, torch::kUInt8)));
}

}  // namespace mentor::testing::TEST_FILE
