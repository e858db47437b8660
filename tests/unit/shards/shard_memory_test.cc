// The estimate of a shard's memory, by what each of its sizes adds. Numbers are by hand, from what
// shards/shard_memory.cc says is kept of a step and of a unit.
#include "shards/shard_memory.h"

#include <cmath>
#include <string>

#include "methods/base/inner_loop.h"
#include "signals/signal_network.h"
#include "tests/small_shards.h"
#include "tests/torch_testing.h"

namespace mentor::shards::TEST_FILE {

using testing::SmallShard;

constexpr double kMargin = 1.2, kNumber = 4;
constexpr double kAgents = 3, kSteps = 40, kObservation = 4, kAction = 2;
// PPO's agents without a signal. As received and as parsed: observation, action, and five numbers;
// the segment: 13 more, and the observation once more, normalised; four messages of it.
constexpr double kOfStep = 2 * (kObservation + kAction + 5) + (kObservation + kAction + 13) +
                           kObservation + 4 * (kObservation + kAction + 13);
static_assert(kOfStep == 121);

double Bytes(const v1::Shard& shard, int64_t num_meta_parameters = 0) {
  return static_cast<double>(MemoryOf(shard, num_meta_parameters).bytes);
}

// Bytes that `change` adds; whole bytes are cut off on both sides.
template <typename Change>
double Added(v1::Shard shard, Change&& change) {
  const double before = Bytes(shard);
  change(&shard);
  return Bytes(shard) - before;
}

bool IsAbout(double bytes, double want) {
  return std::abs(bytes - want) <= 1;
}

TEST_CASE("shard memory: a second collection is kept beside the first", "[unit]") {
  CHECK(IsAbout(Added(SmallShard(), [](v1::Shard* shard) { shard->set_collections(2); }),
                kMargin * kNumber * kAgents * kSteps * kOfStep));
  // None said is one.
  CHECK(Added(SmallShard(), [](v1::Shard* shard) { shard->clear_collections(); }) == 0);
}

TEST_CASE("shard memory: a signal network reads each step of all collections", "[unit]") {
  const std::string name = GENERATE("lstm", "lstm_both", "mlp");
  v1::Shard shard = SmallShard();
  shard.mutable_spec()->mutable_signal()->set_name(name);
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  Violations violations;
  const auto network = signals::MakeSignalNetwork(shard.spec().signal(),
                                                  methods::SignalContextOf(shard), &violations);
  REQUIRE(network != nullptr);
  // Its input of observation, action and five numbers twice, and what it makes of them.
  const double of_network = 2 * (kObservation + kAction + 5) +
                            static_cast<double>(network->NumbersPerStep(/*graph=*/false));
  const auto twice = [](v1::Shard* s) { s->set_collections(2); };
  CHECK(
      IsAbout(Added(shard, twice), kMargin * kNumber * kAgents * kSteps * (kOfStep + of_network)));
  // On a device it runs along the steps of all collections at once.
  v1::Shard two = shard;
  twice(&two);
  const auto of_run = [&](int64_t steps) {
    return static_cast<double>(network->signals()->RunDeviceBytes(3, steps));
  };
  const double more = static_cast<double>(MemoryOf(two, 0).device_bytes) -
                      static_cast<double>(MemoryOf(shard, 0).device_bytes);
  CHECK(IsAbout(more, kMargin * (of_run(80) - of_run(40))));
  CHECK((more > 0) == (name != "mlp"));  // The other one has no kernels of its own.
}

TEST_CASE("shard memory: deterministic episodes count where they are longer than a collection",
          "[unit]") {
  // Episodes of ten steps: four are as long as a collection, eight twice as long.
  CHECK(Added(SmallShard(), [](v1::Shard* shard) { shard->set_deterministic_episodes(4); }) == 0);
  CHECK(IsAbout(Added(SmallShard(), [](v1::Shard* s) { s->set_deterministic_episodes(8); }),
                kMargin * kNumber * kAgents * kSteps * kOfStep));
}

TEST_CASE("shard memory: what a step keeps more, and what it sends less", "[unit]") {
  CHECK(IsAbout(Added(SmallShard(),
                      [](v1::Shard* shard) {
                        shard->mutable_spec()->mutable_agent()->set_bootstrap_on_truncation(true);
                      }),
                kMargin * kNumber * kAgents * kSteps * (kObservation + 2)));
  // Outcomes are 8 numbers in place of 19, in each of the four messages.
  CHECK(IsAbout(Added(SmallShard(), [](v1::Shard* shard) { shard->set_outcomes_only(true); }),
                -kMargin * kNumber * kAgents * kSteps * 4 * 11));
}

TEST_CASE("shard memory: each unit carries its policy and a simulator's state", "[unit]") {
  // 800 steps of short episodes are three units of at least 400, else one.
  v1::Shard shard = SmallShard();
  shard.mutable_spec()->mutable_lifetime()->set_steps_per_iteration(800);
  // Two hidden layers of four, the head, and its deviations.
  constexpr double kPolicy = (4 * 4 + 4) + (4 * 4 + 4) + (4 * 2 + 2) + 2;
  CHECK(IsAbout(
      Added(shard, [](v1::Shard* s) { s->mutable_shape()->set_independent_episodes(false); }),
      -kMargin * 2 * kAgents * (kNumber * 4 * kPolicy + (16 << 10))));
  // Units are never shorter than an episode.
  CHECK(IsAbout(Added(shard, [](v1::Shard* s) { s->mutable_shape()->set_episode_steps(800); }),
                -kMargin * kAgents * (kNumber * 4 * kPolicy + (16 << 10))));
}

TEST_CASE("shard memory: snapshots, meta-parameters and threads", "[unit]") {
  // theta, m and v of an agent, each as message and as bytes, in and out. The critic is a network
  // of its own with one output.
  constexpr double kAgent = 52 + (4 * 4 + 4) + (4 * 4 + 4) + (4 + 1);
  const double snapshot =
      Added(SmallShard(), [](v1::Shard* shard) { shard->set_return_snapshot(true); });
  CHECK(IsAbout(snapshot, kMargin * kNumber * kAgents * 4 * 3 * kAgent));
  CHECK(Added(SmallShard(), [](v1::Shard* shard) {
          shard->set_return_snapshot(true);
          shard->mutable_snapshot();
        }) == snapshot);
  CHECK(IsAbout(Bytes(SmallShard(), 1000) - Bytes(SmallShard()), kMargin * kNumber * 8 * 1000));
  const ShardMemory memory{.bytes = 100, .bytes_per_thread = 7};
  CHECK(memory.With(1) == 107);
  CHECK(memory.With(4) == 128);
  CHECK(MemoryOf(SmallShard(), 0).bytes_per_thread > 0);
}

TEST_CASE("shard memory: a shard that cannot run takes nothing", "[unit]") {
  v1::Shard shard = SmallShard();
  shard.clear_lifetimes();
  CHECK(Bytes(shard) == 0);
  shard = SmallShard();
  shard.mutable_inner_loop()->set_name("none of this name");
  CHECK(Bytes(shard) == 0);
}

}  // namespace mentor::shards::TEST_FILE
