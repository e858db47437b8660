// The learner's half of evolution strategies: which weights teach which agents.
#include "methods/base/inner_loop.h"
#include "methods/shared/perturbation.h"
#include "signals/signal_network.h"
#include "tests/conformance/recorded_lifetimes.h"
#include "tests/specs.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::kActionSize;
using mentor::testing::kObservationSize;
using mentor::testing::RandomNormals;
using mentor::testing::RandomSegment;
using torch::Tensor;

constexpr int64_t kSteps = 20;

v1::Shard ShardOf(std::vector<uint32_t> lifetimes, const std::string& loop) {
  v1::Shard shard;
  v1::ExperimentSpec& spec = *shard.mutable_spec();
  spec.set_seed(3);
  spec.mutable_lifetime()->set_iterations(3);
  spec.mutable_lifetime()->set_steps_per_iteration(kSteps);
  spec.mutable_agent()->set_hidden_units(8);
  spec.mutable_agent()->set_epochs(2);
  spec.mutable_agent()->set_minibatches(2);
  spec.mutable_signal()->set_name("lstm");
  for (const char* name : {"enc1", "enc2", "lstm", "heads", "critic"})
    testing::SetOption(spec.mutable_signal(), name, "4");
  for (uint32_t number : lifetimes) shard.add_lifetimes()->set_number(number);
  *shard.mutable_shape() = testing::Shape({.observation = kObservationSize, .action = kActionSize});
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  shard.set_outer_learning(true);
  shard.mutable_inner_loop()->set_name(loop);
  return shard;
}

std::unique_ptr<InnerLoop> Make(const v1::Shard& shard, const Tensor& weights) {
  Violations violations;
  auto loop = MakeInnerLoop(shard, weights, nullptr, {}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(loop != nullptr);
  return loop;
}

// Signals of two iterations in recorded segments, whatever the policies are.
std::vector<Tensor> Live(InnerLoop* loop, int64_t first, int64_t count) {
  std::vector<Tensor> signals;
  for (uint32_t iteration = 0; iteration < 2; ++iteration) {
    const Collect collect =
        [&](const std::vector<v1::PolicyWeights>&) -> absl::StatusOr<agents::Segment> {
      return agents::SomeLifetimes(RandomSegment(4, kSteps, 70 + iteration), first, count);
    };
    LoopReport report;
    const auto segment = loop->Iterate(iteration, collect, &report);
    REQUIRE(segment.ok());
    CHECK_FALSE(segment->signal_log_probs.defined());
    signals.push_back(segment->signals);
  }
  return signals;
}

std::unique_ptr<signals::SignalNetwork> NetworkOf(const v1::Shard& shard) {
  Violations violations;
  return signals::MakeSignalNetwork(
      shard.spec().signal(),
      {.observation_size = kObservationSize, .action_size = kActionSize, .episode_steps = 10},
      &violations);
}

TEST_CASE("perturbed ppo: lifetimes 2 i and 2 i + 1 have opposite perturbations, in any shard") {
  const v1::Shard whole = ShardOf({6, 7, 8, 9}, "perturbed_ppo");
  const auto network = NetworkOf(whole);
  const Tensor weights =
      network->InitialWeights(1) + 0.1 * RandomNormals({network->layout().size()}, 5);
  auto loop = Make(whole, weights);
  loop->Begin();
  const std::vector<Tensor> all = Live(loop.get(), 0, 4);

  // Each agent by itself.
  const double sigma = 0.05;
  for (int64_t s = 0; s < 4; ++s) {
    const Tensor own =
        weights + (s % 2 == 0 ? 1 : -1) * sigma *
                      PairPerturbation(3, static_cast<uint32_t>(3 + s / 2), weights.numel());
    signals::SignalState state = network->signals()->InitialState(1, torch::kFloat32);
    for (int i = 0; i < 2; ++i) {
      const agents::Segment segment = agents::SomeLifetimes(RandomSegment(4, kSteps, 70 + i), s, 1);
      CHECK(torch::equal(network->signals()->Run(own, segment, {}, &state).signals,
                         all[i].narrow(0, s, 1)));
    }
  }

  // The same bits from two shards.
  const v1::Shard first = ShardOf({6, 7}, "perturbed_ppo"),
                  second = ShardOf({8, 9}, "perturbed_ppo");
  const auto a = Make(first, weights), b = Make(second, weights);
  a->Begin();
  b->Begin();
  const std::vector<Tensor> of_a = Live(a.get(), 0, 2), of_b = Live(b.get(), 2, 2);
  for (int i = 0; i < 2; ++i) CHECK(torch::equal(torch::cat({of_a[i], of_b[i]}), all[i]));
  std::vector<v1::PolicyWeights> policies = a->Policies();
  for (const v1::PolicyWeights& policy : b->Policies()) policies.push_back(policy);
  REQUIRE(policies.size() == 4);
  for (size_t s = 0; s < 4; ++s)
    CHECK(policies[s].SerializeAsString() == loop->Policies()[s].SerializeAsString());
}

TEST_CASE("perturbed ppo: frozen meta-parameters are used as they are") {
  v1::Shard perturbed = ShardOf({6, 7, 8, 9}, "perturbed_ppo"),
            plain = ShardOf({6, 7, 8, 9}, "ppo");
  perturbed.set_outer_learning(false);
  plain.set_outer_learning(false);
  const auto network = NetworkOf(plain);
  const Tensor weights =
      network->InitialWeights(1) + 0.1 * RandomNormals({network->layout().size()}, 5);
  const auto a = Make(perturbed, weights), b = Make(plain, weights);
  a->Begin();
  b->Begin();
  const std::vector<Tensor> of_a = Live(a.get(), 0, 4), of_b = Live(b.get(), 0, 4);
  for (int i = 0; i < 2; ++i) CHECK(torch::equal(of_a[i], of_b[i]));
}

}  // namespace mentor::methods::TEST_FILE
