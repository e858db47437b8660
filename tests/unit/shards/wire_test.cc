// Tensors, segments and units between the processes: sizes and numbers are checked on arrival, and
// cutting an iteration into units never changes it.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

#include <absl/strings/str_cat.h>

#include "shards/segment_proto.h"
#include "shards/tensor_proto.h"
#include "shards/unit_plan.h"
#include "tests/specs.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::shards::TEST_FILE {

using mentor::testing::Contains;

v1::Shard MakeShard(uint32_t steps, uint32_t episode_steps, bool independent) {
  v1::Shard shard;
  shard.set_shard_id(7);
  shard.mutable_spec()->mutable_lifetime()->set_iterations(3);
  shard.mutable_spec()->mutable_lifetime()->set_steps_per_iteration(steps);
  shard.mutable_spec()->mutable_agent()->set_hidden_units(2);
  *shard.mutable_shape() = testing::Shape({.observation = 2,
                                           .action = 1,
                                           .episode_steps = episode_steps,
                                           .independent_episodes = independent});
  shard.set_reward_source(v1::REWARD_SOURCE_SPARSE);
  shard.set_collections(1);
  shard.set_iterations(3);
  for (uint32_t number : {5u, 9u}) shard.add_lifetimes()->set_number(number);
  return shard;
}

// Iteration `number` of a shard, with n policies for each of its two agents.
CollectionPlan Plan(const v1::Shard& shard, uint32_t number, int n = 1) {
  CollectionPlan plan{.number = number,
                      .steps = static_cast<uint32_t>(agents::StepsOfIteration(shard, number)),
                      .deterministic = number >= shard.spec().lifetime().iterations(),
                      .policies = std::vector<v1::PolicyWeights>(2 * n)};
  for (size_t i = 0; i < plan.policies.size(); ++i)
    plan.policies[i].set_weights(std::string(i + 1, 'w'));
  return plan;
}

// A result whose observations count the lifetime's steps and whose episodes have M steps.
v1::Result ResultOf(const v1::Unit& unit, uint32_t episode_steps, uint32_t into_episode) {
  v1::Result result;
  *result.mutable_id() = unit.id();
  const int64_t n = unit.steps();
  torch::Tensor observations = torch::zeros({n, 2}), ends = torch::zeros({n}, torch::kUInt8),
                successes = torch::zeros({n}, torch::kUInt8);
  for (int64_t t = 0; t < n; ++t) {
    observations[t][0] = static_cast<double>(unit.first_step() + t);
    observations[t][1] = static_cast<double>(unit.random().lifetime());
    ends[t] = static_cast<int64_t>((into_episode + t + 1) % episode_steps == 0);
    successes[t] = static_cast<int64_t>((into_episode + t) % episode_steps == 1);
  }
  v1::Trajectory& trajectory = *result.mutable_trajectory();
  *trajectory.mutable_observations() = ToProto(observations);
  *trajectory.mutable_actions() = ToProto(torch::zeros({n, 1}));
  *trajectory.mutable_log_probs() = ToProto(torch::zeros({n}));
  *trajectory.mutable_rewards() = ToProto(torch::ones({n}, torch::kFloat64));
  *trajectory.mutable_successes() = ToProto(successes);
  *trajectory.mutable_terminations() = ToProto(torch::zeros_like(ends));
  *trajectory.mutable_truncations() = ToProto(ends);
  *trajectory.mutable_next_observation() = ToProto(torch::zeros({2}));
  if (unit.return_state()) result.set_final_state("state");
  return result;
}

TEST_CASE("wire: a tensor comes back with its bits", "[unit]") {
  const torch::Tensor sent = torch::arange(6, torch::kFloat32).reshape({2, 3}).div(7);
  const auto got = FromProto(ToProto(sent.t()), "x", torch::kFloat32, {3, -1});
  REQUIRE(got.ok());
  CHECK(torch::equal(*got, sent.t()));
}

TEST_CASE("wire: a tensor that lies about its size is refused before anything is allocated",
          "[unit]") {
  v1::Tensor tensor = ToProto(torch::zeros({2, 3}));
  tensor.set_shape(0, int64_t{1} << 60);
  CHECK(FromProto(tensor, "x").status().code() == absl::StatusCode::kInvalidArgument);
  tensor.set_shape(0, -2);
  CHECK_FALSE(FromProto(tensor, "x").ok());
  tensor.set_shape(0, 3);
  const auto refused = FromProto(tensor, "weights");
  CHECK_FALSE(refused.ok());
  CHECK(refused.status().message().find("weights") != absl::string_view::npos);
  CHECK(refused.status().message().find("36") !=
        absl::string_view::npos);  // 3 x 3 x 4 bytes needed
  tensor.set_dtype(static_cast<v1::Tensor::DType>(99));
  CHECK_FALSE(FromProto(tensor, "x").ok());
  tensor.clear_shape();
  for (int i = 0; i < 100; ++i) tensor.add_shape(1);
  CHECK_FALSE(FromProto(tensor, "x").ok());
}

TEST_CASE("wire: empty tensors come back, and their other axes are bounded too", "[unit]") {
  constexpr int64_t kMost = int64_t{1} << 32;
  const auto got = [](const std::vector<int64_t>& shape) {
    v1::Tensor tensor = ToProto(torch::zeros({0}));
    tensor.clear_shape();
    for (const int64_t axis : shape) tensor.add_shape(axis);
    return FromProto(tensor, "x");
  };
  for (const std::vector<int64_t>& shape :
       std::vector<std::vector<int64_t>>{{0}, {8, 0}, {0, 8}, {kMost, 0}}) {
    INFO(torch::IntArrayRef(shape));
    const auto tensor = got(shape);
    REQUIRE(tensor.ok());
    CHECK(tensor->sizes() == shape);
  }
  // LibTorch throws where strides overflow, also beside an axis of 0.
  for (const std::vector<int64_t>& shape : std::vector<std::vector<int64_t>>{
           {0, kMost, kMost}, {kMost, 0, 2}, {int64_t{1} << 62, 0}, {0, -1}, {INT64_MIN, 0}}) {
    INFO(torch::IntArrayRef(shape));
    CHECK(absl::IsInvalidArgument(got(shape).status()));
  }
}

TEST_CASE("wire: numbers that are not finite are refused", "[unit]") {
  torch::Tensor x = torch::zeros({4});
  x[2] = std::numeric_limits<float>::quiet_NaN();
  CHECK(FromProto(ToProto(x), "x").ok());
  CHECK_FALSE(FromProto(ToProto(x), "x", torch::kFloat32, {4}).ok());
}

TEST_CASE("wire: long independent episodes become units of their own, short ones share", "[unit]") {
  std::vector<v1::EpisodeCursor> later(2);
  for (v1::EpisodeCursor& cursor : later) cursor.set_episode(4);
  const v1::Shard long_shard = MakeShard(2000, 500, true);
  const auto long_units = PlanUnits(long_shard, 1, Plan(long_shard, 1), later);
  REQUIRE(long_units.size() == 8);
  CHECK(long_units[1].first_step() == 2500);  // Iteration 1 begins at 2000.
  CHECK(long_units[1].first_episode() == 5);
  CHECK(long_units[5].random().lifetime() == 9);
  CHECK(long_units[0].policy().weights() == "w");
  CHECK(long_units[7].policy().weights() == "ww");
  const v1::Shard short_shard = MakeShard(1000, 10, true);
  const auto short_units = PlanUnits(short_shard, 1, Plan(short_shard, 0), FirstCursors(2));
  REQUIRE(short_units.size() == 6);
  CHECK(short_units[1].first_step() == 400);
  CHECK(short_units[2].steps() == 200);
  const v1::Shard dependent = MakeShard(2000, 500, false);
  CHECK(PlanUnits(dependent, 1, Plan(dependent, 0), FirstCursors(2)).size() == 2);
}

TEST_CASE("wire: parts of an iteration that begins inside an episode count on from it", "[unit]") {
  v1::Shard shard = MakeShard(1400, 500, true);
  shard.set_deterministic_episodes(1);
  std::vector<v1::EpisodeCursor> cursors(2);
  for (v1::EpisodeCursor& cursor : cursors) {
    cursor.set_episode(2);
    cursor.set_step(400);  // The lifetime is in episode 2, after 1400 steps.
    cursor.set_state("state");
  }
  const auto units = PlanUnits(shard, 1, Plan(shard, 1), cursors);
  REQUIRE(units.size() == 6);
  // Episodes begin at 100, 600 and 1100; the hundred steps before share a unit with the next one.
  const std::vector<uint32_t> begins = {0, 600, 1100}, steps = {600, 500, 300},
                              episodes = {2, 4, 5};
  for (size_t part = 0; part < 3; ++part) {
    const v1::Unit& unit = units[3 + part];  // The second agent's.
    CHECK(unit.id().agent() == 1);
    CHECK(unit.id().part() == part);
    CHECK(unit.first_step() == 1400 + begins[part]);
    CHECK(unit.steps() == steps[part]);
    CHECK(unit.first_episode() == episodes[part]);
    CHECK(unit.state() == (part == 0 ? "state" : ""));
    CHECK(unit.return_state() == (part == 2));
  }
  // Deterministic episodes leave the open one behind.
  const auto after = PlanUnits(shard, 1, Plan(shard, 3), cursors);
  CHECK(after[0].first_episode() == 3);
  CHECK(after[0].state().empty());
}

TEST_CASE("wire: several policies of an agent act one after the other", "[unit]") {
  const v1::Shard shard = MakeShard(1000, 10, true);
  const auto units = PlanUnits(shard, 1, Plan(shard, 0, /*n=*/5), FirstCursors(2));
  for (const v1::Unit& unit : units) {
    const uint32_t policy = unit.id().agent() * 5 + unit.first_step() / 200;
    CHECK(unit.policy().weights().size() == policy + 1);
    CHECK((unit.first_step() + unit.steps() - 1) / 200 == unit.first_step() / 200);
  }
}

TEST_CASE("wire: an episode that crosses the border of two iterations goes on", "[unit]") {
  // T = 7, M = 4: episodes end after steps 3, 7, 11, 15, 19, 23, 27 of the lifetime.
  v1::Shard shard = MakeShard(7, 4, true);
  shard.mutable_spec()->mutable_lifetime()->set_iterations(4);
  std::vector<v1::EpisodeCursor> cursors = FirstCursors(2);
  uint32_t into_episode = 0;
  for (uint32_t iteration = 0; iteration < 4; ++iteration) {
    const auto units = PlanUnits(shard, 1, Plan(shard, iteration), cursors);
    REQUIRE(units.size() == 2);
    CHECK(units[0].state() == (into_episode == 0 ? "" : "state"));
    CHECK(units[0].first_episode() == iteration * 7 / 4);
    std::vector<v1::Result> results;
    for (const auto& unit : units) results.push_back(ResultOf(unit, 4, into_episode));
    const auto segment = AssembleSegment(shard, Plan(shard, iteration), units, results, &cursors);
    REQUIRE(segment.ok());
    for (int64_t t = 0; t < 7; ++t) {
      const int64_t step = iteration * 7 + t;
      CHECK(segment->observations[1][t][0].item<float>() == static_cast<float>(step));
      CHECK(segment->prev_done[0][t].item<float>() == (step > 0 && step % 4 == 0 ? 1.0F : 0.0F));
      // Success at the second step of each episode: 1 - 0.7 * 1 / 4.
      CHECK(segment->success_signals[0][t].item<float>() == Approx(step % 4 == 1 ? 0.825 : 0.0));
    }
    into_episode = (into_episode + 7) % 4;
    CHECK(cursors[0].step() == into_episode);
    // Results of the open episode so far: rewards are 1, success is at its second step.
    CHECK(cursors[0].shaped_return() == into_episode);
    CHECK(cursors[0].success() == (into_episode >= 2));
    CHECK(segment->last_done[0].item<float>() == (into_episode == 0 ? 1.0F : 0.0F));
  }
}

TEST_CASE("wire: deterministic episodes leave the open one behind", "[unit]") {
  v1::Shard shard = MakeShard(8, 4, true);
  shard.set_deterministic_episodes(1);
  std::vector<v1::EpisodeCursor> cursors(2);
  cursors[1].set_episode(2);
  cursors[1].set_step(3);
  const auto plan = Plan(shard, 3);
  const auto units = PlanUnits(shard, 1, plan, cursors);
  std::vector<v1::Result> results;
  for (const v1::Unit& unit : units) results.push_back(ResultOf(unit, 4, 0));
  REQUIRE(AssembleSegment(shard, plan, units, results, &cursors).ok());
  CHECK(cursors[0].episode() == 1);
  CHECK(cursors[1].episode() == 2 + 1 + 1);
}

TEST_CASE("wire: last observations of an agent's units come one after the other", "[unit]") {
  v1::Shard shard = MakeShard(1500, 500, true);
  shard.mutable_spec()->mutable_agent()->set_bootstrap_on_truncation(true);
  std::vector<v1::EpisodeCursor> cursors = FirstCursors(2);
  const auto units = PlanUnits(shard, 1, Plan(shard, 0), cursors);
  REQUIRE(units.size() == 6);
  std::vector<v1::Result> results;
  for (const v1::Unit& unit : units) {
    v1::Result& result = results.emplace_back(ResultOf(unit, 500, 0));
    *result.mutable_trajectory()->mutable_final_observations() =
        ToProto(torch::tensor({{1.0F * unit.id().part(), 1.0F * unit.random().lifetime()}}));
  }
  const auto segment = AssembleSegment(shard, Plan(shard, 0), units, results, &cursors);
  REQUIRE(segment.ok());
  for (int64_t agent = 0; agent < 2; ++agent) {
    for (int64_t part = 0; part < 3; ++part) {
      const torch::Tensor row = segment->final_observations[agent][part];
      CHECK(row[0].item<float>() == static_cast<float>(part));
      CHECK(row[1].item<float>() == (agent == 0 ? 5.0F : 9.0F));
    }
  }
}

// An environment whose episodes have 1 to M steps, by lifetime and number of the episode. Success
// is reported with step 3 of every second episode. Its state says episode and step.
constexpr uint32_t kEarlyMax = 6;
uint32_t EpisodeLength(uint32_t lifetime, uint32_t episode) {
  return 1 + (lifetime + 5 * episode * episode) % kEarlyMax;
}
v1::Result EarlyResultOf(const v1::Unit& unit) {
  uint32_t episode = unit.first_episode(), step = 0;
  if (!unit.state().empty()) {
    uint32_t carried = 0;
    REQUIRE(std::sscanf(unit.state().c_str(), "%u %u", &carried, &step) == 2);
    REQUIRE(carried == episode);
  }
  const uint32_t lifetime = unit.random().lifetime();
  v1::Result result = ResultOf(unit, 1, 0);
  torch::Tensor dones = torch::zeros({unit.steps()}, torch::kUInt8), successes = dones.clone(),
                truncations = dones.clone(), observations = torch::zeros({unit.steps(), 2});
  for (int64_t t = 0; t < unit.steps(); ++t) {
    observations[t][0] = static_cast<double>(episode);
    observations[t][1] = static_cast<double>(step);
    successes[t] = static_cast<int64_t>(step == 2 && episode % 2 == 1);
    if (++step == EpisodeLength(lifetime, episode)) {
      (step == kEarlyMax ? truncations : dones)[t] = 1;
      ++episode;
      step = 0;
    }
  }
  *result.mutable_trajectory()->mutable_observations() = ToProto(observations);
  *result.mutable_trajectory()->mutable_terminations() = ToProto(dones);
  *result.mutable_trajectory()->mutable_truncations() = ToProto(truncations);
  if (unit.return_final_observations()) {
    // The next observation of the agent in the episode.
    torch::Tensor last = observations.index({(dones + truncations).to(torch::kBool)});
    last.select(1, 1).add_(1);
    *result.mutable_trajectory()->mutable_final_observations() = ToProto(last);
  }
  *result.mutable_trajectory()->mutable_successes() = ToProto(successes);
  result.set_final_state(unit.return_state() && step > 0 ? absl::StrCat(episode, " ", step) : "");
  return result;
}

// The whole lifetimes of two agents, cut into iterations of `steps`.
agents::Segment EarlyLifetimes(uint32_t steps, uint32_t iterations) {
  v1::Shard shard = MakeShard(steps, kEarlyMax, /*independent=*/false);
  shard.mutable_spec()->mutable_lifetime()->set_iterations(iterations);
  shard.set_deterministic_episodes(2);
  std::vector<v1::EpisodeCursor> cursors = FirstCursors(2);
  std::vector<torch::Tensor> parts[4];
  agents::Segment whole;
  for (uint32_t iteration = 0; iteration <= iterations; ++iteration) {
    const bool deterministic = iteration == iterations;
    const std::vector<v1::EpisodeCursor> before = cursors;
    const auto units = PlanUnits(shard, 1, Plan(shard, iteration), cursors);
    REQUIRE(units.size() == 2);
    std::vector<v1::Result> results;
    for (const v1::Unit& unit : units) {
      const v1::EpisodeCursor& cursor = before[unit.id().agent()];
      CHECK(unit.deterministic() == deterministic);
      CHECK(unit.steps() == (deterministic ? 2 * kEarlyMax : steps));
      CHECK(unit.return_state() == !deterministic);
      // Between episodes there is no state to carry; deterministic ones begin afresh.
      CHECK(unit.state().empty() == (deterministic || cursor.step() == 0));
      CHECK(unit.first_episode() ==
            cursor.episode() + (deterministic && cursor.step() > 0 ? 1 : 0));
      results.push_back(EarlyResultOf(unit));
    }
    const auto segment = AssembleSegment(shard, Plan(shard, iteration), units, results, &cursors);
    REQUIRE(segment.ok());
    if (deterministic) {
      CHECK(segment->observations.select(2, 1).select(1, 0).eq(0).all().item<bool>());
      CHECK(segment->prev_done.select(1, 0).eq(1).all().item<bool>());
      continue;
    }
    const torch::Tensor* tensors[] = {&segment->observations, &segment->prev_done,
                                      &segment->success_signals, &segment->successes};
    for (int i = 0; i < 4; ++i) parts[i].push_back(*tensors[i]);
    whole.last_done = segment->last_done;
  }
  whole.observations = torch::cat(parts[0], 1);
  whole.prev_done = torch::cat(parts[1], 1);
  whole.success_signals = torch::cat(parts[2], 1);
  whole.successes = torch::cat(parts[3], 1);
  return whole;
}

TEST_CASE("wire: last observations of truncated episodes keep their order and their agent",
          "[unit]") {
  v1::Shard shard = MakeShard(60, kEarlyMax, /*independent=*/false);
  const std::vector<v1::EpisodeCursor> first = FirstCursors(2);
  std::vector<v1::EpisodeCursor> cursors = first;
  CHECK_FALSE(PlanUnits(shard, 1, Plan(shard, 0), first)[0].return_final_observations());
  shard.mutable_spec()->mutable_agent()->set_bootstrap_on_truncation(true);
  shard.set_deterministic_episodes(1);
  CHECK_FALSE(PlanUnits(shard, 1, Plan(shard, 3), first)[0].return_final_observations());
  const auto units = PlanUnits(shard, 1, Plan(shard, 0), first);
  std::vector<v1::Result> results;
  for (const v1::Unit& unit : units) {
    CHECK(unit.return_final_observations());
    results.push_back(EarlyResultOf(unit));
  }
  const auto segment = AssembleSegment(shard, Plan(shard, 0), units, results, &cursors);
  INFO(segment.status());
  REQUIRE(segment.ok());
  // Room for the most episodes that T steps can have, whatever the agents did.
  REQUIRE(segment->final_observations.sizes() == torch::IntArrayRef({2, 60 / kEarlyMax + 1, 2}));
  int truncated = 0, terminated = 0;
  for (int64_t agent = 0; agent < 2; ++agent) {
    int64_t k = 0;
    for (int64_t t = 0; t < 60; ++t) {
      const bool ended = t + 1 < 60 ? segment->prev_done[agent][t + 1].item<float>() == 1
                                    : segment->last_done[agent].item<float>() == 1;
      const bool cut = segment->truncated[agent][t].item<float>() == 1;
      if (ended) ++(cut ? truncated : terminated);
      if (!cut) continue;
      CHECK(ended);
      CHECK(segment->final_observations[agent][k][0].equal(segment->observations[agent][t][0]));
      CHECK(segment->final_observations[agent][k][1].item<float>() == kEarlyMax);
      ++k;
    }
    CHECK(segment->final_observations[agent]
              .narrow(0, k, 60 / kEarlyMax + 1 - k)
              .eq(0)
              .all()
              .item<bool>());
  }
  CHECK(truncated > 2);
  CHECK(terminated > 2);
}

TEST_CASE("wire: a loop that asks gets and sends the last observations of all episodes", "[unit]") {
  v1::Shard shard = MakeShard(60, 5, /*independent=*/true);
  CollectionPlan plan = Plan(shard, 0);
  plan.all_final_observations = true;
  const auto results_of = [&](const std::vector<v1::Unit>& units, int64_t missing) {
    std::vector<v1::Result> results;
    for (const v1::Unit& unit : units) {
      CHECK(unit.return_final_observations());
      v1::Result& result = results.emplace_back(ResultOf(unit, 5, 0));
      v1::Trajectory& trajectory = *result.mutable_trajectory();
      // Every second episode ends by itself in its last step.
      std::string &ends = *trajectory.mutable_terminations()->mutable_data(),
                  &cuts = *trajectory.mutable_truncations()->mutable_data();
      int64_t k = 0;
      for (size_t t = 0; t < cuts.size(); ++t) {
        if (cuts[t] == 0) continue;
        if (k++ % 2 == 1) std::swap(ends[t], cuts[t]);
        if (k <= missing) cuts[t] = ends[t] = 0;
      }
      const torch::Tensor rows = torch::arange(2 * k).view({k, 2}).to(torch::kFloat32) +
                                 1000.0 * unit.id().agent() + 100.0 * unit.id().part();
      *trajectory.mutable_final_observations() = ToProto(rows.narrow(0, missing, k - missing));
    }
    return results;
  };
  std::vector<v1::EpisodeCursor> cursors = FirstCursors(2);
  const auto units = PlanUnits(shard, 1, plan, cursors);
  const auto segment = AssembleSegment(shard, plan, units, results_of(units, 0), &cursors);
  INFO(segment.status());
  REQUIRE(segment.ok());
  REQUIRE(segment->final_observations.sizes() == torch::IntArrayRef({2, 12, 2}));
  for (const v1::Unit& unit : units) {
    const int64_t first = unit.first_step() / 5;
    CHECK(segment->final_observations[unit.id().agent()][first][0].item<float>() ==
          static_cast<float>(1000 * unit.id().agent() + 100 * unit.id().part()));
  }
  CHECK(segment->last_done.eq(1).all().item<bool>());
  CHECK_FALSE(segment->truncated.defined());
  // An actor whose episodes are longer than allowed.
  cursors = FirstCursors(2);
  CHECK(Contains(AssembleSegment(shard, plan, units, results_of(units, 1), &cursors).status(),
                 "do not all have 5 steps"));

  // The fields are sent and read where the loop asks for them, refused there when missing, and
  // ignored elsewhere.
  v1::Segment proto;
  AddTensors(*segment, /*outcomes_only=*/false, &proto);
  shard.set_iterations(1);
  shard.mutable_inner_loop()->set_name("skills");
  const auto read = SegmentFromProto(proto, shard);
  INFO(read.status());
  REQUIRE(read.ok());
  CHECK(read->final_observations.equal(segment->final_observations));
  shard.mutable_inner_loop()->set_name("ppo");
  REQUIRE(SegmentFromProto(proto, shard).ok());
  CHECK_FALSE(SegmentFromProto(proto, shard)->final_observations.defined());
  shard.mutable_inner_loop()->set_name("skills");
  agents::Segment without = *segment;
  without.final_observations = torch::Tensor();
  proto.Clear();
  AddTensors(without, /*outcomes_only=*/false, &proto);
  CHECK(Contains(SegmentFromProto(proto, shard).status(), "final_observations is missing"));
}

TEST_CASE("wire: episodes that end early go on over iterations, however long these are", "[unit]") {
  const agents::Segment want = EarlyLifetimes(60, 1);
  int early = 0, full = 0;
  for (int64_t agent = 0; agent < 2; ++agent) {
    const uint32_t lifetime = agent == 0 ? 5 : 9;
    uint32_t episode = 0, step = 0;
    bool succeeded = false;
    for (int64_t t = 0; t < 60; ++t) {
      INFO("agent " << agent << ", step " << t);
      CHECK(want.observations[agent][t][0].item<float>() == static_cast<float>(episode));
      CHECK(want.observations[agent][t][1].item<float>() == static_cast<float>(step));
      CHECK(want.prev_done[agent][t].item<float>() == (t > 0 && step == 0 ? 1.0F : 0.0F));
      // methods/black_box/README.md#success-signal, M = 6: the first success, -0.2 only where the
      // limit is reached.
      const bool success = step == 2 && episode % 2 == 1;
      const double signal = success                               ? 1 - 0.7 * 2 / 6
                            : step == kEarlyMax - 1 && !succeeded ? -0.2
                                                                  : 0;
      CHECK(want.success_signals[agent][t].item<float>() == Approx(signal));
      succeeded = succeeded || success;
      if (++step == EpisodeLength(lifetime, episode)) {
        step == kEarlyMax ? ++full : ++early;
        ++episode;
        step = 0;
        succeeded = false;
      }
    }
  }
  CHECK(early > 10);
  CHECK(full > 0);
  for (const auto& [steps, iterations] :
       {std::pair(7u, 8u), std::pair(20u, 3u), std::pair(2u, 30u)}) {
    INFO(steps << " steps an iteration");
    const agents::Segment got = EarlyLifetimes(steps, iterations);
    const int64_t all = steps * iterations;
    CHECK(got.observations.equal(want.observations.narrow(1, 0, all)));
    CHECK(got.prev_done.equal(want.prev_done.narrow(1, 0, all)));
    CHECK(got.success_signals.equal(want.success_signals.narrow(1, 0, all)));
  }
}

TEST_CASE("wire: labels come where the loop asks for them", "[unit]") {
  const v1::Shard shard = MakeShard(7, 7, true);
  CollectionPlan plan = Plan(shard, 0);
  plan.labels = true;
  std::vector<v1::EpisodeCursor> cursors = FirstCursors(2);
  const auto units = PlanUnits(shard, 1, plan, cursors);
  std::vector<v1::Result> results;
  for (const auto& unit : units) results.push_back(ResultOf(unit, 7, 0));
  // An environment without labels.
  CHECK(AssembleSegment(shard, plan, units, results, &cursors)
            .status()
            .message()
            .find("labels has 0 bytes for 7 numbers") != absl::string_view::npos);
  for (v1::Result& result : results)
    *result.mutable_trajectory()->mutable_labels() = result.trajectory().actions();
  const auto segment = AssembleSegment(shard, plan, units, results, &cursors);
  REQUIRE(segment.ok());
  CHECK(torch::equal(segment->labels, segment->actions));
  v1::Segment proto;
  AddTensors(*segment, /*outcomes_only=*/false, &proto);
  const auto got = SegmentFromProto(proto, shard);
  REQUIRE(got.ok());
  CHECK(torch::equal(got->labels, segment->labels));
  for (v1::NamedTensor& named : *proto.mutable_tensors()) {
    if (named.name() != "labels") continue;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(named.mutable_tensor()->mutable_data()->data(), &nan, sizeof(nan));
  }
  CHECK(SegmentFromProto(proto, shard).status().message().find("labels") !=
        absl::string_view::npos);
  // The shard did not ask, so the fields stay unset.
  plan.labels = false;
  CHECK_FALSE(AssembleSegment(shard, plan, units, results, &cursors)->labels.defined());
}

TEST_CASE("wire: a segment comes back, and one that does not fit its shard names the tensor",
          "[unit]") {
  const v1::Shard shard = MakeShard(7, 7, true);
  std::vector<v1::EpisodeCursor> cursors = FirstCursors(2);
  const auto units = PlanUnits(shard, 1, Plan(shard, 0), cursors);
  std::vector<v1::Result> results;
  for (const auto& unit : units) results.push_back(ResultOf(unit, 7, 0));
  const auto segment = AssembleSegment(shard, Plan(shard, 0), units, results, &cursors);
  REQUIRE(segment.ok());
  results[1].mutable_trajectory()->mutable_actions()->mutable_data()->pop_back();
  CHECK(AssembleSegment(shard, Plan(shard, 0), units, results, &cursors).status().message() ==
        "shard 7, agent 1: actions has 27 bytes for 7 numbers");
  v1::Segment proto;
  AddTensors(*segment, /*outcomes_only=*/false, &proto);
  const auto got = SegmentFromProto(proto, shard);
  REQUIRE(got.ok());
  CHECK(torch::equal(got->observations, segment->observations));
  CHECK_FALSE(got->signals.defined());

  Sha256 first, second;
  HashSegment(proto, &first);
  v1::Segment changed = proto;
  (*changed.mutable_tensors(0)->mutable_tensor()->mutable_data())[0] ^= 1;
  HashSegment(changed, &second);
  CHECK(first.Finish() != second.Finish());

  v1::Segment missing = proto;
  missing.mutable_tensors()->DeleteSubrange(3, 1);
  CHECK(SegmentFromProto(missing, shard).status().message().find("shaped_rewards is missing") !=
        absl::string_view::npos);
  v1::Segment beyond = proto;
  beyond.set_iteration(3);
  CHECK_FALSE(SegmentFromProto(beyond, shard).ok());
  v1::Segment twice = proto;
  *twice.add_tensors() = proto.tensors(0);
  CHECK_FALSE(SegmentFromProto(twice, shard).ok());
  v1::Shard other = shard;
  other.mutable_shape()->set_observation_size(3);
  CHECK(SegmentFromProto(proto, other).status().message().find("observations") !=
        absl::string_view::npos);
}

}  // namespace mentor::shards::TEST_FILE
