// The rule that meta-learns nothing: one zero, whatever happens.
#include "methods/base/outer_rule.h"
#include "tests/specs.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

std::unique_ptr<OuterRule> Make(const v1::ExperimentSpec& spec, Violations* violations) {
  return MakeOuterRule(
      {.spec = spec, .shape = testing::Shape({.discrete_actions = true}), .network = nullptr},
      violations);
}

v1::ExperimentSpec Spec(int64_t iterations) {
  v1::ExperimentSpec spec = testing::SpecOfRule(
      "episodic_control", {.lifetimes = 2, .iterations = iterations, .steps = 10},
      testing::Settings{{"algorithm", "nec"}, {"alpha", "0.5"}});
  spec.mutable_rule()->set_outer_updates(7);
  return spec;
}

TEST_CASE("episodic control: the rule keeps its one zero and lets agents live on", "[unit]") {
  Violations violations;
  const auto rule = Make(Spec(3), &violations);
  REQUIRE(rule != nullptr);
  const RuleNeeds needs = rule->needs();
  CHECK_FALSE(needs.signal_network());
  CHECK_FALSE(needs.segments);
  CHECK(needs.decisions_inside_lifetime);
  const auto report = rule->Update({}, 0);
  REQUIRE(report.ok());
  CHECK(report->empty());
  CHECK(torch::equal(rule->meta_parameters(), torch::zeros({1})));
  CHECK(rule->Load(rule->Save()).ok());
  CHECK_FALSE(rule->Load({}).ok());
  CHECK_FALSE(rule->Load({{"weights", torch::zeros({2})}}).ok());
}

TEST_CASE("episodic control: options are those of its agents and lifetimes have iterations",
          "[unit]") {
  Violations violations;
  CHECK(Make(Spec(1), &violations) == nullptr);
  CHECK_THAT(std::string(violations.ToStatus().message()),
             Catch::Contains("lifetime.iterations: is 1"));
  v1::ExperimentSpec spec = Spec(3);
  testing::SetOption(spec.mutable_rule(), "capacity", "0");
  testing::SetOption(spec.mutable_rule(), "delta", "2");
  testing::SetOption(spec.mutable_rule(), "tables", "2");
  Violations all;
  CHECK(Make(spec, &all) == nullptr);
  const std::string message(all.ToStatus().message());
  for (const char* name : {"capacity", "delta", "tables"}) {
    INFO(message);
    CHECK(message.find(std::string("rule.option.") + name) != message.npos);
  }
}

}  // namespace mentor::methods::TEST_FILE
