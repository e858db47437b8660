// The promises of every registered signal network, in both roles and with every input that it
// accepts: shapes, finite numbers, equal bits when repeated. Its capabilities must work.
#include <torch/csrc/autograd/autograd.h>

#include "tests/conformance/recorded_lifetimes.h"

namespace mentor::signals::TEST_FILE {

using mentor::testing::kActionSize;
using mentor::testing::kObservationSize;
using mentor::testing::Piece;
using mentor::testing::Previous;
using mentor::testing::RandomNormals;
using mentor::testing::RandomSegment;
using torch::Tensor;

constexpr int64_t kLifetimes = 5, kSteps = 24;

// Settings that turn on what a network can do beside its defaults.
struct Variant {
  std::string network;
  std::vector<std::pair<std::string, std::string>> options;
};
const std::vector<Variant> kVariants = {
    {"mlp", {{"density", "true"}}},
    {"mlp", {{"outcome", "true"}, {"time", "true"}, {"bounded", "false"}}},
    {"attention", {{"heads", "4"}, {"blocks", "2"}, {"mlp_hidden", "24"}, {"bounded", "false"}}},
    {"attention",
     {{"mlp_hidden", "16"}, {"residual_mlp", "false"}, {"encoder_hidden", "0"}, {"time", "false"}}},
    {"attention", {{"signal_sees_reward", "false"}, {"head_hidden", "0"}}},
    {"attention", {{"scale_reward", "false"}}},
    {"attention", {{"past_only", "true"}, {"density", "true"}}},
    {"attention", {{"density", "true"}}},
    {"attention", {{"density", "true"}, {"heads", "2"}, {"bounded", "false"}, {"time", "false"}}},
};

struct Case {
  std::string name;
  std::unique_ptr<SignalNetwork> network;

  const SignalSource& signals() const { return *network->signals(); }
  const SignalGradient& gradient() const { return *network->gradient(); }
  const SignalDensity& density() const { return *network->density(); }
};

// The network as a loss; null when it is none.
std::unique_ptr<SignalNetwork> LossOf(const std::string& name) {
  v1::SignalSpec spec;
  spec.set_name(name);
  spec.set_role(v1::LOSS);
  Violations violations;
  auto network = MakeSignalNetwork(spec,
                                   {.observation_size = kObservationSize,
                                    .action_size = kActionSize,
                                    .role = v1::LOSS,
                                    .episode_steps = 10},
                                   &violations);
  INFO(name << ": " << std::string(violations.ToStatus().message()));
  if (network == nullptr) {
    CHECK(violations.list().size() == 1);
    CHECK(violations.list()[0].field == "signal.role");
  }
  return network;
}

std::vector<Case> Cases() {
  std::vector<Variant> variants = kVariants;
  for (const SignalEntry* entry : SignalNetworks()) variants.push_back({entry->name, {}});
  std::vector<Case> cases;
  for (const Variant& variant : variants) {
    bool accepted = false;
    for (const v1::SignalRole role : {v1::REWARD, v1::ADVANTAGE}) {
      for (const v1::SignalInput input : {v1::SUCCESS, v1::SHAPED, v1::SUCCESS_AND_SHAPED}) {
        v1::SignalSpec spec;
        spec.set_name(variant.network);
        spec.set_role(role);
        spec.set_input(input);
        std::string name =
            variant.network + ", " + v1::SignalRole_Name(role) + ", " + v1::SignalInput_Name(input);
        for (const auto& [option, value] : variant.options) {
          spec.add_option()->set_name(option);
          spec.mutable_option()->rbegin()->set_value(value);
          name += ", " + option + " " + value;
        }
        Violations violations;
        auto network = MakeSignalNetwork(spec,
                                         {.observation_size = kObservationSize,
                                          .action_size = kActionSize,
                                          .role = role,
                                          .input = input,
                                          .episode_steps = 10},
                                         &violations);
        INFO(name << ": " << std::string(violations.ToStatus().message()));
        // A role may be refused, by its name.
        if (network == nullptr) {
          REQUIRE(violations.list().size() == 1);
          CHECK(violations.list()[0].field == "signal.role");
          continue;
        }
        accepted = true;
        if (network->signals() != nullptr) cases.push_back({std::move(name), std::move(network)});
      }
    }
    INFO(variant.network);
    CHECK((accepted || LossOf(variant.network) != nullptr));
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

// Standard normals for networks that can use them.
Tensor Noise(const SignalNetwork& network, uint64_t seed) {
  return network.density() != nullptr ? RandomNormals({kLifetimes, kSteps}, seed) : Tensor();
}

Tensor Part(const Tensor& noise, int64_t begin, int64_t length) {
  return noise.defined() ? noise.narrow(1, begin, length).contiguous() : noise;
}

// A segment that differs in one lifetime, and in all of them from step `late` on.
agents::Segment Changed(const agents::Segment& segment, int64_t lifetime, int64_t late) {
  agents::Segment other = segment;
  for (Tensor agents::Segment::*member :
       {&agents::Segment::observations, &agents::Segment::values}) {
    Tensor& x = other.*member;
    x = x.clone();
    x.select(0, lifetime).add_(1);
    x.narrow(1, late, x.size(1) - late).add_(1);
  }
  return other;
}

// True if no signal before step `late` depends on later ones, by experiment.
bool IsCausal(const Case& one, int64_t late = kSteps / 2) {
  const agents::Segment segment = RandomSegment(kLifetimes, kSteps, 42);
  const Tensor weights = Weights(*one.network);
  SignalState a = one.signals().InitialState(kLifetimes, torch::kFloat32),
              b = one.signals().InitialState(kLifetimes, torch::kFloat32);
  const int64_t others = kLifetimes - 1;
  return Gap(one.signals()
                 .Run(weights, segment, {}, &a)
                 .signals.narrow(0, 0, others)
                 .narrow(1, 0, late),
             one.signals()
                 .Run(weights, Changed(segment, others, late), {}, &b)
                 .signals.narrow(0, 0, others)
                 .narrow(1, 0, late)) < 1e-5;
}

// True if the state brings all that the network sees of a lifetime over the border of two segments.
bool CarriesOver(const Case& one) {
  const agents::Segment segment = RandomSegment(kLifetimes, kSteps, 41);
  const Tensor weights = Weights(*one.network), noise = Noise(*one.network, 51);
  SignalState whole = one.signals().InitialState(kLifetimes, torch::kFloat32),
              parts = one.signals().InitialState(kLifetimes, torch::kFloat32);
  const Tensor at_once = one.signals().Run(weights, segment, noise, &whole).signals;
  std::vector<Tensor> pieces;
  for (const auto& [begin, length] : {std::pair<int64_t, int64_t>{0, 7}, {7, kSteps - 7}}) {
    pieces.push_back(
        one.signals()
            .Run(weights, Piece(segment, begin, length), Part(noise, begin, length), &parts)
            .signals);
  }
  return Gap(torch::cat(pieces, 1), at_once) < 1e-5 && Gap(parts.previous, whole.previous) < 1e-5;
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
  const agents::Segment segment = RandomSegment(kLifetimes, kSteps, 40);
  for (const Case& one : Cases()) {
    INFO(one.name);
    const Tensor weights = Weights(*one.network), noise = Noise(*one.network, 50);
    SignalState state = one.signals().InitialState(kLifetimes, torch::kFloat32),
                again = one.signals().InitialState(kLifetimes, torch::kFloat32);
    const SignalOutputs acted = one.signals().Run(weights, segment, noise, &state);
    std::vector<Tensor> outputs = {acted.signals};
    if (noise.defined()) outputs.insert(outputs.end(), {acted.log_probs, acted.values});
    for (const Tensor& output : outputs) {
      REQUIRE(output.sizes() == at::IntArrayRef{kLifetimes, kSteps});
      CHECK(output.isfinite().all().item<bool>());
      CHECK_FALSE(output.requires_grad());
    }
    CHECK(acted.signals.std().item<double>() > 1e-4);
    CHECK(SameBits(acted.signals, one.signals().Run(weights, segment, noise, &again).signals));
    CHECK(SameBits(state.previous, acted.signals.select(1, -1)));

    // Means carry no density; samples are other numbers.
    SignalState mean_state = one.signals().InitialState(kLifetimes, torch::kFloat32);
    const SignalOutputs means = one.signals().Run(weights, segment, {}, &mean_state);
    CHECK(means.signals.isfinite().all().item<bool>());
    CHECK((Gap(means.signals, acted.signals) > 1e-3) == (one.network->density() != nullptr));
    CHECK_FALSE(means.log_probs.defined());
    CHECK_FALSE(means.values.defined());
  }
}

TEST_CASE("signal networks: a state keeps its shapes, a row for each lifetime", "[conformance]") {
  const agents::Segment segment = RandomSegment(kLifetimes, kSteps, 40);
  for (const Case& one : Cases()) {
    INFO(one.name);
    SignalState state = one.signals().InitialState(kLifetimes, torch::kFloat32);
    const SignalState initial = state;
    one.signals().Run(Weights(*one.network), segment, Noise(*one.network, 50), &state);
    REQUIRE(state.recurrent.size() == initial.recurrent.size());
    CHECK(state.previous.sizes() == at::IntArrayRef{kLifetimes});
    for (size_t i = 0; i < state.recurrent.size(); ++i) {
      CHECK(state.recurrent[i].sizes() == initial.recurrent[i].sizes());
      CHECK(state.recurrent[i].size(0) == kLifetimes);
      CHECK(state.recurrent[i].dtype() == torch::kFloat32);
      CHECK(initial.recurrent[i].eq(0).all().item<bool>());
    }
  }
}

TEST_CASE("signal networks: the state carries a lifetime over the border of two segments",
          "[conformance]") {
  int tested = 0;
  for (const Case& one : Cases()) {
    INFO(one.name);
    // Others see episodes as far as a segment shows them.
    const bool has_units = one.network->density() != nullptr && one.density().piece_unit() > 1;
    if (!IsCausal(one) || has_units) continue;
    ++tested;
    CHECK(CarriesOver(one));
  }
  CHECK(tested > 0);
}

TEST_CASE(
    "signal networks: a lifetime hears nothing of the others, and with a density nothing of "
    "what follows the unit of its pieces",
    "[conformance]") {
  const agents::Segment segment = RandomSegment(kLifetimes, kSteps, 42);
  const int64_t last = kLifetimes - 1, late = kSteps / 2;
  const agents::Segment other = Changed(segment, last, late);
  agents::Segment alone = segment;
  for (Tensor agents::Segment::*member :
       {&agents::Segment::observations, &agents::Segment::values}) {
    alone.*member = (alone.*member).clone();
    (alone.*member).select(0, last).add_(1);
  }
  for (const Case& one : Cases()) {
    INFO(one.name);
    const Tensor weights = Weights(*one.network), noise = Noise(*one.network, 52);
    const auto change = [&](const agents::Segment& changed) {
      SignalState a = one.signals().InitialState(kLifetimes, torch::kFloat32),
                  b = one.signals().InitialState(kLifetimes, torch::kFloat32);
      return (one.signals().Run(weights, segment, noise, &a).signals -
              one.signals().Run(weights, changed, noise, &b).signals)
          .abs();
    };
    const Tensor of_one = change(alone), of_all = change(other);
    CHECK(of_one.narrow(0, 0, last).max().item<double>() < 1e-5);
    CHECK(of_one.select(0, last).max().item<double>() > 1e-4);
    CHECK(of_all.narrow(1, late, kSteps - late).max().item<double>() > 1e-4);
    if (one.network->density() == nullptr) continue;
    const int64_t unit = std::max(one.density().piece_unit(), one.density().looks_ahead());
    CHECK(IsCausal(one, late / unit * unit));
    // A unit is not larger than it must be: cut inside, the network would see something else.
    if (unit > 1) CHECK_FALSE((IsCausal(one) && CarriesOver(one)));
  }
}

TEST_CASE("signal networks: recorded signals have the density and value that acting recorded",
          "[conformance]") {
  const agents::Segment segment = RandomSegment(kLifetimes, kSteps, 43);
  int tested = 0;
  for (const Case& one : Cases()) {
    INFO(one.name);
    if (one.network->density() == nullptr) continue;
    ++tested;
    const Tensor weights = Weights(*one.network), noise = Noise(*one.network, 53);
    SignalState state = one.signals().InitialState(kLifetimes, torch::kFloat32);
    const SignalOutputs acted = one.signals().Run(weights, segment, noise, &state);
    const SignalEvaluation evaluation = one.density().Evaluate(
        weights, one.density().Features(segment, Previous(acted.signals)), acted.signals,
        one.signals().InitialState(kLifetimes, torch::kFloat32).recurrent);
    CHECK(Gap(evaluation.log_probs, acted.log_probs) < 1e-3);
    CHECK(Gap(evaluation.values, acted.values) < 1e-3);
    REQUIRE(evaluation.final_recurrent.size() == state.recurrent.size());
    // Pieces of whole units stand alone, so the incoming state passes through.
    const bool stands_alone = one.density().piece_unit() > 1;
    const SignalState initial = one.signals().InitialState(kLifetimes, torch::kFloat32);
    for (size_t i = 0; i < state.recurrent.size(); ++i) {
      CHECK(Gap(evaluation.final_recurrent[i], (stands_alone ? initial : state).recurrent[i]) <
            1e-4);
    }
    // The check can fail: signals shifted by one step have other densities.
    const SignalEvaluation shifted = one.density().Evaluate(
        weights, one.density().Features(segment, acted.signals), Previous(acted.signals),
        one.signals().InitialState(kLifetimes, torch::kFloat32).recurrent);
    CHECK(Gap(shifted.log_probs, acted.log_probs) > 1e-2);
  }
  CHECK(tested > 0);
}

// The gradient of loss(weights) against finite differences in three directions.
template <typename Loss>
void CheckGradient(const Tensor& weights, const Loss& loss) {
  const Tensor leaf = weights.clone().requires_grad_(true);
  const Tensor gradient = torch::autograd::grad({loss(leaf)}, {leaf})[0];
  CHECK(gradient.norm().item<double>() > 1e-3);
  const torch::NoGradGuard no_grad;
  for (uint64_t seed : {60, 61, 62}) {
    const Tensor direction = RandomNormals(weights.sizes(), seed, torch::kFloat64) /
                             std::sqrt(static_cast<double>(weights.numel()));
    const double h = 1e-5;
    const double difference =
        (loss(weights + h * direction) - loss(weights - h * direction)).template item<double>() /
        (2 * h);
    const double slope = (gradient * direction).sum().item<double>();
    INFO("slope " << slope << ", difference " << difference);
    CHECK(std::abs(slope - difference) <= 1e-5 * (1 + std::abs(difference)));
    CHECK(slope != difference);
  }
}

TEST_CASE("signal networks: gradients of densities and values agree with finite differences",
          "[conformance]") {
  const agents::Segment segment = RandomSegment(kLifetimes, kSteps, 44);
  for (const Case& one : Cases()) {
    INFO(one.name);
    if (one.network->density() == nullptr) continue;
    const Tensor signals = 0.3 * RandomNormals({kLifetimes, kSteps}, 54, torch::kFloat64);
    const Tensor features =
        one.density().Features(segment, Previous(signals.to(torch::kFloat32))).to(torch::kFloat64);
    const Tensor of_log_probs = RandomNormals({kLifetimes, kSteps}, 55, torch::kFloat64),
                 of_log_stds = RandomNormals({kLifetimes, kSteps}, 56, torch::kFloat64),
                 of_values = RandomNormals({kLifetimes, kSteps}, 57, torch::kFloat64);
    CheckGradient(Weights(*one.network).to(torch::kFloat64), [&](const Tensor& at) {
      const SignalEvaluation evaluation = one.density().Evaluate(
          at, features, signals, one.signals().InitialState(kLifetimes, torch::kFloat64).recurrent);
      return (of_log_probs * evaluation.log_probs + of_log_stds * evaluation.log_stds +
              of_values * evaluation.values)
          .sum();
    });
  }
}

// From the second segment of a lifetime on, so that the state has its part.
TEST_CASE("signal networks: differentiable signals are the means, in number and in state",
          "[conformance]") {
  const agents::Segment first = RandomSegment(kLifetimes, kSteps, 45),
                        second = RandomSegment(kLifetimes, kSteps, 46);
  int tested = 0;
  for (const Case& one : Cases()) {
    INFO(one.name);
    if (one.network->gradient() == nullptr) continue;
    ++tested;
    const Tensor weights = Weights(*one.network);
    SignalState run = one.signals().InitialState(kLifetimes, torch::kFloat32), graph = run;
    one.signals().Run(weights, first, {}, &run);
    one.gradient().Signals(weights, first, &graph);
    const Tensor means = one.signals().Run(weights, second, {}, &run).signals;
    const Tensor leaf = weights.clone().requires_grad_(true);
    const Tensor signals = one.gradient().Signals(leaf, second, &graph);
    CHECK(signals.requires_grad());
    CHECK(Gap(signals.detach(), means) < 1e-5);
    CHECK(Gap(graph.previous, run.previous) < 1e-5);
    CHECK_FALSE(graph.previous.requires_grad());
    REQUIRE(graph.recurrent.size() == run.recurrent.size());
    for (size_t i = 0; i < run.recurrent.size(); ++i) {
      CHECK(Gap(graph.recurrent[i], run.recurrent[i]) < 1e-4);
      CHECK_FALSE(graph.recurrent[i].requires_grad());
    }
  }
  CHECK(tested > 0);
}

TEST_CASE("signal networks: gradients of signals agree with finite differences", "[conformance]") {
  const agents::Segment first = RandomSegment(kLifetimes, kSteps, 47),
                        second = RandomSegment(kLifetimes, kSteps, 48);
  const Tensor of_signals = RandomNormals({kLifetimes, kSteps}, 58, torch::kFloat64);
  for (const Case& one : Cases()) {
    INFO(one.name);
    if (one.network->gradient() == nullptr) continue;
    const Tensor weights = Weights(*one.network).to(torch::kFloat64);
    SignalState entering = one.signals().InitialState(kLifetimes, torch::kFloat64);
    one.signals().Run(weights, first, {}, &entering);
    CheckGradient(weights, [&](const Tensor& at) {
      SignalState state = entering;
      return (of_signals * one.gradient().Signals(at, second, &state)).sum();
    });
  }
}

TEST_CASE("signal networks: attention maps are distributions over an episode's steps",
          "[conformance]") {
  const agents::Segment segment = RandomSegment(kLifetimes, kSteps, 49);
  int tested = 0;
  for (const Case& one : Cases()) {
    INFO(one.name);
    const SignalExplainer* explainer = one.network->explainer();
    if (explainer == nullptr) continue;
    const SignalState state = one.signals().InitialState(kLifetimes, torch::kFloat32);
    for (const AttentionMap& map : explainer->Explain(Weights(*one.network), segment, state)) {
      ++tested;
      // Episodes of 10 steps in a segment of 24.
      const int64_t length = std::min<int64_t>(10, kSteps - map.first_step);
      CHECK(map.first_step % 10 == 0);
      CHECK(map.lifetime >= 0);
      CHECK(map.lifetime < kLifetimes);
      REQUIRE(map.weights.sizes() == at::IntArrayRef{length, length});
      CHECK(Gap(map.weights.sum(1), torch::ones({length})) < 1e-5);
    }
  }
  CHECK(tested > 0);
}

TEST_CASE("signal networks: settings that make no sense together are refused with a remedy",
          "[conformance]") {
  const auto refusal = [](const std::string& network, v1::SignalRole role,
                          const std::vector<std::pair<std::string, std::string>>& options) {
    v1::SignalSpec spec;
    spec.set_name(network);
    for (const auto& [name, value] : options) {
      spec.add_option()->set_name(name);
      spec.mutable_option()->rbegin()->set_value(value);
    }
    Violations violations;
    CHECK(MakeSignalNetwork(spec, {.observation_size = 3, .action_size = 2, .role = role},
                            &violations) == nullptr);
    return std::string(violations.ToStatus().message());
  };
  using Catch::Matchers::Contains;
  // U6 of methods/meta_gradient/README.md#experiments.
  CHECK_THAT(refusal("attention", v1::REWARD, {{"width", "1"}}),
             Contains("signal.option.width") && Contains("give at least 2"));
  CHECK_THAT(refusal("attention", v1::REWARD, {{"heads", "3"}}), Contains("does not divide"));
  CHECK_THAT(refusal("discount", v1::REWARD, {}), Contains("signal.role") && Contains("ADVANTAGE"));
  CHECK_THAT(refusal("mlp", v1::REWARD, {{"density", "true"}, {"time", "true"}}),
             Contains("signal.option.time"));
}

TEST_CASE("losses: finite, each agent's by its own weights and data, with a gradient to its policy",
          "[conformance]") {
  int losses = 0;
  for (const SignalEntry* entry : SignalNetworks()) {
    const auto network = LossOf(entry->name);
    if (network == nullptr) continue;
    ++losses;
    INFO(entry->name);
    const LossSizes sizes = network->loss()->sizes();
    const Tensor initial = network->InitialWeights(3);
    CHECK(initial.sizes() == at::IntArrayRef{network->layout().size()});
    CHECK(SameBits(initial, network->InitialWeights(3)));
    const auto numbers = [&](int64_t width, uint64_t seed) {
      return RandomNormals({kLifetimes, sizes.steps, width}, seed);
    };
    LossInputs inputs{.observations = numbers(kObservationSize, 1),
                      .actions = numbers(kActionSize, 2),
                      .rewards = numbers(1, 3).squeeze(2),
                      .dones = numbers(1, 4).squeeze(2).gt(1).to(torch::kFloat32),
                      .policy = numbers(2 * kActionSize, 5).requires_grad_(true),
                      .context = RandomNormals({kLifetimes, sizes.context}, 6),
                      .rows = torch::arange(sizes.steps - 7, sizes.steps).repeat({kLifetimes, 1})};
    Tensor weights = (initial + 0.05 * RandomNormals({kLifetimes, initial.numel()}, 7)).clone();
    const Tensor losses_of = network->loss()->Loss(weights, inputs);
    CHECK(losses_of.sizes() == at::IntArrayRef{kLifetimes});
    CHECK(losses_of.isfinite().all().item<bool>());
    CHECK(SameBits(losses_of, network->loss()->Loss(weights, inputs)));
    // No other agent's policy has a part in one agent's loss.
    const Tensor gradient = torch::autograd::grad({losses_of[1]}, {inputs.policy})[0];
    CHECK(gradient[1].abs().max().item<double>() > 0);
    CHECK(gradient[0].abs().max().item<double>() == 0);
    weights[2] += 0.1;
    inputs.rewards[3] += 1;
    const Tensor moved = (network->loss()->Loss(weights, inputs) - losses_of).detach().ne(0);
    for (int64_t s = 0; s < kLifetimes; ++s) CHECK(moved[s].item<bool>() == (s == 2 || s == 3));
  }
  CHECK(losses > 0);
}

}  // namespace mentor::signals::TEST_FILE
