// Places of compilers: shared by owners in turn, and left by work that must end.
#include "envs/mjcf/compiler_places.h"

#include <atomic>
#include <chrono>
#include <future>
#include <optional>

#include "common/pause_point.h"
#include "tests/testing.h"

namespace mentor::envs::mjcf::TEST_FILE {

constexpr auto kDeadline = std::chrono::seconds(60);

// Goes on until it is told to end.
struct Told final : Turn {
  absl::Status Continue() override {
    ++asked;
    asked.notify_all();
    return ends ? absl::InvalidArgumentError("told to end") : absl::OkStatus();
  }
  void Begin(const char* /*name*/) override {}

  std::atomic<int> asked = 0;
  std::atomic<bool> ends = false;
};

// A thread that takes a place of an owner, and gives it back at once.
struct Waiter {
  Waiter(CompilerPlaces* places, const std::string& owner)
      : took(std::async(std::launch::async, [this, places, owner] {
          const TurnScope scope(&turn);
          return places->Take(owner).status();
        })) {
    turn.asked.wait(0);  // It waits.
  }

  Told turn;
  std::future<absl::Status> took;
};

TEST_CASE("compiler places: one owner never has all, and others go before its further ones",
          "[unit]") {
  CompilerPlaces places(2);
  std::optional<CompilerPlaces::Place> first = places.Take("ann").value();
  Waiter second(&places, "ann"), third(&places, "ann");
  {
    const auto other = places.Take("bob");  // At once, whoever waits before.
    CHECK(other.ok());
    Waiter next(&places, "eve");
    CHECK(places.waiting() == 2);  // Owners.
    first.reset();
    // Ann's compilers took longer than eve's.
    REQUIRE(next.took.wait_for(kDeadline) == std::future_status::ready);
    CHECK(next.took.get().ok());
  }
  for (Waiter* waiter : {&second, &third}) {
    REQUIRE(waiter->took.wait_for(kDeadline) == std::future_status::ready);
    CHECK(waiter->took.get().ok());
  }
  CHECK(places.waiting() == 0);
}

TEST_CASE("compiler places: work of nobody in particular may have all", "[unit]") {
  CompilerPlaces places(2);
  const auto first = places.Take(""), second = places.Take("");
  CHECK(first.ok());
  CHECK(second.ok());
}

TEST_CASE("compiler places: who must end leaves the line to others", "[unit]") {
  CompilerPlaces places(1);
  std::optional<CompilerPlaces::Place> held = places.Take("ann").value();
  Waiter told(&places, "bob"), waits(&places, "eve");
  told.turn.ends = true;
  REQUIRE(told.took.wait_for(kDeadline) == std::future_status::ready);
  CHECK(told.took.get() == absl::CancelledError("told to end"));
  CHECK(places.waiting() == 1);
  held.reset();
  REQUIRE(waits.took.wait_for(kDeadline) == std::future_status::ready);
  CHECK(waits.took.get().ok());
}

}  // namespace mentor::envs::mjcf::TEST_FILE
