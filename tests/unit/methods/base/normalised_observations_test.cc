// What a signal network with `normalize_observations` sees, in every loop that shows it segments.
#include "methods/base/inner_loop.h"
#include "tests/conformance/recorded_lifetimes.h"
#include "tests/specs.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::kActionSize;
using mentor::testing::kObservationSize;
using mentor::testing::RandomNormals;
using mentor::testing::RandomSegment;
using torch::Tensor;

constexpr int64_t kSteps = 20, kAgents = 3;

v1::Shard ShardOf(const std::string& loop, const std::string& network, bool on) {
  v1::Shard shard;
  v1::ExperimentSpec& spec = *shard.mutable_spec();
  spec.set_seed(3);
  spec.mutable_lifetime()->set_iterations(3);
  spec.mutable_lifetime()->set_steps_per_iteration(kSteps);
  spec.mutable_agent()->set_hidden_units(8);
  spec.mutable_agent()->set_epochs(1);
  spec.mutable_agent()->set_minibatches(2);
  spec.mutable_signal()->set_name(network);
  if (!network.starts_with("lstm")) testing::SetOption(spec.mutable_signal(), "density", "true");
  if (on) testing::SetOption(spec.mutable_signal(), "normalize_observations", "true");
  for (int64_t s = 0; s < kAgents; ++s) shard.add_lifetimes()->set_number(static_cast<uint32_t>(s));
  *shard.mutable_shape() = testing::Shape({.observation = kObservationSize, .action = kActionSize});
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  shard.mutable_inner_loop()->set_name(loop);
  return shard;
}

// Columns of unlike scales, some beyond the bound.
agents::Segment Raw(uint32_t iteration) {
  agents::Segment segment = RandomSegment(kAgents, kSteps, 70 + iteration);
  const Tensor scales = torch::pow(30.0, torch::arange(kObservationSize)).to(torch::kFloat32);
  segment.observations = segment.observations * scales + 3;
  return segment;
}

std::vector<agents::Segment> Live(const v1::Shard& shard, const Tensor& weights) {
  Violations violations;
  const auto loop = MakeInnerLoop(shard, weights, nullptr, {}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(loop != nullptr);
  loop->Begin();
  std::vector<agents::Segment> segments;
  for (uint32_t iteration = 0; iteration < 2; ++iteration) {
    LoopReport report;
    const auto segment = loop->Iterate(
        iteration,
        [&](const std::vector<v1::PolicyWeights>&) -> absl::StatusOr<agents::Segment> {
          return Raw(iteration);
        },
        &report);
    REQUIRE(segment.ok());
    segments.push_back(*segment);
  }
  return segments;
}

TEST_CASE("signal networks that ask for it see observations of scale 1, in every loop") {
  const std::string loop = GENERATE("ppo", "perturbed_ppo", "meta_gradient");
  const std::string network = GENERATE("lstm", "lstm_both", "attention", "mlp");
  INFO(loop << " " << network);
  Violations violations;
  const v1::Shard on = ShardOf(loop, network, true), off = ShardOf(loop, network, false);
  const auto made =
      signals::MakeSignalNetwork(on.spec().signal(), SignalContextOf(on), &violations);
  REQUIRE(made != nullptr);
  const Tensor weights = made->InitialWeights(1) + 0.1 * RandomNormals({made->layout().size()}, 5);

  const std::vector<agents::Segment> shown = Live(on, weights), raw = Live(off, weights);
  // Off: everything stays as it was.
  for (uint32_t i = 0; i < raw.size(); ++i)
    CHECK(torch::equal(raw[i].observations, Raw(i).observations));
  // On: the scale is that of the life so far.
  Tensor life;
  for (uint32_t i = 0; i < shown.size(); ++i) {
    const Tensor now = Raw(i).observations.to(torch::kFloat64);
    life = life.defined() ? torch::cat({life, now}, 1) : now;
    const Tensor scale = (life.square().mean(1, /*keepdim=*/true) + 1e-8).sqrt();
    CHECK(torch::allclose(shown[i].observations.to(torch::kFloat64), (now / scale).clamp(-10, 10),
                          1e-5, 1e-6));
  }
  // The signals are those of what was shown.
  signals::SignalState state = made->signals()->InitialState(kAgents, torch::kFloat32);
  for (size_t i = 0; i < shown.size(); ++i) {
    // Signals with a graph are LibTorch's, others those of a network's own kernels.
    CHECK(torch::allclose(shown[i].signals,
                          made->signals()->Run(weights, shown[i], /*noise=*/{}, &state).signals,
                          1e-5, 1e-6));
    CHECK_FALSE(torch::allclose(shown[i].signals, raw[i].signals));
  }
}

TEST_CASE("a life with normalised observations goes on from a snapshot with the same bits") {
  const std::string loop = GENERATE("ppo", "meta_gradient");
  const v1::Shard shard = ShardOf(loop, "mlp", true);
  Violations violations;
  const auto network =
      signals::MakeSignalNetwork(shard.spec().signal(), SignalContextOf(shard), &violations);
  REQUIRE(network != nullptr);
  const Tensor weights = network->InitialWeights(1);
  const auto live = [](InnerLoop* lives, uint32_t iteration) {
    LoopReport report;
    const auto segment = lives->Iterate(
        iteration,
        [&](const std::vector<v1::PolicyWeights>&) -> absl::StatusOr<agents::Segment> {
          return Raw(iteration);
        },
        &report);
    REQUIRE(segment.ok());
    return *segment;
  };
  const auto whole = MakeInnerLoop(shard, weights, nullptr, {}, &violations);
  REQUIRE(whole != nullptr);
  whole->Begin();
  live(whole.get(), 0);
  const auto resumed = MakeInnerLoop(shard, weights, nullptr, {}, &violations);
  REQUIRE(resumed->Load(whole->Save()).ok());
  const agents::Segment a = live(whole.get(), 1), b = live(resumed.get(), 1);
  CHECK(torch::equal(a.observations, b.observations));
  CHECK(torch::equal(a.signals, b.signals));
}

}  // namespace mentor::methods::TEST_FILE
