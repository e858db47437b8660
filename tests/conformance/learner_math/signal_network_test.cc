// What every registered signal network promises, with its default settings, in both roles and with
// both inputs.
#include "tests/conformance/recorded_lifetimes.h"

namespace mentor::learner {
namespace {

using mentor::testing::kActionSize;
using mentor::testing::kObservationSize;
using mentor::testing::Piece;
using mentor::testing::Previous;
using mentor::testing::RandomNormals;
using mentor::testing::RandomSegment;
using torch::Tensor;

constexpr int64_t kLifetimes = 5, kSteps = 24;

struct Case {
  std::string name;
  std::unique_ptr<SignalNetwork> network;
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const SignalEntry* entry : SignalNetworks()) {
    for (const v1::SignalRole role : {v1::REWARD, v1::ADVANTAGE}) {
      for (const v1::SignalInput input : {v1::SUCCESS, v1::SHAPED, v1::SUCCESS_AND_SHAPED}) {
        v1::SignalSpec spec;
        spec.set_name(entry->name);
        spec.set_role(role);
        spec.set_input(input);
        Violations violations;
        auto network = MakeSignalNetwork(spec,
                                         {.observation_size = kObservationSize,
                                          .action_size = kActionSize,
                                          .role = role,
                                          .input = input},
                                         &violations);
        INFO(entry->name << ": " << std::string(violations.ToStatus().message()));
        REQUIRE(network != nullptr);
        cases.push_back(
            {entry->name + ", " + v1::SignalRole_Name(role) + ", " + v1::SignalInput_Name(input),
             std::move(network)});
      }
    }
  }
  REQUIRE(!cases.empty());
  return cases;
}

// Away from birth, where heads are nearly zero.
Tensor Weights(const SignalNetwork& network) {
  const Tensor initial = network.InitialWeights(3);
  return initial + 0.05 * RandomNormals(initial.sizes(), 17);
}

bool SameBits(const Tensor& a, const Tensor& b) {
  return a.sizes() == b.sizes() && torch::equal(a, b);
}

double Gap(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST_CASE("signal networks: initial weights fit the layout, are finite, and belong to the seed",
          "[conformance]") {
  for (const Case& one : Cases()) {
    INFO(one.name);
    const Tensor weights = one.network->InitialWeights(3);
    CHECK(weights.dtype() == torch::kFloat32);
    CHECK(weights.sizes() == at::IntArrayRef{one.network->layout().size()});
    CHECK(weights.isfinite().all().item<bool>());
    CHECK(SameBits(weights, one.network->InitialWeights(3)));
  }
}

TEST_CASE("signal networks: acting gives finite signals of the right shape, the same bits again",
          "[conformance]") {
  const Segment segment = RandomSegment(kLifetimes, kSteps, 40);
  const Tensor noise = RandomNormals({kLifetimes, kSteps}, 50);
  for (const Case& one : Cases()) {
    INFO(one.name);
    const Tensor weights = Weights(*one.network);
    SignalState state = one.network->InitialState(kLifetimes, torch::kFloat32),
                again = one.network->InitialState(kLifetimes, torch::kFloat32);
    const SignalOutputs sampled = one.network->Run(weights, segment, noise, &state);
    for (const Tensor& output : {sampled.signals, sampled.log_probs, sampled.values}) {
      REQUIRE(output.sizes() == at::IntArrayRef{kLifetimes, kSteps});
      CHECK(output.isfinite().all().item<bool>());
      CHECK_FALSE(output.requires_grad());
    }
    CHECK(SameBits(sampled.signals, one.network->Run(weights, segment, noise, &again).signals));
    CHECK(SameBits(state.previous, sampled.signals.select(1, -1)));

    // Means are other numbers than samples, and carry no density.
    SignalState mean_state = one.network->InitialState(kLifetimes, torch::kFloat32);
    const SignalOutputs means = one.network->Run(weights, segment, {}, &mean_state);
    CHECK(means.signals.isfinite().all().item<bool>());
    CHECK(Gap(means.signals, sampled.signals) > 1e-3);
    CHECK_FALSE(means.log_probs.defined());
    CHECK_FALSE(means.values.defined());
  }
}

TEST_CASE("signal networks: the state carries a lifetime over the border of two segments",
          "[conformance]") {
  const Segment segment = RandomSegment(kLifetimes, kSteps, 41);
  const Tensor noise = RandomNormals({kLifetimes, kSteps}, 51);
  for (const Case& one : Cases()) {
    INFO(one.name);
    const Tensor weights = Weights(*one.network);
    SignalState whole = one.network->InitialState(kLifetimes, torch::kFloat32),
                parts = one.network->InitialState(kLifetimes, torch::kFloat32);
    const Tensor at_once = one.network->Run(weights, segment, noise, &whole).signals;
    std::vector<Tensor> pieces;
    for (const auto& [begin, length] : {std::pair<int64_t, int64_t>{0, 7}, {7, kSteps - 7}}) {
      pieces.push_back(one.network
                           ->Run(weights, Piece(segment, begin, length),
                                 noise.narrow(1, begin, length).contiguous(), &parts)
                           .signals);
    }
    CHECK(Gap(torch::cat(pieces, 1), at_once) < 1e-5);
    CHECK(Gap(parts.previous, whole.previous) < 1e-5);
  }
}

TEST_CASE("signal networks: a lifetime hears nothing of the others, and nothing of its future",
          "[conformance]") {
  const Segment segment = RandomSegment(kLifetimes, kSteps, 42);
  const Tensor noise = RandomNormals({kLifetimes, kSteps}, 52);
  Segment other = RandomSegment(kLifetimes, kSteps, 42);
  const int64_t last = kLifetimes - 1, late = kSteps / 2;
  other.observations.select(0, last).add_(1);
  other.observations.narrow(1, late, kSteps - late).add_(1);
  for (const Case& one : Cases()) {
    INFO(one.name);
    const Tensor weights = Weights(*one.network);
    SignalState a = one.network->InitialState(kLifetimes, torch::kFloat32),
                b = one.network->InitialState(kLifetimes, torch::kFloat32);
    const Tensor change = (one.network->Run(weights, segment, noise, &a).signals -
                           one.network->Run(weights, other, noise, &b).signals)
                              .abs();
    CHECK(change.narrow(0, 0, last).narrow(1, 0, late).max().item<double>() < 1e-5);
    CHECK(change.select(0, last).max().item<double>() > 1e-4);
    CHECK(change.narrow(1, late, kSteps - late).max().item<double>() > 1e-4);
  }
}

TEST_CASE("signal networks: recorded signals have the density and value that acting recorded",
          "[conformance]") {
  const Segment segment = RandomSegment(kLifetimes, kSteps, 43);
  const Tensor noise = RandomNormals({kLifetimes, kSteps}, 53);
  for (const Case& one : Cases()) {
    INFO(one.name);
    const Tensor weights = Weights(*one.network);
    SignalState state = one.network->InitialState(kLifetimes, torch::kFloat32);
    const SignalOutputs acted = one.network->Run(weights, segment, noise, &state);
    const SignalEvaluation evaluation = one.network->Evaluate(
        weights, one.network->Features(segment, Previous(acted.signals)), acted.signals,
        one.network->InitialState(kLifetimes, torch::kFloat32).recurrent);
    CHECK(Gap(evaluation.log_probs, acted.log_probs) < 1e-3);
    CHECK(Gap(evaluation.values, acted.values) < 1e-3);
    REQUIRE(evaluation.final_recurrent.size() == state.recurrent.size());
    for (size_t i = 0; i < state.recurrent.size(); ++i)
      CHECK(Gap(evaluation.final_recurrent[i], state.recurrent[i]) < 1e-4);
    // Not vacuous: signals that are shifted by one step have other densities.
    const SignalEvaluation shifted = one.network->Evaluate(
        weights, one.network->Features(segment, acted.signals), Previous(acted.signals),
        one.network->InitialState(kLifetimes, torch::kFloat32).recurrent);
    CHECK(Gap(shifted.log_probs, acted.log_probs) > 1e-2);
  }
}

TEST_CASE("signal networks: gradients agree with finite differences in double", "[conformance]") {
  const Segment segment = RandomSegment(kLifetimes, kSteps, 44);
  for (const Case& one : Cases()) {
    INFO(one.name);
    const Tensor weights = Weights(*one.network).to(torch::kFloat64);
    const Tensor signals = 0.3 * RandomNormals({kLifetimes, kSteps}, 54, torch::kFloat64);
    const Tensor features =
        one.network->Features(segment, Previous(signals.to(torch::kFloat32))).to(torch::kFloat64);
    const Tensor of_log_probs = RandomNormals({kLifetimes, kSteps}, 55, torch::kFloat64),
                 of_log_stds = RandomNormals({kLifetimes, kSteps}, 56, torch::kFloat64),
                 of_values = RandomNormals({kLifetimes, kSteps}, 57, torch::kFloat64);
    const auto loss = [&](const Tensor& at) {
      const SignalEvaluation evaluation = one.network->Evaluate(
          at, features, signals, one.network->InitialState(kLifetimes, torch::kFloat64).recurrent);
      return (of_log_probs * evaluation.log_probs + of_log_stds * evaluation.log_stds +
              of_values * evaluation.values)
          .sum();
    };
    const Tensor leaf = weights.clone().requires_grad_(true);
    const Tensor gradient = torch::autograd::grad({loss(leaf)}, {leaf})[0];
    CHECK(gradient.norm().item<double>() > 1e-3);
    for (uint64_t seed : {60, 61, 62}) {
      const Tensor direction = RandomNormals(weights.sizes(), seed, torch::kFloat64) /
                               std::sqrt(static_cast<double>(weights.numel()));
      const double h = 1e-5;
      const double difference =
          (loss(weights + h * direction) - loss(weights - h * direction)).item<double>() / (2 * h);
      const double slope = (gradient * direction).sum().item<double>();
      INFO("slope " << slope << ", difference " << difference);
      CHECK(std::abs(slope - difference) <= 1e-5 * (1 + std::abs(difference)));
      CHECK(slope != difference);
    }
  }
}

}  // namespace
}  // namespace mentor::learner
