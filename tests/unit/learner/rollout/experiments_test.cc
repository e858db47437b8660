// Several experiments at one dispatcher: which units belong together, which experiments wait, and
// which are forgotten.
#include <string>
#include <vector>

#include "common/fair_queue.h"
#include "common/status.h"
#include "learner/rollout/unit_dispatcher.h"
#include "tests/dispatched_units.h"
#include "tests/testing.h"

namespace mentor::learner::TEST_FILE {

using namespace testing::units;  // NOLINT

std::vector<v1::Unit> UnitsOf(const std::string& experiment, uint64_t shard, uint32_t count) {
  std::vector<v1::Unit> units = Units(shard, count);
  for (v1::Unit& unit : units) *unit.mutable_share() = mentor::ToProto(experiment, {});
  return units;
}

TEST_CASE("dispatcher: the units of a shard are of one experiment", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  std::vector<v1::Unit> units = UnitsOf("a", 1, 2);
  units[1].mutable_share()->set_experiment("b");
  const absl::Status refused = d.Add(1, std::move(units));
  CHECK(absl::IsInvalidArgument(refused));
  CHECK(refused.message() == "unit 1/0/1/0 is of b, others of its shard are of a");
  CHECK(d.counts().ready == 0);
  CHECK(d.Add(1, UnitsOf("a", 1, 2)).ok());
}

TEST_CASE("dispatcher: an experiment whose units only fail waits for 2 s at most", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst, {.uid = "first"});
  REQUIRE(d.Offer(kFirst, 8).ok());
  REQUIRE(d.Add(1, UnitsOf("sick", 1, 9)).ok());
  REQUIRE(d.Assign().size() == 8);
  // From the third on the wait is 0.1 s, 0.2 s, ... 1.6 s, and then not 3.2 s.
  for (uint32_t unit = 0; unit < 8; ++unit)
    CHECK(d.Accept(kFirst, ErrorOf(Key(1, unit), "x")) == Outcome::kError);
  REQUIRE(d.Offer(kFirst, 1).ok());
  f.clock.time = seconds(2) - nanoseconds(1);
  CHECK(d.Assign().empty());
  f.clock.time = seconds(2);
  CHECK(d.Assign().size() == 1);
}

TEST_CASE("dispatcher: after an experiment's first success its earlier failures count no more",
          "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  const auto offer = [&] {
    for (const ActorId actor : {kFirst, kSecond, kThird}) REQUIRE(d.Offer(actor, 1).ok());
  };
  for (const ActorId actor : {kFirst, kSecond, kThird})
    d.AddActor(actor, {.uid = std::to_string(static_cast<uint64_t>(actor))});
  // All are in good standing.
  offer();
  REQUIRE(d.Add(3, UnitsOf("well", 3, 3)).ok());
  for (const auto& assignment : d.Assign())
    CHECK(d.Accept(assignment.actor, ResultOf(assignment.key)) == Outcome::kUsed);
  offer();
  REQUIRE(d.Add(1, UnitsOf("late", 1, 3)).ok());
  for (const auto& assignment : d.Assign())
    CHECK(d.Accept(assignment.actor, ErrorOf(assignment.key, "x")) == Outcome::kError);
  REQUIRE(d.Settled(1));
  CHECK(ReasonOf(d.Take(1)->status()) == "UNIT_FAILED");
  f.clock.Advance(seconds(1));
  offer();
  REQUIRE(d.Add(2, UnitsOf("late", 2, 3)).ok());
  const auto second = d.Assign();
  REQUIRE(second.size() == 3);
  CHECK(d.Accept(second[0].actor, ResultOf(second[0].key)) == Outcome::kUsed);
  CHECK(d.Accept(second[1].actor, ErrorOf(second[1].key, "x")) == Outcome::kError);
  CHECK_FALSE(d.Settled(2));
}

TEST_CASE("dispatcher: while a unit waits for another actor, lagging ones do not go out twice",
          "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst, {.uid = "first"});
  d.AddActor(kSecond, {.uid = "second"});
  REQUIRE(d.Add(1, UnitsOf("a", 1, 3)).ok());
  REQUIRE(d.Offer(kSecond, 2).ok());
  CHECK(Given(&d) == "2:1/0 2:1/1");
  REQUIRE(d.Offer(kFirst, 1).ok());
  CHECK(Given(&d) == "1:1/2");
  f.clock.Advance(seconds(1));
  CHECK(d.Accept(kFirst, ErrorOf(Key(1, 2), "x")) == Outcome::kError);
  CHECK(d.Accept(kSecond, ResultOf(Key(1, 1))) == Outcome::kUsed);
  REQUIRE(d.Offer(kFirst, 1).ok());
  // The first actor failed at unit 2, and has room for unit 0, which lags at the second.
  f.clock.Advance(seconds(5));
  CHECK(d.Assign().empty());
  REQUIRE(d.Offer(kSecond, 1).ok());
  CHECK(Given(&d) == "2:1/2 1:1/0");
}

TEST_CASE("dispatcher: of many experiments only those without work are forgotten", "[unit]") {
  Fixture f;
  auto& d = f.dispatcher;
  d.AddActor(kFirst, {.uid = "first"});
  REQUIRE(d.Offer(kFirst, 200).ok());
  REQUIRE(d.Add(1, UnitsOf("keeps", 1, 1)).ok());
  CHECK(Given(&d) == "1:1/0");
  for (uint64_t shard = 2; shard <= 100; ++shard) {
    REQUIRE(d.Add(shard, UnitsOf("passes " + std::to_string(shard), shard, 1)).ok());
    REQUIRE(d.Assign().size() == 1);
    CHECK(d.Accept(kFirst, ResultOf(Key(shard, 0))) == Outcome::kUsed);
    CHECK(d.Take(shard)->ok());
  }
  CHECK(d.Accept(kFirst, ResultOf(Key(1, 0))) == Outcome::kUsed);
  CHECK(d.Take(1)->ok());
}

}  // namespace mentor::learner::TEST_FILE
