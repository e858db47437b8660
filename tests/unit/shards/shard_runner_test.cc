// One shard from its first segment to its report, with made-up actors: its results, and everything
// that can go wrong on the way.
#include "shards/shard_runner.h"

#include <cmath>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "agents/policy.h"
#include "common/failed_step.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "shards/segment_proto.h"
#include "shards/shard_done.h"
#include "tests/small_shards.h"
#include "tests/text.h"

namespace mentor::shards::TEST_FILE {

using mentor::testing::Contains;
using mentor::testing::MadeUpResult;
using mentor::testing::SmallShard;

const std::atomic<bool> kGoOn = false;

absl::StatusOr<std::vector<v1::Result>> Simulate(std::vector<v1::Unit> units,
                                                 const std::atomic<bool>&) {
  std::vector<v1::Result> results;
  for (const v1::Unit& unit : units) results.push_back(MadeUpResult(unit));
  return results;
}

struct Outcome {
  absl::StatusOr<ShardReport> report;
  std::vector<v1::Segment> segments;
};

Outcome RunIt(const v1::Shard& shard, const RunUnits& run_units = Simulate,
              const std::atomic<bool>& cancel = kGoOn) {
  Outcome outcome;
  outcome.report = RunShard(
      {.shard = &shard, .unit_shard = 3, .meta_parameters = {}}, run_units,
      [&](v1::Segment segment) {
        outcome.segments.push_back(std::move(segment));
        return absl::OkStatus();
      },
      cancel);
  return outcome;
}

std::string Bytes(const std::vector<v1::Segment>& segments) {
  Sha256 hash;
  for (const v1::Segment& segment : segments) HashSegment(segment, &hash);
  return hash.Finish();
}

TEST_CASE("shard runner: segments in order, then the deterministic episodes, and a report",
          "[unit]") {
  const v1::Shard shard = SmallShard();
  REQUIRE(CheckShard(shard).ok());
  const Outcome outcome = RunIt(shard);
  INFO(outcome.report.status());
  REQUIRE(outcome.report.ok());
  REQUIRE(outcome.segments.size() == 4);
  for (uint32_t i = 0; i < 4; ++i) {
    CHECK(outcome.segments[i].iteration() == i);
    CHECK(outcome.segments[i].shard_id() == 7);
    CHECK(outcome.segments[i].epoch() == 1);
    const auto segment = SegmentFromProto(outcome.segments[i], shard);
    INFO(segment.status());
    REQUIRE(segment.ok());
    CHECK(segment->observations.sizes() == torch::IntArrayRef({3, i < 3 ? 40 : 10, 4}));
  }
  CHECK(outcome.report->nonfinite_updates == 0);
  CHECK_FALSE(outcome.report->outer_gradient.defined());
  // A unit for each of 3 agents and 4 collections, half a second each.
  CHECK(outcome.report->seconds.rollout() == 0.5 * 3 * 4);
  CHECK(outcome.report->seconds.wall() >= outcome.report->seconds.stalled());
  CHECK(outcome.report->snapshot.tensors().empty());  // The shard did not ask for it.
  // The same again, bit for bit.
  CHECK(Bytes(RunIt(shard).segments) == Bytes(outcome.segments));
  v1::Shard other = shard;
  other.mutable_spec()->set_seed(12);
  CHECK(Bytes(RunIt(other).segments) != Bytes(outcome.segments));
}

// Agents whose iterations take two seconds for signals and five for updates, they say.
class SaysItsSeconds : public methods::InnerLoop {
 public:
  using methods::InnerLoop::InnerLoop;
  void Begin() override {}
  absl::StatusOr<agents::Segment> Iterate(uint32_t, const methods::Collect& collect,
                                          methods::LoopReport* report) override {
    report->signal_seconds += 2;
    report->update_seconds += 5;
    return collect(Policies());
  }
  std::vector<v1::PolicyWeights> Policies() const override {
    const agents::AgentShape shape = methods::ShapeOfAgents(*context_.shard);
    return agents::ToPolicyWeights(shape, methods::FreshAgents(context_, shape).theta);
  }
  void State(methods::StateFields*) override {}
};
const methods::RegisterInnerLoop kSaysItsSeconds({
    .name = "says_its_seconds",
    .summary = "Seconds that are known, for tests",
    .options = {},
    .make = methods::MadeLoop<SaysItsSeconds>,
    .sizes = [](const methods::InnerLoopContext& context,
                int64_t) { return methods::SizesOfPpoAgents(context); },
});

TEST_CASE("shard runner: seconds of signals and of updates are each their own", "[unit]") {
  v1::Shard shard = SmallShard();
  shard.mutable_inner_loop()->set_name("says_its_seconds");
  const Outcome outcome = RunIt(shard);
  INFO(outcome.report.status());
  REQUIRE(outcome.report.ok());
  CHECK(outcome.report->seconds.signal() == 3 * 2);
  CHECK(outcome.report->seconds.update() == 3 * 5);
}

// Agents that never learn, and collect twice in each iteration.
class CollectsTwice : public methods::InnerLoop {
 public:
  using methods::InnerLoop::InnerLoop;
  void Begin() override {}
  absl::StatusOr<agents::Segment> Iterate(uint32_t, const methods::Collect& collect,
                                          methods::LoopReport*) override {
    const absl::StatusOr<agents::Segment> first = collect(Policies());
    if (!first.ok()) return first;
    const absl::StatusOr<agents::Segment> second = collect(Policies());
    if (!second.ok()) return second;
    return agents::Join({*first, *second});
  }
  std::vector<v1::PolicyWeights> Policies() const override {
    const agents::AgentShape shape = methods::ShapeOfAgents(*context_.shard);
    return agents::ToPolicyWeights(shape, methods::FreshAgents(context_, shape).theta);
  }
  void State(methods::StateFields*) override {}
};
const methods::RegisterInnerLoop kCollectsTwice({
    .name = "collects_twice",
    .summary = "Two collections an iteration, for tests",
    .options = {},
    .collections = 2,
    .make = methods::MadeLoop<CollectsTwice>,
    .sizes = [](const methods::InnerLoopContext& context,
                int64_t) { return methods::SizesOfPpoAgents(context); },
});

TEST_CASE("shard runner: every collection of a lifetime has its own number", "[unit]") {
  v1::Shard shard = SmallShard();
  shard.mutable_inner_loop()->set_name("collects_twice");
  shard.set_collections(2);
  std::set<uint32_t> numbers;
  const Outcome outcome =
      RunIt(shard, [&](std::vector<v1::Unit> units, const std::atomic<bool>& cancel) {
        for (const v1::Unit& unit : units) {
          CHECK(unit.id().iteration() == unit.random().iteration());
          CHECK(unit.first_step() == 40 * unit.id().iteration());
        }
        CHECK(numbers.insert(units[0].id().iteration()).second);
        return Simulate(std::move(units), cancel);
      });
  INFO(outcome.report.status());
  REQUIRE(outcome.report.ok());
  CHECK(numbers == std::set<uint32_t>{0, 1, 2, 3, 4, 5, 6});  // The last one's are deterministic.
}

TEST_CASE("shard runner: how far agents go from common weights is summed over them", "[unit]") {
  v1::Shard shard = SmallShard();
  shard.mutable_inner_loop()->set_name("displacement");
  shard.set_reward_source(v1::REWARD_SOURCE_SIGNAL);
  shard.set_outer_learning(true);
  shard.set_deterministic_episodes(0);
  const torch::Tensor weights =
      0.1 * testing::Normals(
                {.seed = 5}, 0,
                {agents::AgentLayout(methods::ShapeOfAgents(shard.spec().agent(), shard.shape()))
                     .size()});
  const auto gradient = [&](const v1::Shard& of) {
    const auto report = RunShard(
        {.shard = &of, .unit_shard = 3, .meta_parameters = weights.to(torch::kFloat32)}, Simulate,
        [](const v1::Segment&) { return absl::OkStatus(); }, kGoOn);
    INFO(report.status());
    REQUIRE(report.ok());
    return report->outer_gradient;
  };
  const torch::Tensor all = gradient(shard);
  torch::Tensor sum = torch::zeros_like(all);
  for (const v1::Lifetime& lifetime : shard.lifetimes()) {
    v1::Shard one = shard;
    one.clear_lifetimes();
    *one.add_lifetimes() = lifetime;
    sum += gradient(one);
  }
  CHECK(all.norm().item<double>() > 1e-3);
  CHECK(torch::allclose(all, sum, 1e-3, 1e-6));
}

TEST_CASE("shard runner: an evaluation sends outcomes alone", "[unit]") {
  v1::Shard shard = SmallShard();
  shard.set_outcomes_only(true);
  const Outcome outcome = RunIt(shard);
  REQUIRE(outcome.segments.size() == 4);
  for (const v1::NamedTensor& tensor : outcome.segments[0].tensors()) {
    CHECK(tensor.name() != "observations");
    CHECK(tensor.name() != "actions");
  }
  CHECK(SegmentFromProto(outcome.segments[0], shard).ok());
}

// Runs the shard's iterations from `first` on, continuing from a snapshot.
v1::Shard Rest(v1::Shard shard, uint32_t first, const v1::Snapshot& snapshot) {
  shard.set_first_iteration(first);
  shard.set_iterations(3 - first);
  *shard.mutable_snapshot() = snapshot;
  return shard;
}
v1::Snapshot After(uint32_t iterations, std::vector<v1::Segment>* segments) {
  v1::Shard head = SmallShard();
  head.set_iterations(iterations);
  head.set_deterministic_episodes(0);
  head.set_return_snapshot(true);
  REQUIRE(CheckShard(head).ok());
  Outcome outcome = RunIt(head);
  REQUIRE(outcome.report.ok());
  *segments = std::move(outcome.segments);
  return outcome.report->snapshot;
}

TEST_CASE("shard runner: cut after any iteration, the rest goes on bit for bit", "[unit]") {
  const std::string want = Bytes(RunIt(SmallShard()).segments);
  for (const uint32_t first : {1u, 2u}) {
    std::vector<v1::Segment> all;
    const v1::Shard rest = Rest(SmallShard(), first, After(first, &all));
    INFO(CheckShard(rest));
    REQUIRE(CheckShard(rest).ok());
    const Outcome tail = RunIt(rest);
    REQUIRE(tail.report.ok());
    all.insert(all.end(), tail.segments.begin(), tail.segments.end());
    CHECK(Bytes(all) == want);
  }
}

TEST_CASE("shard runner: a broken snapshot ends the shard and names the tensor", "[unit]") {
  std::vector<v1::Segment> segments;
  const v1::Snapshot good = After(1, &segments);
  const auto index = [&](const std::string& name) {
    for (int i = 0; i < good.tensors_size(); ++i)
      if (good.tensors(i).name() == name) return i;
    FAIL("no tensor " << name);
    return 0;
  };
  struct Case {
    const char* what;
    const char* expected;
    std::function<void(v1::Snapshot*)> damage;
  };
  const int theta = index("agents.theta");
  const Case cases[] = {
      {"a tensor is missing", "agents.theta",
       [&](auto* s) { s->mutable_tensors()->DeleteSubrange(theta, 1); }},
      {"one is there twice", "agents.theta",
       [&](auto* s) { *s->add_tensors() = s->tensors(theta); }},
      {"of another shape", "agents.theta",
       [&](auto* s) {
         *s->mutable_tensors(theta)->mutable_tensor() = ToProto(torch::zeros({3, 5}));
       }},
      {"of another type", "agents.theta",
       [&](auto* s) {
         v1::Tensor* tensor = s->mutable_tensors(theta)->mutable_tensor();
         *tensor = ToProto(FromProto(*tensor, "")->to(torch::kFloat64));
       }},
      {"not finite", "agents.theta",
       [&](auto* s) {
         v1::Tensor* tensor = s->mutable_tensors(theta)->mutable_tensor();
         *tensor = ToProto(FromProto(*tensor, "")->fill_(std::nan("")));
       }},
      {"shorter than it says", "agents.theta",
       [&](auto* s) { s->mutable_tensors(theta)->mutable_tensor()->mutable_data()->pop_back(); }},
  };
  for (const Case& test : cases) {
    INFO(test.what);
    v1::Snapshot snapshot = good;
    test.damage(&snapshot);
    const v1::Shard rest = Rest(SmallShard(), 1, snapshot);
    const Outcome outcome = RunIt(rest);
    INFO(outcome.report.status());
    REQUIRE_FALSE(outcome.report.ok());
    CHECK(Contains(outcome.report.status(), test.expected));
    CHECK(outcome.segments.empty());
  }
}

TEST_CASE("shard runner: steps that failed are counted, and end episodes as others do", "[unit]") {
  v1::Shard shard = SmallShard();
  const auto run = [&shard](char flag) {
    return RunIt(shard, [flag](std::vector<v1::Unit> units, const std::atomic<bool>& cancel) {
      auto results = Simulate(std::move(units), cancel);
      // In each unit the fourth step, which nothing else ends.
      for (v1::Result& result : *results)
        (*result.mutable_trajectory()->mutable_terminations()->mutable_data())[3] = flag;
      return results;
    });
  };
  const Outcome bare = run(kTaskEnded);
  REQUIRE(bare.report.ok());
  CHECK_FALSE(bare.report->statistics.contains(kFailedStepsMetric));
  for (v1::Lifetime& lifetime : *shard.mutable_lifetimes())
    lifetime.mutable_task()->add_wrappers()->set_name(kFailedStepWrapper);
  const Outcome ended = run(kTaskEnded), failed = run(kStepFailed);
  REQUIRE(failed.report.ok());
  CHECK(ended.report->statistics.at(kFailedStepsMetric) == 0);
  CHECK(failed.report->statistics.at(kFailedStepsMetric) == 4);  // A unit for each collection.
  CHECK(Bytes(failed.segments) == Bytes(ended.segments));
  v1::ShardDone done;
  done.set_shard_id(shard.shard_id());
  (*done.mutable_statistics())[kFailedStepsMetric] = 4;
  const absl::Status status = CheckShardDone(shard, done, 0, "").status();
  INFO(status);
  CHECK(status.ok());
}

TEST_CASE("shard runner: a shard that cannot be run is refused by the name of its field",
          "[unit]") {
  std::vector<v1::Segment> segments;
  const v1::Snapshot snapshot = After(1, &segments);
  struct Case {
    const char* field;
    std::function<void(v1::Shard*)> damage;
  };
  const Case cases[] = {
      {"agent.clip", [](auto* s) { s->mutable_spec()->mutable_agent()->set_clip(-1); }},
      {"shard.lifetimes", [](auto* s) { s->clear_lifetimes(); }},
      {"shard.shape", [](auto* s) { s->mutable_shape()->set_observation_size(0); }},
      {"shard.shape", [](auto* s) { s->mutable_shape()->set_action_size(1u << 31); }},
      {"shard.shape", [](auto* s) { s->mutable_shape()->set_episode_steps(0); }},
      {"shard.reward_source", [](auto* s) { s->clear_reward_source(); }},
      {"shard.iterations", [](auto* s) { s->set_iterations(0); }},
      {"shard.iterations", [](auto* s) { s->set_iterations(4); }},
      {"shard.collections", [](auto* s) { s->set_collections(0); }},
      {"shard.collections", [](auto* s) { s->set_collections(17); }},
      {"shard.deterministic_episodes", [](auto* s) { s->set_iterations(1); }},
      {"shard.snapshot", [](auto* s) { s->set_first_iteration(1), s->set_iterations(2); }},
      {"shard.snapshot", [&](auto* s) { *s->mutable_snapshot() = snapshot; }},
      {"shard.snapshot",
       [&](auto* s) {
         *s = Rest(*s, 1, snapshot);
         s->mutable_snapshot()->mutable_cursors()->RemoveLast();
       }},
      {"shard.snapshot", [&](auto* s) { *s = Rest(*s, 2, snapshot); }},
      {"shard.inner_loop.name", [](auto* s) { s->mutable_inner_loop()->set_name("magic"); }},
      {"shard.inner_loop.option",
       [](auto* s) { s->mutable_inner_loop()->add_option()->set_name("speed"); }},
  };
  for (const Case& test : cases) {
    v1::Shard shard = SmallShard();
    test.damage(&shard);
    const absl::Status status = CheckShard(shard);
    INFO(test.field << ": " << status);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(Contains(status, test.field));
  }
  // Also by who did not check it before.
  v1::Shard unknown = SmallShard();
  unknown.mutable_inner_loop()->set_name("magic");
  CHECK(Contains(RunIt(unknown).report.status(), "shard.inner_loop.name"));
}

TEST_CASE("shard runner: the greatest sizes are allowed, and one more is not", "[unit]") {
  struct Case {
    const char* field;
    uint32_t most;
    std::function<void(v1::Shard*, uint32_t)> set;
  };
  const Case cases[] = {
      {"shard.lifetimes", 65'536,
       [](auto* s, uint32_t n) {
         s->clear_lifetimes();
         for (uint32_t i = 0; i < n; ++i) s->add_lifetimes()->set_number(i);
       }},
      {"shard.shape", 65'536,
       [](auto* s, uint32_t n) { s->mutable_shape()->set_observation_size(n); }},
      {"shard.shape", 4096, [](auto* s, uint32_t n) { s->mutable_shape()->set_action_size(n); }},
      {"shard.collections", 16, [](auto* s, uint32_t n) { s->set_collections(n); }},
      {"shard.iterations", 3, [](auto* s, uint32_t n) { s->set_iterations(n); }},
  };
  for (const Case& test : cases) {
    INFO(test.field << " " << test.most);
    for (const uint32_t more : {0u, 1u}) {
      v1::Shard shard = SmallShard();
      shard.set_reward_source(v1::REWARD_SOURCE_UNSPECIFIED);  // So no loop is made.
      test.set(&shard, test.most + more);
      CHECK(Contains(CheckShard(shard), test.field) == (more == 1));
    }
  }
}

TEST_CASE("shard runner: dropped while actors simulate, nothing more is sent", "[unit]") {
  std::atomic<bool> cancel = false;
  int collections = 0;
  const RunUnits run_units =
      [&](std::vector<v1::Unit> units,
          const std::atomic<bool>& flag) -> absl::StatusOr<std::vector<v1::Result>> {
    if (++collections == 2) {
      cancel = true;
      REQUIRE(flag);  // The same flag reaches a shard that waits for actors.
      return absl::CancelledError("shard 3 is cancelled");
    }
    return Simulate(std::move(units), flag);
  };
  const Outcome outcome = RunIt(SmallShard(), run_units, cancel);
  CHECK(absl::IsCancelled(outcome.report.status()));
  CHECK(outcome.segments.size() == 1);
  CHECK(collections == 2);
}

TEST_CASE("shard runner: dropped while it learns, its segment is not sent", "[unit]") {
  std::atomic<bool> cancel = false;
  const RunUnits run_units = [&](std::vector<v1::Unit> units, const std::atomic<bool>& flag) {
    auto results = Simulate(std::move(units), flag);
    cancel = true;  // The actors had just finished.
    return results;
  };
  const Outcome outcome = RunIt(SmallShard(), run_units, cancel);
  CHECK(absl::IsCancelled(outcome.report.status()));
  CHECK(outcome.segments.empty());
}

TEST_CASE("shard runner: what actors or the receiver say ends the shard with that word", "[unit]") {
  const auto failing = [](absl::Status status) {
    return [status](std::vector<v1::Unit>,
                    const std::atomic<bool>&) -> absl::StatusOr<std::vector<v1::Result>> {
      return status;
    };
  };
  const absl::Status gone = absl::InternalError("unit 3/0/0/0 failed 3 times");
  CHECK(RunIt(SmallShard(), failing(gone)).report.status() == gone);
  const absl::Status stopped = absl::UnavailableError("the learner is stopping");
  CHECK(RunIt(SmallShard(), failing(stopped)).report.status() == stopped);
  const v1::Shard shard = SmallShard();
  int segments = 0;
  const auto report = RunShard(
      {.shard = &shard, .unit_shard = 3, .meta_parameters = {}}, Simulate,
      [&](v1::Segment) {
        return ++segments == 2 ? absl::CancelledError("the stream has ended") : absl::OkStatus();
      },
      kGoOn);
  CHECK(absl::IsCancelled(report.status()));
  CHECK(segments == 2);
}

TEST_CASE("shard runner: an exception ends the shard, not the process", "[unit]") {
  const Outcome thrown =
      RunIt(SmallShard(),
            [](std::vector<v1::Unit>,
               const std::atomic<bool>&) -> absl::StatusOr<std::vector<v1::Result>> {
              throw std::runtime_error("out of paper");
            });
  CHECK(thrown.report.status() == absl::InternalError("shard 7: out of paper"));
  // Wrong numbers of elements, which a rollout server would have refused.
  const Outcome misfit =
      RunIt(SmallShard(), [](std::vector<v1::Unit> units, const std::atomic<bool>& flag) {
        auto results = Simulate(std::move(units), flag);
        results->at(1).mutable_trajectory()->mutable_rewards()->mutable_data()->pop_back();
        return results;
      });
  CHECK(absl::IsInvalidArgument(misfit.report.status()));
  CHECK(Contains(misfit.report.status(), "rewards"));
}

}  // namespace mentor::shards::TEST_FILE
