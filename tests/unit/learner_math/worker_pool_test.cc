#include "learner/agents/worker_pool.h"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>

#include <absl/strings/str_cat.h>

#include "tests/testing.h"

namespace mentor::learner {
namespace {

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

TEST_CASE("worker pool: concurrent calls take turns, task by task", "[unit]") {
  WorkerPool pool(1);
  std::string order;  // Written by the one worker only.
  std::atomic<bool> first_runs = false, arrived = false;
  std::thread other([&] {
    if (!Await([&] { return first_runs.load(); })) return;
    static_cast<void>(pool.ParallelFor(3, [&](int64_t i) {
      absl::StrAppend(&order, "b", i, " ");
      return absl::OkStatus();
    }));
  });
  const absl::Status status = pool.ParallelFor(5, [&](int64_t i) {
    absl::StrAppend(&order, "a", i, " ");
    first_runs = true;
    // The first task goes on when both calls have tasks waiting: {a1, b0}.
    if (i == 0) arrived = Await([&] { return pool.num_waiting() == 2; });
    return absl::OkStatus();
  });
  other.join();
  CHECK(status.ok());
  CHECK(arrived);
  CHECK(order == "a0 a1 b0 a2 b1 a3 b2 a4 ");
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
    const InterruptScope scope(&interrupt);
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

}  // namespace
}  // namespace mentor::learner
