// How long units take, and when one lags, is lost, or silences its actor.
#include "learner/rollout/unit_dispatcher.h"
#include "tests/dispatched_units.h"
#include "tests/testing.h"

namespace mentor::learner::TEST_FILE {

using namespace testing::units;  // NOLINT

TEST_CASE("dispatcher: the median turnaround is that of the last 64 units", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst);
  REQUIRE(d.Offer(kFirst, 200).ok());
  uint64_t shard = 0;
  // Gives a unit out, and returns how long it may take before it lags.
  const auto give = [&] {
    ++shard;
    REQUIRE(d.Add(shard, Units(shard, 1)).ok());
    REQUIRE(d.Assign().size() == 1);
    return *d.NextChange() - f.clock.time;
  };
  const auto take = [&](seconds taken) {
    f.clock.Advance(taken);
    CHECK(d.Accept(kFirst, ResultOf(Key(shard, 0))) == Outcome::kUsed);
    CHECK(d.last_turnaround() == taken);
    static_cast<void>(d.Take(shard));
  };
  for (int i = 0; i < 64; ++i) {
    give();
    take(seconds(1));
  }
  for (int slow = 0; slow < 32; ++slow) {
    CHECK(give() == seconds(5));  // More than half of the 64 took a second.
    take(seconds(100));
  }
  CHECK(give() == seconds(400));
}

TEST_CASE("dispatcher: a unit lags after 4 and is lost after 16 expected turnarounds", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst);
  REQUIRE(d.Offer(kFirst, 2).ok());
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  CHECK(Given(&d) == "1:1/0");
  f.clock.Advance(seconds(30));
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 0))) == Outcome::kUsed);
  REQUIRE(d.Add(2, Units(2, 1)).ok());
  CHECK(Given(&d) == "1:2/0");
  CHECK(*d.NextChange() == seconds(30 + 4 * 30));
  f.clock.time = seconds(150);
  CHECK(d.Assign().empty());
  CHECK(d.StandingOf(kFirst)->strikes() == 1);
  CHECK(*d.NextChange() == seconds(30 + 16 * 30));
  f.clock.time = seconds(510) - nanoseconds(1);
  CHECK(d.Assign().empty());
  f.clock.time = seconds(510);
  CHECK(Given(&d) == "1:2/0");
  CHECK(d.StandingOf(kFirst)->strikes() == 2);
  CHECK(*d.NextChange() == seconds(510 + 4 * 30));
  // The third strike keeps it away. It has no room, so the end of that changes nothing.
  f.clock.time = seconds(630);
  CHECK(d.Assign().empty());
  CHECK(d.quarantines() == 1);
  CHECK(*d.NextChange() == seconds(510 + 2 * 16 * 30));
  REQUIRE(d.Offer(kFirst, 1).ok());
  CHECK(*d.NextChange() == seconds(630 + 30));
}

TEST_CASE("dispatcher: silence is no word after the unit came", "[unit]") {
  const bool speaks = GENERATE(true, false);
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst);
  REQUIRE(d.Offer(kFirst, 8).ok());
  REQUIRE(d.Add(1, Units(1, 2)).ok());
  CHECK(Given(&d) == "1:1/0 1:1/1");
  f.clock.Advance(seconds(1));
  // Its word and the next unit have one time.
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 0))) == Outcome::kUsed);
  REQUIRE(d.Add(2, Units(2, 1)).ok());
  CHECK(Given(&d) == "1:2/0");
  f.clock.Advance(seconds(1));
  if (speaks) CHECK(d.Accept(kFirst, ResultOf(Key(1, 1))) == Outcome::kUsed);
  f.clock.Advance(
      seconds(7));  // That unit lags: it may take 5 s, or 4 times the median of 1 and 2 s.
  CHECK(d.Assign().empty());
  CHECK(d.StandingOf(kFirst)->strikes() > 0);
  CHECK(d.Answers(kFirst) == speaks);
}

}  // namespace mentor::learner::TEST_FILE
