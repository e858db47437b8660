// Agents that learn from exploration bonuses: what they learn from, and their snapshots.
#include "methods/shared/bonus_rewards.h"

#include "methods/base/inner_loop.h"
#include "tests/bonus_problem.h"
#include "tests/conformance/recorded_lifetimes.h"
#include "tests/pools.h"
#include "tests/small_shards.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

constexpr v1::RewardSource kSources[] = {v1::REWARD_SOURCE_RND, v1::REWARD_SOURCE_ICM,
                                         v1::REWARD_SOURCE_COUNTS};
constexpr int64_t kSteps = 30;

// Agents on a bonus with small networks.
v1::Shard ShardOf(v1::RewardSource source, uint32_t first = 0, uint32_t count = 3) {
  v1::Shard shard;
  v1::ExperimentSpec& spec = *shard.mutable_spec();
  spec.mutable_lifetime()->set_iterations(4);
  spec.mutable_lifetime()->set_steps_per_iteration(kSteps);
  spec.mutable_agent()->set_hidden_units(8);
  spec.mutable_agent()->set_epochs(1);
  spec.mutable_agent()->set_minibatches(1);
  if (const bonuses::BonusEntry* entry = BonusOf(source); entry != nullptr) {
    std::map<std::string, std::string> options;
    if (entry->name != "counts") options = {{"hidden", "8"}, {"latent", "4"}, {"minibatch", "8"}};
    *spec.mutable_evaluation() = testing::BonusSettings(entry->name, options);
  }
  for (uint32_t i = 0; i < count; ++i) shard.add_lifetimes()->set_number(first + i);
  *shard.mutable_shape() =
      testing::Shape({.observation = testing::kObservationSize, .action = testing::kActionSize});
  shard.set_reward_source(source);
  shard.mutable_inner_loop()->set_name("ppo");
  return shard;
}

std::unique_ptr<InnerLoop> LoopOf(const v1::Shard& shard, agents::WorkerPool* pool = nullptr) {
  Violations violations;
  auto loop = MakeInnerLoop(shard, {}, pool, {}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(loop != nullptr);
  loop->Begin();
  return loop;
}

// Steps of all three agents; agent `first` and others have the same in any shard.
agents::Segment StepsOf(uint32_t iteration, int64_t first, int64_t count) {
  return agents::SomeLifetimes(testing::RandomSegment(3, kSteps, 7 + iteration), first, count);
}

void Live(InnerLoop* loop, uint32_t iteration, int64_t first = 0, int64_t count = 3) {
  LoopReport report;
  const auto collect = [&](const std::vector<v1::PolicyWeights>&) {
    return absl::StatusOr<agents::Segment>(StepsOf(iteration, first, count));
  };
  REQUIRE(loop->Iterate(iteration, collect, &report).ok());
  REQUIRE(report.nonfinite_updates == 0);
}

Tensor WeightsAfter(v1::RewardSource source, agents::WorkerPool* pool = nullptr) {
  const v1::Shard shard = ShardOf(source);
  const auto loop = LoopOf(shard, pool);
  for (uint32_t iteration = 0; iteration < 3; ++iteration) Live(loop.get(), iteration);
  return loop->Save().at("agents.theta").clone();
}

TEST_CASE("bonus rewards: agents learn from them, each from its own", "[unit]") {
  std::vector<Tensor> learned = {WeightsAfter(v1::REWARD_SOURCE_SPARSE)};
  for (const v1::RewardSource source : kSources) {
    learned.push_back(WeightsAfter(source));
    for (size_t other = 0; other + 1 < learned.size(); ++other)
      CHECK_FALSE(torch::equal(learned.back(), learned[other]));
  }
}

TEST_CASE("bonus rewards: threads and the other agents of a shard change nothing", "[unit]") {
  for (const v1::RewardSource source : kSources) {
    CAPTURE(source);
    const Tensor alone = WeightsAfter(source);
    CHECK(torch::equal(alone, WeightsAfter(source, testing::Pool(3))));
    const v1::Shard shard = ShardOf(source, /*first=*/1, /*count=*/1);
    const auto loop = LoopOf(shard);
    for (uint32_t iteration = 0; iteration < 3; ++iteration)
      Live(loop.get(), iteration, /*first=*/1, /*count=*/1);
    CHECK(torch::equal(alone[1], loop->Save().at("agents.theta")[0]));
  }
}

TEST_CASE("bonus rewards: a life that goes through a snapshot goes on with the same bits",
          "[unit]") {
  for (const v1::RewardSource source : kSources) {
    CAPTURE(source);
    const v1::Shard shard = ShardOf(source);
    const auto whole = LoopOf(shard);
    for (uint32_t iteration = 0; iteration < 3; ++iteration) Live(whole.get(), iteration);
    auto loop = LoopOf(shard);
    for (uint32_t iteration = 0; iteration < 3; ++iteration) {
      Live(loop.get(), iteration);
      auto next = LoopOf(shard);
      REQUIRE(next->Load(loop->Save()).ok());
      loop = std::move(next);
    }
    const TensorMap expected = whole->Save(), got = loop->Save();
    REQUIRE(expected.size() == got.size());
    for (const auto& [name, tensor] : expected) CHECK(torch::equal(tensor, got.at(name)));
  }
}

TEST_CASE("bonus rewards: a snapshot without them, or of other settings, is refused", "[unit]") {
  for (const v1::RewardSource source : kSources) {
    CAPTURE(source);
    const v1::Shard shard = ShardOf(source);
    const auto loop = LoopOf(shard);
    Live(loop.get(), 0);
    const auto code = [&](TensorMap state) { return LoopOf(shard)->Load(state).code(); };
    TensorMap state = loop->Save();
    state.erase("bonus");
    CHECK(code(state) == absl::StatusCode::kDataLoss);
    state = loop->Save();
    state.erase("bonus_numbers");
    CHECK(code(state) == absl::StatusCode::kDataLoss);
    state = loop->Save();
    state["bonus_numbers"] = state["bonus_numbers"] * -1;
    CHECK(code(state) == absl::StatusCode::kDataLoss);
    state = loop->Save();
    state["bonus"] = state["bonus"].narrow(0, 0, state["bonus"].numel() - 1);
    CHECK_FALSE(LoopOf(shard)->Load(state).ok());
    CHECK(code(loop->Save()) == absl::StatusCode::kOk);
  }
}

TEST_CASE("bonus rewards: the bounds of a loop hold for its snapshot", "[unit]") {
  for (const v1::RewardSource source : kSources) {
    CAPTURE(source);
    const v1::Shard shard = ShardOf(source);
    const auto loop = LoopOf(shard);
    for (uint32_t iteration = 0; iteration < 3; ++iteration) Live(loop.get(), iteration);
    int64_t bytes = 0;
    for (const auto& [name, tensor] : loop->Save())
      bytes += tensor.numel() * static_cast<int64_t>(tensor.element_size());
    const auto sizes = SizesOfLoop(shard, 0);
    REQUIRE(sizes.has_value());
    CHECK(bytes <= 4 * 3 * sizes->saved);
    CHECK(sizes->saved <= sizes->state);
  }
}

TEST_CASE("bonus rewards: a reward is the weighted success and the bonus", "[unit]") {
  const v1::Shard shard = ShardOf(v1::REWARD_SOURCE_COUNTS, 0, 2);
  InnerLoopContext context;
  context.shard = &shard;
  BonusRewards rewards(context);
  REQUIRE(rewards.enabled());
  rewards.Begin();
  agents::Segment segment;
  // Two agents, four steps: one stays, the other moves. An episode ends after the second step.
  segment.observations = torch::zeros({2, 4, testing::kObservationSize});
  segment.observations[1] =
      testing::RandomNormals({4, testing::kObservationSize}, /*seed=*/3) * 100;
  segment.next_observations = segment.observations.select(1, 3).clone();
  segment.actions = torch::zeros({2, 4, testing::kActionSize});
  segment.success_signals = torch::tensor({0.0, 0.0, 0.5, 0.0}).repeat({2, 1});
  segment.prev_done = torch::tensor({0.0, 0.0, 1.0, 0.0}).repeat({2, 1});
  segment.last_done = torch::zeros({2});
  const auto given = rewards.Rewards(segment);
  REQUIRE(given.ok());
  const double bonus = 0.01 / std::sqrt(3.0);  // Three steps of which the next is known.
  const double expected[] = {bonus, 0, 0.5 + bonus, bonus};
  for (int64_t t = 0; t < 4; ++t) CHECK((*given)[0][t].item<double>() == Approx(expected[t]));
  CHECK((*given)[1][0].item<double>() > bonus);
}

TEST_CASE("bonus rewards: wrong settings refuse the shard", "[unit]") {
  v1::Shard shard = ShardOf(v1::REWARD_SOURCE_RND);
  shard.mutable_spec()->mutable_evaluation()->mutable_bonus(0)->add_option()->set_name("bits");
  Violations violations;
  CHECK(MakeInnerLoop(shard, {}, nullptr, {}, &violations) == nullptr);
  CHECK(std::string(violations.ToStatus().message()).find("evaluation.bonus.option") !=
        std::string::npos);
}

}  // namespace mentor::methods::TEST_FILE
