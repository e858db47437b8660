// Shards that are computed twice: the second learner, the used result, and the fate of learners
// that differ.
#include "meta_learner/fleet/shard_audit.h"

#include <absl/strings/str_cat.h>

#include "shards/shard_done.h"
#include "tests/fake_learners.h"
#include "tests/metric_value.h"
#include "tests/text.h"

namespace mentor::meta_learner::TEST_FILE {

using testing::BoardClock;
using testing::FakeLearner;
using testing::RewardOf;
using testing::Running;

ShardBoard::Options EveryShard() {
  return {.check_every = 1};
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

// What the warnings of the board say, in one text.
std::string Told(ShardBoard* board) {
  std::string text;
  for (const ShardBoard::Warning& warning : board->TakeWarnings()) text += warning.Text() + "\n";
  return text;
}

TEST_CASE("shard audit: where two differ a third one decides, and only the liar is kept away",
          "[unit]") {
  std::vector<std::string> told;
  ShardBoard::Options options = EveryShard();
  options.on_divergence = [&](const std::string& experiment,
                              const std::vector<std::string>& learners) {
    told.push_back(experiment);
    told.insert(told.end(), learners.begin(), learners.end());
  };
  ShardBoard board(options);
  board.SetStage("experiments/a", {.uid = "u", .done = 4, .total = 9});
  FakeLearner liar(&board, 1, "cpu bits", "liar"), honest(&board, 1, "cpu bits", "honest");
  Running run(&board, 1);
  CHECK(liar.Answer(liar.WaitForShard(0), 666).ok());
  const v1::Shard shard = honest.WaitForShard(0);
  FakeLearner third(&board, 1, "cpu bits", "third");
  CHECK(honest.Answer(shard, 3).ok());
  CHECK(told == std::vector<std::string>{"experiments/a", "liar", "honest"});
  CHECK(board.Learners().at(liar.id).quarantined());
  CHECK(board.Learners().at(honest.id).quarantined());
  CHECK(board.counts().divergences == 1);
  CHECK(third.Answer(third.WaitForShard(0), 3).ok());
  const auto results = run.Join();
  REQUIRE(results.ok());
  CHECK(RewardOf(results->at(0)) == 3);
  CHECK(board.Learners().at(liar.id).quarantined());
  CHECK_FALSE(board.Learners().at(honest.id).quarantined());
  CHECK_FALSE(board.Learners().at(third.id).quarantined());
  const std::string text = Told(&board);
  CHECK(text.find("learner liar computed a shard wrongly") != std::string::npos);
  CHECK(text.find("clone") == std::string::npos);  // Nothing of it was used.
  CHECK(Told(&board).empty());
}

TEST_CASE("shard audit: nothing that a liar computed is used, and what was used is told",
          "[unit]") {
  ShardBoard board(EveryShard());
  FakeLearner liar(&board, 2, "cpu bits", "liar");
  for (const uint32_t done : {3, 4}) {  // With nobody to audit it.
    board.SetStage("experiments/a", {.uid = "u", .done = done, .total = 9});
    Running before(&board, 1);
    CHECK(liar.Answer(liar.WaitForShard(done - 3), 555).ok());
    REQUIRE(before.Join().ok());
  }
  board.SetStage("experiments/a", {.uid = "u", .done = 5, .total = 9});
  Running run(&board, 2);
  const v1::Shard first = liar.WaitForShard(2), second = liar.WaitForShard(3);
  CHECK(liar.Answer(first, 666).ok());  // It stands.
  FakeLearner honest(&board, 1, "cpu bits", "honest"), third(&board, 1, "cpu bits", "third");
  CHECK(liar.Answer(second, 666).ok());
  FakeLearner* const auditor = honest.num_shards() > 0 ? &honest : &third;
  FakeLearner* const judge = auditor == &honest ? &third : &honest;
  CHECK(auditor->Answer(auditor->WaitForShard(0), 3).ok());
  CHECK(judge->Answer(judge->WaitForShard(0), 3).ok());
  // The first shard begins again, and is audited again.
  FakeLearner* const next = auditor->num_shards() > 1 ? auditor : judge;
  FakeLearner* const last = next == auditor ? judge : auditor;
  const v1::Shard again = next->WaitForShard(1);
  CHECK(again.shard_id() == first.shard_id());
  CHECK(next->Answer(again, 3).ok());
  CHECK(last->Answer(last->WaitForShard(1), 3).ok());
  const auto results = run.Join();
  REQUIRE(results.ok());
  CHECK(RewardOf(results->at(0)) == 3);
  CHECK(RewardOf(results->at(1)) == 3);
  CHECK(liar.num_shards() == 4);
  const std::string text = Told(&board);
  CHECK(text.find("learner liar computed a shard wrongly") != std::string::npos);
  CHECK(text.find("clone the checkpoint of outer update 3, or an earlier one") !=
        std::string::npos);
}

TEST_CASE("shard audit: who is in one dispute decides another", "[unit]") {
  ShardBoard board(EveryShard());
  FakeLearner liar(&board, 2, "cpu bits", "liar");
  Running run(&board, 2);
  const v1::Shard one = liar.WaitForShard(0), two = liar.WaitForShard(1);
  FakeLearner second(&board, 1, "cpu bits", "second"), third(&board, 1, "cpu bits", "third");
  CHECK(liar.Answer(one, 666).ok());
  CHECK(liar.Answer(two, 666).ok());
  CHECK(second.Answer(second.WaitForShard(0), 3).ok());
  CHECK(third.Answer(third.WaitForShard(0), 3).ok());
  while (board.Shards("").size() > 0) {
    second.AnswerAll(3, 1);
    third.AnswerAll(3, 1);
  }
  const auto results = run.Join();
  REQUIRE(results.ok());
  CHECK(RewardOf(results->at(0)) == 3);
  CHECK(RewardOf(results->at(1)) == 3);
  CHECK(board.Learners().at(liar.id).quarantined());
  CHECK_FALSE(board.Learners().at(second.id).quarantined());
  CHECK_FALSE(board.Learners().at(third.id).quarantined());
  CHECK(board.counts().quarantines == 1);
}

TEST_CASE("shard audit: a learner takes back shards that its actors spoilt", "[unit]") {
  ShardBoard board(ShardBoard::Options{.check_every = 0});
  board.SetStage("experiments/a", {.uid = "u", .done = 7, .total = 9});
  FakeLearner learner(&board, 2, "cpu bits", "learner");
  const auto take_back = [&](const v1::Shard& shard) {
    v1::ShardDone done;
    done.set_shard_id(shard.shard_id());
    done.set_epoch(shard.epoch());
    done.set_error(absl::StrCat(shards::kTakenBack, "actor x lies"));
    return board.OnDone(learner.id, done);
  };
  Running run(&board, 2);
  const v1::Shard done = learner.WaitForShard(0), at_work = learner.WaitForShard(1);
  CHECK(learner.Answer(done, 666).ok());
  CHECK(take_back(done).ok());
  CHECK(take_back(at_work).ok());
  CHECK(take_back(at_work).ok());  // Too late: it has another epoch now.
  CHECK(learner.Answer(at_work, 666).ok());
  CHECK(Told(&board).find("actor x lies; what they computed was discarded") != std::string::npos);
  const v1::Shard one = learner.WaitForShard(2), two = learner.WaitForShard(3);
  CHECK(learner.num_shards() == 4);
  CHECK(learner.Answer(one, 3).ok());
  CHECK(learner.Answer(two, 3).ok());
  const auto results = run.Join();
  REQUIRE(results.ok());
  CHECK(RewardOf(results->at(0)) == 3);
  CHECK(RewardOf(results->at(1)) == 3);
  CHECK(board.Learners().at(learner.id).strikes() == 0);
  CHECK(take_back(two).ok());  // Its results were used.
  CHECK(Told(&board).find("clone the checkpoint of outer update 7") != std::string::npos);
}

// Runs calls of two shards each.
void RunCalls(ShardBoard* board, const std::string& experiment, uint32_t calls,
              const std::vector<FakeLearner*>& learners) {
  for (uint32_t call = 0; call < calls; ++call) {
    board->SetStage(experiment, {.uid = "u", .done = call, .total = calls});
    Running run(board, 2, experiment);
    size_t answered = 0;
    while (answered == 0 || !board->Shards(experiment).empty()) {
      for (FakeLearner* learner : learners) answered += learner->AnswerAll(3);
    }
    REQUIRE(run.Join().ok());
  }
}

TEST_CASE("shard audit: one shard of each experiment is audited, whatever the sample", "[unit]") {
  ShardBoard board(ShardBoard::Options{.check_every = 1'000'000'000});
  FakeLearner first(&board, 2, "cpu bits", "first"), second(&board, 2, "cpu bits", "second");
  RunCalls(&board, "experiments/warm", 40, {&first, &second});
  // Each learner has early ones: of 1, of 1, of 2, of 4, ...
  uint64_t before = board.counts().audited;
  CHECK(before >= 4);
  CHECK(before <= 16);
  size_t audited = 0;
  for (const char* const experiment : {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}) {
    INFO(experiment);
    RunCalls(&board, std::string("experiments/") + experiment, 2, {&first, &second});
    CHECK(board.counts().audited > before);
    audited += board.counts().audited - before;
    before = board.counts().audited;
  }
  CHECK(audited < 20);  // Not all of the 44.
}

TEST_CASE("shard audit: the auditor is on another host, where there is one", "[unit]") {
  ShardBoard board(EveryShard());
  FakeLearner first(&board, 1, "cpu bits", "first", 0, "rack"),
      near(&board, 1, "cpu bits", "near", 0, "rack"),
      far(&board, 1, "cpu bits", "far", 0, "elsewhere");
  Running run(&board, 1);
  const v1::Shard shard = first.WaitForShard(0);
  CHECK(first.Answer(shard, 3).ok());
  CHECK(near.num_shards() == 0);
  CHECK(far.Answer(far.WaitForShard(0), 3).ok());
  CHECK(run.Join().ok());
  Running alone(&board, 1);
  board.RemoveLearner(far.id);
  CHECK(first.Answer(first.WaitForShard(1), 3).ok());
  CHECK(near.Answer(near.WaitForShard(0), 3).ok());
  CHECK(alone.Join().ok());
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

TEST_CASE("shard audit: a divergence that nobody can decide leaves no result", "[unit]") {
  BoardClock clock;
  ShardBoard::Options options = clock.Options();
  options.check_every = 1;
  ShardBoard board(options);
  board.SetStage("experiments/a", {.uid = "u", .done = 0, .total = 9});
  FakeLearner first(&board, 1, "cpu bits", "first"), second(&board, 1, "cpu bits", "second");
  Running run(&board, 1);
  CHECK(first.Answer(first.WaitForShard(0), 3).ok());
  CHECK(second.Answer(second.WaitForShard(0), 4).ok());
  CHECK(board.counts().divergences == 1);
  CHECK(board.Learners().at(first.id).quarantined());
  CHECK(board.Learners().at(second.id).quarantined());
  CHECK(Told(&board).find("learners first and second gave different bits") != std::string::npos);
  // After a while both may try again.
  clock.Advance(std::chrono::seconds(31));
  board.Wake();
  CHECK(first.Answer(first.WaitForShard(1), 3).ok());
  CHECK(second.Answer(second.WaitForShard(1), 3).ok());
  const auto results = run.Join();
  REQUIRE(results.ok());
  CHECK(RewardOf(results->at(0)) == 3);
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

TEST_CASE("shard audit: a learner without an actor that answers audits nothing", "[unit]") {
  BoardClock clock;
  ShardBoard::Options options = clock.Options();
  options.check_every = 1;
  ShardBoard board(options);
  FakeLearner first(&board, 1, "cpu bits", "first"), other(&board, 1, "cpu bits", "other");
  SECTION("from the start") {
    board.OnActors(other.id, 1);
    board.OnActors(other.id, 0);
    clock.Advance(std::chrono::seconds(5));
    Running run(&board, 1);
    CHECK(first.Answer(first.WaitForShard(0), 3).ok());
    CHECK(run.Join().ok());
    CHECK(other.num_shards() == 0);
  }
  SECTION("from some time on") {
    Running run(&board, 1);
    CHECK(first.Answer(first.WaitForShard(0), 3).ok());
    const v1::Shard shard = other.WaitForShard(0);
    other.Progress(shard, 0, /*actors=*/0);
    board.Wake();
    clock.Advance(std::chrono::seconds(5));
    board.Wake();
    CHECK(other.WasDropped(shard));
    CHECK(run.Join().ok());
  }
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

}  // namespace mentor::meta_learner::TEST_FILE
