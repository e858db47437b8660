// Shards that are computed twice: the second learner, the used result, and the fate of learners
// that differ.
#include "meta_learner/fleet/shard_audit.h"

#include "tests/fake_learners.h"
#include "tests/metrics.h"
#include "tests/text.h"

namespace mentor::meta_learner {
namespace {

using testing::BoardClock;
using testing::FakeLearner;
using testing::RewardOf;
using testing::Running;

ShardBoard::Options EveryShard() {
  return {.check_every = 1};
}

TEST_CASE("shard audit: which shards is a matter of what they compute", "[unit]") {
  v1::Shard shard = testing::OutcomesShard("experiments/a");
  int audited = 0;
  constexpr int kShards = 20'000;
  for (int i = 0; i < kShards; ++i) {
    shard.mutable_lifetimes(0)->set_number(static_cast<uint32_t>(4 * i));
    const bool is_audited = IsAudited(shard, 1000);
    audited += is_audited ? 1 : 0;
    v1::Shard again = shard;  // In a replay.
    again.set_shard_id(shard.shard_id() + 17);
    again.set_epoch(3);
    again.set_signal_version(9);
    again.set_experiment("experiments/restored");
    CHECK(IsAudited(again, 1000) == is_audited);
  }
  INFO(audited);
  CHECK(audited > kShards / 2000);
  CHECK(audited < kShards / 500);
  CHECK_FALSE(IsAudited(shard, 0));
  CHECK(IsAudited(shard, 1));
}

TEST_CASE("shard audit: all that a result is made of counts, times do not", "[unit]") {
  v1::ShardDone done;
  done.set_segments_hash("segments");
  (*done.mutable_statistics())["a"] = 1;
  (*done.mutable_statistics())["b"] = 2;
  const std::string hash = HashOfAnswer(done);
  v1::ShardDone same = done;
  same.set_shard_id(5);
  same.set_epoch(6);
  same.mutable_seconds()->set_wall(7);
  CHECK(HashOfAnswer(same) == hash);
  v1::ShardDone other = done;
  (*other.mutable_statistics())["b"] = 3;
  CHECK(HashOfAnswer(other) != hash);
  other = done;
  other.mutable_outer_gradient()->set_data("x");
  CHECK(HashOfAnswer(other) != hash);
  other = done;
  other.set_nonfinite_updates(1);
  CHECK(HashOfAnswer(other) != hash);
}

TEST_CASE("shard audit: a result is used when a second learner has the same bits", "[unit]") {
  ShardBoard board(EveryShard());
  FakeLearner first(&board, 1, "cpu bits", "first"), second(&board, 1, "cpu bits", "second");
  Running run(&board, 1);
  const v1::Shard shard = first.WaitForShard(0);
  CHECK(second.num_shards() == 0);
  CHECK(first.Answer(shard, 3).ok());
  const v1::Shard again = second.WaitForShard(0);
  CHECK(again.shard_id() == shard.shard_id());
  CHECK(again.epoch() != shard.epoch());
  CHECK(first.num_shards() == 1);
  CHECK(second.Answer(again, 3).ok());
  const auto results = run.Join();
  REQUIRE(results.ok());
  CHECK(RewardOf(results->at(0)) == 3);
  CHECK(board.counts().audited == 1);
  CHECK(board.counts().divergences == 0);
  CHECK(board.counts().quarantines == 0);
}

TEST_CASE("shard audit: where two differ a third one decides, and both are kept away", "[unit]") {
  std::vector<std::string> told;
  ShardBoard::Options options = EveryShard();
  options.on_divergence = [&](const std::string& experiment,
                              const std::vector<std::string>& learners) {
    told.push_back(experiment);
    told.insert(told.end(), learners.begin(), learners.end());
  };
  ShardBoard board(options);
  FakeLearner liar(&board, 1, "cpu bits", "liar"), honest(&board, 1, "cpu bits", "honest");
  Running run(&board, 1);
  CHECK(liar.Answer(liar.WaitForShard(0), 666).ok());
  const v1::Shard shard = honest.WaitForShard(0);
  FakeLearner third(&board, 1, "cpu bits", "third");
  CHECK(honest.Answer(shard, 3).ok());
  CHECK(told == std::vector<std::string>{"experiments/a", "liar", "honest"});
  CHECK(board.Learners().at(liar.id).quarantined);
  CHECK(board.Learners().at(honest.id).quarantined);
  CHECK(board.counts().divergences == 1);
  CHECK(third.Answer(third.WaitForShard(0), 3).ok());
  const auto results = run.Join();
  REQUIRE(results.ok());
  CHECK(RewardOf(results->at(0)) == 3);
  CHECK_FALSE(board.Learners().at(third.id).quarantined);
}

TEST_CASE("shard audit: without another learner there is none", "[unit]") {
  ShardBoard board(EveryShard());
  FakeLearner alone(&board, 1, "cpu bits", "alone"), other(&board, 1, "gpu bits", "other");
  board.DrainLearner(other.id);
  Running run(&board, 1);
  CHECK(alone.Answer(alone.WaitForShard(0), 3).ok());
  CHECK(run.Join().ok());
  CHECK(board.counts().audited == 0);
}

TEST_CASE("shard audit: a divergence that nobody can decide leaves the first result", "[unit]") {
  ShardBoard board(EveryShard());
  FakeLearner first(&board, 1, "cpu bits", "first"), second(&board, 1, "cpu bits", "second");
  Running run(&board, 1);
  CHECK(first.Answer(first.WaitForShard(0), 3).ok());
  CHECK(second.Answer(second.WaitForShard(0), 4).ok());
  const auto results = run.Join();
  REQUIRE(results.ok());
  CHECK(RewardOf(results->at(0)) == 3);
  CHECK(board.counts().divergences == 1);
}

TEST_CASE("shard audit: a second opinion that does not come holds nothing up", "[unit]") {
  BoardClock clock;
  ShardBoard::Options options = clock.Options();
  options.check_every = 1;
  ShardBoard board(options);
  FakeLearner first(&board, 1, "cpu bits", "first");
  SECTION("it gets nowhere") {
    FakeLearner slow(&board, 1, "cpu bits", "slow");
    Running run(&board, 1);
    CHECK(first.Answer(first.WaitForShard(0), 3).ok());
    const v1::Shard shard = slow.WaitForShard(0);
    clock.Advance(std::chrono::seconds(61));
    board.Wake();
    CHECK(slow.WasDropped(shard));
    CHECK(run.Join().ok());
  }
  SECTION("it vanishes") {
    auto gone = std::make_unique<FakeLearner>(&board, 1, "cpu bits", "gone");
    Running run(&board, 1);
    CHECK(first.Answer(first.WaitForShard(0), 3).ok());
    static_cast<void>(gone->WaitForShard(0));
    gone.reset();
    CHECK(run.Join().ok());
  }
  SECTION("it fails") {
    FakeLearner sick(&board, 1, "cpu bits", "sick");
    Running run(&board, 1);
    CHECK(first.Answer(first.WaitForShard(0), 3).ok());
    CHECK(sick.Fail(sick.WaitForShard(0)).ok());
    const auto results = run.Join();
    REQUIRE(results.ok());
    CHECK(RewardOf(results->at(0)) == 3);
  }
  CHECK(first.num_shards() == 1);
}

TEST_CASE("shard audit: answers hold the arithmetic until their call ends", "[unit]") {
  ShardBoard board(EveryShard());
  board.KeepArithmetic("experiments/a", "", [](const std::string&) { return absl::OkStatus(); });
  FakeLearner first(&board, 1, "cpu x", "first"), second(&board, 1, "cpu x", "second");
  Running run(&board, 1);
  CHECK(first.Answer(first.WaitForShard(0), 3).ok());
  static_cast<void>(second.WaitForShard(0));
  FakeLearner gpu(&board, 1, "gpu y", "gpu");
  board.RemoveLearner(second.id);  // With it goes the opinion, not the result.
  CHECK(run.Join().ok());
  CHECK(gpu.num_shards() == 0);
}

}  // namespace
}  // namespace mentor::meta_learner
