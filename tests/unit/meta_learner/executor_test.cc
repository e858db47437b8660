#include "meta_learner/control/executor.h"

#include <future>
#include <string>
#include <vector>

#include "tests/testing.h"

namespace mentor::meta_learner {
namespace {

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
  // What was done, in order.
  std::vector<std::string> Go() {
    go.set_value();
    executor.Stop();
    return done;
  }

  std::promise<void> begun, go;
  std::vector<std::string> done;  // By the one thread.
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
  // And has an end for any number of callers.
  int more = 0;
  while (fixture.Post("c" + std::to_string(more))) ++more;
  CHECK(more == 6);
  const auto done = fixture.Go();
  CHECK(done.size() == 24);
  CHECK(done[1] == "b");
}

}  // namespace
}  // namespace mentor::meta_learner
