// Checks of a learner's reports about its actors.
#include <functional>
#include <limits>
#include <string>

#include "common/protocol.h"
#include "meta_learner/fleet/shard_service.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

constexpr int64_t kNow = 1'800'000'000;

v1::Peer Good(const std::string& uid = "a") {
  v1::Peer actor;
  actor.set_name("actors/" + uid);
  actor.set_host("a host");
  actor.set_build("1.0");
  actor.set_threads(4);
  actor.set_work(3);
  actor.set_units(9);
  actor.set_strikes(2);
  actor.set_draining(true);
  actor.set_quarantined(true);
  actor.set_env_steps_per_second(12.5);
  actor.set_catalogue_hash("hash");
  actor.add_hosts("gym");
  actor.mutable_round_trip()->set_nanos(5000);
  actor.mutable_connect_time()->set_seconds(kNow - 60);
  return actor;
}

ActorReports Reports(const std::vector<v1::Peer>& actors) {
  v1::FleetReport fleet;
  for (const v1::Peer& actor : actors) *fleet.add_actors() = actor;
  return CheckedActors(fleet, absl::FromUnixSeconds(kNow));
}

// Returns the accepted form of a good report after this change.
v1::Peer Believed(const std::function<void(v1::Peer*)>& change) {
  v1::Peer actor = Good();
  change(&actor);
  const ActorReports reports = Reports({actor});
  INFO(reports.why);
  REQUIRE(reports.actors.size() == 1);
  return reports.actors[0];
}
std::string Refused(const std::function<void(v1::Peer*)>& change) {
  v1::Peer actor = Good();
  change(&actor);
  const ActorReports reports = Reports({actor});
  CHECK(reports.actors.empty());
  CHECK(reports.left_out == 1);
  return reports.why;
}

TEST_CASE("actor reports: all that an actor has is told, and nothing else", "[unit]") {
  const v1::Peer said = Good();
  CHECK(Reports({said}).actors.at(0).SerializeAsString() == said.SerializeAsString());
  // What learners have.
  const v1::Peer shown = Believed([](v1::Peer* actor) {
    actor->set_arithmetic("cpu bits");
    actor->set_memory_bytes(7);
  });
  CHECK(shown.arithmetic().empty());
  CHECK(shown.memory_bytes() == 0);
}

TEST_CASE("actor reports: names and texts are plain, and threads are few", "[unit]") {
  for (const char* name : {"", "actors/", "learners/a", "actors/a/b", "a", "actors/a\nb"}) {
    INFO(name);
    CHECK_FALSE(Refused([&](v1::Peer* actor) { actor->set_name(name); }).empty());
  }
  CHECK(Refused([](v1::Peer* actor) { actor->set_host("a\x1b[31m"); }).find("actor.host") == 0);
  CHECK_FALSE(Refused([](v1::Peer* actor) {
                actor->set_build(std::string(kPeerTextBytesMax + 1, 'b'));
              }).empty());
  CHECK_FALSE(Refused([](v1::Peer* actor) { actor->set_catalogue_hash("\n"); }).empty());
  CHECK_FALSE(Refused([](v1::Peer* actor) { actor->add_hosts("No Name"); }).empty());
  CHECK(Refused([](v1::Peer* actor) {
          actor->set_threads(kPeerThreadsMax + 1);
        }).find("actor.threads") == 0);
  CHECK(Believed([](v1::Peer* actor) { actor->set_threads(kPeerThreadsMax); }).threads() ==
        kPeerThreadsMax);
}

TEST_CASE("actor reports: numbers and times make sense", "[unit]") {
  const auto rate = [](double said) {
    return Believed([=](v1::Peer* actor) { actor->set_env_steps_per_second(said); })
        .env_steps_per_second();
  };
  CHECK(rate(3) == 3);
  CHECK(rate(-1) == 0);
  CHECK(rate(std::numeric_limits<double>::infinity()) == 0);
  CHECK(rate(std::numeric_limits<double>::quiet_NaN()) == 0);
  const auto connected = [](int64_t seconds, int32_t nanos) {
    return Believed([=](v1::Peer* actor) {
             actor->mutable_connect_time()->set_seconds(seconds);
             actor->mutable_connect_time()->set_nanos(nanos);
           })
        .connect_time()
        .seconds();
  };
  CHECK(connected(kNow, 0) == kNow);
  CHECK(connected(kNow - 5, 999'999'999) == kNow - 5);
  for (const auto& [seconds, nanos] : std::vector<std::pair<int64_t, int32_t>>{
           {kNow + 1, 0}, {0, 0}, {-7, 0}, {5, -1}, {5, 1'000'000'000}}) {
    INFO(seconds << " " << nanos);
    CHECK(connected(seconds, nanos) == kNow);
  }
  const auto round_trip = [](int64_t seconds, int32_t nanos) {
    return Believed([=](v1::Peer* actor) {
             actor->mutable_round_trip()->set_seconds(seconds);
             actor->mutable_round_trip()->set_nanos(nanos);
           })
        .has_round_trip();
  };
  CHECK(round_trip(0, 1));
  CHECK_FALSE(round_trip(-1, 0));
  CHECK_FALSE(round_trip(0, -1));
}

TEST_CASE("actor reports: each stands there once, ten thousand at most, the others are counted",
          "[unit]") {
  ActorReports reports = Reports({Good("a"), Good("b"), Good("a"), Good("c/d"), Good("e")});
  REQUIRE(reports.actors.size() == 3);
  CHECK(reports.actors[2].name() == "actors/e");
  CHECK(reports.left_out == 2);
  CHECK(reports.why == "'actors/a' stands there twice");  // The first one's.
  v1::FleetReport fleet;
  for (int i = 0; i <= kActorsMax; ++i) fleet.add_actors()->set_name("actors/" + std::to_string(i));
  reports = CheckedActors(fleet, absl::FromUnixSeconds(kNow));
  CHECK(reports.actors.size() == static_cast<size_t>(kActorsMax));
  CHECK(reports.left_out == 1);
  CHECK(Reports({}).actors.empty());
}

}  // namespace mentor::meta_learner::TEST_FILE
