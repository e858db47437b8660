#include <filesystem>
#include <string>
#include <vector>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "common/spec/spec.h"
#include "tests/checked_spec_of.h"
#include "tests/paths.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

v1::ExperimentSpec Load(const std::string& name, const std::vector<std::string>& overrides = {}) {
  const auto spec = LoadSpecFile(testing::SourcePath("experiments/" + name + ".txtpb"), overrides);
  INFO(spec.status().ToString());
  REQUIRE(spec.ok());
  return *spec;
}

std::string PrintedWithDefaults(const v1::ExperimentSpec& given) {
  const auto checked = testing::CheckedSpecOf(given);
  return meta_learner::PrintWithDefaults(checked.spec, checked.needs.signal_network());
}

std::vector<std::string> Warnings(const std::string& name,
                                  const std::vector<std::string>& overrides = {}) {
  return testing::CheckedSpecOf(Load(name, overrides)).warnings;
}

TEST_CASE("committed specs: registered parts accept every one of them", "[unit]") {
  int count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(testing::SourcePath("experiments"))) {
    if (entry.path().extension() != ".txtpb") continue;
    const auto spec = LoadSpecFile(entry.path(), {}, meta_learner::CheckParts);
    INFO(entry.path().string() << ": " << spec.status().ToString());
    CHECK(spec.ok());
    ++count;
  }
  CHECK(count >= 11);
}

TEST_CASE("committed specs: those that claim to differ in a few settings differ in these alone",
          "[unit]") {
  const std::vector<std::string> to_reward = {"signal.role=REWARD", "signal.initial_std=0.2",
                                              "rule.entropy_coef=0.003"};
  CHECK(SpecHash(Load("point_reach", to_reward)) == SpecHash(Load("point_reach_reward")));
  CHECK(SpecHash(Load("ml1_advantage", to_reward)) ==
        SpecHash(Load("ml1_reward", {"signal.initial_std=0.2"})));
  CHECK(SpecHash(Load("ml1_reward",
                      {"rule.learning_rate=3e-4", "rule.outer_updates=6",
                       "evaluation.lifetimes_per_goal=1", "evaluation.goals=30",
                       "evaluation.train_goals=false", "evaluation.best_weights=false"})) ==
        SpecHash(Load("quickstart")));
  // ML10 omits the settings of parts that have their defaults.
  v1::ExperimentSpec ml10 = Load(
      "ml1_reward", {"benchmark.name=ml10", "benchmark.goal_seed=2", "rule.outer_updates=1500"});
  ml10.mutable_benchmark()->clear_environment();
  ml10.mutable_signal()->clear_option();
  ml10.mutable_rule()->clear_option();
  ml10.mutable_rule()->clear_patience();
  v1::ExperimentSpec written = Load("ml10");
  REQUIRE(written.rule().option_size() == 1);
  CHECK(written.rule().option(0).value() == "0.0005");
  written.mutable_rule()->clear_option();
  CHECK(SpecHash(ml10) == SpecHash(written));
  v1::ExperimentSpec randomized = Load("hopper_randomized");
  randomized.mutable_benchmark()->clear_wrapper();
  CHECK(SpecHash(randomized) == SpecHash(Load("hopper")));
}

TEST_CASE("committed specs: the scale of the paper is the default of every field", "[unit]") {
  v1::ExperimentSpec minimal;
  minimal.mutable_benchmark()->set_name("ml1");
  minimal.mutable_benchmark()->set_environment("door-close-v3");
  minimal.mutable_evaluation()->add_baseline(v1::PPO_SPARSE);
  minimal.mutable_evaluation()->add_baseline(v1::PPO_SHAPED);
  v1::ExperimentSpec paper = Load("ml1_reward");
  paper.mutable_rule()->clear_patience();  // By default a run makes all its updates.
  // Options have their defaults in the parts; those are compared by the parts' own tests.
  paper.mutable_signal()->clear_option();
  paper.mutable_rule()->clear_option();
  CHECK(PrintSpec(WithDefaults(paper)).find("environment") != std::string::npos);
  CHECK(SpecHash(paper) == SpecHash(minimal));
}

TEST_CASE("committed specs: printed with every default they are the same specs", "[unit]") {
  for (const auto& entry :
       std::filesystem::directory_iterator(testing::SourcePath("experiments"))) {
    if (entry.path().extension() != ".txtpb") continue;
    INFO(entry.path().string());
    const v1::ExperimentSpec spec = Load(entry.path().stem());
    const std::string text = PrintedWithDefaults(spec);
    const auto read = LoadSpec(text, {}, meta_learner::CheckParts);
    REQUIRE(read.ok());
    CHECK(PrintSpec(*read) == PrintSpec(WithDefaults(spec)));
    CHECK(SpecHash(*read) == SpecHash(spec));
    // The comments are settings in a valid form.
    std::string written;
    for (const auto line : absl::StrSplit(text, '\n')) {
      const size_t comment = line.find("# option {");
      absl::StrAppend(&written, comment == line.npos ? line : line.substr(comment + 2), "\n");
    }
    const auto whole = LoadSpec(written, {}, meta_learner::CheckParts);
    INFO(whole.status().ToString());
    CHECK(whole.ok());
  }
  const std::string text = PrintedWithDefaults(Load("ml10"));
  CHECK(absl::StrContains(text, "  # Defaults of black_box and its inner loop ppo:\n"));
  CHECK(absl::StrContains(text, "  # option { name: \"adam_beta1\" value: \"0.9\" }\n"));
  CHECK(absl::StrContains(text, "  # option { name: \"initial_std\" value: "));
  // A field that the spec sets is not a default.
  const std::string set = PrintedWithDefaults(Load("smoke"));
  CHECK(absl::StrContains(set, "    name: \"learning_rate\"\n    value: \"3e-3\"\n"));
  CHECK_FALSE(absl::StrContains(set, "# option { name: \"learning_rate\""));
  CHECK(absl::StrContains(PrintedWithDefaults(Load("smoke")), "# Defaults of point_reach:"));
  CHECK(absl::StrContains(PrintedWithDefaults(Load("ml1_maml")),
                          "# Rule maml uses no signal network."));
}

TEST_CASE("committed specs: settings that are hardly meant are warned of", "[unit]") {
  for (const auto& entry :
       std::filesystem::directory_iterator(testing::SourcePath("experiments"))) {
    if (entry.path().extension() != ".txtpb") continue;
    INFO(entry.path().string());
    // The weights of catch_disco come with --bundle.
    const size_t expected = entry.path().stem() == "catch_disco" ? 1 : 0;
    CHECK(Warnings(entry.path().stem()).size() == expected);
  }
  // Its tasks do not differ, so one life would be tested.
  CHECK(Warnings("catch_disco", {"evaluation.goals=512"}).back() ==
        "evaluation.goals: is 512, but catch has 1, so no more are tested; for more lives raise "
        "evaluation.lifetimes_per_goal");
  CHECK(Warnings("ml10", {"evaluation.goals=100"}).size() == 1);
  CHECK(Warnings("catch_disco", {"signal.role=ADVANTAGE"}).back() ==
        "signal.role: is ADVANTAGE, but rule 'disco' uses no signal network, so name, role and "
        "options have no effect; leave them out");
  CHECK(Warnings("hopper", {"signal.input=SUCCESS"}) ==
        std::vector<std::string>{
            "signal.input: is SUCCESS, but Hopper-v5 never reports success, so the network would "
            "see no outcome; set SHAPED"});
  CHECK(Warnings("hopper", {"rule.objective=success"}) ==
        std::vector<std::string>{
            "rule.objective: is success, but Hopper-v5 never reports success, so there is nothing "
            "to learn from; set shaped"});
  // It does not look at outcomes.
  CHECK(Warnings("stn_hopper", {"signal.input=SUCCESS"}).empty());
}

}  // namespace mentor::TEST_FILE
