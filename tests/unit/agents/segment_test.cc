// The table of a segment's fields, and what follows from it.
#include "agents/segment.h"

#include <algorithm>
#include <set>
#include <string>

#include "mentor/v1/shard_service.pb.h"
#include "tests/torch_testing.h"

namespace mentor::agents::TEST_FILE {

constexpr SegmentSizes kSizes{
    .agents = 3, .steps = 4, .observation = 2, .action = 5, .truncations = 2};

// Every tensor, each full of numbers of its own.
Segment Full(double from) {
  Segment segment =
      ZeroSegment(kSizes, torch::TensorOptions(), [](const SegmentField&) { return true; });
  for (const SegmentField& field : SegmentFields()) {
    torch::Tensor& tensor = segment.*field.member;
    tensor.copy_(torch::arange(tensor.numel()).view(tensor.sizes()) + from);
    from += 1000;
  }
  return segment;
}

TEST_CASE("segment: each tensor has one line of the table", "[unit]") {
  std::set<std::string> names;
  std::set<int> seen;
  for (const SegmentField& field : SegmentFields()) {
    INFO(field.name);
    CHECK(names.insert(field.name).second);
    CHECK(&FieldOf(field.member) == &field);
    if (field.seen >= 0) CHECK(seen.insert(field.seen).second);
    // Values of a critic stay with the learner.
    if (field.source == SegmentField::Source::kCritic)
      CHECK(field.sent == SegmentField::Sent::kNever);
  }
  // Snapshots number them from 0 on.
  CHECK(*seen.rbegin() + 1 == static_cast<int>(seen.size()));
  const Segment full = Full(0);
  CHECK(full.shaped_rewards.dtype() == torch::kFloat64);
  CHECK(full.observations.sizes() == torch::IntArrayRef({3, 4, 2}));
  CHECK(full.final_observations.sizes() == torch::IntArrayRef({3, 2, 2}));
}

TEST_CASE("segment: joined along the steps, stacked along the agents", "[unit]") {
  const Segment a = Full(0), b = Full(500);
  const Segment joined = Join({a, b}), stacked = Stack({{a}, {b}});
  const Segment lives = Stack({{a, b}, {a, b}});
  for (const SegmentField& field : SegmentFields()) {
    INFO(field.name);
    const torch::Tensor &first = a.*field.member, &second = b.*field.member;
    if (field.member == &Segment::final_observations) {
      // Updates have used them; if they are sent, they are those of all episodes.
      CHECK_FALSE((joined.*field.member).defined());
      CHECK((stacked.*field.member).equal(torch::cat({first, second}, 0)));
      CHECK((lives.*field.member).equal(torch::cat({first, second}, 1).repeat({2, 1, 1})));
      continue;
    }
    CHECK((stacked.*field.member).equal(torch::cat({first, second}, 0)));
    CHECK((lives.*field.member).equal(torch::cat({joined.*field.member, joined.*field.member}, 0)));
    CHECK((joined.*field.member)
              .equal(field.has_steps() ? torch::cat({first, second}, 1)
                     : field.axes == SegmentField::Axes::kAgentsBefore ? first
                                                                       : second));
  }
  // A field that one segment lacks is missing in the joined one.
  Segment lacks = b;
  lacks.signals = torch::Tensor();
  CHECK_FALSE(Join({a, lacks}).signals.defined());
  CHECK_FALSE(Stack({{lacks}, {a}}).signals.defined());
  CHECK_FALSE(Stack({{a, lacks}, {a, b}}).signals.defined());
  CHECK(Stack({{lacks}, {a}}).actions.defined());
}

TEST_CASE("segment: some lifetimes are views of what networks may see", "[unit]") {
  const Segment all = Full(0), some = SomeLifetimes(all, 1, 2);
  for (const SegmentField& field : SegmentFields()) {
    INFO(field.name);
    REQUIRE((some.*field.member).defined() == (field.seen >= 0));
    if (field.seen < 0) continue;
    CHECK((some.*field.member).equal((all.*field.member).narrow(0, 1, 2)));
    CHECK((some.*field.member).data_ptr() != (all.*field.member).data_ptr());
    CHECK((some.*field.member).is_alias_of(all.*field.member));
  }
}

TEST_CASE("segment: sizes of a shard's iterations", "[unit]") {
  v1::Shard shard;
  for (int i = 0; i < 3; ++i) shard.add_lifetimes();
  shard.mutable_spec()->mutable_lifetime()->set_iterations(2);
  shard.mutable_spec()->mutable_lifetime()->set_steps_per_iteration(50);
  shard.set_collections(2);
  shard.set_iterations(2);
  shard.mutable_shape()->set_observation_size(7);
  shard.mutable_shape()->set_episode_steps(20);
  CHECK(IterationsOf(shard) == 2);
  shard.set_deterministic_episodes(3);
  CHECK(IterationsOf(shard) == 3);
  CHECK(SizesOf(shard, 1).steps == 100);
  CHECK(SizesOf(shard, 2).steps == 60);
  CHECK(SizesOf(shard, 0).agents == 3);
  CHECK(SizesOf(shard, 0).observation == 7);
}

TEST_CASE("segment: steps of a shard, of an iteration, and of deterministic episodes", "[unit]") {
  v1::Shard shard;
  shard.mutable_spec()->mutable_lifetime()->set_iterations(4);
  shard.mutable_spec()->mutable_lifetime()->set_steps_per_iteration(5);
  shard.mutable_shape()->set_episode_steps(11);
  shard.set_iterations(2);
  shard.set_collections(3);
  for (int i = 0; i < 7; ++i) shard.add_lifetimes();
  CHECK(StepsOf(shard) == 2 * 3 * 5 * 7);
  CHECK(StepsOfIteration(shard, 3) == 3 * 5);
  CHECK(StepsOfIteration(shard, 4) == 0);
  shard.set_deterministic_episodes(2);
  CHECK(StepsOfIteration(shard, 4) == 2 * 11);
  CHECK(StepsOf(shard) == 2 * 3 * 5 * 7);  // Deterministic episodes do not count.
}

}  // namespace mentor::agents::TEST_FILE
