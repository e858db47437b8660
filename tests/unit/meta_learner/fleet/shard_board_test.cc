// The bookkeeping of shards as a ledger: who holds what after each event.
#include "meta_learner/fleet/shard_board.h"

#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/hash.h"
#include "common/mutex.h"
#include "tests/fake_learners.h"
#include "tests/small_shards.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

using testing::BoardClock;
using testing::FakeLearner;
using testing::RewardOf;
using testing::Running;
using testing::Unaudited;

TEST_CASE("shard board: results come back in the order of the shards, whoever is faster",
          "[unit]") {
  ShardBoard board(Unaudited());
  Running run(&board, 2);
  FakeLearner first(&board, 1), second(&board, 1);  // first: shard a, second: shard b
  const v1::Shard a = first.WaitForShard(0), b = second.WaitForShard(0);
  const bool in_order = a.shard_id() < b.shard_id();
  CHECK(second.Answer(b, 2).ok());
  CHECK(first.Answer(a, 1).ok());
  const auto results = run.Join();
  REQUIRE(results.ok());
  CHECK(RewardOf((*results)[in_order ? 0 : 1]) == 1);
  CHECK(RewardOf((*results)[in_order ? 1 : 0]) == 2);
}

TEST_CASE("shard board: a learner that vanishes loses its shard, and what it still says is refused",
          "[unit]") {
  ShardBoard board(Unaudited());
  Running run(&board, 1);
  FakeLearner lost(&board, 1);
  const v1::Shard before = lost.WaitForShard(0);  // lost: shard 1, epoch e
  FakeLearner other(&board, 1);
  CHECK(other.num_shards() == 0);
  board.RemoveLearner(lost.id);  // other: shard 1, epoch > e
  const v1::Shard after = other.WaitForShard(0);
  CHECK(after.shard_id() == before.shard_id());
  CHECK(after.epoch() > before.epoch());
  CHECK(lost.Answer(before, 666).ok());  // No fault, no effect.
  CHECK(board.counts().refused > 0);
  CHECK(other.Answer(after, 1).ok());
  const auto results = run.Join();
  REQUIRE(results.ok());
  CHECK(RewardOf((*results)[0]) == 1);
}

TEST_CASE("shard board: the rate of a learner falls when it has no work any more", "[unit]") {
  std::atomic<int> seconds = 0;
  ShardBoard board({.now = [&] {
    return std::chrono::steady_clock::time_point(std::chrono::seconds(seconds.load()));
  }});
  Running run(&board, 1);
  FakeLearner learner(&board, 1);
  const v1::Shard shard = learner.WaitForShard(0);
  const auto rate = [&] { return board.Learners().at(learner.id).env_steps_per_second(); };
  CHECK(rate() == 0);
  seconds = 2;
  CHECK(learner.Answer(shard, 1).ok());  // 4 steps in 2 s.
  CHECK(run.Join().ok());
  CHECK(rate() == 2);
  seconds = 3;
  CHECK(rate() == 2);  // Too soon to say.
  seconds = 4;
  CHECK(rate() == 0);
}

TEST_CASE("shard board: work waits until a learner comes", "[unit]") {
  ShardBoard board(Unaudited());
  Running run(&board, 1);
  FakeLearner late(&board, 4);
  CHECK(late.Answer(late.WaitForShard(0), 3).ok());
  CHECK(run.Join().ok());
}

TEST_CASE(
    "shard board: a wrong hash, an unexpected iteration and a missing segment are the learner's "
    "fault",
    "[unit]") {
  ShardBoard board(Unaudited());
  Running run(&board, 1);
  FakeLearner learner(&board, 1);
  const v1::Shard shard = learner.WaitForShard(0);
  v1::Segment segment;
  segment.set_shard_id(shard.shard_id());
  segment.set_epoch(shard.epoch());
  segment.set_iteration(5);
  CHECK(board.OnSegment(learner.id, segment).code() == absl::StatusCode::kInvalidArgument);
  v1::ShardDone done;
  done.set_shard_id(shard.shard_id());
  done.set_epoch(shard.epoch());
  const absl::Status early = board.OnDone(learner.id, done);
  CHECK(early.code() == absl::StatusCode::kInvalidArgument);
  CHECK(early.message().find("done after 0 segments, expected 1") != std::string_view::npos);
  CHECK(learner.Answer(shard, 1, /*right_hash=*/false).code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("shard board: a shard that fails again and again ends the run with its message",
          "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  Running run(&board, 1);
  FakeLearner learner(&board, 1);
  size_t attempt = 0;
  for (const int wait_s : {0, 1, 2, 4, 8, 15}) {  // The last wait ends after 30 s.
    clock.Advance(std::chrono::milliseconds(1000 * wait_s - 1));
    board.Wake();
    CHECK(learner.num_shards() <= std::max<size_t>(attempt, 1));
    clock.Advance(std::chrono::milliseconds(1));
    board.Wake();
    CHECK(learner.Fail(learner.WaitForShard(attempt++)).ok());
  }
  const auto results = run.Join();
  CHECK(results.status().code() == absl::StatusCode::kInternal);
  CHECK(results.status().message() ==
        "a shard failed 6 times, the last time with: the simulator is unstable");
}

TEST_CASE("shard board: a shard that fails on three hosts, where all have tried, ends the run",
          "[unit]") {
  ShardBoard board(Unaudited());
  Running run(&board, 1);
  for (const char* host : {"a", "b", "c"}) {
    FakeLearner learner(&board, 1, "cpu bits", host);
    CHECK(learner.Fail(learner.WaitForShard(0)).ok());
  }
  CHECK(run.Join().status().code() == absl::StatusCode::kInternal);
}

TEST_CASE("shard board: a sick learner that is alone for a while fails no experiment", "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  Running run(&board, 1);
  std::optional<FakeLearner> sick;
  for (const int wait_s : {0, 1, 2, 4, 8}) {
    clock.Advance(std::chrono::seconds(wait_s));
    sick.reset();  // It comes again and again.
    sick.emplace(&board, 1, "cpu bits", "sick");
    CHECK(sick->Fail(sick->WaitForShard(0)).ok());
  }
  clock.Advance(std::chrono::seconds(14));
  FakeLearner well(&board, 1, "cpu bits", "well");
  CHECK(well.Answer(well.WaitForShard(0), 1).ok());
  CHECK(run.Join().ok());
  CHECK(board.Learners().at(sick->id).strikes() == 1);
}

TEST_CASE(
    "shard board: a cancelled run drops what is at work and takes what waits out of the queue",
    "[unit]") {
  ShardBoard board(Unaudited());
  Running run(&board, 3);
  FakeLearner learner(&board, 1);
  const v1::Shard shard = learner.WaitForShard(0);
  run.Cancel();
  CHECK(run.Join().status().code() == absl::StatusCode::kCancelled);
  CHECK(learner.WasDropped(shard));
  CHECK(learner.num_shards() == 1);
  Running next(&board, 1);  // The slot is free again.
  CHECK(learner.Answer(learner.WaitForShard(1), 4).ok());
  CHECK(next.Join().ok());
}

// What an experiment was told to keep to.
struct Kept {
  std::vector<std::string> told;
  ShardBoard::Keep keep = [this](const std::string& arithmetic) {
    told.push_back(arithmetic);
    return absl::OkStatus();
  };
};

struct Mismatches {
  Mutex mutex;
  std::vector<std::string> seen ABSL_GUARDED_BY(mutex);  // "experiment: kept, got"
  ShardBoard::Options Options() {
    return {.check_every = 0,
            .on_mismatch = [this](const LearnerInfo& learner, const std::string& experiment,
                                  const std::string& arithmetic) {
              const MutexLock lock(mutex);
              seen.push_back(experiment + ": " + arithmetic + ", " + learner.arithmetic);
            }};
  }
  std::vector<std::string> Seen() {
    const MutexLock lock(mutex);
    return seen;
  }
};

TEST_CASE("shard board: a shard that gets nowhere moves to a free learner (D4)", "[unit]") {
  BoardClock clock;
  ShardBoard::Options options = clock.Options();
  std::vector<std::string> told;  // Written under the board's lock, read when all is over.
  options.on_event = [&told](const std::string& experiment, const ShardEvent& event) {
    CHECK(experiment == "experiments/a");
    told.push_back(absl::StrCat(event.name, " ", event.learner, event.detail.empty() ? "" : ": ",
                                event.detail));
  };
  ShardBoard board(options);
  board.SetShare("experiments/a", {});
  Running run(&board, 1);
  FakeLearner sick(&board, 1, "cpu bits", "sick");
  const v1::Shard before = sick.WaitForShard(0);
  v1::ShardProgress progress;
  progress.set_shard_id(before.shard_id());
  progress.set_actors(2);
  board.OnProgressMessage(sick.id, progress);  // It is alive, and nothing else.
  clock.Advance(std::chrono::seconds(61));
  FakeLearner well(&board, 1, "cpu bits", "well");
  board.Wake();
  const v1::Shard moved = well.WaitForShard(0);
  CHECK(moved.shard_id() == before.shard_id());
  CHECK(moved.epoch() > before.epoch());
  CHECK(sick.WasDropped(before));
  CHECK(board.counts().stalled == 1);
  CHECK(board.Learners().at(sick.id).strikes() == 1);
  CHECK(sick.Answer(before, 7).ok());  // Too late, and no fault.
  CHECK(well.Answer(moved, 2).ok());
  const auto results = run.Join();
  REQUIRE(results.ok());
  CHECK(RewardOf(results->at(0)) == 2);
  CHECK(told == std::vector<std::string>{"learner_joined sick: 1 slot",
                                         "actors_changed sick: 2 actors",
                                         "learner_joined well: 1 slot", "shard_stalled sick"});
}

TEST_CASE("shard board: a shard stays where it gets on, or where nobody is free", "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  Running run(&board, 2);
  FakeLearner slow(&board, 1, "cpu bits", "slow"), busy(&board, 1, "cpu bits", "busy");
  const v1::Shard a = slow.WaitForShard(0), b = busy.WaitForShard(0);
  clock.Advance(std::chrono::hours(1));
  board.Wake();
  CHECK(board.counts().stalled == 0);
  v1::ShardProgress progress;
  progress.set_shard_id(a.shard_id());
  progress.set_env_steps(1);
  progress.set_actors(1);
  board.OnProgressMessage(slow.id, progress);
  CHECK(busy.Answer(b, 2).ok());
  board.Wake();
  CHECK(board.counts().stalled == 0);
  CHECK(slow.Answer(a, 1).ok());
  CHECK(run.Join().ok());
}

TEST_CASE("shard board: a learner that always fails fails no experiment and is kept away (D4)",
          "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  FakeLearner sick(&board, 1, "cpu bits", "sick"), well(&board, 1, "cpu bits", "well");
  for (size_t i = 0; i < 3; ++i) {
    Running run(&board, 2);
    const v1::Shard mine = well.WaitForShard(2 * i), bad = sick.WaitForShard(i);
    CHECK(sick.Fail(bad).ok());
    CHECK(sick.num_shards() == i + 1);  // Elsewhere first.
    CHECK(well.Answer(mine, 1).ok());
    const v1::Shard again = well.WaitForShard(2 * i + 1);
    CHECK(again.shard_id() == bad.shard_id());
    CHECK(well.Answer(again, 2).ok());
    CHECK(run.Join().ok());
    CHECK(board.Learners().at(sick.id).strikes() == i + 1);
  }
  CHECK(board.Learners().at(sick.id).quarantined());
  CHECK(board.counts().quarantines == 1);
  Running run(&board, 1);
  CHECK(well.Answer(well.WaitForShard(6), 1).ok());
  CHECK(run.Join().ok());
  CHECK(sick.num_shards() == 3);
  // Nor does it get anything when it is the last one, for as long as that lasts.
  board.RemoveLearner(well.id);
  Running last(&board, 1);
  while (board.Shards("experiments/a").empty()) std::this_thread::yield();
  clock.Advance(std::chrono::seconds(29));
  board.Wake();
  CHECK(sick.num_shards() == 3);
  clock.Advance(std::chrono::seconds(1));
  board.Wake();
  CHECK(sick.Answer(sick.WaitForShard(3), 1).ok());
  CHECK(last.Join().ok());
}

// A process that was never there before.
std::string NewName() {
  static int processes = 0;
  return absl::StrCat("process ", ++processes);
}

TEST_CASE("shard board: a shard whose learners vanish is tried alone, then fails its call (D5)",
          "[unit]") {
  ShardBoard board(Unaudited());
  const auto keep = [](const std::string&) { return absl::OkStatus(); };
  board.KeepArithmetic("experiments/large", "", keep);
  Running large(&board, 1, "experiments/large");
  for (int i = 0; i < 2; ++i) {
    FakeLearner lost(&board, 1, "cpu bits", NewName());
    static_cast<void>(lost.WaitForShard(0));
  }
  // Beside other work it would take that along.
  FakeLearner busy(&board, 2, "cpu bits", "busy");
  const v1::Shard suspect = busy.WaitForShard(0);
  CHECK(suspect.experiment() == "experiments/large");
  Running small(&board, 1, "experiments/small");
  for (int i = 0; i < 5; ++i) {
    if (i == 0) board.RemoveLearner(busy.id);
    FakeLearner lost(&board, 2, "cpu bits", NewName());
    CHECK(lost.WaitForShard(0).experiment() == "experiments/large");
    CHECK(lost.num_shards() == 1);
  }
  const auto result = large.Join();
  CHECK(result.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(result.status().message().find("may need more memory") != std::string_view::npos);
  // Nothing is left of it: another of that name may come.
  board.RemoveShare("experiments/large");
  board.KeepArithmetic("experiments/large", "", keep);
  FakeLearner well(&board, 1);
  const v1::Shard other = well.WaitForShard(0);
  CHECK(other.experiment() == "experiments/small");
  CHECK(well.Answer(other, 1).ok());
  CHECK(small.Join().ok());
}

TEST_CASE("shard board: a suspect is tried on a learner that has nothing to do", "[unit]") {
  ShardBoard board(Unaudited());
  FakeLearner busy(&board, 1, "cpu bits", "busy");
  Running small(&board, 1, "experiments/small");
  const v1::Shard held = busy.WaitForShard(0);
  Running large(&board, 1, "experiments/large");
  for (int i = 0; i < 2; ++i) {
    FakeLearner lost(&board, 1, "cpu bits", NewName());
    static_cast<void>(lost.WaitForShard(0));
  }
  // The first learner would have to finish what it has.
  FakeLearner idle(&board, 2, "cpu bits", "idle");
  const v1::Shard suspect = idle.WaitForShard(0);
  CHECK(suspect.experiment() == "experiments/large");
  CHECK(idle.Answer(suspect, 1).ok());
  CHECK(busy.Answer(held, 1).ok());
  CHECK(small.Join().ok());
  CHECK(large.Join().ok());
}

TEST_CASE("shard board: learners that come back again and again have not vanished", "[unit]") {
  ShardBoard board(Unaudited());
  Running run(&board, 1, "experiments/a");
  // Its machine sleeps at times.
  for (int i = 0; i < 30; ++i) {
    FakeLearner same(&board, 2);
    CHECK(same.WaitForShard(0).experiment() == "experiments/a");
  }
  {
    FakeLearner well(&board, 1, "cpu bits", NewName());
    CHECK(well.Answer(well.WaitForShard(0), 1).ok());
    CHECK(run.Join().ok());
  }

  // A shard that cuts the stream of whoever has it comes to an end all the same.
  Running cutting(&board, 1, "experiments/a");
  for (int i = 0; i < 32 + 8; ++i) {
    FakeLearner same(&board, 2);
    static_cast<void>(same.WaitForShard(0));
  }
  CHECK(cutting.Join().status().code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("shard board: who was told to end has not vanished", "[unit]") {
  ShardBoard board(Unaudited());
  Running large(&board, 1, "experiments/large");
  for (int i = 0; i < 3; ++i) {
    FakeLearner told(&board, 1, "cpu bits", NewName());
    static_cast<void>(told.WaitForShard(0));
    board.OnLeaving(told.id);
  }
  // Nothing is suspected: it may lie beside other work.
  FakeLearner busy(&board, 2, "cpu bits", "busy");
  const v1::Shard first = busy.WaitForShard(0);
  CHECK(first.experiment() == "experiments/large");
  Running small(&board, 1, "experiments/small");
  CHECK(busy.Answer(busy.WaitForShard(1), 1).ok());
  CHECK(small.Join().ok());
  // It gets nothing more before it is gone.
  board.OnLeaving(busy.id);
  Running next(&board, 1, "experiments/next");
  while (board.Shards("experiments/next").empty()) std::this_thread::yield();
  CHECK(busy.num_shards() == 2);
  CHECK(busy.Answer(first, 1).ok());
  CHECK(large.Join().ok());
  FakeLearner well(&board, 1, "cpu bits", "well");
  CHECK(well.Answer(well.WaitForShard(0), 1).ok());
  CHECK(next.Join().ok());

  // A shard for which every machine ends its learner comes to an end all the same.
  board.RemoveLearner(well.id);
  Running ending(&board, 1, "experiments/ending");
  for (int i = 0; i < 32 + 8; ++i) {
    FakeLearner told(&board, 1, "cpu bits", NewName());
    static_cast<void>(told.WaitForShard(0));
    board.OnLeaving(told.id);
  }
  CHECK(ending.Join().status().code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("shard board: a learner that comes back under another host's name is forgiven at the old",
          "[unit]") {
  ShardBoard board(Unaudited());
  Running run(&board, 1, "experiments/a");
  const auto lose = [&](const std::string& name, const std::string& host) {
    FakeLearner lost(&board, 1, "cpu bits", name, /*memory_bytes=*/0, host);
    static_cast<void>(lost.WaitForShard(0));
  };
  lose("moves", "old host");  // old host: 1
  lose("moves", "new host");  // old host: 0, new host: 1
  FakeLearner last(&board, 1, "cpu bits", "last");
  static_cast<void>(last.WaitForShard(0));
  FakeLearner there(&board, 1, "cpu bits", "there", /*memory_bytes=*/0, "new host");
  FakeLearner well(&board, 1, "cpu bits", "well", /*memory_bytes=*/0, "old host");
  board.RemoveLearner(last.id);  // Suspected now: it goes where it was lost least.
  CHECK(there.num_shards() == 0);
  CHECK(well.Answer(well.WaitForShard(0), 1).ok());
  CHECK(run.Join().ok());
}

// Shards of experiments/large take 10 GB beside a process, others 1 GB.
ShardBoard::Options Sized() {
  ShardBoard::Options options;
  options.memory_of = [](const v1::Shard& shard, int64_t) {
    const uint64_t gigabytes = shard.experiment() == "experiments/large" ? 10 : 1;
    return shards::ShardMemory{.bytes = gigabytes << 30};
  };
  return options;
}

constexpr uint64_t WithProcess(uint64_t gigabytes) {
  return shards::kLearnerProcessBytes + (gigabytes << 30);
}

TEST_CASE("shard board: nobody gets a shard that his memory does not hold (D5)", "[unit]") {
  ShardBoard board(Sized());
  FakeLearner small(&board, 2, "cpu bits", "small", WithProcess(2));
  std::promise<std::string> said;
  Running run(&board, 1, "experiments/large",
              [&, told = false](const RunProgress& progress) mutable {
                if (!std::exchange(told, true)) said.set_value(WaitingFor(progress));
              });
  std::future<std::string> waiting = said.get_future();
  REQUIRE(waiting.wait_for(std::chrono::seconds(30)) == std::future_status::ready);
  CHECK(waiting.get() ==
        ": waiting for a learner with more memory: a shard needs 10.9 GB, and the largest learner "
        "has 2.3 GB; make rule.shard_lifetimes or agent.hidden_units smaller, or give learners "
        "more");
  CHECK(small.num_shards() == 0);
  CHECK(board.Learners().at(small.id).refusal() == "experiments/large: needs more memory");
  // Others are not held up.
  Running other(&board, 1, "experiments/b");
  CHECK(small.Answer(small.WaitForShard(0), 1).ok());
  CHECK(other.Join().ok());
  // One that does not say how much it has may have all.
  FakeLearner unlimited(&board, 1, "cpu bits", "unlimited");
  CHECK(unlimited.Answer(unlimited.WaitForShard(0), 1).ok());
  CHECK(run.Join().ok());
}

TEST_CASE("shard board: shards go beside each other as far as memory goes", "[unit]") {
  ShardBoard board(Sized());
  FakeLearner learner(&board, 8, "cpu bits", "learner", WithProcess(10));
  Running small(&board, 12, "experiments/b");
  std::vector<v1::Shard> held;
  for (size_t i = 0; i < 8; ++i) held.push_back(learner.WaitForShard(i));
  // Eight of one gigabyte: the large one finds no room, and is not overtaken for ever.
  Running large(&board, 1, "experiments/large");
  while (board.Shards("experiments/large").empty()) std::this_thread::yield();
  CHECK(board.Learners().at(learner.id).memory_needed_bytes() == WithProcess(8));
  size_t seen = 8, done = 0;
  bool came = false;
  while (!came) {
    REQUIRE(done < held.size());
    CHECK(learner.Answer(held[done++], 1).ok());
    for (; seen < learner.num_shards(); ++seen) {
      held.push_back(learner.WaitForShard(seen));
      if (held.back().experiment() != "experiments/large") continue;
      came = true;
      CHECK(board.Learners().at(learner.id).work() == 1);
    }
  }
  CHECK(seen < 13);  // Some of the small ones came after it.
  for (; done < 13; ++done) {
    if (done == held.size()) held.push_back(learner.WaitForShard(done));
    CHECK(learner.Answer(held[done], 1).ok());
  }
  CHECK(small.Join().ok());
  CHECK(large.Join().ok());
}

TEST_CASE("shard board: an experiment keeps to the arithmetic of its first learner", "[unit]") {
  Mismatches mismatches;
  ShardBoard board(mismatches.Options());
  Kept kept;
  board.KeepArithmetic("experiments/a", "", kept.keep);
  FakeLearner cpu(&board, 1, "cpu x");
  Running run(&board, 2);
  const v1::Shard first = cpu.WaitForShard(0);  // cpu: shard 1; shard 2 waits
  FakeLearner gpu(&board, 4, "gpu y");          // is refused, once
  CHECK(cpu.Answer(first, 1).ok());
  const v1::Shard second = cpu.WaitForShard(1);
  CHECK(kept.told.empty());
  CHECK(cpu.Answer(second, 2).ok());
  REQUIRE(run.Join().ok());
  CHECK(kept.told == std::vector<std::string>{"cpu x"});
  CHECK(gpu.num_shards() == 0);
  CHECK(mismatches.Seen() == std::vector<std::string>{"experiments/a: cpu x, gpu y"});

  // Later calls too, whoever is there; another experiment takes what it finds.
  board.RemoveLearner(cpu.id);
  std::promise<std::string> waiting;
  Running next(&board, 1, "experiments/a", [&, told = false](const RunProgress& progress) mutable {
    if (!std::exchange(told, true)) waiting.set_value(WaitingFor(progress));
  });
  Running other(&board, 1, "experiments/b");
  CHECK(gpu.Answer(gpu.WaitForShard(0), 3).ok());
  CHECK(other.Join().ok());
  std::future<std::string> said = waiting.get_future();
  REQUIRE(said.wait_for(std::chrono::seconds(30)) == std::future_status::ready);
  CHECK(said.get() == ": waiting for learners of kind cpu x");
  CHECK(gpu.num_shards() == 1);
  FakeLearner again(&board, 1, "cpu x");
  CHECK(again.Answer(again.WaitForShard(0), 4).ok());
  CHECK(next.Join().ok());
  CHECK(kept.told.size() == 1);
}

TEST_CASE("shard board: an experiment that has an arithmetic waits for it", "[unit]") {
  Mismatches mismatches;
  ShardBoard board(mismatches.Options());
  Kept kept;
  board.KeepArithmetic("experiments/a", "gpu y", kept.keep);
  FakeLearner cpu(&board, 1, "cpu x");
  Running run(&board, 1);
  FakeLearner gpu(&board, 1, "gpu y");
  CHECK(gpu.Answer(gpu.WaitForShard(0), 1).ok());
  CHECK(run.Join().ok());
  CHECK(cpu.num_shards() == 0);
  CHECK(kept.told.empty());  // It is known.
  // Its end frees the name.
  board.RemoveShare("experiments/a");
  board.RemoveLearner(gpu.id);
  Running fresh(&board, 1);
  CHECK(cpu.Answer(cpu.WaitForShard(0), 2).ok());
  CHECK(fresh.Join().ok());
}

TEST_CASE("shard board: a learner that vanishes before any result decides nothing", "[unit]") {
  ShardBoard board(Unaudited());
  Kept kept;
  board.KeepArithmetic("experiments/a", "", kept.keep);
  Running run(&board, 1);
  FakeLearner gone(&board, 1, "gpu y");
  gone.WaitForShard(0);
  FakeLearner cpu(&board, 1, "cpu x");
  board.RemoveLearner(gone.id);
  CHECK(cpu.Answer(cpu.WaitForShard(0), 1).ok());
  CHECK(run.Join().ok());
  CHECK(kept.told == std::vector<std::string>{"cpu x"});
}

TEST_CASE("shard board: results are not handed out when their arithmetic cannot be written down",
          "[unit]") {
  ShardBoard board(Unaudited());
  board.KeepArithmetic("experiments/a", "", [](const std::string&) {
    return absl::ResourceExhaustedError("disk full");
  });
  FakeLearner learner(&board, 1);
  Running run(&board, 1);
  CHECK(learner.Answer(learner.WaitForShard(0), 1).ok());
  CHECK(run.Join().status().message() == "disk full");
}

// A lifetime of two iterations.
v1::Shard TwoIterations() {
  v1::Shard shard = testing::OutcomesShard("experiments/a");
  shard.mutable_spec()->mutable_lifetime()->set_iterations(2);
  shard.set_iterations(2);
  return shard;
}

TEST_CASE("shard board: what a lost learner had delivered of a shard is not kept", "[unit]") {
  ShardBoard board(Unaudited());
  Running run(&board, 1, TwoIterations());
  FakeLearner lost(&board, 1);
  const v1::Shard before = lost.WaitForShard(0);
  CHECK(lost.Send(before, 0, 666).ok());
  lost.Progress(before, 5);
  const auto ack = lost.messages().back().ack();
  CHECK(ack.shard_id() == before.shard_id());
  CHECK(ack.iteration() == 0);
  CHECK(lost.messages().back().has_ack());
  board.RemoveLearner(lost.id);
  CHECK(board.Shards("").at(0).info.env_steps() == 0);
  CHECK(board.Shards("").at(0).info.iterations_done() == 0);
  FakeLearner other(&board, 1);
  const v1::Shard after = other.WaitForShard(0);
  CHECK(other.Send(after, 1, 2).code() == absl::StatusCode::kInvalidArgument);  // Not the next.
  CHECK(other.Send(after, 0, 1).ok());
  CHECK(other.Send(after, 1, 2).ok());
  CHECK(other.Finish(after, {1, 2}).ok());
  const auto results = run.Join();
  REQUIRE(results.ok());
  REQUIRE(results->at(0).segments.size() == 2);
  for (int i = 0; i < 2; ++i)
    CHECK(results->at(0).segments[static_cast<size_t>(i)].shaped_rewards[0][0].item<double>() ==
          i + 1);
}

TEST_CASE("shard board: an older assignment is refused from the same connection too", "[unit]") {
  ShardBoard board(Unaudited());
  Running run(&board, 1);
  FakeLearner learner(&board, 1);
  const v1::Shard first = learner.WaitForShard(0);
  CHECK(learner.Fail(first).ok());
  const v1::Shard second = learner.WaitForShard(1);
  CHECK(second.shard_id() == first.shard_id());
  REQUIRE(second.epoch() > first.epoch());
  const uint64_t refused = board.counts().refused;
  CHECK(learner.Answer(first, 666).ok());  // No fault, no effect.
  CHECK(board.counts().refused == refused + 2);
  // Nor is somebody else believed who knows the epoch.
  FakeLearner stranger(&board, 1, "cpu bits", "a stranger");
  CHECK(stranger.Answer(second, 667).ok());
  CHECK(board.counts().refused == refused + 4);
  CHECK(learner.Answer(second, 1).ok());
  const auto results = run.Join();
  REQUIRE(results.ok());
  CHECK(RewardOf(results->at(0)) == 1);
}

TEST_CASE("shard board: steps that were reported are not counted again at the end", "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  Running run(&board, 1);
  FakeLearner learner(&board, 1);
  const v1::Shard shard = learner.WaitForShard(0);
  learner.Progress(shard, 3);
  clock.Advance(std::chrono::seconds(2));
  CHECK(learner.Answer(shard, 1).ok());  // 4 steps in 2 s.
  CHECK(run.Join().ok());
  CHECK(board.Learners().at(learner.id).env_steps_per_second() == 2);
  // What was given out is told once.
  CHECK(board.TakeServed("experiments/a") == 4);
  CHECK(board.TakeServed("experiments/a") == 0);
}

TEST_CASE("shard board: shards of a lost learner come first again, in their order", "[unit]") {
  ShardBoard board(Unaudited());
  Running run(&board, 4);
  FakeLearner lost(&board, 2);
  const v1::Shard a = lost.WaitForShard(0), b = lost.WaitForShard(1);
  board.RemoveLearner(lost.id);
  FakeLearner other(&board, 4);
  CHECK(other.WaitForShard(0).shard_id() == a.shard_id());
  CHECK(other.WaitForShard(1).shard_id() == b.shard_id());
  CHECK(other.WaitForShard(2).shard_id() > b.shard_id());
}

TEST_CASE("shard board: a drained learner ends what it has and gets nothing else", "[unit]") {
  ShardBoard board(Unaudited());
  FakeLearner drained(&board, 2), stays(&board, 1, "cpu bits", "stays");
  Running run(&board, 1);
  const v1::Shard held = drained.WaitForShard(0);
  REQUIRE(board.DrainLearner(drained.id));
  CHECK(drained.messages().back().has_drain());
  Running next(&board, 2);
  const v1::Shard first = stays.WaitForShard(0);
  CHECK(drained.num_shards() == 1);
  CHECK(drained.Answer(held, 1).ok());
  CHECK(run.Join().ok());
  CHECK(stays.Answer(first, 2).ok());
  CHECK(stays.Answer(stays.WaitForShard(1), 3).ok());
  CHECK(next.Join().ok());
  CHECK(drained.num_shards() == 1);
  CHECK_FALSE(board.DrainLearner(12345));
}

TEST_CASE("shard board: each call's shards come behind its own weights (D1)", "[unit]") {
  ShardBoard board(Unaudited());
  FakeLearner learner(&board, 4);
  v1::Shard shard = testing::OutcomesShard("experiments/a");
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  Running first(&board, 2, shard);
  learner.WaitForShard(1);
  Running second(&board, 1, shard);
  learner.WaitForShard(2);
  uint64_t version = 0, sent = 0;
  for (const auto& message : learner.messages()) {
    if (message.has_signal_weights()) {
      version = message.signal_weights().version();
      ++sent;
    }
    if (message.has_shard()) CHECK(message.shard().signal_version() == version);
  }
  CHECK(sent == 2);
}

TEST_CASE("shard board: a snapshot has every lifetime", "[unit]") {
  ShardBoard board(Unaudited());
  v1::Shard wanted = TwoIterations();
  wanted.set_iterations(1);
  wanted.set_return_snapshot(true);
  Running run(&board, 1, wanted);
  FakeLearner learner(&board, 1);
  const v1::Shard shard = learner.WaitForShard(0);
  CHECK(learner.Send(shard, 0, 1).ok());
  const absl::Status done = learner.Finish(shard, {1});
  CHECK(done.code() == absl::StatusCode::kInvalidArgument);
  CHECK(done.message().find("0 lifetimes after 0 iterations; 1 after 1") != std::string_view::npos);
}

TEST_CASE("shard board: a shard that stalled has longer the next time, as have slow ones",
          "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  // Without actors no learner is to blame.
  Running run(&board, 1);
  FakeLearner a(&board, 1, "cpu bits", "a"), b(&board, 1, "cpu bits", "b");
  const v1::Shard first = a.WaitForShard(0);
  clock.Advance(std::chrono::seconds(61));
  board.Wake();
  const v1::Shard second = b.WaitForShard(0);
  CHECK(board.Learners().at(a.id).strikes() == 0);
  b.Progress(second, 0);
  FakeLearner c(&board, 1, "cpu bits", "c");
  clock.Advance(std::chrono::seconds(61));
  board.Wake();
  CHECK(board.counts().stalled == 1);
  CHECK(c.num_shards() == 0);
  clock.Advance(std::chrono::seconds(58));
  CHECK(b.Answer(second, 1).ok());
  CHECK(run.Join().ok());
  // Its kind takes 119 s without a word, so others may too.
  Running next(&board, 1);
  const v1::Shard third = b.WaitForShard(1);  // It has an actor.
  clock.Advance(std::chrono::seconds(119 * 7));
  board.Wake();
  CHECK(board.counts().stalled == 1);
  CHECK(b.Answer(third, 2).ok());
  CHECK(next.Join().ok());
}

TEST_CASE("shard board: who vanishes again and again fails nothing that a busy one could do",
          "[unit]") {
  for (const char* host : {"another host", "the same host"}) {
    INFO(host);
    ShardBoard board(Unaudited());
    FakeLearner busy(&board, 1, "cpu bits", "the same host");
    Running held(&board, 1, "experiments/held");
    const v1::Shard first = busy.WaitForShard(0);
    Running run(&board, 1, "experiments/a");
    while (board.Shards("experiments/a").empty()) std::this_thread::yield();
    size_t got = 0;
    for (int i = 0; i < 20; ++i) {
      FakeLearner looping(&board, 1, "cpu bits", NewName(), /*memory_bytes=*/0, host);
      got += looping.num_shards();
    }
    CHECK(got == 2);  // Then it waits for the one that has not lost it.
    CHECK(busy.Answer(first, 1).ok());
    CHECK(busy.Answer(busy.WaitForShard(1), 2).ok());
    CHECK(held.Join().ok());
    CHECK(run.Join().ok());
  }
}

TEST_CASE("shard board: who sends what does not fit gets strikes, and its shards are not suspects",
          "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  Running run(&board, 1, TwoIterations());
  for (int i = 0; i < 12; ++i) {
    FakeLearner liar(&board, 1, "cpu bits", "liar");
    CHECK_FALSE(liar.Send(liar.WaitForShard(0), 1, 1).ok());  // Not the first iteration.
    clock.Advance(std::chrono::minutes(10));                  // Until it gets work again.
  }
  CHECK(board.counts().quarantines >= 1);
  FakeLearner well(&board, 1, "cpu bits", "well");
  const v1::Shard shard = well.WaitForShard(0);
  CHECK(well.Send(shard, 0, 1).ok());
  CHECK(well.Send(shard, 1, 2).ok());
  CHECK(well.Finish(shard, {1, 2}).ok());
  CHECK(run.Join().ok());
}

TEST_CASE("shard board: a step now and then is not progress, nor are steps that were there before",
          "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  v1::Shard large = testing::OutcomesShard("experiments/a");
  large.mutable_spec()->mutable_lifetime()->set_steps_per_iteration(4000);
  Running run(&board, 1, large);
  FakeLearner creeping(&board, 1, "cpu bits", "creeping");
  const v1::Shard before = creeping.WaitForShard(0);
  FakeLearner well(&board, 1, "cpu bits", "well");
  creeping.Progress(before, 1000);
  for (uint64_t i = 1; i <= 61; ++i) {
    clock.Advance(std::chrono::seconds(1));
    creeping.Progress(before, i % 2 == 0 ? 1000 + i / 2 : i % 7);
  }
  board.Wake();
  CHECK(well.WaitForShard(0).shard_id() == before.shard_id());
  CHECK(board.Learners().at(creeping.id).strikes() == 1);
}

TEST_CASE("shard board: a learner that comes back is as trusted as it was when it went", "[unit]") {
  ShardBoard board(Unaudited());
  FakeLearner well(&board, 1, "cpu bits", "well");
  const auto strike = [&](FakeLearner* sick, size_t mine) {
    Running run(&board, 2);
    const v1::Shard other = well.WaitForShard(mine), bad = sick->WaitForShard(0);
    CHECK(sick->Fail(bad).ok());
    CHECK(well.Answer(other, 1).ok());
    CHECK(well.Answer(well.WaitForShard(mine + 1), 2).ok());
    CHECK(run.Join().ok());
  };
  for (size_t i = 0; i < 3; ++i) {
    FakeLearner sick(&board, 1, "cpu bits", "sick");
    strike(&sick, 2 * i);
    CHECK(board.Learners().at(sick.id).strikes() == i + 1);
    CHECK(board.Learners().at(sick.id).quarantined() == (i == 2));
  }
  FakeLearner again(&board, 1, "cpu bits", "sick");
  CHECK(board.Learners().at(again.id).quarantined());
}

// A shard whose agents live in the environment of a host.
v1::Shard HostedShard(const std::string& host) {
  v1::Shard shard = testing::OutcomesShard("experiments/hosted");
  v1::EnvironmentTask& task = *shard.mutable_lifetimes(0)->mutable_task();
  task.set_environment("host");
  v1::Option& option = *task.add_options();
  option.set_name("host");
  option.set_value(host);
  return shard;
}

TEST_CASE("shard board: a shard goes where its host is offered, and takes nobody's place elsewhere",
          "[unit]") {
  ShardBoard board(Unaudited());
  FakeLearner plain(&board, 1, "cpu bits", "plain");
  board.OnActors(plain.id, 1, {"dm"});
  std::promise<std::string> said;
  bool is_said = false;
  Running hosted(&board, 2, HostedShard("gym"), [&](const RunProgress& progress) {
    if (!std::exchange(is_said, true)) said.set_value(WaitingFor(progress));
  });
  auto reason = said.get_future();
  REQUIRE(reason.wait_for(std::chrono::seconds(20)) == std::future_status::ready);
  CHECK(reason.get() ==
        ": waiting for actors that offer simulator 'gym' (mentor-actor --simulator gym=...)");
  CHECK(board.Learners().at(plain.id).refusal() ==
        "experiments/hosted: none of its actors offers simulator 'gym'");
  Running other(&board, 1, "experiments/b");
  CHECK(plain.Answer(plain.WaitForShard(0), 1).ok());
  CHECK(other.Join().ok());
  FakeLearner gymnast(&board, 2, "cpu bits", "gymnast");
  CHECK(gymnast.num_shards() == 0);
  board.OnActors(gymnast.id, 1, {"dm", "gym"});
  CHECK(gymnast.Answer(gymnast.WaitForShard(0), 1).ok());
  CHECK(gymnast.Answer(gymnast.WaitForShard(1), 2).ok());
  CHECK(hosted.Join().ok());
  CHECK(plain.num_shards() == 1);
}

TEST_CASE("shard board: a shard whose host has gone makes place for others, and comes back",
          "[unit]") {
  BoardClock clock;
  ShardBoard::Options options = clock.Options();
  options.extra_places = 0;  // Else there is room beside it.
  ShardBoard board(options);
  FakeLearner learner(&board, 1);
  board.OnActors(learner.id, 1, {"gym"});
  Running hosted(&board, 1, HostedShard("gym"));
  const v1::Shard before = learner.WaitForShard(0);
  board.OnActors(learner.id, 1, {});
  board.Wake();
  clock.Advance(std::chrono::seconds(11));
  board.Wake();
  CHECK_FALSE(learner.WasDropped(before));  // It is in nobody's way.
  Running other(&board, 1, "experiments/b");
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (board.Shards("experiments/b").empty() && std::chrono::steady_clock::now() < end)
    std::this_thread::yield();
  board.Wake();
  CHECK(learner.Answer(learner.WaitForShard(1), 1).ok());
  CHECK(other.Join().ok());
  CHECK(learner.WasDropped(before));
  CHECK(learner.num_shards() == 2);
  board.OnActors(learner.id, 1, {"gym"});
  const v1::Shard again = learner.WaitForShard(2);
  CHECK(again.shard_id() == before.shard_id());
  CHECK(again.epoch() > before.epoch());
  CHECK(learner.Answer(again, 2).ok());
  CHECK(hosted.Join().ok());
  CHECK(board.Learners().at(learner.id).strikes() == 0);
}

TEST_CASE("shard board: a shard whose host has gone moves to a free learner that has it",
          "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  FakeLearner first(&board, 1, "cpu bits", "first");
  board.OnActors(first.id, 1, {"gym"});
  Running run(&board, 1, HostedShard("gym"));
  const v1::Shard before = first.WaitForShard(0);
  FakeLearner without(&board, 1, "cpu bits", "without");
  clock.Advance(std::chrono::minutes(5));
  board.Wake();
  CHECK(without.num_shards() == 0);  // Not even one that has stalled.
  FakeLearner second(&board, 1, "cpu bits", "second");
  first.Progress(before, 4);
  board.OnActors(first.id, 1, {});
  board.OnActors(second.id, 1, {"gym"});
  board.Wake();
  CHECK(second.num_shards() == 0);  // It may come back soon.
  clock.Advance(std::chrono::seconds(11));
  board.Wake();
  CHECK(second.Answer(second.WaitForShard(0), 1).ok());
  CHECK(run.Join().ok());
  CHECK(first.WasDropped(before));
  CHECK(board.Learners().at(first.id).strikes() == 0);
}

TEST_CASE("shard board: who waits behind shards that do not end gets a place beyond the slots",
          "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  FakeLearner learner(&board, 2);
  board.SetShare("experiments/a", {.owner = "ada"});
  board.SetShare("experiments/b", {.owner = "bob", .priority = v1::PRIORITY_HIGH, .weight = 3});
  Running endless(&board, 5, "experiments/a");
  const v1::Shard held = learner.WaitForShard(1);
  Running other(&board, 4, "experiments/b");
  // Not at once: shards end all the time.
  while (board.Shards("experiments/b").size() < 4) std::this_thread::yield();
  clock.ns = 900'000'000;
  board.Wake();
  CHECK(learner.num_shards() == 2);
  clock.ns = 1'000'000'000;
  board.Wake();
  const v1::Shard first = learner.WaitForShard(2);
  CHECK(first.experiment() == "experiments/b");
  CHECK(first.share().experiment() == "experiments/b");
  CHECK(first.share().owner() == "bob");
  CHECK(first.share().priority() == v1::PRIORITY_HIGH);
  CHECK(first.share().weight() == 3);
  CHECK(learner.WaitForShard(3).experiment() == "experiments/b");
  clock.ns = 9'000'000'000;
  board.Wake();
  CHECK(learner.num_shards() == 4);  // As many as there are slots.
  // The next one does not wait again, behind the same shards.
  CHECK(learner.Answer(first, 1).ok());
  CHECK(learner.WaitForShard(4).experiment() == "experiments/b");
  // A learner that lost no place has none beyond.
  CHECK(learner.Answer(held, 1).ok());
  CHECK(learner.num_shards() == 5);
  endless.Cancel();
  other.Cancel();
}

TEST_CASE("shard board: extra places end somewhere, and need memory", "[unit]") {
  BoardClock clock;
  ShardBoard::Options options = clock.Options();
  options.extra_places = 2;
  bool small = false;
  SECTION("places") {}
  SECTION("memory") {
    small = true;
    options.memory_of = [](const v1::Shard&, int64_t) {
      shards::ShardMemory memory;
      memory.bytes = 1 << 30;
      return memory;
    };
  }
  ShardBoard board(options);
  FakeLearner learner(&board, 1, "cpu bits", "a learner",
                      small ? shards::kLearnerProcessBytes + (uint64_t{3} << 29) : 0);
  std::vector<std::unique_ptr<Running>> runs;
  for (const char* name : {"experiments/a", "experiments/b", "experiments/c", "experiments/d"}) {
    board.SetShare(name, {.owner = name});
    runs.push_back(std::make_unique<Running>(&board, 1, name));
    while (board.Shards(name).empty()) std::this_thread::yield();
  }
  for (int look = 0; look < 20; ++look) {
    clock.ns += 1'000'000'000;
    board.Wake();
  }
  CHECK(learner.num_shards() == (small ? 1 : 3));
  for (const auto& run : runs) run->Cancel();
}

TEST_CASE("shard board: one owner's experiments leave places beyond the slots to others",
          "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  FakeLearner learner(&board, 2);
  std::vector<std::unique_ptr<Running>> runs;
  const auto add = [&](const std::string& name, const std::string& owner) {
    board.SetShare(name, {.owner = owner});
    runs.push_back(std::make_unique<Running>(&board, 3, name));
    while (board.Shards(name).empty()) std::this_thread::yield();
    for (int look = 0; look < 20; ++look) {
      clock.ns += 1'000'000'000;
      board.Wake();
    }
  };
  for (const char* name : {"experiments/a", "experiments/b", "experiments/c", "experiments/d"})
    add(name, "bob");
  CHECK(learner.num_shards() == 5);
  add("experiments/good", "ada");
  CHECK(learner.num_shards() == 7);
  for (const auto& run : runs) run->Cancel();
}

TEST_CASE(
    "shard board: who waits for memory that the same owner's shards have holds up nobody else",
    "[unit]") {
  ShardBoard board(Sized());
  FakeLearner learner(&board, 8, "cpu bits", "learner", WithProcess(12));
  board.SetShare("experiments/large", {.owner = "bob"});
  board.SetShare("experiments/good", {.owner = "ada"});
  Running large(&board, 2, "experiments/large");
  const v1::Shard first = learner.WaitForShard(0);
  while (board.Shards("experiments/large").size() < 2) std::this_thread::yield();
  Running good(&board, 4, "experiments/good");
  for (size_t i = 1; i < 5; ++i) {
    const v1::Shard shard = learner.WaitForShard(i);
    CHECK(shard.experiment() == "experiments/good");
    CHECK(learner.Answer(shard, 1).ok());
  }
  CHECK(good.Join().ok());
  CHECK(learner.Answer(first, 1).ok());
  CHECK(learner.Answer(learner.WaitForShard(5), 1).ok());
  CHECK(large.Join().ok());
}

TEST_CASE("shard board: shards are shown as far as they are, each experiment's by itself",
          "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  Running run(&board, 2), other(&board, 1, "experiments/b");
  while (board.Shards("").size() < 3) std::this_thread::yield();
  FakeLearner learner(&board, 1);
  const v1::Shard shard = learner.WaitForShard(0);
  const auto of = [&](const std::string& experiment) {
    std::vector<v1::ShardInfo> infos;
    for (const ShardBoard::ShardState& state : board.Shards(experiment)) {
      CHECK(state.learner.has_value() == (state.info.state() == v1::ShardInfo::STATE_RUNNING));
      infos.push_back(state.info);
    }
    return infos;
  };
  CHECK(of("").size() == 3);
  CHECK(of("experiments/none").empty());
  const std::string mine = shard.experiment();
  const auto held = [&] {
    for (const v1::ShardInfo& info : of(mine)) {
      if (info.state() == v1::ShardInfo::STATE_RUNNING) return info;
    }
    return v1::ShardInfo();
  };
  CHECK(held().name() == absl::StrCat(mine, "/shards/", shard.shard_id()));
  CHECK(held().lifetimes() == 1);
  CHECK(held().iterations_total() == 1);
  CHECK(held().iterations_done() == 0);
  CHECK(held().env_steps_total() == 4);
  // As far as it has ever said, and not beyond the end.
  learner.Progress(shard, 3);
  CHECK(held().env_steps() == 3);
  learner.Progress(shard, 1);
  CHECK(held().env_steps() == 3);
  learner.Progress(shard, 1'000'000);
  CHECK(held().env_steps() == 4);
  CHECK(learner.Send(shard, 0, 1).ok());
  CHECK(held().iterations_done() == 1);
  CHECK(learner.Finish(shard, {1}).ok());
  CHECK(of("").size() == 2);  // Finished shards have no owner.
}

TEST_CASE("shard board: what came with the end of a shard is in its result", "[unit]") {
  ShardBoard board(Unaudited());
  Running run(&board, 1);
  FakeLearner learner(&board, 1);
  const v1::Shard shard = learner.WaitForShard(0);
  const v1::Segment segment = testing::OutcomesSegment(shard, 1);
  REQUIRE(board.OnSegment(learner.id, segment).ok());
  v1::ShardDone done = testing::DoneAfter(segment);
  done.set_nonfinite_updates(3);
  done.mutable_seconds()->set_rollout(7);
  const absl::Status ended = board.OnDone(learner.id, done);
  INFO(ended);
  REQUIRE(ended.ok());
  const auto results = run.Join();
  REQUIRE(results.ok());
  CHECK(results->at(0).statistics.empty());
  CHECK(results->at(0).nonfinite_updates == 3);
  CHECK(results->at(0).seconds.rollout() == 7);
  CHECK_FALSE(results->at(0).outer_gradient.defined());
}

TEST_CASE("shard board: failures on one host count once, and on very many they end the run",
          "[unit]") {
  ShardBoard::Options options;
  options.retries.errors_max = 1;
  {
    ShardBoard board(options);
    // There is always another learner that has not tried.
    FakeLearner busy(&board, 1, "cpu bits", "busy");
    Running held(&board, 1, "experiments/held");
    static_cast<void>(busy.WaitForShard(0));
    Running run(&board, 1);
    for (const char* host : {"a", "b", "c", "d"}) {
      FakeLearner learner(&board, 1, "cpu bits", host);
      CHECK(learner.Fail(learner.WaitForShard(0)).ok());
      if (*host != 'd') CHECK(board.Shards("experiments/a").size() == 1);
    }
    CHECK(run.Join().status().code() == absl::StatusCode::kInternal);
  }
  // Three times on one host is one host.
  BoardClock clock;
  ShardBoard board(clock.Options());
  Running run(&board, 1);
  for (int i = 0; i < 3; ++i) {
    FakeLearner learner(&board, 1, "cpu bits", "the same");
    clock.Advance(std::chrono::seconds(5));
    board.Wake();
    CHECK(learner.Fail(learner.WaitForShard(0)).ok());
  }
  FakeLearner well(&board, 1, "cpu bits", "well");
  CHECK(well.Answer(well.WaitForShard(0), 1).ok());
  CHECK(run.Join().ok());
}

TEST_CASE("shard board: with its share, an experiment's history of the fleet ends", "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  board.SetShare("experiments/a", {});
  board.SetShare("experiments/b", {});
  CHECK(board.WithShare() == std::set<std::string>{"experiments/a", "experiments/b"});
  FakeLearner slow(&board, 1, "cpu bits", "slow");
  {
    Running run(&board, 1);
    const v1::Shard shard = slow.WaitForShard(0);
    clock.Advance(std::chrono::seconds(59));
    CHECK(slow.Answer(shard, 1).ok());
    CHECK(run.Join().ok());
  }
  board.RemoveShare("experiments/a");
  CHECK(board.WithShare() == std::set<std::string>{"experiments/b"});
  CHECK(board.TakeServed("experiments/a") == 0);
  // That shards of its name once took 59 s is nothing to the next one of that name.
  Running run(&board, 1);
  const v1::Shard before = slow.WaitForShard(1);
  FakeLearner free(&board, 1, "cpu bits", "free");
  clock.Advance(std::chrono::seconds(61));
  board.Wake();
  CHECK(free.WaitForShard(0).shard_id() == before.shard_id());
  CHECK(board.counts().reassigned == 1);
}

TEST_CASE("shard board: who comes and goes is told of with what it could do and held", "[unit]") {
  std::vector<std::string> told;  // Written under the board's lock, read when all is over.
  ShardBoard::Options options;
  options.on_event = [&told](const std::string& experiment, const ShardEvent& event) {
    told.push_back(
        absl::StrCat(experiment, " ", event.name, " ", event.learner, ": ", event.detail));
  };
  ShardBoard board(options);
  board.SetShare("experiments/a", {});
  board.SetShare("experiments/b", {});
  {
    FakeLearner both(&board, 2, "cpu bits", "both");
    Running run(&board, 2);
    static_cast<void>(both.WaitForShard(1));
    board.OnDeviceLost(both.id, "Xid 79");
    CHECK(board.Learners().at(both.id).draining());
    CHECK(board.Learners().at(both.id).work() == 2);
    board.RemoveLearner(both.id);
    CHECK(board.Learners().empty());
  }
  CHECK(told == std::vector<std::string>{"experiments/a learner_joined both: 2 slots",
                                         "experiments/b learner_joined both: 2 slots",
                                         "experiments/a device_lost both: Xid 79",
                                         "experiments/b device_lost both: Xid 79",
                                         "experiments/a learner_left both: 2 shards",
                                         "experiments/b learner_left both: 0 shards"});
}

TEST_CASE("shard board: good work forgives a strike", "[unit]") {
  ShardBoard board(Unaudited());
  FakeLearner sick(&board, 1, "cpu bits", "sick"), well(&board, 1, "cpu bits", "well");
  Running run(&board, 2, "experiments/c");
  const v1::Shard bad = sick.WaitForShard(0), good = well.WaitForShard(0);
  CHECK(sick.Fail(bad).ok());
  CHECK(well.Answer(good, 1).ok());
  CHECK(well.Answer(well.WaitForShard(1), 1).ok());
  CHECK(run.Join().ok());
  CHECK(board.Learners().at(sick.id).strikes() == 1);
  board.DrainLearner(well.id);
  Running next(&board, 1, "experiments/c");
  CHECK(sick.Answer(sick.WaitForShard(1), 1).ok());
  CHECK(next.Join().ok());
  CHECK(board.Learners().at(sick.id).strikes() == 0);
}

TEST_CASE("shard board: what learners lack is reckoned by the largest of them", "[unit]") {
  ShardBoard board(Unaudited());
  const auto add = [&](uint64_t process, uint64_t device) {
    return board.AddLearner({.slots = 1,
                             .name = absl::StrCat(process, " ", device),
                             .memory_bytes = process,
                             .has_device = device > 0,
                             .device_memory_bytes = device},
                            [](v1::RunResponse) { return true; });
  };
  const shards::ShardMemory shard{.bytes = uint64_t{4} << 30, .device_bytes = uint64_t{8} << 30};
  CHECK(board.ShortageOf(shard).needed == 0);  // No learner is there to lack anything.
  add(WithProcess(1), 0);
  const auto large = add(WithProcess(3), 0);
  MemoryShortage shortage = board.ShortageOf(shard);
  CHECK_FALSE(shortage.of_device);
  CHECK(shortage.needed == WithProcess(4));
  CHECK(shortage.most == WithProcess(3));
  // One whose device alone is too small is nearer to it.
  const auto device = add(WithProcess(4), uint64_t{7} << 30);
  shortage = board.ShortageOf(shard);
  CHECK(shortage.of_device);
  CHECK(shortage.needed == uint64_t{8} << 30);
  CHECK(shortage.most == uint64_t{7} << 30);
  const auto enough = add(WithProcess(4), uint64_t{8} << 30);
  CHECK(board.ShortageOf(shard).needed == 0);
  for (const auto id : {enough, device, large}) board.RemoveLearner(id);
  CHECK(board.ShortageOf(shard).most == WithProcess(1));
}

TEST_CASE("shard board: a learner without an actor that answers loses its shard to one that has",
          "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
  FakeLearner stuck(&board, 1, "cpu bits", "stuck");
  Running run(&board, 1);
  const v1::Shard shard = stuck.WaitForShard(0);
  const auto pass = [&](std::chrono::seconds time) {
    clock.Advance(time);
    board.Wake();
  };
  stuck.Progress(shard, 1, /*actors=*/0);
  pass(std::chrono::seconds(0));
  pass(std::chrono::seconds(20));
  FakeLearner free(&board, 1, "cpu bits", "free");
  pass(std::chrono::seconds(0));
  CHECK(free.num_shards() == 0);  // It has no actor either.
  stuck.Progress(shard, 1, /*actors=*/1);
  pass(std::chrono::seconds(0));
  board.OnActors(free.id, 1);
  stuck.Progress(shard, 1, /*actors=*/0);
  pass(std::chrono::seconds(0));
  pass(std::chrono::seconds(4));
  CHECK(free.num_shards() == 0);
  pass(std::chrono::seconds(1));
  CHECK(stuck.WasDropped(shard));
  const v1::Shard moved = free.WaitForShard(0);
  CHECK(board.Learners().at(stuck.id).strikes() == 0);
  // The next time it has twice as long.
  FakeLearner third(&board, 1, "cpu bits", "third");
  board.OnActors(third.id, 1);
  free.Progress(moved, 1, /*actors=*/0);
  pass(std::chrono::seconds(0));
  pass(std::chrono::seconds(9));
  CHECK_FALSE(free.WasDropped(moved));
  pass(std::chrono::seconds(1));
  CHECK(free.WasDropped(moved));
}

}  // namespace mentor::meta_learner::TEST_FILE
