#include "agents/worker_pool.h"

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/fair_queue.h"
#include "common/pause_point.h"
#include "tests/testing.h"

namespace mentor::agents::TEST_FILE {

// Waits for what another thread does; false when it did not within the deadline.
template <typename Condition>
bool Await(const Condition& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST_CASE("worker pool: each task runs once, whatever the number of threads", "[unit]") {
  for (int threads : {1, 2, 5}) {
    WorkerPool pool(threads);
    CHECK(pool.num_threads() == threads);
    for (int64_t n : {0, 1, 4, 1000}) {
      std::vector<int> runs(n, 0);
      CHECK(pool.ParallelFor(n,
                             [&](int64_t i) {
                               ++runs[i];
                               return absl::OkStatus();
                             })
                .ok());
      CHECK(runs == std::vector<int>(n, 1));
    }
  }
}

TEST_CASE("worker pool: the failure of the least index is reported, and a throw is a failure",
          "[unit]") {
  WorkerPool pool(3);
  for (WorkerPool* one : {&pool, static_cast<WorkerPool*>(nullptr)}) {
    std::atomic<int> runs = 0;
    const absl::Status status = ParallelFor(one, 50, [&](int64_t i) -> absl::Status {
      ++runs;
      if (i == 7) throw std::runtime_error("seven");
      if (i == 31) return absl::NotFoundError("thirty-one");
      return absl::OkStatus();
    });
    CHECK(status == absl::InternalError("seven"));
    CHECK(runs == 50);
  }
}

TEST_CASE("worker pool: a task may call the pool again", "[unit]") {
  WorkerPool pool(1);
  int inner = 0;
  const absl::Status status = pool.ParallelFor(2, [&](int64_t) {
    return pool.ParallelFor(3, [&](int64_t) {
      ++inner;
      return absl::OkStatus();
    });
  });
  CHECK(status.ok());
  CHECK(inner == 6);
}

v1::WorkShare Of(const std::string& experiment, v1::Priority priority) {
  return ToProto(experiment, {.owner = experiment, .priority = priority});
}

const v1::WorkShare kLow = Of("low", v1::PRIORITY_LOW), kNormal = Of("normal", v1::PRIORITY_NORMAL),
                    kHigh = Of("high", v1::PRIORITY_HIGH);

// A call of another thread, for which another caller's task waits.
class Other {
 public:
  Other(WorkerPool* pool, const v1::WorkShare& share, int64_t n, std::function<void(int64_t)> task)
      : thread_([=, this, task = std::move(task)] {
          const CallerScope caller(/*interrupt=*/nullptr, &share);
          static_cast<void>(pool->ParallelFor(n, [&](int64_t i) {
            task(i);
            return absl::OkStatus();
          }));
          done = true;
        }) {}
  ~Other() { thread_.join(); }

  std::atomic<bool> done = false;

 private:
  std::thread thread_;
};

TEST_CASE("worker pool: a higher class goes first between two tasks", "[unit]") {
  WorkerPool pool(1);
  std::string order;
  std::atomic<bool> high_begun = false, low_waits = false;
  std::optional<Other> other;
  const CallerScope caller(/*interrupt=*/nullptr, &kLow);
  const absl::Status status = pool.ParallelFor(3, [&](int64_t i) -> absl::Status {
    absl::StrAppend(&order, "low", i, " ");
    if (i > 0) return absl::OkStatus();
    other.emplace(&pool, kHigh, 3, [&](int64_t k) {
      high_begun = true;
      if (k == 0) low_waits = Await([&] { return pool.num_waiting() == 1; });
      absl::StrAppend(&order, "high", k, " ");
    });
    return Await([&] { return high_begun.load(); })
               ? absl::OkStatus()
               : absl::DeadlineExceededError("the other one never began");
  });
  CHECK(status.ok());
  CHECK(low_waits);
  CHECK(order == "low0 high0 high1 high2 low1 low2 ");
}

TEST_CASE("worker pool: a task that has lost its place stops at a pause point", "[unit]") {
  WorkerPool pool(1);
  std::atomic<bool> computes = true, stopped = false;
  std::optional<Other> other;
  const CallerScope caller(/*interrupt=*/nullptr, &kLow);
  const absl::Status status = pool.ParallelFor(1, [&](int64_t) -> absl::Status {
    other.emplace(&pool, kHigh, 1, [&](int64_t) {
      stopped = Await([&] { return pool.num_waiting() == 1 && !computes; });
    });
    const bool done = Await([&] {
      computes = false;
      static_cast<void>(PausePoint());
      computes = true;
      return other->done.load();
    });
    return done ? absl::OkStatus() : absl::DeadlineExceededError("the other one never ended");
  });
  CHECK(status.ok());
  CHECK(stopped);
}

TEST_CASE("worker pool: a thread in its place takes turns as a task does", "[unit]") {
  WorkerPool pool(1);
  std::atomic<bool> computes = true, stopped = false;
  const CallerScope caller(/*interrupt=*/nullptr, &kNormal);
  std::optional<PlaceScope> place(&pool);
  Other other(&pool, kHigh, 1, [&](int64_t) {
    stopped = Await([&] { return pool.num_waiting() == 1 && !computes; });
  });
  CHECK(Await([&] {
    computes = false;
    const absl::Status status = CheckInterrupt();
    computes = true;
    return !status.ok() || other.done.load();
  }));
  CHECK(stopped);
  place.reset();
  CHECK(pool.num_waiting() == 0);
}

TEST_CASE("worker pool: a call of a thread in its place uses all places", "[unit]") {
  WorkerPool pool(3);
  const PlaceScope place(&pool);
  for (int repeat = 0; repeat < 3; ++repeat) {
    std::atomic<int> begun = 0;
    const absl::Status status = pool.ParallelFor(3, [&](int64_t) {
      ++begun;
      return Await([&] { return begun == 3; }) ? absl::OkStatus()
                                               : absl::DeadlineExceededError("fewer places");
    });
    CHECK(status.ok());
    CHECK(pool.num_waiting() == 0);
  }
}

TEST_CASE("worker pool: a thread that waits for its place ends when nobody wants it any more",
          "[unit]") {
  WorkerPool pool(1);
  std::atomic<bool> interrupt = false;
  bool ended = false;
  const CallerScope caller(/*interrupt=*/nullptr, &kHigh);
  const absl::Status status = pool.ParallelFor(1, [&](int64_t) {
    std::thread normal([&] {
      const CallerScope own(&interrupt, &kNormal);
      const PlaceScope place(&pool);
      ended = absl::IsCancelled(PausePoint());
    });
    const bool waits = Await([&] { return pool.num_waiting() == 1; });
    interrupt = true;
    normal.join();  // While this task holds the one place.
    return waits ? absl::OkStatus() : absl::DeadlineExceededError("it never waited");
  });
  CHECK(status.ok());
  CHECK(ended);
}

TEST_CASE("worker pool: a task without pause points keeps nobody else waiting", "[unit]") {
  WorkerPool pool(2);
  std::atomic<int> begun = 0;
  std::optional<Other> other;
  const CallerScope caller(/*interrupt=*/nullptr, &kHigh);
  // Takes both places until the other one is taken.
  const absl::Status status = pool.ParallelFor(2, [&](int64_t i) -> absl::Status {
    ++begun;
    if (!Await([&] { return begun == 2; })) return absl::DeadlineExceededError("one place only");
    if (i == 0) other.emplace(&pool, kLow, 4, [](int64_t) {});
    return Await([&] { return other && other->done; })
               ? absl::OkStatus()
               : absl::DeadlineExceededError("the other one never ran");
  });
  CHECK(status.ok());
}

TEST_CASE("worker pool: who waits for its place ends when nobody wants it any more", "[unit]") {
  WorkerPool pool(1);
  std::atomic<bool> interrupt = false, low_begun = false;
  absl::Status low_status;
  std::thread low([&] {
    const CallerScope caller(&interrupt, &kLow);
    low_status = pool.ParallelFor(2, [&](int64_t) -> absl::Status {
      low_begun = true;
      while (true) MENTOR_RETURN_IF_ERROR(PausePoint());
    });
  });
  bool ended = false;
  {
    const CallerScope caller(/*interrupt=*/nullptr, &kHigh);
    CHECK(Await([&] { return low_begun.load(); }));
    const absl::Status status = pool.ParallelFor(1, [&](int64_t) {
      interrupt = true;
      low.join();  // While this task holds the one place.
      ended = true;
      return absl::OkStatus();
    });
    CHECK(status.ok());
  }
  CHECK(ended);
  CHECK(low_status.code() == absl::StatusCode::kCancelled);
}

TEST_CASE("worker pool: calls of several experiments, classes and lengths all end", "[unit]") {
  WorkerPool pool(3);
  std::atomic<int64_t> runs = 0;
  {
    std::deque<Other> callers;
    for (int c = 0; c < 12; ++c) {
      static const v1::WorkShare kShares[] = {kLow, kHigh, Of("a", v1::PRIORITY_NORMAL),
                                              Of("b", v1::PRIORITY_NORMAL)};
      callers.emplace_back(&pool, kShares[c % 4], 1 + 37 * (c % 3), [&](int64_t i) {
        for (int64_t k = 0; k < 100 * (i % 5); ++k) static_cast<void>(PausePoint());
        ++runs;
      });
    }
  }
  CHECK(runs == 4 * (1 + 38 + 75));
  CHECK(pool.num_waiting() == 0);
}

TEST_CASE("worker pool: several shards at once get their own results", "[unit]") {
  WorkerPool pool(2);
  constexpr int kCallers = 4;
  std::vector<std::vector<int64_t>> slots(kCallers, std::vector<int64_t>(200));
  std::vector<std::thread> callers;
  for (int c = 0; c < kCallers; ++c) {
    callers.emplace_back([&, c] {
      for (int repeat = 0; repeat < 20; ++repeat) {
        static_cast<void>(pool.ParallelFor(200, [&, c](int64_t i) {
          slots[c][i] += c * 1000 + i;
          return absl::OkStatus();
        }));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  bool right = true;
  for (int c = 0; c < kCallers; ++c) {
    for (int64_t i = 0; i < 200; ++i) right = right && slots[c][i] == 20 * (c * 1000 + i);
  }
  CHECK(right);
}

TEST_CASE("worker pool: interrupted work begins no more tasks, that of others goes on", "[unit]") {
  WorkerPool pool(2);
  std::atomic<bool> interrupt = false;
  std::atomic<int> done = 0, others = 0;
  {
    const CallerScope caller(&interrupt);
    CHECK(pool.ParallelFor(10, [&](int64_t) { return absl::OkStatus(); }).ok());
    std::thread other([&] {
      static_cast<void>(pool.ParallelFor(1000, [&](int64_t) {
        ++others;
        return absl::OkStatus();
      }));
    });
    const absl::Status status = pool.ParallelFor(1000, [&](int64_t) {
      if (++done == 5) interrupt = true;
      return absl::OkStatus();
    });
    other.join();
    CHECK(status.code() == absl::StatusCode::kCancelled);
    CHECK(done <= 6);  // The other thread may have been in the middle of one.
    CHECK(others == 1000);
    CHECK(ParallelFor(nullptr, 3, [](int64_t) { return absl::OkStatus(); }).code() ==
          absl::StatusCode::kCancelled);
  }
  CHECK(pool.ParallelFor(10, [&](int64_t) { return absl::OkStatus(); }).ok());
}

}  // namespace mentor::agents::TEST_FILE
