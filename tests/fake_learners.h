// Learners of a ShardBoard without network, scripted by the test, and calls of its Run.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/hash.h"
#include "common/mutex.h"
#include "meta_learner/fleet/shard_board.h"
#include "shards/segment_proto.h"
#include "tests/small_shards.h"
#include "tests/torch_testing.h"

namespace mentor::testing {

using meta_learner::LearnerInfo;
using meta_learner::ShardBoard;
using meta_learner::ShardResult;

// A learner that keeps what it is sent.
class FakeLearner {
 public:
  FakeLearner(ShardBoard* board, uint32_t slots, const std::string& arithmetic = "cpu bits",
              const std::string& name = "a learner", uint64_t memory_bytes = 0,
              const std::string& host = "")
      : board_(board) {
    const LearnerInfo info{.slots = slots,
                           .name = name,
                           .host = host.empty() ? name : host,
                           .arithmetic = arithmetic,
                           .memory_bytes = memory_bytes};
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
  bool WasDropped(const v1::Shard& shard) {
    for (const auto& message : messages()) {
      if (message.has_drop_shard() && message.drop_shard().shard_id() == shard.shard_id())
        return message.drop_shard().epoch() == shard.epoch();
    }
    return false;
  }
  std::vector<v1::RunResponse> messages() {
    const MutexLock lock(mutex_);
    return messages_;
  }
  absl::Status Send(const v1::Shard& shard, uint32_t iteration, double reward) {
    return board_->OnSegment(id, Segment(shard, iteration, reward));
  }
  // Returns the end of a shard whose segments have these rewards.
  absl::Status Finish(const v1::Shard& shard, const std::vector<double>& rewards) {
    Sha256 hash;
    for (uint32_t i = 0; i < rewards.size(); ++i)
      shards::HashSegment(Segment(shard, i, rewards[i]), &hash);
    v1::ShardDone done;
    done.set_shard_id(shard.shard_id());
    done.set_epoch(shard.epoch());
    done.set_segments_hash(hash.Finish());
    return board_->OnDone(id, done);
  }
  void Progress(const v1::Shard& shard, uint64_t env_steps, uint32_t actors = 1) {
    v1::ShardProgress progress;
    progress.set_shard_id(shard.shard_id());
    progress.set_env_steps(env_steps);
    progress.set_actors(actors);
    board_->OnProgressMessage(id, progress);
  }
  absl::Status Answer(const v1::Shard& shard, double reward, bool right_hash = true) {
    const v1::Segment segment = OutcomesSegment(shard, reward);
    if (const absl::Status status = board_->OnSegment(id, segment); !status.ok()) return status;
    v1::ShardDone done = DoneAfter(segment);
    if (!right_hash) done.set_segments_hash(std::string(32, 'x'));
    return board_->OnDone(id, done);
  }
  // Answers the shards that it has not answered yet, from this one on; returns their number.
  size_t AnswerAll(double reward, size_t from = 0) {
    size_t answered = 0;
    answered_ = std::max(answered_, from);
    for (; answered_ < num_shards(); ++answered_, ++answered)
      REQUIRE(Answer(WaitForShard(answered_), reward).ok());
    return answered;
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
  static v1::Segment Segment(const v1::Shard& shard, uint32_t iteration, double reward) {
    v1::Segment segment = OutcomesSegment(shard, reward);
    segment.set_iteration(iteration);
    return segment;
  }
  std::vector<v1::Shard> Shards() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::vector<v1::Shard> shards;
    for (const auto& message : messages_) {
      if (message.has_shard()) shards.push_back(message.shard());
    }
    return shards;
  }

  ShardBoard* const board_;
  size_t answered_ = 0;  // By AnswerAll.
  Mutex mutex_;
  CondVar changed_;
  std::vector<v1::RunResponse> messages_ ABSL_GUARDED_BY(mutex_);
};

// ShardBoard::Run on a thread of its own.
class Running {
 public:
  Running(ShardBoard* board, int shards, const std::string& experiment = "experiments/a",
          ShardBoard::OnProgress on_progress = nullptr)
      : Running(board, shards, OutcomesShard(experiment), std::move(on_progress)) {}
  Running(ShardBoard* board, int shards, const v1::Shard& shard,
          ShardBoard::OnProgress on_progress = nullptr)
      : board_(board) {
    thread_ = std::thread([=, this] {
      result_ = board_->Run(std::vector<v1::Shard>(static_cast<size_t>(shards), shard), {}, cancel_,
                            on_progress);
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

inline double RewardOf(const ShardResult& result) {
  return result.segments.at(0).shaped_rewards[0][0].item<double>();
}

// The options of a board that draws no shard at random for a second opinion, which no test answers.
inline ShardBoard::Options Unaudited() {
  return {.check_every = 0};
}

// A clock that the test moves. The board reads it about once a second, and when it is woken.
struct BoardClock {
  std::atomic<int64_t> ns{0};
  ShardBoard::Options Options() {
    return {.check_every = 0, .now = [this] {
              return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(ns.load()));
            }};
  }
  void Advance(std::chrono::nanoseconds by) { ns += by.count(); }
};

}  // namespace mentor::testing
