// How a collection is cut into units, and joined again: borders, numbers and what carries over.
#include "shards/unit_plan.h"

#include <string>
#include <utility>
#include <vector>

#include "shards/tensor_proto.h"
#include "tests/small_shards.h"
#include "tests/text.h"
#include "tests/torch_testing.h"
#include "tests/units.h"

namespace mentor::shards::TEST_FILE {

using mentor::testing::Contains;
using testing::SmallShard;
using torch::Tensor;

constexpr uint64_t kUnitShard = 5;

// Agents of SmallShard with episodes of `episode_steps`; iterations have `steps`.
v1::Shard ShardOf(uint32_t episode_steps, uint32_t steps) {
  v1::Shard shard = SmallShard();
  shard.mutable_shape()->set_episode_steps(episode_steps);
  shard.mutable_spec()->mutable_lifetime()->set_steps_per_iteration(steps);
  return shard;
}

// `policies` for each agent; the first byte of a policy's weights is its number.
CollectionPlan PlanOf(const v1::Shard& shard, uint32_t steps, int policies = 1) {
  CollectionPlan plan;
  plan.number = 2;
  plan.steps = steps;
  for (int i = 0; i < policies * shard.lifetimes_size(); ++i) {
    v1::PolicyWeights policy;
    policy.set_network(v1::POLICY_NETWORK_MLP);
    policy.set_weights(std::string(1, static_cast<char>('a' + i)));
    plan.policies.push_back(policy);
  }
  return plan;
}

// First step, steps and first episode of each unit.
using Cuts = std::vector<std::vector<uint32_t>>;
// The units of an agent, from the beginning of the collection.
Cuts CutsOf(const v1::Shard& shard, const CollectionPlan& plan,
            const std::vector<v1::EpisodeCursor>& cursors, uint32_t agent) {
  const uint32_t first = plan.number * shard.spec().lifetime().steps_per_iteration();
  Cuts cuts;
  for (const v1::Unit& unit : PlanUnits(shard, kUnitShard, plan, cursors)) {
    if (unit.id().agent() != agent) continue;
    CHECK(unit.id().part() == cuts.size());
    cuts.push_back({unit.first_step() - first, unit.steps(), unit.first_episode()});
  }
  return cuts;
}

TEST_CASE("unit plan: parts end at the first border of episodes after 400 steps", "[unit]") {
  const v1::Shard shard = ShardOf(150, 1000);
  const CollectionPlan plan = PlanOf(shard, 1000);
  // Borders 150, 300, 450; from there 600, 750, 900.
  CHECK(CutsOf(shard, plan, FirstCursors(3), 1) == Cuts{{0, 450, 0}, {450, 450, 3}, {900, 100, 6}});
  // 50 steps into the episode 7: borders 100, 250 and, exactly 400 steps long, 400; then 850.
  std::vector<v1::EpisodeCursor> cursors = FirstCursors(3);
  cursors[1].set_step(50);
  cursors[1].set_episode(7);
  CHECK(CutsOf(shard, plan, cursors, 1) == Cuts{{0, 400, 7}, {400, 450, 10}, {850, 150, 13}});
  CHECK(CutsOf(shard, plan, cursors, 0).size() == 3);
  CHECK(CutsOf(shard, plan, cursors, 2)[1][0] == 450);  // Others are cut by their own cursors.
  // A border at the end makes no unit of its own.
  CHECK(CutsOf(shard, PlanOf(shard, 450), FirstCursors(3), 0) == Cuts{{0, 450, 0}});
}

TEST_CASE("unit plan: what depends on earlier steps is one unit", "[unit]") {
  v1::Shard shard = ShardOf(150, 1000);
  CollectionPlan plan = PlanOf(shard, 1000);
  plan.policies[0].set_network(v1::POLICY_NETWORK_RECURRENT);
  CHECK(CutsOf(shard, plan, FirstCursors(3), 0) == Cuts{{0, 1000, 0}});
  CHECK(CutsOf(shard, plan, FirstCursors(3), 1).size() == 3);
  shard.mutable_shape()->set_independent_episodes(false);
  CHECK(CutsOf(shard, plan, FirstCursors(3), 1) == Cuts{{0, 1000, 0}});
}

TEST_CASE("unit plan: policies take turns, each with units of its own", "[unit]") {
  const v1::Shard shard = ShardOf(10, 40);
  const CollectionPlan plan = PlanOf(shard, 40, /*policies=*/2);
  const std::vector<v1::Unit> units = PlanUnits(shard, kUnitShard, plan, FirstCursors(3));
  REQUIRE(units.size() == 6);
  for (uint32_t i = 0; i < 6; ++i) {
    INFO(i);
    CHECK(units[i].id().agent() == i / 2);
    CHECK(units[i].id().part() == i % 2);
    CHECK(units[i].policy().weights() == std::string(1, static_cast<char>('a' + i)));
    CHECK(units[i].first_step() == 2 * 40 + 20 * (i % 2));
    CHECK(units[i].steps() == 20);
    CHECK(units[i].first_episode() == 2 * (i % 2));
  }
}

TEST_CASE("unit plan: a unit names its steps, its noise and its task", "[unit]") {
  v1::Shard shard = ShardOf(150, 600);
  shard.set_phase(1);
  shard.mutable_lifetimes(2)->set_number(9);
  shard.mutable_share()->set_experiment("experiments/a");
  CollectionPlan plan = PlanOf(shard, 500);  // Shorter than an iteration.
  std::vector<v1::EpisodeCursor> cursors = FirstCursors(3);
  cursors[2].set_state("open");
  const std::vector<v1::Unit> units = PlanUnits(shard, kUnitShard, plan, cursors);
  REQUIRE(units.size() == 6);
  for (const v1::Unit& unit : {units[4], units[5]}) {
    const bool last = unit.id().part() == 1;
    CHECK(unit.id().shard() == kUnitShard);
    CHECK(unit.id().iteration() == 2);
    CHECK(unit.id().agent() == 2);
    CHECK(unit.attempt() == 1);
    CHECK(unit.share().experiment() == "experiments/a");
    CHECK(unit.task().parameters(1) == shard.lifetimes(2).task().parameters(1));
    CHECK(unit.random().seed() == 11);
    CHECK(unit.random().lifetime() == agents::NoiseNumber(shard.lifetimes(2)));
    CHECK(unit.random().iteration() == 2);
    CHECK(unit.random().phase() == 1);
    CHECK(unit.first_step() == 2 * 600 + (last ? 450 : 0));
    // The state enters the first part and leaves the last one.
    CHECK(unit.state() == (last ? "" : "open"));
    CHECK(unit.return_state() == last);
    CHECK_FALSE(unit.deterministic());
    CHECK_FALSE(unit.return_final_observations());
  }
  plan.mean_actions = true;
  plan.all_final_observations = true;
  const v1::Unit mean = PlanUnits(shard, kUnitShard, plan, cursors)[5];
  CHECK(mean.deterministic());
  CHECK(mean.return_state());
  CHECK(mean.return_final_observations());
}

TEST_CASE("unit plan: deterministic episodes begin afresh and leave nothing", "[unit]") {
  v1::Shard shard = ShardOf(10, 40);
  shard.mutable_spec()->mutable_agent()->set_bootstrap_on_truncation(true);
  std::vector<v1::EpisodeCursor> cursors = FirstCursors(3);
  cursors[0].set_step(4);
  for (v1::EpisodeCursor& cursor : cursors) {
    cursor.set_episode(7);
    cursor.set_state("open");
  }
  CollectionPlan plan = PlanOf(shard, 20);
  CHECK(PlanUnits(shard, kUnitShard, plan, cursors)[0].return_final_observations());
  plan.deterministic = true;
  const std::vector<v1::Unit> units = PlanUnits(shard, kUnitShard, plan, cursors);
  REQUIRE(units.size() == 3);
  CHECK(units[0].first_episode() == 8);  // The open episode is abandoned;
  CHECK(units[1].first_episode() == 7);  // there was none.
  for (const v1::Unit& unit : units) {
    CHECK(unit.steps() == 20);
    CHECK(unit.state().empty());
    CHECK(unit.deterministic());
    CHECK_FALSE(unit.return_state());
    CHECK_FALSE(unit.return_final_observations());
  }
}

// --- Joining ---

// A trajectory of one number a step: rewards, and where episodes end.
v1::Result ResultOf(const v1::Unit& unit, const std::vector<double>& rewards,
                    const std::vector<int>& terminations, const std::vector<int>& truncations,
                    const std::vector<int>& successes) {
  const auto steps = static_cast<int64_t>(rewards.size());
  REQUIRE(steps == unit.steps());
  const auto flags = [](const std::vector<int>& values) {
    return ToProto(torch::tensor(values).to(torch::kUInt8));
  };
  const Tensor reward = torch::tensor(rewards, torch::kFloat64);
  v1::Result result;
  *result.mutable_id() = unit.id();
  result.set_final_state("after " + std::to_string(unit.id().agent()));
  v1::Trajectory& trajectory = *result.mutable_trajectory();
  *trajectory.mutable_observations() =
      ToProto(reward.to(torch::kFloat32).unsqueeze(1).expand({steps, 4}).contiguous());
  *trajectory.mutable_actions() = ToProto(torch::zeros({steps, 2}));
  *trajectory.mutable_log_probs() = ToProto(-reward.to(torch::kFloat32));
  *trajectory.mutable_rewards() = ToProto(reward);
  *trajectory.mutable_successes() = flags(successes);
  *trajectory.mutable_terminations() = flags(terminations);
  *trajectory.mutable_truncations() = flags(truncations);
  *trajectory.mutable_next_observation() = ToProto(torch::full({4}, 100.0 + rewards.back()));
  std::vector<Tensor> last = {torch::empty({0, 4})};
  for (int64_t t = 0; t < steps; ++t) {
    if (terminations[t] + truncations[t] > 0) last.push_back(torch::full({1, 4}, 50 + rewards[t]));
  }
  *trajectory.mutable_final_observations() = ToProto(torch::cat(last));
  return result;
}

// Two agents, one of them in an open episode, four steps by two policies.
struct Joined {
  v1::Shard shard = ShardOf(30, 4);
  CollectionPlan plan;
  std::vector<v1::EpisodeCursor> cursors = FirstCursors(2);
  std::vector<v1::Unit> units;
  std::vector<v1::Result> results;

  Joined() {
    shard.mutable_lifetimes()->RemoveLast();
    shard.mutable_shape()->set_independent_episodes(false);
    shard.mutable_spec()->mutable_agent()->set_bootstrap_on_truncation(true);
    plan = PlanOf(shard, 4);
    cursors[1].set_episode(5);
    cursors[1].set_step(1);
    cursors[1].set_success(true);
    cursors[1].set_prev_done(false);
    cursors[1].set_shaped_return(10);
    cursors[1].set_state("before");
    cursors[0].set_prev_done(true);
    units = PlanUnits(shard, kUnitShard, plan, cursors);
    REQUIRE(units.size() == 2);
    // Agent 0 is cut after three steps; agent 1 ends by itself after one, and is cut at the end.
    results = {ResultOf(units[0], {1, 2, 3, 4}, {0, 0, 0, 0}, {0, 0, 1, 0}, {0, 0, 1, 1}),
               ResultOf(units[1], {5, 6, 7, 8}, {1, 0, 0, 0}, {0, 0, 0, 1}, {0, 0, 0, 0})};
  }
  absl::StatusOr<agents::Segment> Assemble() {
    return AssembleSegment(shard, plan, units, results, &cursors);
  }
};

std::vector<double> Row(const Tensor& tensor) {
  const Tensor numbers = tensor.to(torch::kFloat64).contiguous().flatten();
  return {numbers.const_data_ptr<double>(), numbers.const_data_ptr<double>() + numbers.numel()};
}
using List = std::vector<double>;

TEST_CASE("unit plan: the segment has each agent's steps in its row", "[unit]") {
  Joined joined;
  const auto segment = joined.Assemble();
  INFO(segment.status());
  REQUIRE(segment.ok());
  CHECK(Row(segment->shaped_rewards[0]) == List{1, 2, 3, 4});
  CHECK(Row(segment->shaped_rewards[1]) == List{5, 6, 7, 8});
  CHECK(Row(segment->observations[1].select(1, 3)) == List{5, 6, 7, 8});
  CHECK(Row(segment->log_probs[1]) == List{-5, -6, -7, -8});
  CHECK(Row(segment->next_observations[0]) == List(4, 104));
  // An episode begins after the step that ended one; the first step begins as the cursor says.
  CHECK(Row(segment->prev_done[0]) == List{1, 0, 0, 1});
  CHECK(Row(segment->prev_done[1]) == List{0, 1, 0, 0});
  CHECK(Row(segment->last_done) == List{0, 1});
  // Only the truncated ones are bootstrapped: their last observations come first.
  CHECK(Row(segment->truncated[0]) == List{0, 0, 1, 0});
  CHECK(Row(segment->truncated[1]) == List{0, 0, 0, 1});
  CHECK(Row(segment->final_observations[0][0]) == List(4, 53));
  CHECK(Row(segment->final_observations[1][0]) == List(4, 58));
  // What was open when it began.
  CHECK(Row(segment->open_steps) == List{0, 1});
  CHECK(Row(segment->open_returns) == List{0, 10});
  CHECK(Row(segment->open_successes) == List{0, 1});
}

TEST_CASE("unit plan: cursors move to the segment's end", "[unit]") {
  Joined joined;
  REQUIRE(joined.Assemble().ok());
  const v1::EpisodeCursor &open = joined.cursors[0], &ended = joined.cursors[1];
  CHECK(open.episode() == 1);
  CHECK(open.step() == 1);
  CHECK_FALSE(open.prev_done());
  CHECK(open.success());  // Its fourth step succeeded, in the second episode.
  CHECK(open.shaped_return() == 4);
  CHECK(open.state() == "after 0");
  CHECK(ended.episode() == 7);
  CHECK(ended.step() == 0);
  CHECK(ended.prev_done());
  CHECK_FALSE(ended.success());
  CHECK(ended.state().empty());
  CHECK(ended.shaped_return() == 0);
  // The next collection begins there, and goes on with the sum of the open episode.
  joined.results[0] =
      ResultOf(joined.units[0], {1, 1, 1, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0});
  const auto next = joined.Assemble();
  REQUIRE(next.ok());
  CHECK(Row(next->open_steps) == List{1, 0});
  CHECK(Row(next->open_returns) == List{4, 0});
  CHECK(Row(next->prev_done[0]) == List{0, 0, 0, 0});
  CHECK(joined.cursors[0].shaped_return() == 8);
  CHECK(joined.cursors[0].step() == 5);
  CHECK(joined.cursors[0].episode() == 1);
}

TEST_CASE("unit plan: what does not fit is refused by name", "[unit]") {
  Joined joined;
  joined.results[1].mutable_trajectory()->mutable_rewards()->mutable_data()->pop_back();
  CHECK(Contains(std::string(joined.Assemble().status().message()),
                 "shard 7, agent 1: rewards has 31 bytes for 4 numbers"));
  Joined other;
  other.plan.all_final_observations = true;
  // Whole episodes have 30 steps: none can end in four.
  CHECK(Contains(std::string(other.Assemble().status().message()),
                 "its episodes do not all have 30 steps"));
}

TEST_CASE("unit plan: a part of a trajectory that has another size is refused by its name",
          "[unit]") {
  auto parts = testing::TrajectoryParts();
  parts.emplace_back("final_observations",
                     [](v1::Trajectory* t) { return t->mutable_final_observations(); });
  for (const auto& [name, part] : parts) {
    INFO(name);
    Joined joined;
    part(joined.results[0].mutable_trajectory())->mutable_data()->push_back('\0');
    CHECK(Contains(std::string(joined.Assemble().status().message()),
                   "shard 7, agent 0: " + std::string(name) + " has "));
  }
  Joined without;
  without.plan.labels = true;
  CHECK(Contains(std::string(without.Assemble().status().message()),
                 "shard 7, agent 0: labels has 0 bytes for 8 numbers"));
}

TEST_CASE("unit plan: a segment has room for the agent that was cut most often", "[unit]") {
  Joined joined;
  joined.results[1] =
      ResultOf(joined.units[1], {5, 6, 7, 8}, {0, 0, 0, 0}, {1, 1, 0, 1}, {0, 0, 0, 0});
  const auto segment = joined.Assemble();
  INFO(segment.status());
  REQUIRE(segment.ok());
  REQUIRE(segment->final_observations.sizes() == torch::IntArrayRef({2, 3, 4}));
  CHECK(Row(segment->final_observations[0].select(1, 0)) == List{53, 0, 0});
  CHECK(Row(segment->final_observations[1].select(1, 0)) == List{55, 56, 58});
  CHECK(joined.cursors[1].episode() == 8);
  CHECK(joined.cursors[0].episode() == 1);
}

}  // namespace mentor::shards::TEST_FILE
