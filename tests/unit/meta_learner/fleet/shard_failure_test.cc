// Shards that fail in a way that is the same on every actor.
#include <string>

#include "common/failed_step.h"
#include "meta_learner/fleet/shard_board.h"
#include "tests/fake_learners.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner {
namespace {

using testing::BoardClock;
using testing::FakeLearner;
using testing::Running;

TEST_CASE("shard board: a failure that is the same on every actor is tried on each learner once",
          "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  const std::string error = "host: the reward is nan" + std::string(kFailedStepRemedy);
  {
    FakeLearner only(&board, 1, "cpu bits", "only");
    Running run(&board, 1);
    CHECK(only.Fail(only.WaitForShard(0), error).ok());
    CHECK(run.Join().status().message() == "a shard failed: " + error);
  }
  FakeLearner first(&board, 1, "cpu bits", "first");
  Running run(&board, 1);
  const v1::Shard shard = first.WaitForShard(0);
  FakeLearner second(&board, 1, "cpu bits", "second");
  CHECK(first.Fail(shard, error).ok());
  CHECK(second.Fail(second.WaitForShard(0), error).ok());
  CHECK(run.Join().status().message() == "a shard failed 2 times, the last time with: " + error);
}

}  // namespace
}  // namespace mentor::meta_learner
