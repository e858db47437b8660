// A learner between real actors and a meta-learner that the test plays: shards, acknowledgements
// and lost streams, and failing shards, snapshots and actors.
// clang-format off: LibTorch comes before Catch2.
#include "tests/torch_testing.h"
// clang-format on

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actor/actor.h"
#include "actor/unit_runner.h"
#include "common/protocol.h"
#include "common/result_hash.h"
#include "common/status.h"
#include "kernels/device_monitor.h"
#include "learner/learner.h"
#include "shards/segment_proto.h"
#include "shards/shard_done.h"
#include "signals/signal_network.h"
#include "tests/fake_actor.h"
#include "tests/fake_meta_learner.h"
#include "tests/learner_side.h"
#include "tests/mailbox.h"
#include "tests/small_shards.h"

namespace mentor::learner::TEST_FILE {

using mentor::testing::FakeActor;
using mentor::testing::FakeMetaLearner;
using mentor::testing::LearnerSide;
using mentor::testing::MetricValue;
using mentor::testing::Signal;
using mentor::testing::SmallShard;

struct Fixture {
  FakeMetaLearner meta;
  LearnerSide side;
  std::atomic<int> drained = 0;
  const std::shared_ptr<kernels::DeviceMonitor> monitor = std::make_shared<kernels::DeviceMonitor>(
      kernels::DeviceMonitor::Options{.memory_bytes = uint64_t{1} << 40});
  Learner learner;

  explicit Fixture(int slots = 1, RolloutServer::Options options = {})
      : side(std::move(options)),
        learner({.num_threads = 1,
                 .device = {.monitor = monitor},
                 .shard_slots = slots,
                 .meta_learner = [this] { return meta.Channel(); },
                 .rollout = &side.rollout,
                 .on_drained = [this] { ++drained; }},
                side.metrics.get()) {}
  ~Fixture() { learner.Stop(); }

  double Value(const std::string& series) const { return side.Value(series); }
};

// Separate actors, until the end of the object.
class RealActor {
 public:
  explicit RealActor(const LearnerSide& side)
      : metrics_(Metrics::Create()),
        actor_({.threads = 1, .channel = [&side] { return side.Tcp(); }}, metrics_.get()) {}
  ~RealActor() { actor_.Stop(); }

 private:
  const std::unique_ptr<Metrics> metrics_;
  actor::Actor actor_;
};

void Drain(FakeMetaLearner::Peer* peer) {
  v1::RunResponse message;
  message.mutable_drain();
  peer->Send(std::move(message));
}

// The results of an undisturbed shard: segments, acknowledged at once, and their hash.
std::string LiveThrough(FakeMetaLearner::Peer* peer, const v1::Shard& shard) {
  Sha256 hash;
  for (uint32_t i = 0; i < agents::IterationsOf(shard); ++i) {
    const v1::Segment segment = peer->PopSegment();
    CHECK(segment.shard_id() == shard.shard_id());
    CHECK(segment.epoch() == shard.epoch());
    CHECK(segment.iteration() == i);
    CHECK(shards::SegmentFromProto(segment, shard).ok());
    shards::HashSegment(segment, &hash);
    peer->Acknowledge(shard.shard_id(), i);
  }
  const v1::ShardDone done = peer->PopDone();
  INFO(done.error());
  CHECK(done.error().empty());
  CHECK(done.shard_id() == shard.shard_id());
  const std::string all = hash.Finish();
  CHECK(done.segments_hash() == all);
  return all;
}

TEST_CASE("learner: it says who it is, and its actors must be as the welcome says", "[loopback]") {
  Fixture fixture(/*slots=*/2);
  v1::Welcome welcome;
  welcome.set_catalogue_hash("catalogue");
  welcome.set_numeric_fingerprint("bits");
  const auto peer = fixture.meta.Welcome(welcome);
  const v1::Hello& hello = fixture.meta.hello();
  CHECK(CheckHello(hello).ok());
  CHECK(hello.shard_slots() == 2);
  CHECK(hello.threads() == 1);
  CHECK(hello.device() == "cpu");
  CHECK(hello.device_memory_bytes() == 0);  // A limit of its device, but of the CPU.
  CHECK_FALSE(hello.numeric_fingerprint().empty());
  CHECK(hello.peer_uid() == fixture.side.rollout.uid());  // The name that its actors log.
  Signal().WaitUntil([&] { return fixture.side.rollout.catalogue_hash() == "catalogue"; });
  CHECK(fixture.side.rollout.numeric_fingerprint() == "bits");
  // An actor with other bits is refused.
  RealActor actor(fixture.side);
  Signal().WaitUntil(
      [&] { return fixture.Value("mentor_rollout_rejected_total{reason=\"mismatch\"}") >= 1; });
  CHECK(fixture.side.rollout.actors() == 0);
}

TEST_CASE("learner: a shard from its first segment to its hash, on one actor or two",
          "[loopback]") {
  Fixture fixture;
  const auto peer = fixture.meta.Welcome();
  auto first = std::make_unique<RealActor>(fixture.side);
  peer->Give(SmallShard(1));
  const std::string one = LiveThrough(peer.get(), SmallShard(1));
  RealActor second(fixture.side);
  Signal().WaitUntil([&] { return fixture.side.rollout.actors() == 2; });
  // The shard's number does not affect its bits.
  peer->Give(SmallShard(2));
  CHECK(LiveThrough(peer.get(), SmallShard(2)) == one);
  CHECK(fixture.Value("mentor_learner_shards_total") == 2);
}

TEST_CASE("learner: two segments wait for an acknowledgement, not more", "[loopback]") {
  Fixture fixture;
  const auto peer = fixture.meta.Welcome();
  RealActor actor(fixture.side);
  const v1::Shard shard = SmallShard();
  peer->Give(shard);
  CHECK(peer->PopSegment().iteration() == 0);
  CHECK(peer->PopSegment().iteration() == 1);
  // The third segment is computed and kept back: all its steps are done.
  Signal().WaitUntil([&] { return fixture.side.rollout.StepsDone(1) == 3 * 3 * 40; });
  CHECK(peer->messages.size() == 0);
  CHECK(fixture.Value("mentor_learner_updates_total") == 2 * 3);
  peer->Acknowledge(99, 1);  // Another shard's: nothing moves.
  peer->Acknowledge(shard.shard_id(), 0);
  CHECK(peer->PopSegment().iteration() == 2);
  peer->Acknowledge(shard.shard_id(), 2);
  CHECK(peer->PopSegment().iteration() == 3);
  CHECK(peer->PopDone().error().empty());
}

TEST_CASE("learner: a shard that cannot be made is answered with the reason, the next one runs",
          "[loopback]") {
  Fixture fixture;
  const auto peer = fixture.meta.Welcome();
  RealActor actor(fixture.side);
  const auto refused = [&](const v1::Shard& shard, const char* expected) {
    peer->Give(shard);
    const v1::ShardDone done = peer->PopDone();
    INFO(done.error());
    CHECK(done.shard_id() == shard.shard_id());
    CHECK(done.epoch() == shard.epoch());
    CHECK(done.error().find(expected) != std::string::npos);
    CHECK(done.segments_hash().empty());
  };
  v1::Shard shard = SmallShard(1);
  shard.mutable_inner_loop()->set_name("magic");
  refused(shard, "shard.inner_loop.name");
  shard = SmallShard(2);
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  shard.set_signal_version(5);
  refused(shard, "before its meta-parameters");
  shard = SmallShard(3);
  shard.set_first_iteration(1);
  shard.set_iterations(2);
  shard.mutable_snapshot()->set_iterations(1);
  for (int i = 0; i < 3; ++i) shard.mutable_snapshot()->add_cursors();
  refused(shard, "agents.theta");
  shard = SmallShard(4);
  shard.mutable_lifetimes(1)->mutable_task()->set_environment("nowhere");
  refused(shard, "nowhere");
  peer->Give(SmallShard(5));
  LiveThrough(peer.get(), SmallShard(5));
  CHECK(fixture.Value("mentor_learner_shards_total") == 1);
}

TEST_CASE("learner: weights that are not numbers end the stream", "[loopback]") {
  Fixture fixture;
  const auto peer = fixture.meta.Welcome();
  v1::RunResponse message;
  message.mutable_signal_weights()->set_version(1);
  *message.mutable_signal_weights()->mutable_weights() =
      shards::ToProto(torch::full({4}, std::numeric_limits<float>::infinity()));
  peer->Send(std::move(message));
  CHECK_FALSE(peer->end.Pop().ok());
  fixture.meta.Welcome();  // It comes back.
}

TEST_CASE("learner: an old call's shard has its weights, however many newer ones came (D1)",
          "[loopback]") {
  v1::Shard shard = SmallShard(1);
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  shard.set_outer_learning(true);
  shard.set_signal_version(5);
  Violations violations;
  const auto network = signals::MakeSignalNetwork(
      shard.spec().signal(), {.observation_size = 4, .action_size = 2}, &violations);
  REQUIRE(network != nullptr);
  const torch::Tensor weights = network->InitialWeights(/*seed=*/3);
  const auto send_weights = [&](FakeMetaLearner::Peer* peer, uint64_t version,
                                const torch::Tensor& value) {
    v1::RunResponse message;
    message.mutable_signal_weights()->set_version(version);
    *message.mutable_signal_weights()->mutable_weights() = shards::ToProto(value);
    peer->Send(std::move(message));
  };
  Fixture fixture;
  const auto peer = fixture.meta.Welcome();
  RealActor actor(fixture.side);
  send_weights(peer.get(), 5, weights);
  peer->Give(shard);
  const std::string alone = LiveThrough(peer.get(), shard);
  // Another experiment with many small calls has used up the numbers since the large one began.
  for (uint64_t version = 1000; version < 1040; ++version)
    send_weights(peer.get(), version, weights + 1);
  send_weights(peer.get(), 5, weights);
  shard.set_shard_id(2);
  peer->Give(shard);
  // Messages that arrive meanwhile do not affect it.
  send_weights(peer.get(), 1040, weights + 1);
  CHECK(LiveThrough(peer.get(), shard) == alone);
  // Weights of another call do not replace the missing ones.
  shard.set_shard_id(3);
  shard.set_signal_version(7);
  peer->Give(shard);
  CHECK(peer->PopDone().error() == "the shard came before its meta-parameters");
}

TEST_CASE("learner: dropped shards are not answered, and others go on beside them", "[loopback]") {
  Fixture fixture;
  const auto peer = fixture.meta.Welcome();
  // Without actors all shards wait. The meta-learner decides how many it gets at once.
  peer->Give(SmallShard(1));
  peer->Give(SmallShard(2));
  peer->Give(SmallShard(3));
  Signal().WaitUntil([&] { return fixture.Value("mentor_rollout_units_ready") == 9; });
  const auto drop = [&](uint64_t shard, uint64_t epoch) {
    v1::RunResponse message;
    message.mutable_drop_shard()->set_shard_id(shard);
    message.mutable_drop_shard()->set_epoch(epoch);
    peer->Send(std::move(message));
  };
  drop(3, 2);  // Another epoch's: it stays.
  drop(2, 1);
  drop(1, 1);
  Signal().WaitUntil([&] { return fixture.Value("mentor_rollout_units_ready") == 3; });
  RealActor actor(fixture.side);
  LiveThrough(peer.get(), SmallShard(3));
  CHECK(peer->messages.size() == 0);
  CHECK(fixture.Value("mentor_learner_shards_total") == 1);
}

TEST_CASE("learner: a lost stream takes its shards along, and the learner comes back",
          "[loopback]") {
  Fixture fixture;
  std::shared_ptr<FakeMetaLearner::Peer> lost = fixture.meta.Welcome();
  lost->Give(SmallShard(1));
  lost->Give(SmallShard(2));
  Signal().WaitUntil([&] { return fixture.Value("mentor_rollout_units_ready") == 6; });
  lost->stream->Close(absl::UnavailableError("the meta-learner is stopping"));
  const auto peer = fixture.meta.Welcome();
  Signal().WaitUntil([&] { return fixture.Value("mentor_rollout_units_ready") == 0; });
  RealActor actor(fixture.side);
  // The meta-learner gives the same number again, in a new epoch.
  v1::Shard again = SmallShard(1);
  again.set_epoch(2);
  peer->Give(again);
  LiveThrough(peer.get(), again);
  CHECK(peer->messages.size() == 0);
  CHECK(fixture.Value("mentor_learner_shards_total") == 1);
}

TEST_CASE("learner: actors that go away in the middle change no bit", "[loopback]") {
  Fixture fixture;
  const auto peer = fixture.meta.Welcome();
  auto first = std::make_unique<RealActor>(fixture.side);
  peer->Give(SmallShard(1));
  const std::string want = LiveThrough(peer.get(), SmallShard(1));

  const v1::Shard shard = SmallShard(2);
  peer->Give(shard);
  Sha256 hash;
  for (uint32_t i = 0; i < 2; ++i) shards::HashSegment(peer->PopSegment(), &hash);
  // The third segment waits for acknowledgements; from then on there is no connection.
  Signal().WaitUntil([&] { return fixture.side.rollout.StepsDone(2) == 3 * 3 * 40; });
  first.reset();
  Signal().WaitUntil([&] { return fixture.side.rollout.actors() == 0; });
  peer->Acknowledge(2, 1);
  shards::HashSegment(peer->PopSegment(), &hash);
  Signal().WaitUntil([&] { return fixture.Value("mentor_rollout_units_ready") == 3; });
  RealActor second(fixture.side);
  peer->Acknowledge(2, 2);
  shards::HashSegment(peer->PopSegment(), &hash);
  CHECK(peer->PopDone().segments_hash() == want);
  CHECK(hash.Finish() == want);
}

TEST_CASE("learner: drained, it leaves when the meta-learner has all that it held", "[loopback]") {
  Fixture fixture;
  const auto peer = fixture.meta.Welcome();
  peer->Give(SmallShard(1));
  Signal().WaitUntil([&] { return fixture.Value("mentor_rollout_units_ready") == 3; });
  Drain(peer.get());
  RealActor actor(fixture.side);
  const v1::Shard shard = SmallShard(1);
  for (uint32_t i = 0; i < agents::IterationsOf(shard); ++i) {
    // Two segments may be under way: after the last acknowledgement but one it may have sent all.
    if (i + 2 < agents::IterationsOf(shard)) CHECK(fixture.drained == 0);
    CHECK(peer->PopSegment().iteration() == i);
    peer->Acknowledge(1, i);
  }
  Signal().WaitUntil([&] { return fixture.drained > 0; });
  // Its process may end now. It waited for the stream's end, so no message is in line.
  CHECK(peer->dones == 1);
  CHECK(peer->end.Pop().ok());
  CHECK(peer->PopDone().error().empty());
  fixture.learner.Stop();
  CHECK(fixture.drained == 1);
}

TEST_CASE("learner: drained with two shards, the end of both arrives before it leaves",
          "[loopback]") {
  Fixture fixture;
  const auto peer = fixture.meta.Welcome();
  peer->Give(SmallShard(1));
  peer->Give(SmallShard(2));
  Signal().WaitUntil([&] { return fixture.Value("mentor_rollout_units_ready") == 6; });
  Drain(peer.get());
  RealActor actor(fixture.side);
  for (int dones = 0; dones < 2;) {
    const v1::RunRequest message = peer->messages.Pop();
    if (message.has_segment()) {
      peer->Acknowledge(message.segment().shard_id(), message.segment().iteration());
    } else {
      CHECK(message.shard_done().error().empty());
      ++dones;
    }
  }
  CHECK(peer->end.Pop().ok());
  Signal().WaitUntil([&] { return fixture.drained == 1; });
}

TEST_CASE("learner: drained without work, or when its meta-learner is lost, it leaves at once",
          "[loopback]") {
  SECTION("nothing to do") {
    Fixture fixture;
    const auto peer = fixture.meta.Welcome();
    Drain(peer.get());
    CHECK(peer->end.Pop().ok());
    Signal().WaitUntil([&] { return fixture.drained == 1; });
  }
  SECTION("the stream is lost while a shard is at work") {
    Fixture fixture;
    const auto peer = fixture.meta.Welcome();
    peer->Give(SmallShard(1));
    peer->Give(SmallShard(2));
    Signal().WaitUntil([&] { return fixture.Value("mentor_rollout_units_ready") == 6; });
    Drain(peer.get());
    // An error ends the stream without the messages that are still in line.
    Signal().WaitUntil([&] { return peer->stream->Queued().first == 0; });
    peer->stream->Close(absl::UnavailableError("the meta-learner is stopping"));
    Signal().WaitUntil([&] { return fixture.drained == 1; });
    CHECK(fixture.meta.waiting() == 0);  // It does not come back.
    CHECK(peer->dones == 0);
  }
  SECTION("what it waits for is dropped") {
    Fixture fixture;
    const auto peer = fixture.meta.Welcome();
    peer->Give(SmallShard(1));
    Signal().WaitUntil([&] { return fixture.Value("mentor_rollout_units_ready") == 3; });
    Drain(peer.get());
    v1::RunResponse drop;
    drop.mutable_drop_shard()->set_shard_id(1);
    drop.mutable_drop_shard()->set_epoch(1);
    peer->Send(std::move(drop));
    CHECK(peer->end.Pop().ok());
    Signal().WaitUntil([&] { return fixture.drained == 1; });
  }
}

TEST_CASE("learner: a shard whose simulator no actor has says which", "[loopback]") {
  Fixture fixture;
  const auto peer = fixture.meta.Welcome();
  v1::Shard shard = SmallShard(1);
  for (v1::Lifetime& lifetime : *shard.mutable_lifetimes()) {
    lifetime.mutable_task()->set_environment("host");
    v1::Option* const option = lifetime.mutable_task()->add_options();
    option->set_name("host");
    option->set_value("gym");
  }
  peer->Give(shard);
  Signal().WaitUntil([&] { return fixture.Value("mentor_rollout_units_ready") == 3; });
  // Reports before that name none.
  std::string missing;
  for (int i = 0; i < 4 && missing.empty(); ++i) missing = peer->progress.Pop().missing_host();
  CHECK(missing == "gym");
}

TEST_CASE("learner: that its device is lost is told, with the reason", "[loopback]") {
  Fixture fixture;
  const auto peer = fixture.meta.Welcome();
  fixture.monitor->Lost(absl::InternalError("off the bus"));
  CHECK(peer->messages.Pop().device_lost().reason() == "off the bus");
}

TEST_CASE("learner: stopped while a shard waits for actors, it says goodbye and ends",
          "[loopback]") {
  Fixture fixture;
  const auto peer = fixture.meta.Welcome();
  peer->Give(SmallShard(1));
  Signal().WaitUntil([&] { return fixture.Value("mentor_rollout_units_ready") == 3; });
  fixture.learner.Stop();
  CHECK(peer->end.Pop().ok());
  CHECK(peer->messages.Pop().has_leaving());
  CHECK(peer->messages.size() == 0);
  CHECK(fixture.Value("mentor_rollout_units_ready") == 0);
}

}  // namespace mentor::learner::TEST_FILE
