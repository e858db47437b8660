// Which learner gets a shard, by the actors that it has.
#include <chrono>

#include "meta_learner/fleet/shard_board.h"
#include "tests/fake_learners.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

using testing::BoardClock;
using testing::FakeLearner;
using testing::Running;
using testing::Unaudited;

// A learner with one actor, and one without.
struct OneActor {
  OneActor() {
    board.OnActors(with.id, 1);
    board.OnActors(without.id, 0);
  }
  BoardClock clock;
  ShardBoard board{clock.Options()};
  FakeLearner with{&board, 1, "cpu bits", "with"}, without{&board, 1, "cpu bits", "without"};
};

TEST_CASE("shard board: shards spread over the learners, those without actors last", "[unit]") {
  ShardBoard board(Unaudited());
  FakeLearner alone(&board, 2), first(&board, 2), second(&board, 2);
  board.OnActors(first.id, 1);
  board.OnActors(second.id, 3);
  Running run(&board, 5);
  // first: 1 and 3, second: 2 and 4, and what is left for alone.
  CHECK(first.WaitForShard(1).shard_id() == 3);
  CHECK(second.WaitForShard(1).shard_id() == 4);
  CHECK(alone.WaitForShard(0).shard_id() == 5);
  CHECK(alone.num_shards() == 1);
  run.Cancel();
}

TEST_CASE("shard board: no more learners have shards than there are actors, as long as none waits",
          "[unit]") {
  OneActor fleet;
  auto& [clock, board, with, without] = fleet;
  FakeLearner without_too(&board, 1, "cpu bits", "without too");
  board.OnActors(without_too.id, 0);
  Running run(&board, 4);
  CHECK(with.Answer(with.WaitForShard(0), 1).ok());
  const v1::Shard second = with.WaitForShard(1);
  CHECK(without.num_shards() == 0);
  with.Progress(second, 1, /*actors=*/2);  // One of them may go to another learner, at once.
  CHECK(without.num_shards() == 1);
  CHECK(without_too.num_shards() == 0);
  with.Progress(second, 1, /*actors=*/3);
  CHECK(without_too.num_shards() == 1);
  run.Cancel();
}

TEST_CASE("shard board: a shard that waits for long goes to a learner without actors, too",
          "[unit]") {
  OneActor fleet;
  auto& [clock, board, with, without] = fleet;
  Running run(&board, 2);
  with.WaitForShard(0);
  clock.Advance(std::chrono::milliseconds(4'999));
  board.Wake();
  CHECK(without.num_shards() == 0);
  clock.Advance(std::chrono::milliseconds(1));
  board.Wake();
  CHECK(without.num_shards() == 1);
  run.Cancel();
}

TEST_CASE(
    "shard board: a shard that failed, or that no other learner can have, does not wait for actors",
    "[unit]") {
  OneActor fleet;
  auto& [clock, board, with, without] = fleet;
  SECTION("failed") {
    Running run(&board, 1);
    CHECK(with.Fail(with.WaitForShard(0)).ok());
    CHECK(without.num_shards() == 1);
    run.Cancel();
  }
  SECTION("the others are to end") {
    board.DrainLearner(with.id);
    Running run(&board, 1);
    CHECK(without.WaitForShard(0).shard_id() == 1);
    run.Cancel();
  }
}

}  // namespace mentor::meta_learner::TEST_FILE
