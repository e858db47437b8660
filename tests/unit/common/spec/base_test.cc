#include "common/spec/base.h"

#include <string>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/file.h"
#include "common/spec/spec.h"
#include "tests/paths.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using mentor::testing::Contains;

// A folder of specs.
class Specs {
 public:
  // Returns the file that was written.
  std::filesystem::path Write(const std::string& name, std::string_view text) const {
    const std::filesystem::path file = folder_.path() / (name + ".txtpb");
    REQUIRE(WriteFileAtomically(file, text).ok());
    return file;
  }

  v1::ExperimentSpec Load(std::string_view text,
                          const std::vector<std::string>& overrides = {}) const {
    const auto spec = LoadSpecFile(Write("changed", text), overrides);
    INFO(spec.status());
    REQUIRE(spec.ok());
    CHECK_FALSE(spec->has_base());
    CHECK(spec->clear_size() == 0);
    return *spec;
  }

  // Returns "field: description" of the only violation.
  std::string Refusal(std::string_view text) const {
    Violations violations;
    ParseSpec(text, {}, &violations, nullptr, folder_.path() / "changed.txtpb");
    REQUIRE(violations.list().size() == 1);
    return violations.list()[0].field + ": " + violations.list()[0].description;
  }

 private:
  testing::TempFolder folder_;
};

constexpr char kWhole[] = R"(
  display_name: "whole" seed: 3
  benchmark { name: "point_reach" option { name: "dt" value: "0.1" }
              wrapper { name: "sparse_reward" } wrapper { name: "reward_delay" } }
  agent { gamma: 0.9 target_kl: 0.1 }
  signal { option { name: "lstm" value: "8" } }
  rule { outer_updates: 7 option { name: "k" value: "1" } option { name: "l" value: "2" } }
  evaluation { baseline: [PPO_SPARSE, PPO_SHAPED] }
  curriculum { name: "adr" }
)";

TEST_CASE("spec base: what a file says replaces what its base says", "[unit]") {
  const Specs specs;
  specs.Write("whole", kWhole);
  const v1::ExperimentSpec whole = *LoadSpec(kWhole);
  CHECK(SpecHash(specs.Load("base: 'whole'")) == SpecHash(whole));
  CHECK(SpecHash(specs.Load("base: 'whole.txtpb'")) == SpecHash(whole));
  CHECK(specs.Load("base: 'whole'").display_name() == "whole");

  // Fields override, groups merge, lists replace, options override by name.
  const v1::ExperimentSpec changed = specs.Load(R"(
    base: "whole" display_name: "changed"
    benchmark { wrapper { name: "energy" } }
    agent { gamma: 0.5 clip: 0.3 }
    rule { lifetimes_per_update: 15 option { name: "k" value: "9" } option { name: "m" value: 3 } }
    evaluation { baseline: RANDOM_SIGNAL })");
  v1::ExperimentSpec expected = whole;
  expected.set_display_name("changed");
  expected.mutable_benchmark()->clear_wrapper();
  expected.mutable_benchmark()->add_wrapper()->set_name("energy");
  expected.mutable_agent()->set_gamma(0.5);
  expected.mutable_agent()->set_clip(0.3);
  expected.mutable_rule()->set_lifetimes_per_update(15);
  expected.mutable_rule()->mutable_option(0)->set_value("9");
  v1::Option* added = expected.mutable_rule()->add_option();
  added->set_name("m");
  added->set_value("3");
  expected.mutable_evaluation()->clear_baseline();
  expected.mutable_evaluation()->add_baseline(v1::RANDOM_SIGNAL);
  CHECK(SpecHash(changed) == SpecHash(expected));
  CHECK(changed.display_name() == "changed");
  CHECK(changed.rule().option_size() == 3);
}

TEST_CASE("spec base: options stay behind with the part that they were for", "[unit]") {
  const Specs specs;
  specs.Write("whole", kWhole);
  const v1::ExperimentSpec other = specs.Load(
      "base: 'whole' rule { name: 'reptile' option { name: 'l' value: '5' } } "
      "signal { name: 'lstm' } benchmark { environment: 'x' }");
  REQUIRE(other.rule().option_size() == 1);
  CHECK(other.rule().option(0).value() == "5");
  CHECK(other.rule().outer_updates() == 7);
  // "lstm" is the default of the base too.
  CHECK(other.signal().option_size() == 1);
  CHECK(other.benchmark().option_size() == 0);
  CHECK(other.benchmark().wrapper_size() == 2);
}

TEST_CASE("spec base: fields and lists of the base can be cleared", "[unit]") {
  const Specs specs;
  specs.Write("whole", kWhole);
  const v1::ExperimentSpec changed = specs.Load(
      "base: 'whole' clear: ['curriculum', 'agent.target_kl', 'evaluation.baseline'] "
      "clear: 'rule.option' rule { option { name: 'l' value: '5' } }");
  CHECK_FALSE(changed.has_curriculum());
  CHECK_FALSE(changed.agent().has_target_kl());
  CHECK(changed.agent().gamma() == 0.9);
  CHECK(changed.evaluation().baseline_size() == 0);
  CHECK(changed.rule().option_size() == 1);

  CHECK(Contains(specs.Refusal("base: 'whole' clear: 'agent.gama'"),
                 "clear: has 'agent.gama': AgentSpec has no field 'gama'; did you mean 'gamma'?"));
  CHECK(specs.Refusal("base: 'whole' clear: 'agent.clip'") ==
        "clear: has 'agent.clip': the base does not set it; remove it from clear");
  CHECK(specs.Refusal("base: 'whole' clear: 'seed.x'") ==
        "clear: has 'seed.x': 'seed' has no parts; end the path there");
  CHECK(specs.Refusal("benchmark { name: 'x' } clear: 'seed'") ==
        "clear: is set without a base, so there is nothing to clear; remove it");
}

TEST_CASE("spec base: overrides come after the base, and cannot name another", "[unit]") {
  const Specs specs;
  specs.Write("whole", kWhole);
  CHECK(specs.Load("base: 'whole' seed: 4", {"seed=5", "benchmark.wrapper[1].name=x"}).seed() == 5);
  Violations violations;
  ParseSpec(kWhole, {"base=whole", "clear=seed"}, &violations);
  REQUIRE(violations.list().size() == 2);
  CHECK(violations.list()[0].field == "--set 'base=whole'");
  CHECK(Contains(violations.list()[0].description, "write it there"));
}

TEST_CASE("spec base: is looked up beside the file, then among the ready specs", "[unit]") {
  const Specs specs;
  const v1::ExperimentSpec ready = specs.Load("base: 'smoke' seed: 77");
  CHECK(ready.seed() == 77);
  CHECK(SpecHash(ready) ==
        SpecHash(*LoadSpecFile(testing::SourcePath("experiments/smoke.txtpb"), {"seed=77"})));
  specs.Write("smoke", "benchmark { name: 'mine' }");
  CHECK(specs.Load("base: 'smoke'").benchmark().name() == "mine");
  CHECK(Contains(specs.Refusal("base: 'point_reech'"),
                 "base: there is no spec 'point_reech'; did you mean 'point_reach'?"));
  // Values of the base have the base's place.
  const std::string file = specs.Write("wrong", "seed: 1\nrule { outer_update: 3 }").string();
  CHECK(Contains(specs.Refusal("base: 'wrong'"), "base: " + file + ", line 2, column 8: RuleSpec"));
  CHECK(Contains(specs.Refusal("base: 'smoke' agent { gamma: 7 }"), "agent.gamma: is 7"));
}

TEST_CASE("spec base: bases of bases end, in a few steps and not in a circle", "[unit]") {
  const Specs specs;
  specs.Write("b0", "benchmark { name: 'x' } agent { gamma: 0.1 clip: 0.1 epochs: 1 }");
  specs.Write("b1", "base: 'b0' agent { clip: 0.2 epochs: 2 }");
  specs.Write("b2", "base: 'b1' agent { epochs: 3 }");
  const v1::ExperimentSpec third = specs.Load("base: 'b2'");
  CHECK(third.agent().gamma() == 0.1);
  CHECK(third.agent().clip() == 0.2);
  CHECK(third.agent().epochs() == 3);

  specs.Write("b3", "base: 'b2'");
  CHECK(specs.Load("base: 'b3'").agent().epochs() == 3);
  const std::string b1 = specs.Write("b1", "base: 'b00'").string();
  specs.Write("b00", "base: 'b0'");
  CHECK(specs.Refusal("base: 'b3'") == "base: in " + b1.substr(0, b1.size() - 8) +
                                           "b00.txtpb: is 'b0', base number 5; a spec may rest on "
                                           "at most 4 bases in a row");
  specs.Write("b1", "base: 'b2'");
  CHECK(specs.Refusal("base: 'b2'") ==
        "base: in " + b1 + ": is 'b2', which leads back to b2.txtpb; name another base");
  specs.Write("changed", "base: 'changed'");
  CHECK(specs.Refusal("base: 'changed'") ==
        "base: is 'changed', which leads back to changed.txtpb; name another base");
}

TEST_CASE("spec base: text that comes from no file has none", "[unit]") {
  Violations violations;
  // Without the base the rest cannot be judged.
  ParseSpec("base: 'smoke' agent { gamma: 7 }", {}, &violations);
  REQUIRE(violations.list().size() == 1);
  CHECK(violations.list()[0].field == "base");
  CHECK(violations.list()[0].description ==
        "is 'smoke', which only a file can name; give the whole spec, as 'mentor run SPEC --check' "
        "prints it");
}

}  // namespace mentor::TEST_FILE
