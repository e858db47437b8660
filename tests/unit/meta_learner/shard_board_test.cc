// The bookkeeping of shards as a ledger: who holds what after each event.
#include "meta_learner/fleet/shard_board.h"

#include <atomic>
#include <future>
#include <thread>
#include <utility>

#include "common/mutex.h"
#include "tests/shards.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner {
namespace {

// A learner that keeps what it is sent.
class FakeLearner {
 public:
  FakeLearner(ShardBoard* board, uint32_t slots, const std::string& arithmetic = "cpu bits",
              const std::string& name = "a learner")
      : board_(board) {
    const LearnerInfo info{.slots = slots, .name = name, .arithmetic = arithmetic};
    id = board->AddLearner(info, [this](v1::RunResponse message) {
      const MutexLock lock(mutex_);
      messages_.push_back(std::move(message));
      changed_.NotifyAll();
      return true;
    });
  }

  ~FakeLearner() { board_->RemoveLearner(id); }

  // The n-th shard that came, waited for.
  v1::Shard WaitForShard(size_t n) {
    MutexLock lock(mutex_);
    REQUIRE(changed_.WaitFor(
        lock, std::chrono::seconds(20),
        [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return Shards().size() > n; }));
    return Shards()[n];
  }
  size_t num_shards() {
    const MutexLock lock(mutex_);
    return Shards().size();
  }
  bool WasDropped(uint64_t shard_id) {
    const MutexLock lock(mutex_);
    for (const auto& message : messages_) {
      if (message.has_drop_shard() && message.drop_shard().shard_id() == shard_id) return true;
    }
    return false;
  }
  absl::Status Answer(const v1::Shard& shard, double reward, bool right_hash = true) {
    const v1::Segment segment = testing::OutcomesSegment(shard, reward);
    if (const absl::Status status = board_->OnSegment(id, segment); !status.ok()) return status;
    v1::ShardDone done = testing::DoneAfter(segment);
    if (!right_hash) done.set_segments_hash(std::string(32, 'x'));
    return board_->OnDone(id, done);
  }
  absl::Status Fail(const v1::Shard& shard) {
    v1::ShardDone done;
    done.set_shard_id(shard.shard_id());
    done.set_epoch(shard.epoch());
    done.set_error("the simulator is unstable");
    return board_->OnDone(id, done);
  }

  ShardBoard::LearnerId id = 0;

 private:
  std::vector<v1::Shard> Shards() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::vector<v1::Shard> shards;
    for (const auto& message : messages_) {
      if (message.has_shard()) shards.push_back(message.shard());
    }
    return shards;
  }

  ShardBoard* const board_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<v1::RunResponse> messages_ ABSL_GUARDED_BY(mutex_);
};

// ShardBoard::Run on a thread of its own.
class Running {
 public:
  Running(ShardBoard* board, int shards, const std::string& experiment = "experiments/a",
          ShardBoard::OnProgress on_progress = nullptr)
      : board_(board) {
    thread_ = std::thread([=, this] {
      result_ = board_->Run(
          std::vector<v1::Shard>(static_cast<size_t>(shards), testing::OutcomesShard(experiment)),
          {}, cancel_, on_progress);
    });
  }
  ~Running() {
    cancel_ = true;
    board_->Wake();
    if (thread_.joinable()) thread_.join();
  }
  absl::StatusOr<std::vector<ShardResult>> Join() {
    thread_.join();
    return std::move(result_);
  }
  void Cancel() {
    cancel_ = true;
    board_->Wake();
  }

 private:
  ShardBoard* const board_;
  std::atomic<bool> cancel_ = false;
  absl::StatusOr<std::vector<ShardResult>> result_ = absl::UnknownError("not run");
  std::thread thread_;
};

double RewardOf(const ShardResult& result) {
  return result.segments.at(0).shaped_rewards[0][0].item<double>();
}

TEST_CASE("shard board: results come back in the order of the shards, whoever is faster",
          "[unit]") {
  ShardBoard board({.attempts_max = 3});
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
  ShardBoard board({.attempts_max = 3});
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
  const auto rate = [&] { return board.Learners().at(learner.id).env_steps_per_second; };
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
  ShardBoard board({.attempts_max = 3});
  Running run(&board, 1);
  FakeLearner late(&board, 4);
  CHECK(late.Answer(late.WaitForShard(0), 3).ok());
  CHECK(run.Join().ok());
}

TEST_CASE(
    "shard board: a wrong hash, an unexpected iteration and a missing segment are the learner's "
    "fault",
    "[unit]") {
  ShardBoard board({.attempts_max = 3});
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
  CHECK(board.OnDone(learner.id, done).code() == absl::StatusCode::kInvalidArgument);
  CHECK(learner.Answer(shard, 1, /*right_hash=*/false).code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("shard board: a shard that fails again and again ends the run with its message",
          "[unit]") {
  ShardBoard board({.attempts_max = 3});
  Running run(&board, 1);
  FakeLearner learner(&board, 1);
  for (size_t attempt = 0; attempt < 3; ++attempt)
    CHECK(learner.Fail(learner.WaitForShard(attempt)).ok());
  const auto results = run.Join();
  CHECK(results.status().code() == absl::StatusCode::kInternal);
  CHECK(results.status().message().find("the simulator is unstable") != absl::string_view::npos);
}

TEST_CASE(
    "shard board: a cancelled run drops what is at work and takes what waits out of the queue",
    "[unit]") {
  ShardBoard board({.attempts_max = 3});
  Running run(&board, 3);
  FakeLearner learner(&board, 1);
  const v1::Shard shard = learner.WaitForShard(0);
  run.Cancel();
  CHECK(run.Join().status().code() == absl::StatusCode::kCancelled);
  CHECK(learner.WasDropped(shard.shard_id()));
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
    return {.on_mismatch = [this](const LearnerInfo& learner, const std::string& experiment,
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

// A clock that the test moves; the board looks at it about once a second, and when it is woken.
struct BoardClock {
  std::atomic<int64_t> ns{0};
  ShardBoard::Options Options() {
    return {.now = [this] {
      return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(ns.load()));
    }};
  }
  void Advance(std::chrono::nanoseconds by) { ns += by.count(); }
};

TEST_CASE("shard board: a shard that gets nowhere moves to a free learner (D4)", "[unit]") {
  BoardClock clock;
  ShardBoard board(clock.Options());
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
  CHECK(sick.WasDropped(before.shard_id()));
  CHECK(board.counts().stalled == 1);
  CHECK(board.Learners().at(sick.id).strikes == 1);
  CHECK(sick.Answer(before, 7).ok());  // Too late, and no fault.
  CHECK(well.Answer(moved, 2).ok());
  const auto results = run.Join();
  REQUIRE(results.ok());
  CHECK(RewardOf(results->at(0)) == 2);
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
  ShardBoard board({});
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
    CHECK(board.Learners().at(sick.id).strikes == i + 1);
  }
  CHECK(board.Learners().at(sick.id).quarantined);
  CHECK(board.counts().quarantines == 1);
  Running run(&board, 1);
  CHECK(well.Answer(well.WaitForShard(6), 1).ok());
  CHECK(run.Join().ok());
  CHECK(sick.num_shards() == 3);
}

TEST_CASE("shard board: a shard whose learners vanish is tried alone, then fails its call (D5)",
          "[unit]") {
  ShardBoard board({});
  const auto keep = [](const std::string&) { return absl::OkStatus(); };
  board.KeepArithmetic("experiments/large", "", keep);
  Running large(&board, 1, "experiments/large");
  for (int i = 0; i < 2; ++i) {
    FakeLearner lost(&board, 1);
    static_cast<void>(lost.WaitForShard(0));
  }
  // Beside other work it would take that along.
  FakeLearner busy(&board, 2, "cpu bits", "busy");
  const v1::Shard suspect = busy.WaitForShard(0);
  CHECK(suspect.experiment() == "experiments/large");
  Running small(&board, 1, "experiments/small");
  for (int i = 0; i < 5; ++i) {
    if (i == 0) board.RemoveLearner(busy.id);
    FakeLearner lost(&board, 2);
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
  Running next(&board, 1, "experiments/a",
               [&, told = false](const BrokerProgress& progress) mutable {
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
  ShardBoard board({});
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
  ShardBoard board({});
  board.KeepArithmetic("experiments/a", "", [](const std::string&) {
    return absl::ResourceExhaustedError("disk full");
  });
  FakeLearner learner(&board, 1);
  Running run(&board, 1);
  CHECK(learner.Answer(learner.WaitForShard(0), 1).ok());
  CHECK(run.Join().status().message() == "disk full");
}

}  // namespace
}  // namespace mentor::meta_learner
