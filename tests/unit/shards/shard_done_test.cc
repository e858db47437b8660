// What a learner says when its shard is done, checked before anything of it is used.
#include "shards/shard_done.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "shards/segment_proto.h"
#include "shards/shard_runner.h"
#include "tests/small_shards.h"
#include "tests/text.h"

namespace mentor::shards::TEST_FILE {

using mentor::testing::Contains;
using mentor::testing::MadeUpResult;
using mentor::testing::SmallShard;

// The snapshot that a learner of this shard reports, with made-up actors.
v1::Snapshot SnapshotAtTheEnd(const v1::Shard& shard) {
  const std::atomic<bool> go_on = false;
  const auto report = RunShard(
      {.shard = &shard, .unit_shard = 3, .meta_parameters = {}},
      [](std::vector<v1::Unit> units,
         const std::atomic<bool>&) -> absl::StatusOr<std::vector<v1::Result>> {
        std::vector<v1::Result> results;
        for (const v1::Unit& unit : units) results.push_back(MadeUpResult(unit));
        return results;
      },
      [](const v1::Segment&) { return absl::OkStatus(); }, go_on);
  REQUIRE(report.ok());
  return report->snapshot;
}

TEST_CASE("shard done: whatever the next learner could not go on from is refused", "[unit]") {
  v1::Shard shard = SmallShard();
  shard.set_iterations(1);
  shard.set_deterministic_episodes(0);
  shard.set_return_snapshot(true);
  v1::ShardDone good;
  *good.mutable_snapshot() = SnapshotAtTheEnd(shard);
  const auto form = CheckShardDone(shard, good, 0, "");
  INFO(form.status());
  REQUIRE(form.ok());
  CHECK(*CheckShardDone(shard, good, 0, *form) == *form);
  v1::Shard unknown = shard;
  unknown.mutable_inner_loop()->set_name("magic");
  CHECK(Contains(CheckShardDone(unknown, good, 0, "").status(), "shard.inner_loop.name"));
  struct Case {
    const char* expected;
    std::function<void(v1::ShardDone*)> damage;
  };
  const Case cases[] = {
      {"3 lifetimes after 8 iterations", [](auto* d) { d->mutable_snapshot()->set_iterations(8); }},
      {"2 lifetimes after 1",
       [](auto* d) { d->mutable_snapshot()->mutable_cursors()->RemoveLast(); }},
      {"stands at step 1000000",
       [](auto* d) { d->mutable_snapshot()->mutable_cursors(1)->set_step(1'000'000); }},
      {"with 4 bytes of state",
       [](auto* d) { d->mutable_snapshot()->mutable_cursors(1)->set_state("junk"); }},
      {"agents", [](auto* d) { d->mutable_snapshot()->clear_tensors(); }},
      {"not finite",
       [](auto* d) {
         for (v1::NamedTensor& named : *d->mutable_snapshot()->mutable_tensors()) {
           const torch::Tensor tensor = *FromProto(named.tensor(), "");
           if (tensor.is_floating_point())
             *named.mutable_tensor() = ToProto(tensor.clone().fill_(std::nan("")));
         }
       }},
      {"invented", [](auto* d) { (*d->mutable_statistics())["invented"] = 1; }},
  };
  for (const Case& test : cases) {
    INFO(test.expected);
    for (const std::string& known : {std::string(), *form}) {
      v1::ShardDone done = good;
      test.damage(&done);
      const absl::Status status = CheckShardDone(shard, done, 0, known).status();
      INFO(status);
      CHECK(absl::IsInvalidArgument(status));
      CHECK(Contains(status, test.expected));
    }
  }
}

TEST_CASE("shard done: a lifetime stands inside an episode with its state, or between two without",
          "[unit]") {
  v1::Shard shard = SmallShard();  // Episodes of 10 steps; 40 steps so far, so at most 40 episodes.
  shard.set_iterations(1);
  shard.set_deterministic_episodes(0);
  shard.set_return_snapshot(true);
  v1::ShardDone good;
  *good.mutable_snapshot() = SnapshotAtTheEnd(shard);
  struct Case {
    bool is_good;
    uint32_t step, episode;
    const char* state;
    bool prev_done;
    double shaped_return;
  };
  const Case cases[] = {
      {true, 0, 4, "", true, 0},
      {true, 0, 0, "", false, 0},
      {true, 1, 0, "s", false, 2.5},
      {true, 9, 40, "s", false, -1e300},
      {false, 10, 4, "s", false, 0},  // Longer than an episode.
      {false, 9, 41, "s", false, 0},  // More episodes than steps.
      {false, 9, 4, "", false, 0},    // Inside an episode without a state,
      {false, 0, 4, "s", true, 0},    // and with one between two.
      {false, 9, 4, "s", true, 0},    // Inside an episode that has ended.
      {false, 9, 4, "s", false, std::nan("")},
      {false, 9, 4, "s", false, std::numeric_limits<double>::infinity()},
  };
  for (const Case& test : cases) {
    for (int lifetime = 0; lifetime < 3; ++lifetime) {
      CAPTURE(test.step, test.episode, test.state, test.prev_done, test.shaped_return, lifetime);
      v1::ShardDone done = good;
      v1::EpisodeCursor& cursor = *done.mutable_snapshot()->mutable_cursors(lifetime);
      cursor.set_step(test.step);
      cursor.set_episode(test.episode);
      cursor.set_state(test.state);
      cursor.set_prev_done(test.prev_done);
      cursor.set_shaped_return(test.shaped_return);
      CHECK(CheckShardDone(shard, done, 0, "").ok() == test.is_good);
    }
  }
  // Two collections are twice as many steps, and so are two iterations.
  v1::ShardDone later = good;
  later.mutable_snapshot()->mutable_cursors(0)->set_episode(41);
  shard.set_collections(2);
  CHECK(CheckShardDone(shard, later, 0, "").ok());
  shard.set_collections(1);
  shard.set_iterations(2);
  later.mutable_snapshot()->set_iterations(2);
  CHECK(CheckShardDone(shard, later, 0, "").ok());
}

TEST_CASE("shard done: an outer gradient is there when the loop has one", "[unit]") {
  v1::Shard shard = SmallShard();
  shard.mutable_inner_loop()->set_name("displacement");
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  shard.set_outer_learning(true);
  shard.set_deterministic_episodes(0);
  v1::ShardDone done;
  CHECK(Contains(CheckShardDone(shard, done, 1, "").status(), "the outer gradient is missing"));
  done.set_nonfinite_updates(1);  // It says why.
  CHECK(CheckShardDone(shard, done, 1, "").ok());
  done.set_nonfinite_updates(0);
  *done.mutable_outer_gradient() = ToProto(torch::zeros({1}, torch::kFloat64));
  CHECK(CheckShardDone(shard, done, 1, "").ok());
  done.clear_outer_gradient();
  shard.set_outer_learning(false);
  CHECK(CheckShardDone(shard, done, 1, "").ok());
}

}  // namespace mentor::shards::TEST_FILE
