// The rollout server and actors that the test plays: which checks a shard waits for, when they end,
// and actors that are to leave.
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <vector>

#include <absl/cleanup/cleanup.h>

#include "actor/unit_runner.h"
#include "learner/rollout/rollout_server.h"
#include "tests/fake_actor.h"
#include "tests/learner_side.h"
#include "tests/mailbox.h"
#include "tests/testing.h"
#include "tests/units.h"

namespace mentor::learner::TEST_FILE {

using testing::FakeActor;
using testing::kGoOn;
using testing::kPatience;
using testing::LearnerSide;
using testing::PointReachUnit;
using testing::Run;
using testing::Signal;

// Every unit is checked, and none lags during a test.
RolloutServer::Options WithChecks() {
  RolloutServer::Options options{.catalogue_hash = "c", .numeric_fingerprint = "n"};
  options.dispatcher.check_every = 1;
  options.dispatcher.lag_min = options.dispatcher.newcomer_lag_min = std::chrono::minutes(10);
  return options;
}

std::vector<v1::Unit> OneUnit(uint64_t shard) {
  std::vector<v1::Unit> units = {PointReachUnit(0, 7)};
  units[0].mutable_id()->set_shard(shard);
  return units;
}

v1::Unit NextUnit(FakeActor* actor) {
  const std::optional<v1::WorkResponse> message = actor->Read();
  REQUIRE((message && message->has_unit()));
  return message->unit();
}

// Sends the result and offers no further credit.
void Answer(FakeActor* actor, const v1::Unit& unit) {
  v1::WorkRequest message;
  *message.mutable_result() = actor::UnitRunner().Run(unit);
  actor->stream->Write(message);
}

TEST_CASE("rollout server: a result's check goes to an idle actor at once", "[loopback]") {
  LearnerSide learner(WithChecks());
  FakeActor first(learner), idle(learner);
  first.Join(/*credit=*/1);
  Run one(learner, OneUnit(1));
  const v1::Unit unit = NextUnit(&first);
  idle.Join();
  Run two(learner, OneUnit(2));
  CHECK(NextUnit(&idle).id().shard() == 2);
  Answer(&first, unit);
  CHECK(NextUnit(&idle).id().shard() == 1);
}

TEST_CASE("rollout server: a shard waits for a check until the only other actor is to leave",
          "[loopback]") {
  LearnerSide learner(WithChecks());
  FakeActor busy(learner), first(learner);
  busy.Join(/*credit=*/1);
  Run one(learner, OneUnit(1));
  CHECK(NextUnit(&busy).id().shard() == 1);
  first.Join();
  Run two(learner, OneUnit(2));
  Answer(&first, NextUnit(&first));
  CHECK(two.Get().ok());
  auto checked =
      std::async(std::launch::async, [&] { return learner.rollout.AwaitChecks(2, kGoOn); });
  const absl::Cleanup ends = [&] { learner.rollout.Stop(); };
  CHECK(checked.wait_for(std::chrono::milliseconds(50)) == std::future_status::timeout);
  v1::WorkRequest leaving;
  leaving.mutable_leaving();
  busy.stream->Write(leaving);
  REQUIRE(checked.wait_for(kPatience) == std::future_status::ready);
  CHECK(checked.get().ok());
}

TEST_CASE("rollout server: the checks of a shard that has ended are given to no actor",
          "[loopback]") {
  LearnerSide learner(WithChecks());
  auto first = std::make_unique<FakeActor>(learner);
  first->Join();
  Run one(learner, OneUnit(1));
  Answer(first.get(), NextUnit(first.get()));
  CHECK(one.Get().ok());
  learner.rollout.ForgetChecks(1);
  first.reset();
  Signal().WaitUntil([&] { return learner.rollout.actors() == 0; });
  Run two(learner, OneUnit(2));
  FakeActor second(learner);
  second.Join();
  CHECK(NextUnit(&second).id().shard() == 2);  // Checks would come first.
}

TEST_CASE("rollout server: an actor is told to finish its units and leave, by its name",
          "[loopback]") {
  LearnerSide learner(WithChecks());
  FakeActor actor(learner);
  actor.Join();
  CHECK_FALSE(learner.rollout.Drain("actors/another"));
  CHECK(learner.rollout.Drain(learner.rollout.Peers().at(0).name()));
  const auto told = actor.Read();
  CHECK((told && told->has_drain()));
}

}  // namespace mentor::learner::TEST_FILE
