// The signal network lstm_both against lstm_both.json, on the CPU's kernels and on an emulated
// device: acting, and pieces of training that end within an episode.
#include <torch/csrc/autograd/autograd.h>

#include "tests/golden/signal_fixture.h"

namespace mentor::testing::TEST_FILE {

using torch::Tensor;

const kernels::Device kEmulated = {.kind = kernels::DeviceKind::kEmulated, .name = "emulated"};

std::unique_ptr<signals::SignalNetwork> MakeBoth(const Json& test,
                                                 const kernels::Device& device = {}) {
  NetworkSizes sizes = GoldenSizes(test, test.at("initial_std"));
  sizes.both = true;
  const int64_t unit = test.at("unit"), segment = test.at("T");
  Violations violations;
  auto network = signals::MakeSignalNetwork(LstmSpec(sizes),
                                            {.observation_size = test.at("D"),
                                             .action_size = test.at("A"),
                                             .role = v1::REWARD,
                                             .input = v1::SUCCESS,
                                             .episode_steps = unit,
                                             .independent_episodes = unit < segment,
                                             .steps_per_iteration = segment,
                                             .device = device},
                                            &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(network != nullptr);
  return network;
}

// Steps [begin, end) as a learner sees a segment.
agents::Segment Steps(const agents::Segment& lifetimes, int64_t begin, int64_t end) {
  agents::Segment segment;
  for (const agents::SegmentMember member :
       {&agents::Segment::observations, &agents::Segment::actions, &agents::Segment::log_probs,
        &agents::Segment::success_signals, &agents::Segment::prev_done})
    segment.*member = (lifetimes.*member).narrow(1, begin, end - begin);
  return segment;
}

// Runs segment by segment, and joins.
signals::SignalOutputs Act(const signals::SignalNetwork& network, const Json& test,
                           const Tensor& weights, const Tensor& noise,
                           signals::SignalState* state) {
  const agents::Segment lifetimes = GoldenSegment(test.at("inputs"), weights.scalar_type());
  const int64_t steps = test.at("L"), segment = test.at("T");
  std::vector<Tensor> signals, log_probs, values;
  for (int64_t begin = 0; begin < steps; begin += segment) {
    const auto out =
        network.signals()->Run(weights, Steps(lifetimes, begin, begin + segment),
                               noise.defined() ? noise.narrow(1, begin, segment) : Tensor(), state);
    signals.push_back(out.signals);
    if (!noise.defined()) continue;
    log_probs.push_back(out.log_probs);
    values.push_back(out.values);
  }
  if (!noise.defined()) return {.signals = torch::cat(signals, 1), .log_probs = {}, .values = {}};
  return {torch::cat(signals, 1), torch::cat(log_probs, 1), torch::cat(values, 1)};
}

Tensor Shifted(const Tensor& signals) {
  return torch::cat(
      {torch::zeros_like(signals.narrow(1, 0, 1)), signals.narrow(1, 0, signals.size(1) - 1)}, 1);
}

// The recorded features of all steps.
Tensor Features(const signals::SignalNetwork& network, const Json& test, torch::Dtype dtype) {
  return network.density()->Features(GoldenSegment(test.at("inputs"), dtype),
                                     Shifted(ToTensor(test.at("expected").at("signal"), dtype)));
}

struct Piece {
  const Json& json;
  int64_t begin = json.at("begin"), end = json.at("end");

  signals::SignalEvaluation Evaluate(const signals::SignalNetwork& network, const Json& test,
                                     const Tensor& weights, const Tensor& features) const {
    const auto dtype = weights.scalar_type();
    const Tensor signals = ToTensor(test.at("expected").at("signal"), dtype);
    const int64_t unit = network.density()->looks_ahead();
    const int64_t seen = std::min(features.size(1), (end + unit - 1) / unit * unit);
    return network.density()->Evaluate(
        weights, features.narrow(1, begin, seen - begin), signals.narrow(1, begin, end - begin),
        {ToTensor(json.at("h"), dtype), ToTensor(json.at("c"), dtype)});
  }
  Tensor Loss(const signals::SignalEvaluation& now) const {
    const auto of = [&](const char* name) { return ToTensor(json.at(name)); };
    return (of("of_log_probs") * now.log_probs + of("of_log_stds") * now.log_stds +
            of("of_values") * now.values)
        .sum();
  }
};

double Gap(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST_CASE("golden: lstm_both acts, on the CPU and on an emulated device") {
  const Json file = ReadGolden("lstm_both");
  for (const Json& test : file.at("cases")) {
    for (const torch::Dtype dtype : {torch::kFloat64, torch::kFloat32}) {
      // Doubles have no device.
      const auto network = MakeBoth(test, dtype == torch::kFloat32 ? kEmulated : kernels::Device());
      INFO(test.at("name").get<std::string>());
      const auto check = [&](const std::string& what, const Tensor& got, const char* name) {
        const Tensor want = ToTensor(test.at("expected").at(name));
        CheckNear(what, got, want,
                  dtype == torch::kFloat64 ? GoldenTolerance(file) : Float32Tolerance(want, 1e-5));
      };
      const Tensor weights = GoldenFlat(network->layout(), test.at("weights"), dtype);
      auto state = network->signals()->InitialState(test.at("S"), dtype);
      const auto sampled = Act(*network, test, weights, ToTensor(test.at("noise"), dtype), &state);
      check("signals", sampled.signals, "signal");
      check("densities", sampled.log_probs, "signal_logp");
      check("values", sampled.values, "value");
      check("h", state.recurrent[0], "h");
      check("c", state.recurrent[1], "c");
      state = network->signals()->InitialState(test.at("S"), dtype);
      check("means", Act(*network, test, weights, {}, &state).signals, "mean");
    }
  }
}

TEST_CASE("golden: lstm_both differentiates whole segments as it acts") {
  const Json file = ReadGolden("lstm_both");
  for (const Json& test : file.at("cases")) {
    const auto network = MakeBoth(test);
    const Tensor weights =
        GoldenFlat(network->layout(), test.at("weights"), torch::kFloat64).requires_grad_(true);
    const agents::Segment lifetimes = GoldenSegment(test.at("inputs"), torch::kFloat64);
    auto state = network->signals()->InitialState(test.at("S"), torch::kFloat64);
    const int64_t segment = test.at("T"), steps = test.at("L");
    std::vector<Tensor> signals;
    for (int64_t begin = 0; begin < steps; begin += segment)
      signals.push_back(
          network->gradient()->Signals(weights, Steps(lifetimes, begin, begin + segment), &state));
    const Tensor means = torch::cat(signals, 1);
    CheckNear("means", means, ToTensor(test.at("expected").at("mean")), GoldenTolerance(file));
    const Tensor gradient = torch::autograd::grad({means.sum()}, {weights})[0];
    CHECK(gradient.abs().max().item<double>() > 1e-3);
  }
}

TEST_CASE("golden: lstm_both in training, pieces that end within an episode") {
  const Json file = ReadGolden("lstm_both");
  for (const Json& test : file.at("cases")) {
    const auto network = MakeBoth(test);
    CHECK(network->density()->looks_ahead() == test.at("unit").get<int64_t>());
    CHECK(network->density()->piece_unit() == 1);
    const Tensor weights = GoldenFlat(network->layout(), test.at("weights"), torch::kFloat64);
    const Tensor features = Features(*network, test, torch::kFloat64);
    for (const Json& json : test.at("pieces")) {
      const Piece piece{json};
      INFO(test.at("name").get<std::string>() << ", from step " << piece.begin);
      const Tensor leaf = weights.clone().requires_grad_(true);
      const auto now = piece.Evaluate(*network, test, leaf, features);
      for (const auto& [name, got] : {std::pair("log_probs", now.log_probs),
                                      {"log_stds", now.log_stds},
                                      {"values", now.values}})
        CheckNear(name, got, ToTensor(json.at(name)), GoldenTolerance(file));
      const Tensor gradient = torch::autograd::grad({piece.Loss(now)}, {leaf})[0];
      const Tensor want = GoldenFlat(network->layout(), json.at("gradient"), torch::kFloat64);
      CheckNear("gradient", gradient, want, {.rel = 1e-9, .abs = 1e-9});
      // The second LSTM has its part.
      const int64_t later = network->layout().slices().back().offset;
      CHECK(gradient.narrow(0, later, gradient.numel() - later).abs().max().item<double>() > 1e-3);
    }
  }
}

// What must be noticed by the numbers above.
TEST_CASE("golden: other readings of lstm_both are other numbers") {
  const Json file = ReadGolden("lstm_both");
  const Json& test = file.at("cases")[0];
  const auto network = MakeBoth(test);
  const Tensor weights = GoldenFlat(network->layout(), test.at("weights"), torch::kFloat64);
  const Tensor features = Features(*network, test, torch::kFloat64);
  const Piece inside{test.at("pieces")[1]};
  const auto values = [&](const Piece& piece, const Tensor& at, const Tensor& x) {
    return piece.Evaluate(*network, test, at, x).values;
  };
  const Tensor want = ToTensor(inside.json.at("values"));
  REQUIRE(Gap(values(inside, weights, features), want) < 1e-9);
  // An LSTM that does not begin anew where episodes end.
  Tensor goes_on = features.clone();
  goes_on.select(2, features.size(2) - 1).fill_(0);
  CHECK(Gap(values(inside, weights, goes_on), want) > 1e-3);
  // The steps behind the piece are not seen.
  const Tensor signals = ToTensor(test.at("expected").at("signal"));
  const int64_t length = inside.end - inside.begin;
  const auto blind = network->density()->Evaluate(
      weights, features.narrow(1, inside.begin, length), signals.narrow(1, inside.begin, length),
      {ToTensor(inside.json.at("h")), ToTensor(inside.json.at("c"))});
  CHECK(Gap(blind.values, want) > 1e-3);
  // The steps in their own order.
  Tensor forward = features.clone();
  forward.narrow(1, inside.begin, length).copy_(features.narrow(1, inside.begin, length).flip(1));
  CHECK(Gap(values(inside, weights, forward), want) > 1e-3);
  // The heads take h for the state of the other LSTM.
  Tensor swapped = weights.clone();
  const int64_t hidden = test.at("H");
  for (const agents::ParamSlice& slice : network->layout().slices()) {
    if (slice.shape.size() != 2 || slice.shape[1] != 2 * hidden || slice.name.starts_with("later"))
      continue;
    swapped.narrow(0, slice.offset, slice.size)
        .view(slice.shape)
        .copy_(weights.narrow(0, slice.offset, slice.size).view(slice.shape).roll({hidden}, {1}));
  }
  CHECK(Gap(values(inside, swapped, features), want) > 1e-3);
  // Encoders and LSTM share their weights.
  Tensor shared = weights.clone();
  const auto& slices = network->layout().slices();
  for (size_t i = 0; i < 8; ++i) {
    shared.narrow(0, slices[slices.size() - 8 + i].offset, slices[i].size)
        .copy_(weights.narrow(0, slices[i].offset, slices[i].size));
  }
  CHECK(Gap(values(inside, shared, features), want) > 1e-3);
}

}  // namespace mentor::testing::TEST_FILE
