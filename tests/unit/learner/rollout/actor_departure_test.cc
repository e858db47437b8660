// Actors that leave, break off and come back: where their units go, and what counts against them.
#include "common/failed_step.h"
#include "learner/rollout/unit_dispatcher.h"
#include "tests/dispatched_units.h"
#include "tests/testing.h"

namespace mentor::learner::TEST_FILE {

using namespace testing::units;  // NOLINT

TEST_CASE("dispatcher: who says that it leaves and then breaks off costs no unit and no strike",
          "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, Units(1, 3)).ok());
  d.AddActor(kFirst, {.uid = "a", .host = "one"});
  REQUIRE(d.Offer(kFirst, 3).ok());
  CHECK(Given(&d) == "1:1/0 1:1/1 1:1/2");
  d.Leaving(kFirst);  // ready 0 1 2
  d.AddActor(kSecond, {.uid = "b", .host = "two"});
  REQUIRE(d.Offer(kSecond, 1).ok());
  CHECK(Given(&d) == "2:1/0");  // ready 1 2, out 0
  CHECK(d.NumHeld(kFirst) == 3);
  d.RemoveActor(kFirst);
  CHECK(d.counts().ready == 2);
  CHECK(d.counts().outstanding == 1);
  CHECK(d.reissued() == std::map<std::string, uint64_t>{{"leaving", 3}});
  REQUIRE(d.Offer(kSecond, 3).ok());
  CHECK(Given(&d) == "2:1/1 2:1/2");  // Each once.
  for (uint32_t unit : {0, 1, 2})
    CHECK(d.Accept(kSecond, ResultOf(Key(1, unit))) == Outcome::kUsed);
  CHECK(d.Take(1)->ok());
  CHECK(d.quarantines() == 0);
  d.AddActor(kThird, {.uid = "a", .host = "one"});
  CHECK(d.StandingOf(kThird)->strikes() == 0);
  CHECK(d.StandingOf(kThird)->window() == 8);
}

// An actor "a" on host "one" with one strike: another one could do what it failed at.
void Strike(UnitDispatcher* d) {
  d->AddActor(kFirst, {.uid = "a", .host = "one"});
  d->AddActor(kSecond, {.uid = "b"});
  REQUIRE(d->Offer(kFirst, 2).ok());
  REQUIRE(d->Add(1, Units(1, 1)).ok());
  CHECK(Given(d) == "1:1/0");
  CHECK(d->Accept(kFirst, ErrorOf(Key(1, 0), "no")) == Outcome::kError);
  REQUIRE(d->Offer(kSecond, 1).ok());
  CHECK(Given(d) == "2:1/0");
  CHECK(d->Accept(kSecond, ResultOf(Key(1, 0))) == Outcome::kUsed);
  CHECK(d->StandingOf(kFirst)->strikes() == 1);
}

TEST_CASE("dispatcher: a goodbye leaves its strikes to the actor alone, a loss to its host too",
          "[unit]") {
  const bool says_goodbye = GENERATE(true, false);
  Fixture f;
  auto& d = f.dispatcher;
  Strike(&d);
  if (says_goodbye) d.Leaving(kFirst);
  d.RemoveActor(kFirst);
  d.AddActor(kThird, {.uid = "c", .host = "one"});
  CHECK(d.StandingOf(kThird)->strikes() == (says_goodbye ? 0 : 1));
  d.AddActor(ActorId{4}, {.uid = "a", .host = "another"});
  CHECK(d.StandingOf(ActorId{4})->strikes() == 1);
}

TEST_CASE("dispatcher: a host inherits strikes for less than 30 s, and once", "[unit]") {
  const bool is_late = GENERATE(false, true);
  Fixture f;
  auto& d = f.dispatcher;
  Strike(&d);
  d.RemoveActor(kFirst);
  f.clock.Advance(seconds(30) - nanoseconds(is_late ? 0 : 1));
  d.AddActor(kThird, {.uid = "c", .host = "one"});
  CHECK(d.StandingOf(kThird)->strikes() == (is_late ? 0 : 1));
  d.AddActor(ActorId{4}, {.uid = "d", .host = "one"});
  CHECK(d.StandingOf(ActorId{4})->strikes() == 0);
}

TEST_CASE("dispatcher: what another actor has finished is not lost with who still holds it",
          "[unit]") {
  const bool is_done = GENERATE(true, false);
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, Units(1, 1)).ok());
  d.AddActor(kFirst, {.uid = "slow"});
  d.AddActor(kSecond, {.uid = "fast"});
  REQUIRE(d.Offer(kFirst, 1).ok());
  CHECK(Given(&d) == "1:1/0");
  REQUIRE(d.Offer(kSecond, 1).ok());
  f.clock.Advance(seconds(5));
  CHECK(Given(&d) == "2:1/0");
  if (is_done) CHECK(d.Accept(kSecond, ResultOf(Key(1, 0))) == Outcome::kUsed);
  d.RemoveActor(kFirst);
  CHECK(d.reissued() == std::map<std::string, uint64_t>{{"lagging", 1}});
  d.AddActor(kThird, {.uid = "slow"});
  CHECK(d.StandingOf(kThird)->strikes() == (is_done ? 0 : 1));
}

TEST_CASE("dispatcher: the simulator of an actor that leaves or was refused is missing", "[unit]") {
  const bool is_refused = GENERATE(false, true);
  Fixture f;
  auto& d = f.dispatcher;
  std::vector<v1::Unit> units = Units(1, 1);
  units[0].mutable_task()->set_environment("host");
  v1::Option* const option = units[0].mutable_task()->add_options();
  option->set_name("host");
  option->set_value("gym");
  REQUIRE(d.Add(1, std::move(units)).ok());
  d.AddActor(kFirst, {.uid = "a", .env_hosts = {"gym"}});
  CHECK(d.MissingHost(1).empty());
  if (is_refused) {
    d.Refuse(kFirst);
  } else {
    d.Leaving(kFirst);
  }
  CHECK(d.MissingHost(1) == "gym");
  CHECK(d.NumReadyFor({"gym"}) == 1);
}

TEST_CASE("dispatcher: an actor that is busy may yet confirm a step that no actor can make",
          "[unit]") {
  const std::string error = "mjcf: no finite number" + std::string(kFailedStepRemedy);
  Fixture f;
  auto& d = f.dispatcher;
  REQUIRE(d.Add(1, Units(1, 2)).ok());
  for (const ActorId actor : {kFirst, kSecond}) {
    d.AddActor(actor, {.uid = std::to_string(static_cast<uint64_t>(actor))});
    REQUIRE(d.Offer(actor, 1).ok());
  }
  CHECK(Given(&d) == "2:1/0 1:1/1");
  CHECK(d.Accept(kFirst, ErrorOf(Key(1, 1), error)) == Outcome::kError);
  CHECK_FALSE(d.Settled(1));  // The second one has no room, but work.
  CHECK(d.Accept(kSecond, ResultOf(Key(1, 0))) == Outcome::kUsed);
  REQUIRE(d.Offer(kSecond, 1).ok());
  CHECK(Given(&d) == "2:1/1");
  CHECK(d.Accept(kSecond, ErrorOf(Key(1, 1), error)) == Outcome::kError);
  CHECK_FALSE(d.Take(1)->ok());
}

}  // namespace mentor::learner::TEST_FILE
