#include "meta_learner/experiment/checked_spec.h"

#include "common/spec/spec.h"
#include "tests/checked_spec_of.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using mentor::testing::Contains;

meta_learner::CheckedSpec Checked(const std::string& text) {
  const auto spec = LoadSpec(text);
  INFO(spec.status().ToString());
  REQUIRE(spec.ok());
  return testing::CheckedSpecOf(*spec);
}

TEST_CASE("checked spec: has the spec as it was given, and with every default", "[unit]") {
  const auto checked = Checked("benchmark { name: 'point_reach' } evaluation { goals: 1 } seed: 7");
  CHECK_FALSE(checked.given.has_rule());
  CHECK(checked.spec.rule().has_outer_updates());
  CHECK(SpecHash(checked.given) == SpecHash(checked.spec));
  CHECK(checked.needs.network == methods::RuleNeeds::Network::kDensity);
  CHECK(checked.has_success);
  CHECK(checked.memory.meta_learner_bytes > 0);
  CHECK_FALSE(checked.reported_numbers.empty());
}

TEST_CASE("checked spec: the environment steps of an outer update", "[unit]") {
  const auto steps = [](const std::string& rule) {
    return Checked(
               "benchmark { name: 'point_reach' } lifetime { iterations: 3 steps_per_iteration: "
               "100 "
               "} evaluation { goals: 1 } rule { lifetimes_per_update: 8 shard_lifetimes: 8 " +
               rule + "}")
        .steps_of_update;
  };
  CHECK(steps("option { name: 'k' value: '50' }") == 8 * 3 * 100);
  CHECK(steps("name: 'meta_gradient'") == 8 * 100);  // One iteration of agents that live on.
}

TEST_CASE("checked spec: one answer names wrong ranges and wrong parts", "[unit]") {
  Violations violations;
  const v1::ExperimentSpec spec = ParseSpec(
      "benchmark { name: 'point_reach' } evaluation { goals: 1 } agent { gamma: 7 } "
      "rule { name: 'blackbox' }",
      {"rule.outer_updates=-1"}, &violations);
  Violations found;
  CHECK_FALSE(meta_learner::Check(spec, &found).has_value());
  REQUIRE(found.list().size() == 2);
  CHECK(found.list()[0].field == "agent.gamma");
  CHECK(found.list()[1].field == "rule.name");
  // A spec that fits is none where its text was wrong before.
  REQUIRE_FALSE(violations.empty());
  const auto fits = LoadSpec("benchmark { name: 'point_reach' } evaluation { goals: 1 }");
  CHECK_FALSE(meta_learner::Check(*fits, &violations).has_value());
}

TEST_CASE("checked spec: a curriculum that waits for success where there is none is warned of",
          "[unit]") {
  const std::string hopper =
      "benchmark { name: 'single' environment: 'Hopper-v5' wrapper { name: 'domain_randomization' "
      "option { name: 'mass_low' value: '0.5' } } } signal { input: SHAPED } evaluation { "
      "lifetimes_per_goal: 0 } curriculum { name: 'adr' ";
  const auto warnings = Checked(hopper + "}").warnings;
  REQUIRE(warnings.size() == 1);
  CHECK(Contains(warnings[0], "curriculum.performance: is success"));
  CHECK(Checked(hopper + "option { name: 'performance' value: 'shaped' } }").warnings.empty());
}

TEST_CASE("checked spec: an experiment in which no agent lives is warned of", "[unit]") {
  const std::string untrained =
      "benchmark { name: 'point_reach' } rule { outer_updates: 0 } evaluation { goals: 1 ";
  const auto warnings = Checked(untrained + "}").warnings;
  REQUIRE(warnings.size() == 1);
  CHECK(Contains(warnings[0], "rule.outer_updates: is 0"));
  CHECK(Contains(warnings[0], "set evaluation.baseline"));
  CHECK(Checked(untrained + "baseline: PPO_SPARSE }").warnings.empty());
}

TEST_CASE(
    "checked spec: settings that a rule ignores are warned of, and patience without learning "
    "refused",
    "[unit]") {
  const std::string maze =
      "benchmark { name: 'single' environment: 'maze' } evaluation { goals: 1 } "
      "rule { name: 'episodic_control' ";
  CHECK(Checked(maze + "}").warnings.empty());
  const auto warnings = Checked(maze + "} signal { name: 'mlp' }").warnings;
  REQUIRE(warnings.size() == 1);
  CHECK(Contains(warnings[0], "signal.name: is mlp, but rule 'episodic_control' uses no signal"));
  const auto patient = LoadSpec(maze + "patience: 1000 }");
  REQUIRE(patient.ok());
  Violations violations;
  CHECK_FALSE(meta_learner::Check(*patient, &violations).has_value());
  REQUIRE(violations.list().size() == 1);
  CHECK(violations.list()[0].field == "rule.patience");
}

TEST_CASE("checked spec: a drift that cannot be made is named once", "[unit]") {
  const auto spec = LoadSpec(
      "benchmark { name: 'point_reach' } evaluation { goals: 1 } rule { name: 'lpo' } "
      "signal { name: 'drift' role: ADVANTAGE }");
  REQUIRE(spec.ok());
  Violations violations;
  CHECK_FALSE(meta_learner::Check(*spec, &violations).has_value());
  REQUIRE(violations.list().size() == 1);
  CHECK(violations.list()[0].field == "signal.role");
}

TEST_CASE("checked spec: successes in random steps are counted where environments may report some",
          "[unit]") {
  using meta_learner::SuccessInRandomSteps;
  const auto points = [](const std::string& rho) {
    return Checked(
        "benchmark { name: 'single' environment: 'point_reach' option { name: 'rho' value: " + rho +
        " } } evaluation { goals: 1 }");
  };
  CHECK(SuccessInRandomSteps(points("9")) == "success: 1000 of 1000 random steps report it");
  CHECK(Contains(SuccessInRandomSteps(points("1e-6")),
                 "success: none of 1000 random steps reports it; that is usual before"));
  CHECK(
      SuccessInRandomSteps(Checked("benchmark { name: 'single' environment: 'Hopper-v5' } signal { "
                                   "input: SHAPED } evaluation { lifetimes_per_goal: 0 }"))
          .empty());
}

}  // namespace mentor::TEST_FILE
