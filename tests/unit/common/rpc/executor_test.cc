#include "common/rpc/executor.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <latch>
#include <string>
#include <vector>

#include "tests/testing.h"

namespace mentor::rpc::TEST_FILE {

// One thread, held up until Go.
struct Fixture {
  explicit Fixture(size_t items_max) : executor(1, items_max) {
    REQUIRE(executor.Post([this] {
      begun.set_value();
      go.get_future().wait();
    }));
    begun.get_future().wait();
  }
  bool Post(const std::string& caller) {
    return executor.Post([this, caller] { done.push_back(caller); }, caller);
  }
  // Returns the finished work, in order.
  std::vector<std::string> Go() {
    go.set_value();
    executor.Stop();
    return done;
  }

  std::promise<void> begun, go;
  std::vector<std::string> done;  // Only the one thread uses it.
  Executor executor;
};

TEST_CASE("executor: callers who wait take turns, each in its own order", "[unit]") {
  Fixture fixture(10);
  for (const char* caller : {"a", "a", "a", "a", "b", "c", "b"}) REQUIRE(fixture.Post(caller));
  CHECK(fixture.Go() == std::vector<std::string>{"a", "b", "c", "a", "b", "a", "a"});
}

TEST_CASE("executor: a line that one caller has filled takes some of another's", "[unit]") {
  Fixture fixture(16);
  for (int i = 0; i < 16; ++i) REQUIRE(fixture.Post("a"));
  CHECK_FALSE(fixture.Post("a"));
  REQUIRE(fixture.Post("b"));
  REQUIRE(fixture.Post("b"));
  CHECK_FALSE(fixture.Post("b"));
  CHECK_FALSE(fixture.Post("a"));
  // The queue is bounded for any number of callers.
  int more = 0;
  while (fixture.Post("c" + std::to_string(more))) ++more;
  CHECK(more == 6);
  const auto done = fixture.Go();
  CHECK(done.size() == 24);
  CHECK(done[1] == "b");
}

TEST_CASE("executor: what must be done is queued however full the line is, until the end",
          "[unit]") {
  Fixture fixture(1);
  REQUIRE(fixture.Post("a"));
  CHECK_FALSE(fixture.Post("b"));
  for (int i = 0; i < 3; ++i)
    CHECK(fixture.executor.PostAlways([&] { fixture.done.push_back("always"); }));
  CHECK(fixture.Go() == std::vector<std::string>{"a", "always", "always", "always"});
  CHECK_FALSE(fixture.Post("a"));
  CHECK_FALSE(fixture.executor.PostAlways([] {}));
}

TEST_CASE("executor: a full line has room again once work has begun", "[unit]") {
  std::vector<std::promise<void>> tasks(3);
  Executor executor(1, 1);
  for (std::promise<void>& task : tasks) {
    REQUIRE(executor.Post([&task] { task.set_value(); }));
    REQUIRE(task.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready);
  }
}

TEST_CASE("executor: one caller's long tasks leave threads to another's", "[unit]") {
  std::promise<void> go, done;
  const std::shared_future<void> gone = go.get_future().share();
  std::atomic<int> begun = 0, at_once = 0, most = 0;
  Executor executor(3, 100, /*per_caller_max=*/2);
  for (int i = 0; i < 10; ++i) {
    REQUIRE(executor.Post(
        [&] {
          ++begun;
          most = std::max(most.load(), ++at_once);
          gone.wait();
          --at_once;
        },
        "a"));
  }
  REQUIRE(executor.Post([&] { done.set_value(); }, "b"));
  const bool was_free =
      done.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready;
  go.set_value();
  executor.Stop();
  CHECK(was_free);
  CHECK(begun == 10);
  CHECK(most <= 2);
}

TEST_CASE("executor: tasks of no caller may take all threads", "[unit]") {
  Executor executor(2, 100, /*per_caller_max=*/1);
  std::latch both(2);
  std::atomic<int> met = 0;
  for (int i = 0; i < 2; ++i) {
    REQUIRE(executor.PostAlways([&] {
      both.arrive_and_wait();
      ++met;
    }));
  }
  executor.Stop();
  CHECK(met == 2);
}

}  // namespace mentor::rpc::TEST_FILE
