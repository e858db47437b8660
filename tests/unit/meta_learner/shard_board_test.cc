// The bookkeeping of shards as a ledger: who holds what after each event.
#include "meta_learner/shard_board.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "learner/segment_proto.h"
#include "learner/tensor_proto.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner {
namespace {

constexpr int64_t kSteps = 4;

v1::Shard MakeShard() {
  v1::Shard shard;
  shard.mutable_spec()->mutable_lifetime()->set_iterations(1);
  shard.mutable_spec()->mutable_lifetime()->set_steps_per_iteration(kSteps);
  shard.mutable_shape()->set_observation_size(1);
  shard.mutable_shape()->set_action_size(1);
  shard.mutable_shape()->set_episode_steps(kSteps);
  shard.set_reward_source(v1::REWARD_SOURCE_SPARSE);
  shard.set_outcomes_only(true);
  shard.set_iterations(1);
  shard.set_collections(1);
  shard.add_lifetimes();
  return shard;
}

// A learner that keeps what it is sent.
class FakeLearner {
 public:
  FakeLearner(ShardBoard* board, uint32_t slots) : board_(board) {
    id = board->AddLearner(slots, [this](v1::RunResponse message) {
      const std::lock_guard lock(mutex_);
      messages_.push_back(std::move(message));
      changed_.notify_all();
      return true;
    });
  }

  ~FakeLearner() { board_->RemoveLearner(id); }

  // The n-th shard that came, waited for.
  v1::Shard WaitForShard(size_t n) {
    std::unique_lock lock(mutex_);
    REQUIRE(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return Shards().size() > n; }));
    return Shards()[n];
  }
  size_t num_shards() {
    const std::lock_guard lock(mutex_);
    return Shards().size();
  }
  bool WasDropped(uint64_t shard_id) {
    const std::lock_guard lock(mutex_);
    for (const auto& message : messages_) {
      if (message.has_drop_shard() && message.drop_shard().shard_id() == shard_id) return true;
    }
    return false;
  }
  absl::Status Answer(const v1::Shard& shard, double reward, bool right_hash = true) {
    v1::Segment segment;
    segment.set_shard_id(shard.shard_id());
    segment.set_epoch(shard.epoch());
    const learner::Segment values{
        .shaped_rewards = torch::full({1, kSteps}, reward, torch::kFloat64),
        .success_signals = torch::zeros({1, kSteps}),
        .successes = torch::zeros({1, kSteps}),
        .prev_done = torch::zeros({1, kSteps}),
        .last_done = torch::ones({1})};
    learner::AddTensors(values, true, &segment);
    if (const absl::Status status = board_->OnSegment(id, segment); !status.ok()) return status;
    Sha256 hash;
    learner::HashSegment(segment, &hash);
    v1::ShardDone done;
    done.set_shard_id(shard.shard_id());
    done.set_epoch(shard.epoch());
    done.set_segments_hash(right_hash ? hash.Finish() : std::string(32, 'x'));
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
  std::vector<v1::Shard> Shards() const {
    std::vector<v1::Shard> shards;
    for (const auto& message : messages_) {
      if (message.has_shard()) shards.push_back(message.shard());
    }
    return shards;
  }

  ShardBoard* const board_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<v1::RunResponse> messages_;
};

// ShardBoard::Run on a thread of its own.
class Running {
 public:
  Running(ShardBoard* board, int shards) : board_(board) {
    thread_ = std::thread([this, shards] {
      result_ = board_->Run(std::vector<v1::Shard>(static_cast<size_t>(shards), MakeShard()), {},
                            cancel_, nullptr);
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

}  // namespace
}  // namespace mentor::meta_learner
