// The estimated memory of specs, compared with the measured memory of learners.
#include "meta_learner/experiment/spec_memory.h"

#include <absl/strings/str_cat.h>

#include "common/spec/spec.h"
#include "meta_learner/fleet/shard_board.h"
#include "tests/checked_spec_of.h"
#include "tests/paths.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using namespace mentor::meta_learner;

v1::ExperimentSpec Spec(const std::string& name, const std::vector<std::string>& overrides = {}) {
  const auto spec = LoadSpecFile(testing::SourcePath("experiments/" + name + ".txtpb"), overrides);
  INFO(spec.status());
  REQUIRE(spec.ok());
  return *spec;
}

SpecMemory MemoryOfSpec(const v1::ExperimentSpec& spec) {
  return testing::CheckedSpecOf(spec).memory;
}

double LearnerBytes(const v1::ExperimentSpec& spec) {
  return static_cast<double>(shards::kLearnerProcessBytes +
                             MemoryOfSpec(spec).largest.With(kUsualLearnerThreads));
}

TEST_CASE("spec memory: a bound of what was measured, and not far from it (D5)", "[unit]") {
  // VmHWM of mentor-learner --slots 1 --threads 2 after an outer update or some, 2026-11-21, in
  // MiB (docs/performance.md#memory-of-learners).
  struct Measured {
    const char* spec;
    std::vector<std::string> overrides;
    double learner_mebibytes, meta_learner_mebibytes;
  };
  const Measured all[] = {
      {"smoke", {}, 144, 224},
      {"smoke",
       {"agent.hidden_units=512", "rule.shard_lifetimes=32", "rule.lifetimes_per_update=32"},
       690,
       225},
      {"smoke",
       {"agent.hidden_units=1024", "rule.shard_lifetimes=8", "rule.lifetimes_per_update=8"},
       800,
       224},
      {"smoke",
       {"lifetime.steps_per_iteration=10000", "rule.shard_lifetimes=16",
        "rule.lifetimes_per_update=16"},
       197,
       362},
      {"smoke",
       {"rule.shard_lifetimes=1000", "rule.lifetimes_per_update=1000",
        "lifetime.steps_per_iteration=200"},
       210,
       402},
      {"point_reach_meta_gradient", {}, 190, 257},
      {"point_reach_meta_gradient", {"agent.hidden_units=256"}, 2203, 1785},
      {"point_reach_rl2", {}, 174, 242},
      {"point_reach_maml", {}, 148, 234},
      {"point_reach_reptile", {}, 146, 222},
      {"point_reach_es", {}, 145, 222},
      {"stn_point_mass", {}, 149, 220},
      {"rl2_bandit", {}, 160, 233},
      {"point_reach", {}, 146, 239},
  };
  for (const Measured& measured : all) {
    v1::ExperimentSpec spec = Spec(measured.spec, measured.overrides);
    spec.mutable_evaluation()->set_lifetimes_per_goal(0);  // As measured.
    const double learner = LearnerBytes(spec) / (1 << 20);
    const double meta = static_cast<double>(MemoryOfSpec(spec).meta_learner_bytes) / (1 << 20);
    INFO(measured.spec << ": learner " << learner << ", measured " << measured.learner_mebibytes
                       << "; meta-learner " << meta << ", measured "
                       << measured.meta_learner_mebibytes);
    CHECK(learner >= measured.learner_mebibytes);
    CHECK(learner <= 2 * measured.learner_mebibytes);
    CHECK(meta >= measured.meta_learner_mebibytes);
    CHECK(meta <= 2 * measured.meta_learner_mebibytes);
  }
}

// Many pairs from the first update on; a round has up to 48 agents.
const std::vector<std::string> kManyPairs = {
    "rule.max_active=6",    "rule.population=2",      "rule.mutate_every=1",
    "rule.mc_low=-1000",    "rule.mc_high=1000",      "rule.transfer_every=1",
    "rule.reproduce=-1000", "rule.admit=8",           "rule.lifetimes_per_update=96",
    "rule.outer_updates=2", "rule.shard_lifetimes=8", "agent.hidden_units=800"};

TEST_CASE("spec memory: of a run in one process too, whatever its rounds hold", "[unit]") {
  // Peak of `mentor run --threads 2` after some outer updates, 2026-11-22, in MiB
  // (docs/performance.md#memory-of-learners).
  struct Measured {
    const char* spec;
    std::vector<std::string> overrides;
    double mebibytes;
  };
  const Measured all[] = {{"navigation_poet", kManyPairs, 1824},
                          {"point_reach_maml",
                           {"rule.outer_updates=1", "rule.hidden_units=512",
                            "rule.lifetimes_per_update=96", "rule.shard_lifetimes=8"},
                           862},
                          {"maesn_half_circle",
                           {"rule.outer_updates=1", "rule.hidden_units=512",
                            "rule.lifetimes_per_update=60", "rule.shard_lifetimes=5"},
                           1882},
                          {"box_diayn",
                           {"rule.outer_updates=2", "signal.hidden=1024",
                            "rule.lifetimes_per_update=24", "rule.shard_lifetimes=4"},
                           827}};
  for (const Measured& measured : all) {
    v1::ExperimentSpec spec = Spec(measured.spec, measured.overrides);
    spec.mutable_evaluation()->set_lifetimes_per_goal(0);
    const auto memory = MemoryOfSpec(spec);
    const double mebibytes =
        static_cast<double>(memory.meta_learner_bytes + memory.largest.With(kUsualLearnerThreads)) /
        (1 << 20);
    INFO(measured.spec << ": " << mebibytes << ", measured " << measured.mebibytes);
    CHECK(mebibytes >= measured.mebibytes);
    CHECK(mebibytes <= 2 * measured.mebibytes);
  }
}

TEST_CASE("spec memory: a machine that cannot hold an outer update is named with both", "[unit]") {
  const auto memory = MemoryOfSpec(Spec("navigation_poet", kManyPairs));
  Violations violations;
  CheckMachine(memory, /*machine_bytes=*/0, &violations);  // Unknown.
  CheckMachine(memory, memory.meta_learner_bytes, &violations);
  CHECK(violations.empty());
  CheckMachine(memory, 1'000'000'000, &violations);
  REQUIRE(violations.list().size() == 1);
  CHECK(violations.list()[0].field == "rule");
  const std::string& text = violations.list()[0].description;
  INFO(text);
  CHECK(text.find(Gigabytes(memory.meta_learner_bytes)) != std::string::npos);
  CHECK(text.find(Gigabytes(1'000'000'000)) != std::string::npos);
}

TEST_CASE("spec memory: rules that keep something of each lifetime hold as much of it", "[unit]") {
  const auto meta = [](const char* spec, const std::vector<std::string>& overrides) {
    return static_cast<double>(MemoryOfSpec(Spec(spec, overrides)).meta_learner_bytes);
  };
  struct Case {
    const char* spec;
    const char* lifetimes;
    std::vector<std::string> wide;
    double bytes;  // For each weight, a gradient in double and what else a lifetime keeps.
  };
  const Case all[] = {
      {"point_reach_maml", "rule.lifetimes_per_update=", {"rule.hidden_units=512"}, 8 + 4},
      {"maesn_half_circle", "rule.lifetimes_per_update=", {"rule.hidden_units=512"}, 8},
      {"box_diayn", "rule.lifetimes_per_update=", {"signal.hidden=512"}, 8}};
  for (const Case& one : all) {
    INFO(one.spec);
    const auto with = [&](int lifetimes, bool wide) {
      std::vector<std::string> overrides = {absl::StrCat(one.lifetimes, lifetimes),
                                            "rule.shard_lifetimes=16"};
      if (wide) overrides.insert(overrides.end(), one.wide.begin(), one.wide.end());
      return meta(one.spec, overrides);
    };
    // The weights of 32 more lifetimes, 512 by 512 and more each.
    CHECK(with(64, true) - with(32, true) >=
          with(64, false) - with(32, false) + 32.0 * 500 * 512 * one.bytes);
  }
  // A lineage: after every second update up to half of the 8 members are copies.
  const double few = meta("point_reach_pbt", {"rule.outer_updates=400"}),
               many = meta("point_reach_pbt", {"rule.outer_updates=40000"});
  CHECK(many - few >= 39'600.0 / 2 * 4 * 5 * sizeof(double));
}

TEST_CASE("spec memory: grows with what a spec has more of", "[unit]") {
  const double small = LearnerBytes(Spec("smoke"));
  for (const char* more :
       {"agent.hidden_units=256", "lifetime.steps_per_iteration=20000", "rule.shard_lifetimes=8"}) {
    INFO(more);
    CHECK(LearnerBytes(Spec("smoke", {more})) > small);
  }
  // The spec of D5: far beyond 1.5 GB, but not with one lifetime a shard.
  const auto memory =
      MemoryOfSpec(Spec("smoke", {"agent.hidden_units=2048", "rule.shard_lifetimes=64",
                                  "rule.lifetimes_per_update=64"}));
  CHECK(memory.largest.With(2) > uint64_t{8} << 30);
  CHECK(shards::kLearnerProcessBytes + memory.one_lifetime.With(2) < 1'500'000'000);
}

TEST_CASE("spec memory: snapshots of agents that live on fit into a message", "[unit]") {
  struct Case {
    const char* spec;
    std::vector<std::string> large;
  };
  const std::vector<std::string> wide = {"agent.hidden_units=1024", "rule.lifetimes_per_update=64",
                                         "rule.shard_lifetimes=64"};
  const Case all[] = {
      {"grid_world_lpg", wide}, {"point_reach_meta_gradient", wide}, {"box_diayn", wide}};
  const auto refusal = [](const Case& one, const std::vector<std::string>& more) {
    std::vector<std::string> overrides = one.large;
    overrides.insert(overrides.end(), more.begin(), more.end());
    Violations violations;
    Check(Spec(one.spec, overrides), &violations);
    return std::string(violations.ToStatus().message());
  };
  for (const Case& one : all) {
    const std::string refused = refusal(one, {});
    INFO(one.spec << ": " << refused);
    CHECK(testing::Contains(refused, "rule.shard_lifetimes: is "));
    CHECK(testing::Contains(refused, "give fewer lifetimes a shard"));
    CHECK(refusal(one, {"rule.shard_lifetimes=1"}) == "");
    CHECK(refusal(one, {"rule.outer_updates=0"}) == "");
  }
  // Agents that live only within an outer update have no snapshots.
  CHECK(refusal({"point_reach", wide}, {}) == "");
}

TEST_CASE("spec memory: every rule has a bound", "[unit]") {
  for (const methods::RuleEntry* rule : methods::OuterRules()) {
    INFO(rule->name);
    v1::ExperimentSpec spec;
    spec.mutable_benchmark()->set_name("point_reach");
    methods::AddExample(*rule, &spec);
    // Without a baseline that some lifetimes lack; enough for a round of POET.
    if (!spec.rule().has_shard_lifetimes()) {
      spec.mutable_rule()->set_shard_lifetimes(30);
      spec.mutable_rule()->set_lifetimes_per_update(30 * 1000);
    } else if (!spec.rule().has_lifetimes_per_update()) {
      spec.mutable_rule()->set_lifetimes_per_update(spec.rule().shard_lifetimes());
    }
    spec.mutable_evaluation()->set_lifetimes_per_goal(0);
    const auto memory = MemoryOfSpec(spec);
    CHECK(memory.largest.bytes > 0);
    CHECK(memory.one_lifetime.bytes <= memory.largest.bytes);
  }
}

}  // namespace mentor::TEST_FILE
