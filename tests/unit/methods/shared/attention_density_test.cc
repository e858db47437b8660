// The attention network with a density, as black_box trains it: what its pieces may be, and what
// its signals may know.
#include "methods/base/outer_rule.h"
#include "methods/shared/outer_ppo.h"
#include "tests/conformance/recorded_lifetimes.h"
#include "tests/specs.h"

namespace mentor::methods::TEST_FILE {

using agents::Segment;
using Catch::Contains;
using signals::SignalNetwork;
using testing::kActionSize;
using testing::kObservationSize;
using testing::RandomNormals;
using torch::Tensor;

// Episodes of 10 steps, cut by the border of iterations after 25.
constexpr int64_t kLifetimes = 4, kEpisode = 10, kSteps = 25, kIterations = 5,
                  kTrained = kSteps * (kIterations - 1);

std::shared_ptr<const SignalNetwork> Network(bool independent = true, bool past_only = false) {
  v1::SignalSpec spec;
  spec.set_name("attention");
  spec.set_input(v1::SUCCESS_AND_SHAPED);
  testing::SetOptions(&spec,
                      testing::Settings{{"density", "true"}, {"width", "8"}, {"blocks", "2"}});
  if (past_only) testing::SetOption(&spec, "past_only", "true");
  Violations violations;
  auto network = signals::MakeSignalNetwork(spec,
                                            {.observation_size = kObservationSize,
                                             .action_size = kActionSize,
                                             .input = v1::SUCCESS_AND_SHAPED,
                                             .episode_steps = kEpisode,
                                             .independent_episodes = independent,
                                             .steps_per_iteration = kSteps},
                                            &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(network != nullptr);
  return network;
}

// Away from birth, where the head is nearly zero.
Tensor Weights(const SignalNetwork& network) {
  const Tensor initial = network.InitialWeights(3);
  return initial + 0.1 * RandomNormals(initial.sizes(), 17);
}

// Lifetimes whose signals the network gave one iteration at a time, as learners do.
Segment Lived(const SignalNetwork& network, const Tensor& weights, int64_t steps) {
  Segment lived = testing::RandomSegment(kLifetimes, steps, 70);
  signals::SignalState state = network.signals()->InitialState(kLifetimes, torch::kFloat32);
  std::vector<Tensor> signals, log_probs, values;
  for (int64_t first = 0; first < steps; first += kSteps) {
    const signals::SignalOutputs outputs = network.signals()->Run(
        weights, testing::Piece(lived, first, kSteps),
        RandomNormals({kLifetimes, kSteps}, 80 + static_cast<uint64_t>(first)), &state);
    signals.push_back(outputs.signals);
    log_probs.push_back(outputs.log_probs);
    values.push_back(outputs.values);
  }
  lived.signals = torch::cat(signals, 1);
  lived.signal_log_probs = torch::cat(log_probs, 1);
  lived.signal_values = torch::cat(values, 1);
  return lived;
}

double Gap(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>();
}

// Greatest |rho - 1| over the pieces at the weights that acted.
double RhoError(const SignalNetwork& network, int64_t k, int64_t displacement, int64_t unit) {
  const Tensor weights = Weights(network);
  const Segment lived = Lived(network, weights, kTrained);
  const OuterPpoBatch batch = MakeOuterPpoBatch(
      *network.density(), lived, RandomNormals({kLifetimes, kTrained}, 90, torch::kFloat64),
      RandomNormals({kLifetimes, kTrained}, 91, torch::kFloat64));
  const TrainedNetwork trained(network);
  std::vector<Tensor> recurrent = trained.initial_recurrent(kLifetimes, torch::kFloat32);
  double greatest = 0;
  for (const Piece& piece : SplitIntoPieces(kTrained, k, displacement, unit)) {
    const auto result = EvaluatePiece(trained, {.k = k, .piece_unit = unit}, batch, piece, weights,
                                      recurrent, /*pool=*/nullptr);
    REQUIRE(result.ok());
    recurrent = result->final_recurrent;
    greatest = std::max(greatest, result->report.rho_error);
  }
  return greatest;
}

v1::ExperimentSpec Spec(const testing::Settings& options) {
  return testing::SpecOfRule(
      "black_box", {.lifetimes = kLifetimes, .iterations = kIterations, .steps = kSteps}, options);
}

TEST_CASE("attention with a density: evaluating gives the densities and values of acting") {
  for (const bool independent : {true, false}) {
    const auto network = Network(independent);
    const Tensor weights = Weights(*network);
    const Segment lived = Lived(*network, weights, kTrained);
    const signals::SignalEvaluation evaluation = network->density()->Evaluate(
        weights, network->density()->Features(lived, testing::Previous(lived.signals)),
        lived.signals, {});
    CHECK(Gap(evaluation.log_probs, lived.signal_log_probs) < 1e-5);
    CHECK(Gap(evaluation.values, lived.signal_values) < 1e-5);
    CHECK(evaluation.final_recurrent.empty());
    CHECK(evaluation.log_stds.std().item<double>() > 1e-4);
  }
}

TEST_CASE("attention with a density: pieces of whole units have the ratio 1") {
  const auto network = Network();
  CHECK(network->density()->piece_unit() == kEpisode);
  for (const int64_t displacement : {1, 2, 3})
    CHECK(RhoError(*network, /*k=*/30, displacement, kEpisode) < 1e-5);
  const auto dependent = Network(/*independent=*/false);
  CHECK(dependent->density()->piece_unit() == kSteps);
  for (const int64_t displacement : {1, 2})
    CHECK(RhoError(*dependent, /*k=*/50, displacement, kSteps) < 1e-5);
}

// Units protect from this: pieces that are cut anywhere see episodes without their ends.
TEST_CASE("attention with a density: pieces cut anywhere are another network's") {
  CHECK(RhoError(*Network(), /*k=*/30, /*displacement=*/17, /*unit=*/1) > 1e-3);
}

// How far the signals move when one step of a segment has other numbers.
Tensor ChangeByStep(const SignalNetwork& network, int64_t step,
                    const std::vector<agents::SegmentMember>& numbers) {
  const Tensor weights = Weights(network);
  const Segment segment = testing::RandomSegment(kLifetimes, kSteps, 71);
  const auto means = [&](const Segment& seen) {
    signals::SignalState state = network.signals()->InitialState(kLifetimes, torch::kFloat32);
    return network.signals()->Run(weights, seen, {}, &state).signals;
  };
  Segment other = segment;
  for (const agents::SegmentMember member : numbers) {
    other.*member = (segment.*member).clone();
    (other.*member).select(1, step).add_(1);
  }
  return (means(other) - means(segment)).abs();
}

TEST_CASE("attention with a density: an episode is seen as a whole and nothing beyond it") {
  const Tensor change = ChangeByStep(*Network(), kEpisode - 1, {&Segment::observations});
  CHECK(change.select(1, 0).min().item<double>() > 1e-5);
  CHECK(change.narrow(1, kEpisode, kSteps - kEpisode).eq(0).all().item<bool>());
}

TEST_CASE("attention with a density: with past_only no later step is seen, nor its rewards") {
  constexpr int64_t kStep = kEpisode / 2;
  const auto network = Network(/*independent=*/true, /*past_only=*/true);
  const Tensor change =
      ChangeByStep(*network, kStep,
                   {&Segment::observations, &Segment::shaped_rewards, &Segment::success_signals});
  CHECK(change.narrow(1, 0, kStep).eq(0).all().item<bool>());
  CHECK(change.narrow(1, kStep, kEpisode - kStep).min().item<double>() > 1e-5);
}

TEST_CASE("attention with a density: without it, weights and signals are as ever") {
  v1::SignalSpec plain;
  plain.set_name("attention");
  v1::SignalSpec dense = plain;
  testing::SetOption(&dense, "density", "true");
  testing::SetOption(&dense, "initial_std", "0.25");
  const signals::SignalContext context{.observation_size = kObservationSize,
                                       .action_size = kActionSize,
                                       .episode_steps = kEpisode,
                                       .steps_per_iteration = kSteps};
  Violations none;
  const auto a = signals::MakeSignalNetwork(plain, context, &none),
             b = signals::MakeSignalNetwork(dense, context, &none);
  REQUIRE(a != nullptr);
  REQUIRE(b != nullptr);
  CHECK(a->density() == nullptr);
  CHECK(b->density() != nullptr);
  CHECK(b->gradient() != nullptr);
  // Two rows more of the last layer and their biases.
  CHECK(b->layout().size() == a->layout().size() + 2 * 32 + 2);
  // At birth log-std and value are nearly constants.
  signals::SignalState state = b->signals()->InitialState(kLifetimes, torch::kFloat32);
  const Segment segment = testing::RandomSegment(kLifetimes, kSteps, 72);
  const Tensor weights = b->InitialWeights(4);
  const signals::SignalEvaluation born = b->density()->Evaluate(
      weights, b->density()->Features(segment, {}), torch::zeros({kLifetimes, kSteps}), {});
  CHECK(Gap(born.log_stds, torch::full({kLifetimes, kSteps}, std::log(0.25))) < 0.1);
  CHECK(born.values.abs().max().item<double>() < 0.1);
  CHECK(b->signals()->Run(weights, segment, {}, &state).signals.abs().max().item<double>() > 0.1);
}

TEST_CASE("black_box trains attention with a density") {
  const auto network = Network();
  const v1::ExperimentSpec spec =
      Spec({{"k", "30"}, {"epochs", "3"}, {"target_kl", "0"}, {"gradient_variance", "true"}});
  Violations violations;
  const auto rule = MakeOuterRule({.spec = spec, .network = network}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(rule != nullptr);
  const Tensor before = rule->meta_parameters().clone();
  LifetimeBatch batch;
  batch.environments.assign(kLifetimes, "somewhere");
  batch.steps_per_iteration = kSteps;
  batch.steps = Lived(*network, before, kSteps * kIterations);
  const auto report = rule->Update(batch, 0);
  INFO(report.status().ToString());
  REQUIRE(report.ok());
  CHECK(report->at("rho_error") < 1e-5);
  CHECK(report->at("epochs") == 3);
  CHECK_FALSE(torch::equal(rule->meta_parameters(), before));
}

TEST_CASE("black_box: what is no multiple of the network's unit is refused, all of it at once") {
  v1::ExperimentSpec spec = Spec({{"k", "25"}, {"epochs", "3"}});
  spec.mutable_lifetime()->set_steps_per_iteration(kSteps - 1);  // 96 trained steps.
  Violations violations;
  CHECK(MakeOuterRule({.spec = spec, .network = Network()}, &violations) == nullptr);
  const std::string said(violations.ToStatus().message());
  CHECK_THAT(said, Contains("lifetime.steps_per_iteration") && Contains("96") &&
                       Contains("multiple of 10"));
  CHECK_THAT(said, Contains("rule.option.k") && Contains("is 25"));
  CHECK_THAT(said, Contains("rule.option.epochs") && Contains("k / 10 = 2"));
}

}  // namespace mentor::methods::TEST_FILE
