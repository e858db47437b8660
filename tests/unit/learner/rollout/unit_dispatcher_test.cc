#include "learner/rollout/unit_dispatcher.h"

#include <algorithm>

#include "common/failed_step.h"
#include "common/rng.h"
#include "common/status.h"
#include "tests/dispatched_units.h"
#include "tests/testing.h"

namespace mentor::learner::TEST_FILE {

using namespace testing::units;  // NOLINT

TEST_CASE("dispatcher: the name of a unit says all of its key", "[unit]") {
  const UnitKey key{.shard = 7, .iteration = 5, .agent = 3, .part = 2};
  CHECK(ToKey(ToProto(key)) == key);
  CHECK(ToString(key) == "unit 7/5/3/2");
}

TEST_CASE("dispatcher: units go out in order within the credit, results come back in order",
          "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(7, Units(7, 3)).ok());  // ready 0 1 2
  CHECK(d.Assign().empty());            // nobody there
  d.AddActor(kFirst);
  CHECK(d.Assign().empty());  // no credit
  REQUIRE(d.Offer(kFirst, 2).ok());
  CHECK(Given(&d) == "1:7/0 1:7/1");  // credit 0, out 0 1
  CHECK(d.counts().ready == 1);
  CHECK(d.counts().outstanding == 2);
  CHECK(d.Accept(kFirst, ResultOf(Key(7, 1), "b")) == Outcome::kUsed);
  CHECK(d.Assign().empty());  // a result is no credit
  REQUIRE(d.Offer(kFirst, 1).ok());
  CHECK(Given(&d) == "1:7/2");  // out 0 2
  CHECK(d.Accept(kFirst, ResultOf(Key(7, 2), "c")) == Outcome::kUsed);
  CHECK_FALSE(d.Take(7).has_value());  // 0 is missing
  CHECK(d.Accept(kFirst, ResultOf(Key(7, 0), "a")) == Outcome::kUsed);
  const auto results = d.Take(7);
  REQUIRE((results && results->ok()));
  REQUIRE((*results)->size() == 3);
  for (uint32_t i = 0; i < 3; ++i) CHECK(ToKey((**results)[i].id()) == Key(7, i));
  CHECK(d.counts().ready == 0);
  CHECK(d.counts().outstanding == 0);
  REQUIRE(d.Add(7, Units(7, 1)).ok());  // the shard's next iteration
}

TEST_CASE("dispatcher: older shards come first", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(9, Units(9, 2)).ok());
  REQUIRE(d.Add(4, Units(4, 2)).ok());
  d.AddActor(kFirst);
  REQUIRE(d.Offer(kFirst, 3).ok());
  CHECK(Given(&d) == "1:4/0 1:4/1 1:9/0");
}

TEST_CASE("dispatcher: work goes to the actor with the most credit", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst);
  d.AddActor(kSecond);
  REQUIRE(d.Offer(kFirst, 1).ok());
  REQUIRE(d.Offer(kSecond, 3).ok());
  REQUIRE(d.Add(1, Units(1, 4)).ok());
  CHECK(Given(&d) == "2:1/0 2:1/1 2:1/2 1:1/3");  // credits 1 3 -> 1 2 -> 1 1 -> 1 0 -> 0 0
}

TEST_CASE("dispatcher: units of a lost actor go to the head of the queue", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, Units(1, 4)).ok());
  d.AddActor(kFirst);
  REQUIRE(d.Offer(kFirst, 2).ok());
  CHECK(Given(&d) == "1:1/0 1:1/1");
  d.RemoveActor(kFirst);  // ready 0 1 2 3
  CHECK(d.reissued().at("lost") == 2);
  CHECK(d.counts().ready == 4);
  CHECK(d.counts().outstanding == 0);
  d.AddActor(kSecond);
  REQUIRE(d.Offer(kSecond, 4).ok());
  const auto assignments = d.Assign();
  REQUIRE(assignments.size() == 4);
  for (uint32_t i = 0; i < 4; ++i) CHECK(assignments[i].key == Key(1, i));
  CHECK(assignments[0].attempt == 2);
  CHECK(assignments[3].attempt == 1);
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 0))) == Outcome::kUnexpected);  // it is gone
}

TEST_CASE("dispatcher: a lagging unit goes to a second actor, the first result wins", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, Units(1, 2)).ok());
  d.AddActor(kFirst);
  d.AddActor(kSecond);
  REQUIRE(d.Offer(kFirst, 4).ok());
  CHECK(Given(&d) == "1:1/0 1:1/1");
  CHECK(d.NextChange() == nanoseconds(seconds(5)));
  REQUIRE(d.Offer(kSecond, 1).ok());
  f.clock.Advance(seconds(5) - nanoseconds(1));
  CHECK(d.Assign().empty());
  f.clock.Advance(nanoseconds(1));
  CHECK(Given(&d) == "2:1/0");  // One credit, so one unit; never back to the first actor.
  CHECK(d.reissued().at("lagging") == 1);
  // The deadline of unit 0; unit 1 already lags and waits for an offer.
  CHECK(d.NextChange() == nanoseconds(seconds(10)));
  REQUIRE(d.Offer(kSecond, 1).ok());
  CHECK(Given(&d) == "2:1/1");
  CHECK(d.Accept(kSecond, ResultOf(Key(1, 0), "same")) == Outcome::kUsed);
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 0), "same")) == Outcome::kDuplicate);
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 0), "same")) ==
        Outcome::kUnexpected);  // it holds it no more
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 1), "one")) == Outcome::kUsed);
  const auto results = d.Take(1);
  REQUIRE((results && results->ok()));
  // After the shard: the hash is still known.
  CHECK(d.Accept(kSecond, ResultOf(Key(1, 1), "two")) == Outcome::kDivergent);
  CHECK(d.Assign().empty());                            // There is no other actor to decide.
  CHECK(d.NextChange() == f.clock.time + seconds(30));  // Both are kept away for so long.
}

TEST_CASE("dispatcher: what lags is measured against the median turnaround", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst);
  d.AddActor(kSecond);
  REQUIRE(d.Offer(kFirst, 10).ok());
  for (uint64_t shard = 1; shard <= 3; ++shard) {
    REQUIRE(d.Add(shard, Units(shard, 1)).ok());
    REQUIRE(d.Assign().size() == 1);
    f.clock.Advance(seconds(shard == 2 ? 30 : 3));  // turnarounds 3 30 3: median 3
    CHECK(d.Accept(kFirst, ResultOf(Key(shard, 0))) == Outcome::kUsed);
    static_cast<void>(d.Take(shard));
  }
  REQUIRE(d.Add(4, Units(4, 1)).ok());
  REQUIRE(d.Assign().size() == 1);
  REQUIRE(d.Offer(kSecond, 1).ok());
  f.clock.Advance(seconds(11));
  CHECK(d.Assign().empty());
  f.clock.Advance(seconds(1));  // 4 x 3 s
  CHECK(Given(&d) == "2:4/0");
}

TEST_CASE("dispatcher: a lost actor's unit stays out while another one works on it", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  d.AddActor(kFirst);
  d.AddActor(kSecond);
  REQUIRE(d.Offer(kFirst, 1).ok());
  REQUIRE(d.Assign().size() == 1);
  REQUIRE(d.Offer(kSecond, 1).ok());
  f.clock.Advance(seconds(6));
  CHECK(Given(&d) == "2:1/0");
  d.RemoveActor(kFirst);
  CHECK(d.counts().ready == 0);
  CHECK(d.counts().outstanding == 1);
  CHECK_FALSE(d.reissued().contains("lost"));
  d.RemoveActor(kSecond);
  CHECK(d.counts().ready == 1);
  CHECK(d.counts().outstanding == 0);
  CHECK(d.reissued().at("lost") == 1);
}

TEST_CASE("dispatcher: a leaving actor gets no work, its units go to others, its results count",
          "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, Units(1, 3)).ok());
  d.AddActor(kFirst);
  REQUIRE(d.Offer(kFirst, 2).ok());
  CHECK(Given(&d) == "1:1/0 1:1/1");
  d.Leaving(kFirst);  // ready 0 1 2
  CHECK(d.reissued().at("leaving") == 2);
  REQUIRE(d.Offer(kFirst, 5).ok());  // too late
  CHECK(d.Assign().empty());
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 0))) == Outcome::kUsed);  // ready 1 2
  CHECK(d.counts().ready == 2);
  d.AddActor(kSecond);
  REQUIRE(d.Offer(kSecond, 5).ok());
  CHECK(Given(&d) == "2:1/1 2:1/2");
  d.RemoveActor(kFirst);
  CHECK(d.counts().ready == 0);
  CHECK(d.Accept(kSecond, ResultOf(Key(1, 1))) == Outcome::kUsed);
  CHECK(d.Accept(kSecond, ResultOf(Key(1, 2))) == Outcome::kUsed);
  CHECK(d.Take(1).has_value());
}

TEST_CASE("dispatcher: a cancelled shard leaves nothing but its late results", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, Units(1, 3)).ok());
  REQUIRE(d.Add(2, Units(2, 1)).ok());
  d.AddActor(kFirst);
  REQUIRE(d.Offer(kFirst, 2).ok());
  CHECK(Given(&d) == "1:1/0 1:1/1");
  const auto holders = d.Cancel(1);
  REQUIRE(holders.size() == 2);
  CHECK(holders[1] == std::pair(kFirst, Key(1, 1)));
  CHECK(d.counts().ready == 1);
  CHECK(d.counts().outstanding == 0);
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 0))) == Outcome::kLate);
  CHECK(d.Accept(kFirst, ErrorOf(Key(1, 1), "cancelled")) == Outcome::kLate);
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 2))) == Outcome::kUnexpected);
  REQUIRE(d.Offer(kFirst, 1).ok());
  CHECK(Given(&d) == "1:2/0");
  CHECK(d.Cancel(1).empty());
}

TEST_CASE(
    "dispatcher: a unit that fails for 8 s at the only actor fails its shard with its message",
    "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, Units(1, 2)).ok());
  d.AddActor(kFirst);
  REQUIRE(d.Offer(kFirst, 8).ok());
  CHECK(Given(&d) == "1:1/0 1:1/1");
  for (const int wait_s : {1, 2, 4, 1}) {
    CHECK(d.Accept(kFirst, ErrorOf(Key(1, 0), "it failed")) == Outcome::kError);
    CHECK_FALSE(d.Take(1).has_value());
    CHECK(d.Assign().empty());
    CHECK(*d.NextChange() <= f.clock.time + seconds(wait_s));
    f.clock.Advance(seconds(wait_s) - nanoseconds(1));
    CHECK(d.Assign().empty());
    f.clock.Advance(nanoseconds(1));
    CHECK(Given(&d) == "1:1/0");
  }
  CHECK(d.Accept(kFirst, ErrorOf(Key(1, 0), "the simulator is unstable")) == Outcome::kError);
  CHECK(d.reissued().at("error") == 5);
  CHECK(d.quarantines() == 0);  // No other actor was better.
  const auto failure = d.Take(1);
  REQUIRE(failure.has_value());
  CHECK(ReasonOf(failure->status()) == "UNIT_FAILED");
  CHECK(failure->status().message() ==
        "unit 1/0/0/0 failed 5 times; the last time: the simulator is unstable");
  CHECK(d.Cancel(1).size() == 1);  // unit 1 is still out
}

TEST_CASE("dispatcher: a step that no actor can make fails its shard after one confirmation",
          "[unit]") {
  const std::string error = "mjcf: no finite number" + std::string(kFailedStepRemedy);
  {  // The only actor.
    Fixture f;
    auto& d = f.dispatcher;
    REQUIRE(d.Add(1, Units(1, 1)).ok());
    d.AddActor(kFirst);
    REQUIRE(d.Offer(kFirst, 8).ok());
    CHECK(Given(&d) == "1:1/0");
    CHECK(d.Accept(kFirst, ErrorOf(Key(1, 0), error)) == Outcome::kError);
    const auto failure = d.Take(1);
    REQUIRE(failure.has_value());
    CHECK(failure->status().message() == "unit 1/0/0/0 failed 1 times; the last time: " + error);
  }
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  d.AddActor(kFirst, {.uid = "a"});
  d.AddActor(kSecond, {.uid = "b"});
  d.AddActor(kThird, {.uid = "c"});
  REQUIRE(d.Offer(kFirst, 2).ok());
  REQUIRE(d.Offer(kSecond, 1).ok());
  CHECK(Given(&d) == "1:1/0");
  CHECK(d.Accept(kFirst, ErrorOf(Key(1, 0), error)) == Outcome::kError);
  CHECK_FALSE(d.Take(1).has_value());
  CHECK(Given(&d) == "2:1/0");
  CHECK(d.Accept(kSecond, ErrorOf(Key(1, 0), error)) == Outcome::kError);
  CHECK_FALSE(d.Take(1)->ok());
}

TEST_CASE("dispatcher: an actor that always fails fails no shard and is kept away (D4)", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst, {.uid = "sick"});
  d.AddActor(kSecond, {.uid = "well"});
  REQUIRE(d.Offer(kFirst, 8).ok());
  REQUIRE(d.Offer(kSecond, 1).ok());
  for (uint64_t shard = 1; shard <= 3; ++shard) {
    REQUIRE(d.Add(shard, Units(shard, 1)).ok());
    CHECK(Given(&d) == "1:" + std::to_string(shard) + "/0");  // It may take the most.
    CHECK(d.Accept(kFirst, ErrorOf(Key(shard, 0), "no")) == Outcome::kError);
    REQUIRE(d.Offer(kFirst, 1).ok());
    CHECK(Given(&d) == "2:" + std::to_string(shard) + "/0");
    CHECK(d.Accept(kSecond, ResultOf(Key(shard, 0))) == Outcome::kUsed);
    REQUIRE(d.Offer(kSecond, 1).ok());
    CHECK(d.Take(shard)->ok());
    CHECK(d.StandingOf(kFirst)->strikes() == static_cast<int>(shard));
  }
  CHECK(d.InQuarantine(kFirst));
  CHECK(d.quarantines() == 1);
  REQUIRE(d.Add(4, Units(4, 1)).ok());
  CHECK(Given(&d) == "2:4/0");
  CHECK(d.Accept(kSecond, ResultOf(Key(4, 0))) == Outcome::kUsed);
  // Another stream of the same process is treated alike.
  d.RemoveActor(kFirst);
  d.AddActor(kThird, {.uid = "sick"});
  REQUIRE(d.Offer(kThird, 8).ok());
  CHECK(d.InQuarantine(kThird));
  f.clock.Advance(seconds(1));  // The failed unit may have waited this long.
  CHECK(d.Assign().empty());
  CHECK(d.NextChange() == nanoseconds(seconds(30)));
  f.clock.Advance(seconds(29));  // One unit at a time, to see.
  REQUIRE(d.Add(5, Units(5, 3)).ok());
  REQUIRE(d.Offer(kSecond, 2).ok());
  CHECK(Given(&d) == "2:5/0 3:5/1 2:5/2");
  CHECK(d.Accept(kThird, ResultOf(Key(5, 1))) == Outcome::kUsed);
  CHECK(d.StandingOf(kThird)->strikes() == 0);
  CHECK(d.StandingOf(kThird)->good());
}

TEST_CASE("dispatcher: a sick actor that is alone for a while fails no shard", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  d.AddActor(kFirst, {.uid = "sick"});
  REQUIRE(d.Offer(kFirst, 100).ok());
  for (int ms = 0; ms < 7'900; ms += 100) {
    for (const auto& given : d.Assign())
      CHECK(d.Accept(kFirst, ErrorOf(given.key, "no")) == Outcome::kError);
    f.clock.Advance(std::chrono::milliseconds(100));
  }
  CHECK_FALSE(d.Settled(1));
  d.AddActor(kSecond, {.uid = "well"});
  REQUIRE(d.Offer(kSecond, 1).ok());
  CHECK(Given(&d) == "2:1/0");  // At once.
  CHECK(d.Accept(kSecond, ResultOf(Key(1, 0))) == Outcome::kUsed);
  CHECK(d.StandingOf(kFirst)->strikes() == 1);
}

TEST_CASE("dispatcher: who is gone with its units gets strikes, under another uid too", "[unit]") {
  const bool same_uid = GENERATE(true, false);
  const bool drains = GENERATE(false, true);
  CAPTURE(same_uid, drains);
  Fixture f;
  auto& d = f.dispatcher;
  const auto come = [&](uint64_t i) {
    const ActorId actor{i};
    d.AddActor(actor, {.uid = same_uid ? "gone" : std::to_string(i), .host = "one"});
    REQUIRE(d.Offer(actor, 100).ok());
    return actor;
  };
  REQUIRE(d.Add(1, Units(1, 100)).ok());
  for (uint64_t i = 1; i <= 3; ++i) {
    const ActorId actor = come(i);
    CHECK(d.StandingOf(actor)->strikes() == (drains ? 0 : static_cast<int>(i - 1)));
    CHECK(d.Assign().size() == size_t{8} >> (drains ? 0 : i - 1));
    if (drains) d.Leaving(actor);
    d.RemoveActor(actor);
    f.clock.Advance(seconds(4));
  }
  CHECK(d.counts().ready == 100);
  CHECK(d.quarantines() == (drains ? 0 : 1));
  const ActorId again = come(4);
  CHECK(d.InQuarantine(again) == !drains);
  CHECK(d.Assign().empty() == !drains);
  // Others are trusted.
  d.AddActor(ActorId{5}, {.uid = "well", .host = "another"});
  CHECK(d.StandingOf(ActorId{5})->strikes() == 0);
  // The same machine later counts in the same way.
  d.RemoveActor(again);
  f.clock.Advance(seconds(31));
  if (!same_uid) CHECK_FALSE(d.InQuarantine(come(6)));
}

TEST_CASE("dispatcher: another stream of an actor is as trusted, before the first has ended",
          "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, Units(1, 100)).ok());
  d.AddActor(kFirst, {.uid = "a"});
  REQUIRE(d.Offer(kFirst, 2).ok());
  CHECK(d.Assign().size() == 2);
  d.Refuse(kFirst);
  d.Refuse(kFirst);  // Once.
  REQUIRE(d.Offer(kFirst, 2).ok());
  CHECK(d.Assign().empty());
  d.AddActor(kSecond, {.uid = "a"});
  CHECK(d.StandingOf(kSecond)->strikes() == 1);
  d.RemoveActor(kFirst);
  CHECK(d.StandingOf(kSecond)->strikes() == 1);
  REQUIRE(d.Offer(kSecond, 2).ok());
  CHECK(d.Assign().size() == 2);
  d.AddActor(kThird, {.uid = "a"});
  d.RemoveActor(kSecond);
  CHECK(d.StandingOf(kThird)->strikes() == 2);
}

TEST_CASE("dispatcher: a newcomer earns its credit, and does not come first for what it offers",
          "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst, {.uid = "well"});
  REQUIRE(d.Offer(kFirst, 64).ok());
  REQUIRE(d.Add(1, Units(1, 50)).ok());
  while (!d.Settled(1)) {
    for (const auto& given : d.Assign()) {
      CHECK(d.Accept(kFirst, ResultOf(given.key)) == Outcome::kUsed);
      REQUIRE(d.Offer(kFirst, 1).ok());
    }
  }
  d.AddActor(kSecond, {.uid = "new"});
  REQUIRE(d.Offer(kSecond, 1000).ok());
  REQUIRE(d.Add(2, Units(2, 60)).ok());
  const auto given = d.Assign();
  REQUIRE(given.size() == 60);
  for (size_t i = 0; i < 50; ++i) CHECK(given[i].actor == kFirst);
  CHECK(d.NumHeld(kSecond) <= 8);
}

TEST_CASE("dispatcher: a unit that fails at every actor in good standing fails its shard",
          "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  for (const ActorId actor : {kFirst, kSecond, kThird}) {
    d.AddActor(actor, {.uid = std::to_string(static_cast<uint64_t>(actor))});
    REQUIRE(d.Offer(actor, 2).ok());
  }
  REQUIRE(d.Add(1, Units(1, 3)).ok());
  CHECK(Given(&d) == "3:1/0 2:1/1 1:1/2");
  CHECK(d.Accept(kThird, ResultOf(Key(1, 0))) == Outcome::kUsed);
  CHECK(d.Accept(kSecond, ResultOf(Key(1, 1))) == Outcome::kUsed);
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 2))) == Outcome::kUsed);
  REQUIRE(d.Add(2, Units(2, 1)).ok());
  for (const char* given : {"3:2/0", "2:2/0", "1:2/0"}) {
    CHECK_FALSE(d.Settled(2));
    CHECK(Given(&d) == given);
    CHECK(d.Accept(ActorId{static_cast<uint64_t>(given[0] - '0')}, ErrorOf(Key(2, 0), "no")) ==
          Outcome::kError);
  }
  CHECK(ReasonOf(d.Take(2)->status()) == "UNIT_FAILED");
  // It was not their fault.
  for (const ActorId actor : {kFirst, kSecond, kThird}) CHECK(d.StandingOf(actor)->strikes() == 0);
}

TEST_CASE("dispatcher: a silent actor with a large credit holds few units, then none (D4)",
          "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst, {.uid = "silent"});
  d.AddActor(kSecond, {.uid = "well"});
  REQUIRE(d.Offer(kFirst, 1024).ok());
  REQUIRE(d.Offer(kSecond, 2).ok());
  REQUIRE(d.Add(1, Units(1, 10)).ok());
  REQUIRE(d.Assign().size() == 10);
  CHECK(d.NumHeld(kFirst) == 8);
  CHECK(d.NumHeld(kSecond) == 2);
  const auto finish = [&](uint64_t shard) {
    for (uint32_t unit = 0; unit < 10; ++unit) {
      if (d.Held(kSecond, Key(shard, unit)) == nullptr) continue;
      CHECK(d.Accept(kSecond, ResultOf(Key(shard, unit))) == Outcome::kUsed);
      REQUIRE(d.Offer(kSecond, 1).ok());
    }
  };
  f.clock.Advance(seconds(1));
  finish(1);
  f.clock.Advance(seconds(4));  // The units of the silent actor lag, and it is known to be slow.
  for (int i = 0; i < 4; ++i) {
    static_cast<void>(d.Assign());
    finish(1);
  }
  CHECK(d.Take(1).has_value());
  CHECK(d.InQuarantine(kFirst));
  REQUIRE(d.Add(2, Units(2, 4)).ok());
  for (const auto& assignment : d.Assign()) CHECK(assignment.actor == kSecond);
}

TEST_CASE("dispatcher: a unit that the only actor has lost is given to it again (D4)", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  d.AddActor(kFirst);
  REQUIRE(d.Offer(kFirst, 1).ok());
  CHECK(Given(&d) == "1:1/0");
  f.clock.Advance(seconds(5));
  CHECK(d.Assign().empty());
  CHECK(d.StandingOf(kFirst)->strikes() == 0);  // The duration of such a unit is unknown.
  CHECK(d.NextChange() == nanoseconds(seconds(60)));
  f.clock.Advance(seconds(55));
  CHECK(Given(&d) == "1:1/0");  // The credit came back with the unit.
  CHECK(d.StandingOf(kFirst)->strikes() == 1);
  CHECK(d.reissued().at("silent") == 1);
  // The next time it has twice as long.
  f.clock.Advance(seconds(119));
  CHECK(d.Assign().empty());
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 0), "a")) == Outcome::kUsed);
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 0), "a")) == Outcome::kDuplicate);  // The lost one's.
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 0), "a")) == Outcome::kUnexpected);
}

TEST_CASE("dispatcher: small units of one environment do not make large ones of another lag",
          "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst, {.uid = "a"});
  d.AddActor(kSecond, {.uid = "b"});
  REQUIRE(d.Offer(kFirst, 8).ok());
  const auto run = [&](uint64_t shard, const std::string& environment, uint32_t steps,
                       seconds taken) {
    auto units = Units(shard, 1);
    units[0].mutable_task()->set_environment(environment);
    units[0].set_steps(steps);
    REQUIRE(d.Add(shard, std::move(units)).ok());
    REQUIRE(d.Assign().size() == 1);
    f.clock.Advance(taken);
    CHECK(d.Accept(kFirst, ResultOf(Key(shard, 0))) == Outcome::kUsed);
    static_cast<void>(d.Take(shard));
  };
  run(1, "small", 100, seconds(1));
  run(2, "large", 1000, seconds(100));
  auto units = Units(3, 1);
  units[0].mutable_task()->set_environment("large");
  units[0].set_steps(500);
  REQUIRE(d.Add(3, std::move(units)).ok());
  REQUIRE(d.Assign().size() == 1);
  CHECK(*d.NextChange() - f.clock.time == nanoseconds(seconds(4 * 50)));
}

TEST_CASE("dispatcher: bad additions and offers are refused", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  CHECK(d.Add(1, Units(1, 1)).code() == absl::StatusCode::kFailedPrecondition);
  CHECK(d.Add(2, Units(3, 1)).code() == absl::StatusCode::kInvalidArgument);
  auto twice = Units(2, 2);
  *twice[1].mutable_id() = twice[0].id();
  CHECK(d.Add(2, std::move(twice)).code() == absl::StatusCode::kInvalidArgument);
  CHECK(d.counts().ready == 1);
  d.AddActor(kFirst);
  CHECK(d.Offer(kFirst, 0).code() == absl::StatusCode::kInvalidArgument);
  CHECK(d.Offer(kFirst, 1025).code() == absl::StatusCode::kInvalidArgument);
  CHECK(d.Offer(kFirst, 0xffffffff).code() == absl::StatusCode::kInvalidArgument);
  CHECK(d.Offer(kFirst, 1024).ok());
  CHECK(ReasonOf(d.Offer(kFirst, 1)) == "CREDIT_EXCEEDED");
}

TEST_CASE("dispatcher: units that are held count against the greatest credit", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst);
  REQUIRE(d.Offer(kFirst, 1000).ok());
  REQUIRE(d.Add(1, Units(1, 8)).ok());
  CHECK(d.Assign().size() == 8);  // credit 992, held 8
  CHECK(ReasonOf(d.Offer(kFirst, 25)) == "CREDIT_EXCEEDED");
  CHECK(d.Offer(kFirst, 24).ok());
  CHECK(ReasonOf(d.Offer(kFirst, 1)) == "CREDIT_EXCEEDED");
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 0))) == Outcome::kUsed);
  CHECK(d.Offer(kFirst, 1).ok());
}

// Random actors that come, go, lag, fail and answer twice: every shard ends with each of its units
// exactly once.
TEST_CASE("dispatcher: nothing is lost or used twice in random histories", "[unit]") {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    INFO("seed " << seed);
    const RandomStream random{.seed = seed, .purpose = Purpose::kTest};
    uint32_t draw = 0;
    const auto below = [&](uint64_t n) { return random.Below(n, 0, draw++); };
    Fixture f;
    auto& d = f.dispatcher;
    std::map<ActorId, std::vector<UnitKey>> held;
    std::map<uint64_t, uint32_t> size;
    uint64_t next_actor = 1;
    for (uint64_t shard = 1; shard <= 5; ++shard) {
      size[shard] = 1 + static_cast<uint32_t>(below(12));
      REQUIRE(d.Add(shard, Units(shard, size[shard])).ok());
    }
    std::map<UnitKey, int> used;
    size_t finished = 0;
    int steps = 0;
    while (finished < 5) {
      REQUIRE(++steps < 20000);
      f.clock.Advance(std::chrono::milliseconds(below(2000)));
      const uint64_t what = below(100);
      if (held.empty() || (what < 5 && held.size() < 5)) {
        const ActorId actor{next_actor++};
        d.AddActor(actor);
        held[actor];
        REQUIRE(d.Offer(actor, 1 + static_cast<uint32_t>(below(4))).ok());
      } else {
        auto actor = std::next(held.begin(), static_cast<ptrdiff_t>(below(held.size())));
        if (what < 8) {
          d.RemoveActor(actor->first);
          held.erase(actor);
        } else if (what < 11) {
          d.Leaving(actor->first);
        } else if (!actor->second.empty()) {
          const auto place =
              actor->second.begin() + static_cast<ptrdiff_t>(below(actor->second.size()));
          const UnitKey key = *place;
          actor->second.erase(place);
          REQUIRE(d.Held(actor->first, key) != nullptr);
          const auto outcome = d.Accept(actor->first, ResultOf(key, ToString(key)));
          REQUIRE((outcome == Outcome::kUsed || outcome == Outcome::kDuplicate));
          if (outcome == Outcome::kUsed) ++used[key];
          REQUIRE(d.Offer(actor->first, 1).ok());
        }
      }
      for (const auto& a : d.Assign()) held.at(a.actor).push_back(a.key);
      size_t missing = 0;
      for (auto shard = size.begin(); shard != size.end();) {
        if (const auto results = d.Take(shard->first)) {
          REQUIRE((*results)->size() == shard->second);
          for (uint32_t i = 0; i < shard->second; ++i) {
            CHECK(ToKey((**results)[i].id()) == Key(shard->first, i));
            CHECK(used[Key(shard->first, i)] == 1);
          }
          ++finished;
          shard = size.erase(shard);
        } else {
          for (uint32_t i = 0; i < shard->second; ++i)
            missing += used.contains(Key(shard->first, i)) ? 0 : 1;
          ++shard;
        }
      }
      // A unit that is not done is ready or out, never both, never neither.
      REQUIRE(d.counts().ready + d.counts().outstanding == missing);
    }
  }
}

// Returns the simulator that a ready unit of the shard needs; empty: none.
std::vector<v1::Unit> HostUnits(uint64_t shard, uint32_t count, const std::string& host) {
  std::vector<v1::Unit> units = Units(shard, count);
  for (v1::Unit& unit : units) {
    unit.mutable_task()->set_environment(host.empty() ? "point_reach" : "host");
    if (host.empty()) continue;
    v1::Option* option = unit.mutable_task()->add_options();
    option->set_name("host");
    option->set_value(host);
  }
  return units;
}

TEST_CASE("dispatcher: units of a host go to actors that offer it", "[unit]") {
  Fixture f;
  UnitDispatcher& dispatcher = f.dispatcher;
  dispatcher.AddActor(kFirst, {.uid = "plain"});
  REQUIRE(dispatcher.Offer(kFirst, 3).ok());
  REQUIRE(dispatcher.Add(1, HostUnits(1, 2, "gym")).ok());
  REQUIRE(dispatcher.Add(2, HostUnits(2, 1, "")).ok());
  // Units behind them are given out.
  CHECK(Given(&dispatcher) == "1:2/0");
  CHECK(dispatcher.MissingHost(1) == "gym");
  CHECK(dispatcher.MissingHost(2).empty());
  CHECK(dispatcher.NumReadyFor({}) == 0);
  CHECK(dispatcher.NumReadyFor({"gym"}) == 2);
  dispatcher.AddActor(kSecond, {.uid = "other", .env_hosts = {"dm"}});
  REQUIRE(dispatcher.Offer(kSecond, 3).ok());
  CHECK(Given(&dispatcher).empty());
  dispatcher.AddActor(kThird, {.uid = "gymnast", .env_hosts = {"dm", "gym"}});
  CHECK(dispatcher.MissingHost(1).empty());
  REQUIRE(dispatcher.Offer(kThird, 1).ok());
  CHECK(Given(&dispatcher) == "3:1/0");
  // It is busy, but there.
  CHECK(Given(&dispatcher).empty());
  CHECK(dispatcher.MissingHost(1).empty());
  // Units that wait for a simulator do not hold up lagging units of another shard.
  CHECK(dispatcher.Accept(kThird, ResultOf(Key(1, 0))) == Outcome::kUsed);
  f.clock.Advance(seconds(100));
  CHECK(Given(&dispatcher) == "2:2/0");
  dispatcher.RemoveActor(kThird);
  CHECK(dispatcher.MissingHost(1) == "gym");
  CHECK(dispatcher.counts().ready == 1);
  dispatcher.Cancel(1);
  CHECK(dispatcher.counts().ready == 0);
  CHECK(dispatcher.NumReadyFor({"gym"}) == 0);
}

TEST_CASE("dispatcher: a shard of several hosts waits for one and goes on with the others",
          "[unit]") {
  Fixture f;
  std::vector<v1::Unit> units = HostUnits(1, 3, "gym");
  units[1] = HostUnits(1, 3, "dm")[1];
  REQUIRE(f.dispatcher.Add(1, std::move(units)).ok());
  f.dispatcher.AddActor(kFirst, {.uid = "a", .env_hosts = {"dm"}});
  REQUIRE(f.dispatcher.Offer(kFirst, 3).ok());
  CHECK(Given(&f.dispatcher) == "1:1/1");
  CHECK(f.dispatcher.MissingHost(1) == "gym");
  f.dispatcher.AddActor(kSecond, {.uid = "b", .env_hosts = {"gym"}});
  REQUIRE(f.dispatcher.Offer(kSecond, 3).ok());
  CHECK(Given(&f.dispatcher) == "2:1/0 2:1/2");
}

TEST_CASE("dispatcher: a unit that failed is tried again where its host is", "[unit]") {
  Fixture f;
  REQUIRE(f.dispatcher.Add(1, HostUnits(1, 1, "gym")).ok());
  f.dispatcher.AddActor(kFirst, {.uid = "a", .env_hosts = {"gym"}});
  f.dispatcher.AddActor(kSecond, {.uid = "plain"});
  f.dispatcher.AddActor(kThird, {.uid = "b", .env_hosts = {"gym"}});
  for (const ActorId actor : {kFirst, kSecond, kThird}) REQUIRE(f.dispatcher.Offer(actor, 1).ok());
  const std::string first = Given(&f.dispatcher);
  const ActorId failed = first == "1:1/0" ? kFirst : kThird;
  CHECK(f.dispatcher.Accept(failed, ErrorOf(Key(1, 0), "host gym ended")) == Outcome::kError);
  CHECK(Given(&f.dispatcher) == (failed == kFirst ? "3:1/0" : "1:1/0"));
}

std::vector<v1::Unit> UnitsOf(const std::string& experiment, uint64_t shard, uint32_t count,
                              v1::Priority priority = v1::PRIORITY_NORMAL) {
  std::vector<v1::Unit> units = Units(shard, count);
  for (v1::Unit& unit : units)
    *unit.mutable_share() = mentor::ToProto(experiment, {.owner = "ada", .priority = priority});
  return units;
}

TEST_CASE("dispatcher: long units of one experiment leave room for those of another", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst, {.uid = "first", .threads = 2});
  REQUIRE(d.Offer(kFirst, 9).ok());
  REQUIRE(d.Add(1, UnitsOf("long", 1, 20)).ok());
  CHECK(Given(&d) == "1:1/0 1:1/1 1:1/2 1:1/3");  // Two for each thread.
  CHECK(d.counts().ready == 16);
  REQUIRE(d.Add(2, UnitsOf("quick", 2, 20)).ok());
  CHECK(Given(&d) == "1:2/0 1:2/1 1:2/2 1:2/3");
  CHECK(d.Accept(kFirst, ResultOf(Key(2, 1))) == Outcome::kUsed);
  CHECK(Given(&d) == "1:2/4");
  d.Cancel(1);
  CHECK(d.Accept(kFirst, ErrorOf(Key(1, 0), "cancelled")) == Outcome::kLate);
}

TEST_CASE("dispatcher: where all cannot be served, classes and shares decide", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst, {.uid = "first"});
  REQUIRE(d.Add(1, UnitsOf("normal", 1, 9)).ok());
  REQUIRE(d.Add(2, UnitsOf("other", 2, 9)).ok());
  REQUIRE(d.Add(3, UnitsOf("high", 3, 2, v1::PRIORITY_HIGH)).ok());
  REQUIRE(d.Offer(kFirst, 2).ok());
  CHECK(Given(&d) == "1:3/0 1:3/1");
  f.clock.Advance(seconds(4));
  for (uint32_t unit : {0, 1}) CHECK(d.Accept(kFirst, ResultOf(Key(3, unit))) == Outcome::kUsed);
  // One unit of `normal` takes as long as three of `other`. Claims of an actor beyond the elapsed
  // time cost nothing.
  std::map<uint64_t, int> given;
  for (int turn = 0; turn < 8; ++turn) {
    REQUIRE(d.Offer(kFirst, 1).ok());
    const auto assignments = d.Assign();
    REQUIRE(assignments.size() == 1);
    ++given[assignments[0].key.shard];
    const bool slow = assignments[0].key.shard == 1;
    f.clock.Advance(seconds(slow ? 3 : 1));
    v1::Result result = ResultOf(assignments[0].key);
    result.set_work_seconds(1e6);
    CHECK(d.Accept(kFirst, std::move(result)) == Outcome::kUsed);
  }
  CHECK(given[1] == 2);
  CHECK(given[2] == 6);
}

TEST_CASE("dispatcher: an experiment whose units only fail waits longer and longer", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst, {.uid = "first"});
  REQUIRE(d.Offer(kFirst, 3).ok());
  REQUIRE(d.Add(1, UnitsOf("sick", 1, 9)).ok());
  REQUIRE(d.Assign().size() == 3);
  for (uint32_t unit : {0, 1, 2})
    CHECK(d.Accept(kFirst, ErrorOf(Key(1, unit), "x")) == Outcome::kError);
  REQUIRE(d.Offer(kFirst, 3).ok());
  CHECK(d.Assign().empty());
  REQUIRE(d.Add(2, UnitsOf("well", 2, 1)).ok());
  CHECK(Given(&d) == "1:2/0");  // Others do not wait with it.
  CHECK(d.NextChange() == std::chrono::milliseconds(100));
  f.clock.Advance(std::chrono::milliseconds(100));
  CHECK(d.Assign().size() == 2);
  CHECK(d.Accept(kFirst, ErrorOf(Key(1, 3), "x")) == Outcome::kError);
  f.clock.Advance(std::chrono::milliseconds(199));
  REQUIRE(d.Offer(kFirst, 1).ok());
  CHECK(d.Assign().empty());
  // One good unit makes up for all.
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 4))) == Outcome::kUsed);
  CHECK(d.Assign().size() == 1);
}

TEST_CASE("dispatcher: an experiment of which nothing ever succeeded ends at three good actors",
          "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, UnitsOf("well", 1, 3)).ok());
  for (const ActorId actor : {kFirst, kSecond, kThird}) {
    d.AddActor(actor, {.uid = std::to_string(static_cast<uint64_t>(actor)), .threads = 1});
    REQUIRE(d.Offer(actor, 1).ok());
  }
  for (const auto& assignment : d.Assign()) {
    CHECK(d.Accept(assignment.actor, ResultOf(assignment.key)) == Outcome::kUsed);
    REQUIRE(d.Offer(assignment.actor, 1).ok());
  }
  REQUIRE(d.Add(2, UnitsOf("sick", 2, 9)).ok());
  const auto sick = d.Assign();
  REQUIRE(sick.size() == 3);
  for (const auto& assignment : sick) {
    CHECK_FALSE(d.Settled(2));
    CHECK(d.Accept(assignment.actor, ErrorOf(assignment.key, "NaN")) == Outcome::kError);
  }
  REQUIRE(d.Settled(2));
  CHECK(ReasonOf(d.Take(2)->status()) == "UNIT_FAILED");
}

TEST_CASE("dispatcher: an actor that works for others meanwhile is not to blame for what waits",
          "[unit]") {
  for (const bool works : {true, false}) {
    INFO("works " << works);
    Fixture f;
    auto& d = f.dispatcher;
    d.AddActor(kFirst, {.uid = "first", .threads = 1});
    REQUIRE(d.Offer(kFirst, 8).ok());
    REQUIRE(d.Add(1, UnitsOf("low", 1, 2, v1::PRIORITY_LOW)).ok());
    REQUIRE(d.Assign().size() == 2);
    f.clock.Advance(seconds(1));
    CHECK(d.Accept(kFirst, ResultOf(Key(1, 0))) == Outcome::kUsed);
    REQUIRE(d.Add(2, UnitsOf("high", 2, 2, v1::PRIORITY_HIGH)).ok());
    REQUIRE(d.Assign().size() == 2);
    f.clock.Advance(seconds(1));
    for (uint32_t unit : {0, 1}) {
      if (works) CHECK(d.Accept(kFirst, ResultOf(Key(2, unit))) == Outcome::kUsed);
    }
    f.clock.Advance(seconds(4));  // It lags.
    static_cast<void>(d.Assign());
    CHECK((d.StandingOf(kFirst)->strikes() == 0) == works);
  }
}

TEST_CASE("dispatcher: what lags goes to who has delivered, not to who claims to be free (D4)",
          "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst, {.uid = "hoards"});
  REQUIRE(d.Offer(kFirst, 1).ok());
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  CHECK(Given(&d) == "1:1/0");
  d.AddActor(kSecond, {.uid = "well"});
  REQUIRE(d.Offer(kSecond, 1).ok());
  REQUIRE(d.Add(2, Units(2, 1)).ok());
  CHECK(Given(&d) == "2:2/0");
  CHECK(d.Accept(kSecond, ResultOf(Key(2, 0))) == Outcome::kUsed);
  d.AddActor(kThird, {.uid = "hoards too"});
  REQUIRE(d.Offer(kThird, 100).ok());
  REQUIRE(d.Offer(kSecond, 1).ok());
  f.clock.Advance(seconds(5));
  CHECK(Given(&d) == "2:1/0");
}

TEST_CASE("dispatcher: a silent actor gets nothing more, one that speaks does (D4)", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst, {.uid = "silent", .threads = 4});
  REQUIRE(d.Offer(kFirst, 32).ok());
  REQUIRE(d.Add(1, UnitsOf("a", 1, 1)).ok());
  CHECK(Given(&d) == "1:1/0");
  REQUIRE(d.Add(2, UnitsOf("b", 2, 1)).ok());
  CHECK(Given(&d) == "1:2/0");
  f.clock.Advance(seconds(5));
  CHECK(d.Answers(kFirst));
  CHECK(d.Assign().empty());
  CHECK_FALSE(d.Answers(kFirst));
  REQUIRE(d.Add(3, UnitsOf("a", 3, 2)).ok());
  CHECK(d.Assign().empty());
  CHECK(d.Accept(kFirst, ResultOf(Key(2, 0))) == Outcome::kUsed);
  CHECK(d.Answers(kFirst));
  CHECK(Given(&d) == "1:3/0 1:3/1");
  f.clock.Advance(seconds(5));
  REQUIRE(d.Add(4, UnitsOf("a", 4, 1)).ok());
  CHECK(d.Assign().empty());
  f.clock.Advance(seconds(50));  // The first unit is lost; its place is free.
  CHECK_FALSE(d.Assign().empty());
}

TEST_CASE("dispatcher: what a newcomer keeps is soon done elsewhere, without a strike (D4)",
          "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst, {.uid = "well"});
  REQUIRE(d.Offer(kFirst, 1).ok());
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  CHECK(Given(&d) == "1:1/0");
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 0))) == Outcome::kUsed);
  d.AddActor(kSecond, {.uid = "new"});
  REQUIRE(d.Offer(kSecond, 1).ok());
  REQUIRE(d.Add(2, Units(2, 1)).ok());
  CHECK(Given(&d) == "2:2/0");
  REQUIRE(d.Offer(kFirst, 1).ok());
  CHECK(d.NextChange() == std::chrono::milliseconds(500));
  f.clock.Advance(std::chrono::milliseconds(499));
  CHECK(d.Assign().empty());
  f.clock.Advance(std::chrono::milliseconds(1));
  CHECK(Given(&d) == "1:2/0");
  CHECK(d.StandingOf(kSecond)->strikes() == 0);
  CHECK(d.Accept(kFirst, ResultOf(Key(2, 0))) == Outcome::kUsed);
  CHECK(d.Accept(kSecond, ResultOf(Key(2, 0))) == Outcome::kDuplicate);
}

}  // namespace mentor::learner::TEST_FILE
