#include "cli/ctl/top.h"

#include "cli/ctl/output.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using namespace mentor::ctl;
using mentor::testing::Contains;
using S = v1::Experiment;

v1::Experiment Make(const std::string& id, S::State state) {
  v1::Experiment experiment;
  experiment.set_name("experiments/" + id);
  experiment.set_state(state);
  experiment.mutable_progress()->set_outer_updates_total(10);
  return experiment;
}

FleetPicture Many(int experiments, int peers) {
  FleetPicture picture = {.server = "s:1", .now = absl::FromUnixSeconds(1000)};
  for (int i = 0; i < experiments; ++i) {
    picture.experiments.push_back(
        Make("e" + std::to_string(i), i == 3 ? S::STATE_RUNNING : S::STATE_QUEUED));
  }
  for (int i = 0; i < peers; ++i) {
    v1::Peer peer;
    peer.set_name(i == 0 ? "learners/l" : "actors/a" + std::to_string(i));
    if (i > 0) peer.set_learner("learners/l");
    picture.peers.push_back(peer);
  }
  return picture;
}

TEST_CASE("top: never more lines or columns than the screen has", "[unit]") {
  for (const int experiments : {0, 1, 5, 100}) {
    for (const int peers : {0, 1, 30}) {
      for (const int rows : {1, 3, 6, 10, 24, 50}) {
        const auto lines = DrawFleet(Many(experiments, peers), 40, rows, false);
        CHECK(lines.size() <= static_cast<size_t>(rows));
        for (const std::string& line : lines) CHECK(Width(line) <= 40);
      }
    }
  }
}

TEST_CASE("top: what does not fit is counted, who runs comes first", "[unit]") {
  const auto lines = DrawFleet(Many(100, 30), 100, 24, false);
  REQUIRE(lines.size() == 24);
  CHECK(Contains(lines[0], "1 running, 99 queued"));
  CHECK(Contains(lines[1], "1 learner, 29 actors"));
  CHECK(Contains(lines[4], "e3 "));
  // 20 lines are left: 10 of each, the header and the last line with the count among them.
  CHECK(std::count(lines.begin(), lines.end(), "  and 92 more experiments") == 1);
  CHECK(std::count(lines.begin(), lines.end(), "  and 22 more peers") == 1);
  // Few peers leave their room to experiments.
  const auto few = DrawFleet(Many(100, 2), 100, 24, false);
  CHECK(std::count(few.begin(), few.end(), "  and 85 more experiments") == 1);
}

TEST_CASE("top: at 80 columns what something waits for stays, old rates do not show", "[unit]") {
  FleetPicture picture = Many(1, 0);
  v1::Experiment& experiment = picture.experiments[0];
  experiment.set_name("experiments/a-name-of-26-characters-ok");
  experiment.set_state(S::STATE_RUNNING);
  experiment.set_activity("meta-training: waiting for learners");
  experiment.mutable_progress()->set_env_steps_per_second(41200);
  experiment.mutable_progress()->set_seconds_left(100);
  const auto lines = DrawFleet(picture, 80, 24, false);
  CHECK(Contains(lines[1], " 0 steps/s"));
  CHECK(Contains(lines[3], "WAITS FOR"));
  CHECK(lines[4].ends_with(" learners"));
  for (const std::string& line : lines) CHECK_FALSE(Contains(line, "41.2k"));
  experiment.set_activity("meta-training");
  v1::Peer learner, actor;
  learner.set_name("learners/l");
  actor.set_name("actors/a");
  actor.set_learner("learners/l");
  actor.set_env_steps_per_second(41200);
  picture.peers = {learner, actor};
  CHECK(Contains(DrawFleet(picture, 0, 0, false)[4], "41.2k"));
  CHECK(Contains(DrawFleet(picture, 0, 0, false)[1], " 41.2k steps/s"));
}

TEST_CASE("top: what waits for what", "[unit]") {
  FleetPicture picture = Many(4, 0);
  CHECK(WaitsFor(picture.experiments[0], picture) == "a place (1 running)");
  CHECK(WaitsFor(picture.experiments[3], picture) == "learners");
  picture = Many(4, 1);
  CHECK(WaitsFor(picture.experiments[3], picture) == "actors");
  picture = Many(4, 2);
  CHECK(WaitsFor(picture.experiments[3], picture).empty());
  v1::ShardInfo shard;
  shard.set_name("experiments/e3/shards/1");
  shard.set_state(v1::ShardInfo::STATE_WAITING);
  picture.shards = {shard, shard};
  picture.shards[1].set_name("experiments/e33/shards/1");
  CHECK(WaitsFor(picture.experiments[3], picture) == "a slot for 1 shard");
  picture.experiments[3].set_activity("meta-training: waiting for learners");
  CHECK(WaitsFor(picture.experiments[3], picture) == "learners");
  picture.experiments[0].set_state(S::STATE_PAUSED);
  CHECK(WaitsFor(picture.experiments[0], picture) == "mentorctl resume");
  picture.experiments[0].set_pause_reason(S::PAUSE_REASON_DISK_FULL);
  CHECK(WaitsFor(picture.experiments[0], picture) == "room on the disk");
  picture.experiments[0].set_pause_reason(S::PAUSE_REASON_STORAGE_QUOTA);
  CHECK(WaitsFor(picture.experiments[0], picture) == "room in the owner's quota");
  picture.trouble = "lost the server";
  CHECK(DrawFleet(picture, 80, 24, false)[2] == "lost the server");
}

}  // namespace mentor::TEST_FILE
