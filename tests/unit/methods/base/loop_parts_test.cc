// Rewards of baselines by hand.
#include "methods/base/loop_parts.h"

#include "methods/base/inner_loop.h"
#include "tests/conformance/recorded_lifetimes.h"
#include "tests/small_shards.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

// Two agents, four steps: potentials 1 2 3 4 and 10 20 30 40, a success of 1 and 5 each.
agents::Segment Small(const std::vector<double>& prev_done, double last_done) {
  agents::Segment segment;
  segment.shaped_rewards =
      torch::tensor({1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0}, torch::kFloat64).view({2, 4});
  segment.success_signals = torch::tensor({0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0}).view({2, 4});
  segment.prev_done =
      torch::tensor(prev_done, torch::kFloat32).unsqueeze(0).repeat({2, 1}).contiguous();
  segment.last_done = torch::full({2}, last_done, torch::kFloat32);
  return segment;
}

void CheckRow(const Tensor& rewards, int64_t agent, const std::vector<double>& expected) {
  for (size_t t = 0; t < expected.size(); ++t) {
    CAPTURE(agent, t);
    CHECK(rewards[agent][static_cast<int64_t>(t)].item<double>() == Approx(expected[t]));
  }
}

TEST_CASE("potential: a reward is success and the change of the potential", "[unit]") {
  Tensor potential = torch::zeros({2}, torch::kFloat64);
  // gamma 1/2: 0.5 1 - 0, 1 + 0.5 2 - 1, 0.5 3 - 2, 0.5 4 - 3.
  const Tensor rewards = PotentialRewards(Small({0, 0, 0, 0}, 0), 0.5, &potential);
  CheckRow(rewards, 0, {0.5, 1, -0.5, -1});
  CheckRow(rewards, 1, {5, 0, 0, -10});
  // The next segment goes on in the same episode, from potentials 4 and 40.
  const Tensor more = PotentialRewards(Small({0, 0, 0, 0}, 0), 0.5, &potential);
  CheckRow(more, 0, {-3.5, 1, -0.5, -1});
  CheckRow(more, 1, {-35, 0, 0, -10});
}

TEST_CASE("potential: it is 0 where an episode begins and where it ends", "[unit]") {
  Tensor potential = torch::full({2}, 7.0, torch::kFloat64);
  // Episodes end before the segment, after its second step, and with its last.
  const Tensor rewards = PotentialRewards(Small({1, 0, 1, 0}, 1), 0.5, &potential);
  CheckRow(rewards, 0, {0.5, 1 - 1, 1.5, -3});
  CheckRow(rewards, 1, {5, -10, 5 + 15, -30});
}

TEST_CASE("potential: an episode's discounted return is that of success alone", "[unit]") {
  Tensor potential = torch::zeros({2}, torch::kFloat64);
  const Tensor rewards = PotentialRewards(Small({0, 0, 0, 0}, 1), 0.9, &potential);
  const Tensor discounts = torch::pow(0.9, torch::arange(4).to(torch::kFloat64));
  const Tensor returns = (rewards * discounts).sum(1);
  CHECK(returns[0].item<double>() == Approx(0.9 * 1));
  CHECK(returns[1].item<double>() == Approx(0.81 * 5));
}

TEST_CASE("potential: it stays at a limit beyond which the critic bootstraps", "[unit]") {
  Tensor potential = torch::zeros({2}, torch::kFloat64);
  agents::Segment segment = Small({0, 0, 1, 0}, 1);
  segment.truncated = torch::tensor({0.0F, 1.0F, 0.0F, 0.0F}).unsqueeze(0).repeat({2, 1});
  const Tensor rewards = PotentialRewards(segment, 0.5, &potential);
  CheckRow(rewards, 0, {0.5, 1 + 1 - 1, 1.5, -3});
  CheckRow(rewards, 1, {5, 10 - 10, 5 + 15, -30});
}

TEST_CASE("network sight: the last observation is shown as those before it", "[unit]") {
  constexpr int64_t kD = testing::kObservationSize;
  v1::SignalSpec spec;
  spec.set_name("mlp");
  spec.add_option()->set_name(signals::kNormalizeObservations);
  spec.mutable_option(0)->set_value("true");
  Violations violations;
  v1::Shard shard;
  for (uint32_t number = 0; number < 2; ++number) shard.add_lifetimes()->set_number(number);
  *shard.mutable_shape() = testing::Shape({.observation = kD, .action = testing::kActionSize});
  InnerLoopContext context;
  context.shard = &shard;
  context.network = signals::MakeSignalNetwork(spec,
                                               {.observation_size = kD,
                                                .action_size = testing::kActionSize,
                                                .role = v1::REWARD,
                                                .input = v1::SHAPED,
                                                .episode_steps = 10,
                                                .steps_per_iteration = 15},
                                               &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(context.network != nullptr);
  agents::Segment segment = testing::RandomSegment(2, 15, 7);
  segment.next_observations = segment.observations.select(1, 14).clone();
  const agents::Segment shown = NetworkSight(context).Show(segment);
  CHECK_FALSE(torch::equal(shown.observations, segment.observations));
  CHECK(torch::equal(shown.next_observations, shown.observations.select(1, 14)));
}

// Agents after two segments, of which the second goes on in the first one's episode. In between
// they go through a snapshot, if asked.
Tensor Learned(v1::RewardSource source, bool through_snapshot) {
  v1::Shard shard;
  v1::ExperimentSpec& spec = *shard.mutable_spec();
  spec.mutable_lifetime()->set_iterations(3);
  spec.mutable_lifetime()->set_steps_per_iteration(15);
  spec.mutable_agent()->set_hidden_units(8);
  spec.mutable_agent()->set_epochs(1);
  spec.mutable_agent()->set_minibatches(1);
  for (uint32_t number = 0; number < 2; ++number) shard.add_lifetimes()->set_number(number);
  *shard.mutable_shape() =
      testing::Shape({.observation = testing::kObservationSize, .action = testing::kActionSize});
  shard.set_reward_source(source);
  shard.mutable_inner_loop()->set_name("ppo");
  const auto make = [&] {
    Violations violations;
    auto loop = MakeInnerLoop(shard, {}, nullptr, {}, &violations);
    INFO(std::string(violations.ToStatus().message()));
    REQUIRE(loop != nullptr);
    loop->Begin();
    return loop;
  };
  auto loop = make();
  for (uint32_t iteration = 0; iteration < 2; ++iteration) {
    LoopReport report;
    const auto collect =
        [&](const std::vector<v1::PolicyWeights>&) -> absl::StatusOr<agents::Segment> {
      return testing::RandomSegment(2, 15, 7 + iteration);
    };
    REQUIRE(loop->Iterate(iteration, collect, &report).ok());
    if (!through_snapshot || iteration > 0) continue;
    const TensorMap state = loop->Save();
    loop = make();
    REQUIRE(loop->Load(state).ok());
  }
  return loop->Save().at("agents.theta").clone();
}

TEST_CASE("potential: agents learn from it, and snapshots keep that of the last state", "[unit]") {
  const Tensor learned = Learned(v1::REWARD_SOURCE_POTENTIAL, false);
  CHECK(torch::equal(learned, Learned(v1::REWARD_SOURCE_POTENTIAL, true)));
  for (const v1::RewardSource other : {v1::REWARD_SOURCE_SPARSE, v1::REWARD_SOURCE_SHAPED})
    CHECK_FALSE(torch::equal(learned, Learned(other, false)));
}

}  // namespace mentor::methods::TEST_FILE
