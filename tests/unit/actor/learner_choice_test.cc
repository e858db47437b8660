// Which learner an actor goes to, and when.
#include "actor/learner_choice.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/status.h"
#include "tests/testing.h"

namespace mentor::actor::TEST_FILE {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using Clock = LearnerChoice::Clock;

const absl::Status kGone = absl::UnavailableError("connection refused");
const absl::Status kRefused = absl::FailedPreconditionError("another build");

std::vector<std::string> Addresses(int count) {
  std::vector<std::string> addresses;
  for (int i = 0; i < count; ++i) addresses.push_back(absl::StrCat("10.0.0.", i, ":50051"));
  return addresses;
}

std::string HomeOf(const std::string& uid, const std::vector<std::string>& addresses) {
  LearnerChoice choice(uid);
  choice.Update(addresses);
  return choice.Ranked().front();
}

// Three learners, and an actor that is connected to its first choice.
struct ThreeLearners {
  ThreeLearners() {
    choice.Update(Addresses(3));
    ranked = choice.Ranked();
    CHECK(Next() == ranked[0]);
    choice.Connected(now);
  }
  // Where the next attempt goes; empty: it waits.
  std::string Next() {
    const auto wait = choice.Next(now);
    REQUIRE(wait);
    return wait->count() == 0 ? choice.current() : "";
  }

  LearnerChoice choice{"actor"};
  std::vector<std::string> ranked;
  Clock::time_point now{std::chrono::hours(1)};
};

TEST_CASE("learner choice: actors spread evenly, and by address alone", "[unit]") {
  const int kLearners = 8, kActors = 4000;
  std::vector<std::string> addresses = Addresses(kLearners);
  std::map<std::string, int> actors;
  for (int i = 0; i < kActors; ++i) ++actors[HomeOf(absl::StrCat("actor", i), addresses)];
  CHECK(actors.size() == kLearners);
  // 500 expected; the standard deviation is 21.
  for (const auto& [address, count] : actors) {
    INFO(address);
    CHECK(std::abs(count - kActors / kLearners) < 110);
  }
  const std::string before = HomeOf("actor", addresses);
  std::reverse(addresses.begin(), addresses.end());
  CHECK(HomeOf("actor", addresses) == before);
}

TEST_CASE("learner choice: only the actors of a learner that goes move, and to all others",
          "[unit]") {
  const std::vector<std::string> all = Addresses(5);
  std::vector<std::string> left = all;
  left.erase(left.begin() + 2);
  std::set<std::string> went_to;
  for (int i = 0; i < 500; ++i) {
    const std::string uid = absl::StrCat("actor", i);
    const std::string before = HomeOf(uid, all), after = HomeOf(uid, left);
    if (before == all[2]) {
      went_to.insert(after);
    } else {
      CHECK(before == after);
    }
  }
  CHECK(went_to.size() == 4);
}

TEST_CASE("learner choice: one that is away is passed over at once, and tried again after its wait",
          "[unit]") {
  ThreeLearners three;
  auto& [choice, ranked, now] = three;
  choice.Ended(kGone, now, 0.5);
  CHECK(three.Next() == ranked[1]);
  choice.Ended(kGone, now, 0.5);
  CHECK(three.Next() == ranked[2]);
  choice.Ended(kGone, now, 0.5);
  // 0.1 s at most, half of it by the jitter.
  CHECK(choice.Next(now) == nanoseconds(milliseconds(50)));
  now += milliseconds(50);
  CHECK(three.Next() == ranked[0]);
  // Each waits twice as long after each failure, up to 5 s.
  for (int i = 0; i < 10; ++i) choice.Ended(kGone, now, 0.9999);
  choice.Update({ranked[0]});
  CHECK(choice.Next(now) == nanoseconds(seconds(5)));
}

TEST_CASE("learner choice: a long list of learners that are away is not gone through in haste",
          "[unit]") {
  LearnerChoice choice("actor");
  choice.Update(Addresses(1000));
  Clock::time_point now(std::chrono::hours(1));
  for (int i = 0; i < 15; ++i) {
    REQUIRE(choice.Next(now) == nanoseconds(0));
    choice.Ended(kGone, now, 0.5);
  }
  CHECK(choice.Next(now) == nanoseconds(0));
  choice.Ended(kGone, now, 0.5);
  CHECK(choice.Next(now) == nanoseconds(milliseconds(100)));
  now += milliseconds(100);
  CHECK(choice.Next(now) == nanoseconds(0));
  choice.Connected(now);
  choice.Ended(kGone, now, 0.5);
  CHECK(choice.Next(now) == nanoseconds(0));
}

TEST_CASE("learner choice: after a good connection the wait is short again", "[unit]") {
  ThreeLearners three;
  auto& [choice, ranked, now] = three;
  choice.Update({ranked[0]});
  for (int i = 0; i < 10; ++i) choice.Ended(kGone, now, 0.9999);
  now += seconds(5);
  CHECK(three.Next() == ranked[0]);
  choice.Connected(now);
  now += seconds(31);
  choice.Ended(kGone, now, 0.9999);
  CHECK(choice.Next(now) == nanoseconds(milliseconds(100)));
}

TEST_CASE("learner choice: one that refuses is left alone for a minute", "[unit]") {
  ThreeLearners three;
  auto& [choice, ranked, now] = three;
  choice.Ended(kRefused, now, 0.5);
  CHECK(three.Next() == ranked[1]);
  choice.Connected(now);
  now += seconds(59);
  choice.Ended(kGone, now, 0.5);
  CHECK(three.Next() == ranked[2]);
  now += seconds(1);
  choice.Ended(kGone, now, 0.5);
  CHECK(three.Next() == ranked[0]);
  // A full learner says when to come back, but cannot send an actor away for longer than a minute.
  choice.Update({ranked[0]});
  choice.Ended(WithRetryDelay(absl::ResourceExhaustedError("full"), seconds(7)), now, 0.5);
  CHECK(choice.Next(now) == nanoseconds(seconds(7)));
  choice.Ended(WithRetryDelay(absl::ResourceExhaustedError("full"), std::chrono::hours(9)), now,
               0.5);
  CHECK(choice.Next(now) == nanoseconds(seconds(60)));
}

TEST_CASE("learner choice: an actor without work asks others in turn, a guest only its home",
          "[unit]") {
  LearnerChoice choice("actor");
  choice.Update(Addresses(6));
  const std::vector<std::string> ranked = choice.Ranked();
  Clock::time_point now(std::chrono::hours(1));
  REQUIRE(choice.Next(now) == nanoseconds(0));
  choice.Connected(now);
  using Asked = std::vector<std::string>;
  CHECK(choice.at_home());
  CHECK(choice.ToAsk(/*idle=*/false, now) == Asked{});
  CHECK(choice.ToAsk(/*idle=*/true, now) == Asked{ranked[1], ranked[2]});
  CHECK(choice.ToAsk(/*idle=*/true, now) == Asked{ranked[3], ranked[4]});
  CHECK(choice.ToAsk(/*idle=*/true, now) == Asked{ranked[5], ranked[1]});
  choice.GoTo(ranked[4]);
  choice.Ended(absl::OkStatus(), now, 0.5);
  REQUIRE(choice.Next(now) == nanoseconds(0));
  CHECK(choice.current() == ranked[4]);
  choice.Connected(now);
  CHECK_FALSE(choice.at_home());
  CHECK(choice.ToAsk(/*idle=*/false, now) == Asked{ranked[0]});
  CHECK(choice.ToAsk(/*idle=*/true, now) == Asked{ranked[0], ranked[2], ranked[3]});
  // When this learner ends, the actor goes home. Its earlier leave does not count as a strike of
  // that learner.
  choice.Ended(kGone, now, 0.5);
  REQUIRE(choice.Next(now) == nanoseconds(0));
  CHECK(choice.current() == ranked[0]);
  choice.Connected(now);
  // One that has just failed is not asked.
  CHECK(choice.ToAsk(/*idle=*/true, now) == Asked{ranked[5], ranked[1]});
  CHECK(choice.ToAsk(/*idle=*/true, now) == Asked{ranked[2], ranked[3]});
  CHECK(choice.ToAsk(/*idle=*/true, now) == Asked{ranked[5], ranked[1]});
}

TEST_CASE("learner choice: learners that come and go", "[unit]") {
  ThreeLearners three;
  auto& [choice, ranked, now] = three;
  choice.Update({});
  CHECK_FALSE(choice.Next(now));
  CHECK(choice.ToAsk(/*idle=*/true, now).empty());
  choice.Ended(kGone, now, 0.5);
  choice.Update({ranked[2]});
  CHECK(choice.ToAsk(/*idle=*/true, now) == std::vector<std::string>{ranked[2]});
  CHECK(three.Next() == ranked[2]);
  // The learner to which it should go is gone before it moves.
  choice.GoTo(ranked[1]);
  CHECK(three.Next() == ranked[2]);
}

}  // namespace mentor::actor::TEST_FILE
