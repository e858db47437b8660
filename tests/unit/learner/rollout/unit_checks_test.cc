// Units that are computed twice: who computes them, who is found out, and what begins again.
#include <utility>

#include "learner/rollout/unit_dispatcher.h"
#include "tests/dispatched_units.h"
#include "tests/testing.h"

namespace mentor::learner::TEST_FILE {

using namespace testing::units;  // NOLINT

// A dispatcher that checks every unit, with actors "1", "2", ... that have room.
struct Checked {
  explicit Checked(uint32_t check_every = 1)
      : dispatcher({.check_every = check_every, .now = [this] { return clock.time; }}) {}
  ActorId Join(const std::string& host = "") {
    const ActorId id{++actors};
    dispatcher.AddActor(id, {.uid = std::to_string(actors), .host = host});
    REQUIRE(dispatcher.Offer(id, 100).ok());
    return id;
  }
  // Gives unit 0 of shard 1 to a slow actor, and after 5 s to a second one. Returns both.
  std::pair<ActorId, ActorId> GiveTwice() {
    const ActorId slow = Join();
    REQUIRE(dispatcher.Add(1, Units(1, 1)).ok());
    CHECK(Given(&dispatcher) == "1:1/0");
    clock.Advance(seconds(5));
    const ActorId fast = Join();
    CHECK(Given(&dispatcher) == "2:1/0");
    return {slow, fast};
  }
  // The reasons why shards begin again, and the shards.
  std::string FoundOut() {
    std::string text;
    for (const UnitDispatcher::FoundOut& found : dispatcher.TakeFoundOut()) {
      text += found.why + ":";
      for (const uint64_t shard : found.shards) text += " " + std::to_string(shard);
    }
    return text;
  }

  FakeClock clock;
  UnitDispatcher dispatcher;
  uint64_t actors = 0;
};

TEST_CASE("checks: a unit is computed again by another process, once", "[unit]") {
  Checked c;
  auto& d = c.dispatcher;
  const ActorId first = c.Join();
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  CHECK(Given(&d) == "1:1/0");
  CHECK(d.Accept(first, ResultOf(Key(1, 0), "truth")) == Outcome::kUsed);
  CHECK(d.Take(1)->ok());  // Nothing waits for a comparison that no actor can make.
  d.AddActor(ActorId{9}, {.uid = "1"});
  REQUIRE(d.Offer(ActorId{9}, 4).ok());
  CHECK(d.Assign().empty());  // Another stream of the same process.
  CHECK_FALSE(d.HasOpenChecks(1));
  const ActorId second = c.Join();
  CHECK(d.HasOpenChecks(1));
  CHECK(Given(&d) == "2:1/0");
  CHECK(d.Accept(second, ResultOf(Key(1, 0), "truth")) == Outcome::kDuplicate);
  CHECK_FALSE(d.HasOpenChecks(1));
  CHECK(d.Assign().empty());
  CHECK(c.FoundOut().empty());
}

TEST_CASE("checks: they come before other work, so a busy fleet makes them too", "[unit]") {
  Checked c;
  auto& d = c.dispatcher;
  const ActorId first = c.Join();
  REQUIRE(d.Add(1, Units(1, 200)).ok());
  CHECK(d.Assign().size() == 8);  // What a new actor may hold.
  CHECK(d.Accept(first, ResultOf(Key(1, 0))) == Outcome::kUsed);
  c.Join();
  CHECK(Given(&d).starts_with("2:1/0 "));
}

TEST_CASE("checks: an auditor on another host is preferred", "[unit]") {
  Checked c;
  auto& d = c.dispatcher;
  const ActorId first = c.Join("rack");
  REQUIRE(d.Add(1, Units(1, 2)).ok());
  CHECK(Given(&d) == "1:1/0 1:1/1");
  CHECK(d.Accept(first, ResultOf(Key(1, 0))) == Outcome::kUsed);
  c.Join("rack");
  const ActorId far = c.Join("elsewhere");
  CHECK(Given(&d) == "3:1/0");
  d.RemoveActor(far);
  CHECK(Given(&d) == "2:1/0");  // Better than none.
}

TEST_CASE("checks: a third actor decides; only the liar is kept away, for good", "[unit]") {
  Checked c;
  auto& d = c.dispatcher;
  const ActorId liar = c.Join();
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  REQUIRE(d.Add(2, Units(2, 1)).ok());
  CHECK(Given(&d) == "1:1/0 1:2/0");
  CHECK(d.Accept(liar, ResultOf(Key(1, 0), "lie")) == Outcome::kUsed);
  CHECK(d.Accept(liar, ResultOf(Key(2, 0), "truth")) == Outcome::kUsed);
  const ActorId honest = c.Join();
  const bool liar_is_first = GENERATE(true, false);
  CHECK(Given(&d) == "2:1/0 2:2/0");
  const ActorId third = c.Join();
  if (!liar_is_first) CHECK(d.Accept(honest, ResultOf(Key(2, 0), "truth")) == Outcome::kDuplicate);
  CHECK(d.Accept(honest, ResultOf(Key(1, 0), "truth")) == Outcome::kDivergent);
  CHECK(d.HasOpenChecks(2));  // It used a suspect.
  REQUIRE(d.Add(3, Units(3, 1)).ok());
  CHECK(Given(&d) == "3:1/0 3:3/0");  // Suspects get nothing.
  CHECK(d.Accept(third, ResultOf(Key(1, 0), "truth")) == Outcome::kDivergent);
  CHECK(c.FoundOut() == "actor 1 on  computed a unit wrongly, as two others agree: 1 2");
  CHECK(d.InQuarantine(liar));
  CHECK_FALSE(d.InQuarantine(honest));
  CHECK_FALSE(d.InQuarantine(third));
  // Both shards begin again, however right a part of their units was.
  CHECK(absl::IsAborted(d.Take(1)->status()));
  CHECK(absl::IsAborted(d.Take(2)->status()));
  CHECK_FALSE(d.TaintOf(2).empty());
  CHECK(d.TaintOf(3).empty());
  c.clock.Advance(std::chrono::hours(24));
  for (const auto& given : d.Assign()) CHECK(given.actor != liar);
  CHECK(d.InQuarantine(liar));
  d.RemoveActor(liar);
  d.AddActor(ActorId{9}, {.uid = "1"});
  CHECK(d.InQuarantine(ActorId{9}));
}

TEST_CASE("checks: of two alone nobody is right, and both begin again later", "[unit]") {
  Checked c;
  auto& d = c.dispatcher;
  const ActorId first = c.Join("a"), second = c.Join("b");
  REQUIRE(d.Add(1, Units(1, 3)).ok());
  CHECK(Given(&d) == "2:1/0 1:1/1 2:1/2");
  CHECK(d.Accept(second, ResultOf(Key(1, 0), "lie")) == Outcome::kUsed);
  CHECK(Given(&d) == "1:1/0");
  CHECK(d.Accept(first, ResultOf(Key(1, 0), "truth")) == Outcome::kDivergent);
  CHECK(d.Assign().empty());
  CHECK(c.FoundOut() ==
        "actors 1 on a and 2 on b gave different results of a unit, and no other actor was there "
        "to decide: 1");
  CHECK(d.InQuarantine(first));
  CHECK(d.InQuarantine(second));
  CHECK(d.quarantines() == 2);
  // What was under way proves nothing.
  CHECK(d.Accept(second, ResultOf(Key(1, 2), "truth")) == Outcome::kUsed);
  CHECK(d.InQuarantine(second));
  CHECK(absl::IsAborted(d.Take(1)->status()));
  static_cast<void>(d.Cancel(1));
  REQUIRE(d.Add(2, Units(2, 1)).ok());
  CHECK(d.Assign().empty());
  c.clock.Advance(seconds(30));
  CHECK_FALSE(d.Assign().empty());
}

TEST_CASE("checks: who is in one dispute decides another", "[unit]") {
  Checked c;
  auto& d = c.dispatcher;
  const ActorId liar = c.Join();
  REQUIRE(d.Add(1, Units(1, 2)).ok());
  CHECK(Given(&d) == "1:1/0 1:1/1");
  CHECK(d.Accept(liar, ResultOf(Key(1, 0), "lie")) == Outcome::kUsed);
  CHECK(d.Accept(liar, ResultOf(Key(1, 1), "lie")) == Outcome::kUsed);
  const ActorId second = c.Join(), third = c.Join();
  CHECK(Given(&d) == "3:1/0 2:1/1");
  CHECK(d.Accept(second, ResultOf(Key(1, 1), "truth")) == Outcome::kDivergent);
  CHECK(d.Accept(third, ResultOf(Key(1, 0), "truth")) == Outcome::kDivergent);
  CHECK(Given(&d) == "2:1/0 3:1/1");
  CHECK(d.Accept(second, ResultOf(Key(1, 0), "truth")) == Outcome::kDivergent);
  CHECK(c.FoundOut() == "actor 1 on  computed a unit wrongly, as two others agree: 1");
  CHECK_FALSE(d.InQuarantine(second));
  CHECK_FALSE(d.InQuarantine(third));
  CHECK(d.Accept(third, ResultOf(Key(1, 1), "truth")) == Outcome::kLate);
  REQUIRE(d.Add(2, Units(2, 1)).ok());
  CHECK(d.Assign().size() == 1);
}

TEST_CASE("checks: a late copy that differs is decided in the same way", "[unit]") {
  Checked c(0);
  auto& d = c.dispatcher;
  const auto [slow, fast] = c.GiveTwice();
  CHECK(d.Accept(fast, ResultOf(Key(1, 0), "truth")) == Outcome::kUsed);
  CHECK(d.Take(1)->ok());
  const ActorId third = c.Join();
  CHECK(d.Accept(slow, ResultOf(Key(1, 0), "lie")) == Outcome::kDivergent);
  CHECK(Given(&d) == "3:1/0");
  CHECK(d.Accept(third, ResultOf(Key(1, 0), "truth")) == Outcome::kDuplicate);
  CHECK(c.FoundOut() == "actor 1 on  computed a unit wrongly, as two others agree:");
  CHECK(d.TaintOf(1).empty());  // It used the right one.
  CHECK_FALSE(d.InQuarantine(fast));
}

TEST_CASE("checks: an auditor that fails, goes or keeps its unit holds nothing up", "[unit]") {
  Checked c;
  auto& d = c.dispatcher;
  const ActorId first = c.Join();
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  CHECK(Given(&d) == "1:1/0");
  c.clock.Advance(seconds(1));
  CHECK(d.Accept(first, ResultOf(Key(1, 0))) == Outcome::kUsed);
  CHECK(d.Take(1)->ok());
  const ActorId second = c.Join();
  CHECK(Given(&d) == "2:1/0");
  SECTION("it fails") {
    CHECK(d.Accept(second, ErrorOf(Key(1, 0), "sick")) == Outcome::kError);
  }
  SECTION("it goes") {
    d.RemoveActor(second);
  }
  SECTION("it says nothing") {
    c.clock.Advance(seconds(59));
    CHECK(d.Assign().empty());
    CHECK_FALSE(d.HasOpenChecks(1));  // It may still answer, but nobody waits.
    c.clock.Advance(seconds(2));
    CHECK(d.Assign().empty());
  }
  CHECK_FALSE(d.HasOpenChecks(1));
  const ActorId third = c.Join();
  CHECK(Given(&d) == "3:1/0");
  CHECK(d.Accept(third, ResultOf(Key(1, 0))) == Outcome::kDuplicate);
  CHECK_FALSE(d.HasOpenChecks(1));
}

TEST_CASE("checks: none waits for a newcomer that is silent about units of others (D4)", "[unit]") {
  Checked c;
  auto& d = c.dispatcher;
  const ActorId first = c.Join();
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  CHECK(Given(&d) == "1:1/0");
  CHECK(d.Accept(first, ResultOf(Key(1, 0))) == Outcome::kUsed);
  CHECK(d.Take(1)->ok());
  d.EndChecks(1);
  const ActorId second{++c.actors};
  d.AddActor(second, {.uid = "silent"});
  REQUIRE(d.Offer(second, 1).ok());
  d.Leaving(first);  // The newcomer gets the next unit, and has no room for more.
  REQUIRE(d.Add(2, Units(2, 2)).ok());
  CHECK(Given(&d) == "2:2/0");
  const ActorId third = c.Join();
  CHECK(Given(&d) == "3:2/1");
  CHECK(d.Accept(third, ResultOf(Key(2, 1))) == Outcome::kUsed);
  CHECK(d.HasOpenChecks(2));
  SECTION("another one has done its unit") {
    c.clock.Advance(std::chrono::milliseconds(500));
    CHECK(Given(&d) == "3:2/0");
    CHECK(d.Accept(third, ResultOf(Key(2, 0))) == Outcome::kUsed);
  }
  SECTION("its shard is cancelled") {
    d.Cancel(2);
    REQUIRE(d.Add(3, Units(3, 1)).ok());
    CHECK(Given(&d) == "3:3/0");
    CHECK(d.Accept(third, ResultOf(Key(3, 0))) == Outcome::kUsed);
    CHECK(d.HasOpenChecks(3));
    CHECK(d.NextChange() == c.clock.time + std::chrono::milliseconds(500));
    c.clock.Advance(std::chrono::milliseconds(500));
  }
  CHECK(d.Assign().empty());
  CHECK_FALSE(d.HasOpenChecks(2));
  CHECK_FALSE(d.HasOpenChecks(3));
}

TEST_CASE("checks: an actor does not confirm itself, and who contradicts itself is found out",
          "[unit]") {
  const bool lies = GENERATE(false, true);
  Checked c;
  auto& d = c.dispatcher;
  const ActorId first = c.Join("rack");
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  CHECK(Given(&d) == "1:1/0");
  c.clock.Advance(seconds(5));
  CHECK(d.Assign().empty());
  c.clock.Advance(seconds(55));
  CHECK(Given(&d) == "1:1/0");  // It seems to have lost the unit.
  CHECK(d.Accept(first, ResultOf(Key(1, 0), "truth")) == Outcome::kUsed);
  CHECK(d.num_checks() == 1);
  const Outcome outcome = d.Accept(first, ResultOf(Key(1, 0), lies ? "lie" : "truth"));
  if (lies) {
    CHECK(outcome == Outcome::kDivergent);
    CHECK(c.FoundOut() == "actor 1 on rack gave two results of one unit that differ: 1");
    CHECK(d.num_checks() == 0);
    CHECK(absl::IsAborted(d.Take(1)->status()));
  } else {
    CHECK(outcome == Outcome::kDuplicate);
    CHECK(c.FoundOut().empty());
    CHECK(d.num_checks() == 1);
  }
  CHECK(d.InQuarantine(first) == lies);
}

TEST_CASE("checks: a liar that has gone meanwhile is kept away when it comes back", "[unit]") {
  Checked c;
  auto& d = c.dispatcher;
  const ActorId liar = c.Join();
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  CHECK(Given(&d) == "1:1/0");
  CHECK(d.Accept(liar, ResultOf(Key(1, 0), "lie")) == Outcome::kUsed);
  const ActorId honest = c.Join();
  CHECK(Given(&d) == "2:1/0");
  CHECK(d.Accept(honest, ResultOf(Key(1, 0), "truth")) == Outcome::kDivergent);
  const ActorId third = c.Join();
  CHECK(Given(&d) == "3:1/0");
  d.RemoveActor(liar);
  CHECK(d.Accept(third, ResultOf(Key(1, 0), "truth")) == Outcome::kDivergent);
  CHECK(d.quarantines() == 0);  // It is not here.
  d.AddActor(ActorId{9}, {.uid = "1"});
  c.clock.Advance(std::chrono::hours(24));
  CHECK(d.InQuarantine(ActorId{9}));
}

TEST_CASE("checks: a shard waits until 64 of its checks are open", "[unit]") {
  Checked c;
  auto& d = c.dispatcher;
  const ActorId first = c.Join();
  REQUIRE(d.Add(1, Units(1, 66)).ok());
  while (d.counts().ready + d.counts().outstanding > 0) {
    const auto given = d.Assign();
    REQUIRE_FALSE(given.empty());
    for (const auto& unit : given) CHECK(d.Accept(first, ResultOf(unit.key)) == Outcome::kUsed);
  }
  CHECK(d.num_checks() == 66);
  CHECK(d.Settled(1));  // As long as nobody can make them.
  const ActorId second = c.Join();
  CHECK_FALSE(d.Take(1).has_value());
  const auto checks = d.Assign();
  REQUIRE(checks.size() == 8);
  CHECK(d.Accept(second, ResultOf(checks[0].key)) == Outcome::kDuplicate);
  CHECK_FALSE(d.Settled(1));
  CHECK(d.Accept(second, ResultOf(checks[1].key)) == Outcome::kDuplicate);
  CHECK(d.Settled(1));
  CHECK(d.Take(1)->ok());
}

TEST_CASE("checks: a unit that is done anew under its name has no check of the run before",
          "[unit]") {
  Checked c;
  auto& d = c.dispatcher;
  const ActorId first = c.Join();
  for (int run = 0; run < 2; ++run) {
    REQUIRE(d.Add(1, Units(1, 1)).ok());
    CHECK(d.num_checks() == 0);
    CHECK(Given(&d) == "1:1/0");
    CHECK(d.Accept(first, ResultOf(Key(1, 0))) == Outcome::kUsed);
    CHECK(d.num_checks() == 1);
    CHECK(d.Take(1)->ok());
  }
}

TEST_CASE("checks: the end of a shard drops its idle checks alone", "[unit]") {
  Checked c;
  auto& d = c.dispatcher;
  const ActorId first = c.Join();
  REQUIRE(d.Add(1, Units(1, 2)).ok());
  REQUIRE(d.Add(2, Units(2, 1)).ok());
  CHECK(Given(&d) == "1:1/0 1:1/1 1:2/0");
  for (const UnitKey& key : {Key(1, 0), Key(1, 1), Key(2, 0)})
    CHECK(d.Accept(first, ResultOf(key)) == Outcome::kUsed);
  d.AddActor(kSecond, {.uid = "2"});
  REQUIRE(d.Offer(kSecond, 1).ok());
  CHECK(Given(&d) == "2:1/0");
  d.EndChecks(1);
  CHECK(d.num_checks() == 2);  // One is at work, one is of another shard.
  CHECK(d.checks_ended() == 1);
  REQUIRE(d.Offer(kSecond, 5).ok());
  CHECK(Given(&d) == "2:2/0");
}

TEST_CASE("checks: units of a simulator are checked where it is", "[unit]") {
  Checked c;
  auto& d = c.dispatcher;
  const auto join = [&](uint64_t number, const std::set<std::string>& env_hosts) {
    d.AddActor(ActorId{number}, {.uid = std::to_string(number), .env_hosts = env_hosts});
    REQUIRE(d.Offer(ActorId{number}, 1).ok());
  };
  std::vector<v1::Unit> units = Units(1, 1);
  units[0].mutable_task()->set_environment("host");
  v1::Option* const option = units[0].mutable_task()->add_options();
  option->set_name("host");
  option->set_value("gym");
  REQUIRE(d.Add(1, std::move(units)).ok());
  join(1, {"gym"});
  CHECK(Given(&d) == "1:1/0");
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 0))) == Outcome::kUsed);
  join(2, {});
  CHECK(d.Assign().empty());
  CHECK_FALSE(d.HasOpenChecks(1));
  join(3, {"gym"});
  CHECK(d.HasOpenChecks(1));
  CHECK(Given(&d) == "3:1/0");
}

TEST_CASE("checks: late copies are compared with the last 4096 results", "[unit]") {
  const uint32_t others = GENERATE(4095u, 4096u);
  Checked c(0);
  auto& d = c.dispatcher;
  const auto [slow, fast] = c.GiveTwice();
  CHECK(d.Accept(fast, ResultOf(Key(1, 0))) == Outcome::kUsed);
  REQUIRE(d.Add(2, Units(2, others)).ok());
  while (!d.Settled(2)) {
    const auto given = d.Assign();
    REQUIRE_FALSE(given.empty());
    for (const auto& unit : given) {
      REQUIRE(d.Accept(fast, ResultOf(unit.key)) == Outcome::kUsed);
      REQUIRE(d.Offer(fast, 1).ok());
    }
  }
  CHECK(d.Accept(slow, ResultOf(Key(1, 0))) ==
        (others == 4095 ? Outcome::kDuplicate : Outcome::kLate));
}

TEST_CASE("checks: each experiment has some, and later ones follow the sample", "[unit]") {
  int late = 0;
  constexpr int kTrials = 50;
  for (int trial = 0; trial < kTrials; ++trial) {
    Checked c(1000);
    auto& d = c.dispatcher;
    const ActorId first = c.Join();
    const auto run = [&](uint64_t shard, uint32_t count) {
      REQUIRE(d.Add(shard, Units(shard, count)).ok());
      for (uint32_t i = 0; i < count; ++i) {
        for (const auto& given : d.Assign())
          CHECK(d.Accept(given.actor, ResultOf(given.key)) == Outcome::kUsed);
        REQUIRE(d.Offer(first, 1).ok());
        if (d.Settled(shard)) break;
      }
      REQUIRE(d.Take(shard)->ok());
    };
    run(1, 1);
    c.Join();
    CHECK(Given(&d) == "2:1/0");
    d.RemoveActor(ActorId{2});
    d.EndChecks(1);
    run(2, 90);
    CHECK(d.num_checks() >= 5);   // One of 1, of 2-3, of 4-7, ... of 32-63.
    CHECK(d.num_checks() <= 20);  // The spans of the actor come on top.
    late += static_cast<int>(d.num_checks());
  }
  INFO(late);
  CHECK(late > 5 * kTrials);
}

}  // namespace mentor::learner::TEST_FILE
