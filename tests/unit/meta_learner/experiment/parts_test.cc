#include "meta_learner/experiment/parts.h"

#include <filesystem>
#include <string>
#include <vector>

#include "common/spec/spec.h"
#include "common/uuid.h"
#include "meta_learner/experiment/checked_spec.h"
#include "meta_learner/store/checkpoint.h"
#include "tests/temp_folder.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using mentor::testing::Contains;

TEST_CASE("parts: a network of too many parameters is refused before it has weights (D6)",
          "[unit]") {
  const auto message = [](const std::string& signal) {
    const auto spec =
        LoadSpec("benchmark { name: 'point_reach' } evaluation { goals: 1 } " + signal, {},
                 meta_learner::CheckParts);
    return std::string(spec.status().message());
  };
  CHECK(message("") == "");
  // An LSTM of 4096 units has more than 4 * 4096 * 4096 = 67,108,864.
  const std::string wide = message("signal { option { name: 'lstm' value: '4096' } }");
  INFO(wide);
  CHECK(Contains(wide, "signal.option: make a network of "));
  CHECK(Contains(wide, "parameters; at most 33554432 are allowed: give narrower or fewer layers"));
  CHECK_FALSE(Contains(wide, "\n"));
}

const std::string kPoints =
    "benchmark { name: 'custom' task_set { environment: 'point_reach' range { low: -1 high: 1 } "
    "range { low: -1 high: 1 } } } lifetime { iterations: 2 steps_per_iteration: 100 } "
    "rule { name: 'evolution_strategies' lifetimes_per_update: 4 shard_lifetimes: 4 } "
    "evaluation { goals: 1 } ";
const std::string kAdr =
    "curriculum { name: 'adr' option { name: 'parameters' value: 'task' } option { name: 'buffer' "
    "value: '1' } }";

v1::ExperimentSpec Spec(const std::string& text) {
  const auto spec = LoadSpec(text, {}, meta_learner::CheckParts);
  INFO(spec.status().ToString());
  REQUIRE(spec.ok());
  return WithDefaults(*spec);
}

meta_learner::ExperimentParts Parts(const v1::ExperimentSpec& spec) {
  Violations violations;
  auto parts = meta_learner::MakeParts(spec, /*pool=*/nullptr, &violations);
  REQUIRE(violations.empty());
  return parts;
}

TEST_CASE("parts: a spec with a curriculum has it, and the others have none", "[unit]") {
  const v1::ExperimentSpec with = Spec(kPoints + kAdr);
  CHECK(Parts(with).curriculum != nullptr);
  CHECK(Parts(Spec(kPoints)).curriculum == nullptr);
  CHECK(Contains(meta_learner::PrintWithDefaults(with, true),
                 "# option { name: \"threshold_high\" value: \"0.8\" }"));
  CHECK_FALSE(Contains(meta_learner::PrintWithDefaults(Spec(kPoints), true), "curriculum"));
  const auto refused =
      LoadSpec(kPoints + "curriculum { name: 'adr' }", {}, meta_learner::CheckParts);
  CHECK(Contains(std::string(refused.status().message()), "curriculum.option.parameters"));
}

TEST_CASE("parts: a curriculum is saved and loaded beside the rule", "[unit]") {
  const v1::ExperimentSpec spec = Spec(kPoints + kAdr);
  const meta_learner::ExperimentParts parts = Parts(spec);
  const std::vector<meta_learner::Achievement> achieved(4, {.success = 1, .shaped_reward = 0});
  for (uint32_t generation = 0; generation < 6; ++generation)
    REQUIRE(parts.curriculum->Observe(generation, achieved).ok());
  meta_learner::Checkpoint checkpoint{.outer_step = 6};
  meta_learner::AddParts(parts, &checkpoint.sections);
  CHECK(checkpoint.sections.contains("curriculum/ends"));
  meta_learner::ExperimentParts resumed = Parts(spec);
  REQUIRE(meta_learner::LoadParts(checkpoint, &resumed).ok());
  const auto ends = parts.curriculum->Save().at("ends");
  CHECK(resumed.curriculum->Save().at("ends").equal(ends));
  CHECK_FALSE(ends.eq(0).all().item<bool>());

  // Without a curriculum the sections are the same as before.
  std::map<std::string, std::string> plain;
  meta_learner::AddParts(Parts(Spec(kPoints)), &plain);
  for (const auto& [name, bytes] : plain) CHECK(name.starts_with("rule/"));

  // A checkpoint of an experiment without a curriculum has no state for one.
  Violations violations;
  meta_learner::CheckCheckpoint(Spec(kPoints), spec, {.outer_step = 1, .sections = plain},
                                &violations);
  REQUIRE(violations.list().size() == 1);
  CHECK(violations.list()[0].field == "spec_overrides");
  CHECK(Contains(violations.list()[0].description, "curriculum"));
}

TEST_CASE("parts: from a checkpoint on, no more checkpoints are averaged than there are",
          "[unit]") {
  v1::ExperimentSpec spec = Spec(kPoints);
  std::map<std::string, std::string> sections;
  meta_learner::AddParts(Parts(spec), &sections);
  spec.mutable_rule()->set_outer_updates(5);
  spec.mutable_checkpoint()->set_every(2);
  const auto check = [&](uint32_t averaged) {
    spec.mutable_evaluation()->set_averaged_checkpoints(averaged);
    Violations violations;
    meta_learner::CheckCheckpoint(spec, spec, {.outer_step = 1, .sections = sections}, &violations);
    return violations.ToStatus();
  };
  CHECK(check(3).ok());  // The checkpoints of updates 1, 3 and 5 are there.
  CHECK(Contains(std::string(check(4).message()),
                 "evaluation.averaged_checkpoints: is 4, but from the checkpoint on there are 3"));
}

TEST_CASE("parts: regression wants an environment with labels", "[unit]") {
  const auto message = [](const std::string& environment) {
    const auto spec = LoadSpec(
        "benchmark { name: 'single' environment: '" + environment +
            "' } lifetime { iterations: 1 steps_per_iteration: 40 } rule { name: 'rl2' option { "
            "name: 'loss' value: 'squared' } option { name: 'k' value: '20' } } evaluation { "
            "goals: 1 deterministic_episodes: 0 baseline: RANDOM_SIGNAL }",
        {}, meta_learner::CheckParts);
    return std::string(spec.status().message());
  };
  CHECK(message("quadratic_function") == "");
  CHECK(Contains(message("point_reach"),
                 "rule.option.loss: is squared, but the environment has no labels; set ppo"));
}

TEST_CASE("parts: a benchmark that there is not is refused under every rule", "[unit]") {
  for (const auto* rule : methods::OuterRules()) {
    v1::ExperimentSpec spec;
    methods::AddExample(*rule, &spec);
    spec.mutable_benchmark()->Clear();
    spec.mutable_benchmark()->set_name("hoper");
    INFO(rule->name);
    Violations violations;
    meta_learner::CheckParts(spec, &violations);
    REQUIRE_FALSE(violations.empty());
    CHECK(violations.list()[0].field == "benchmark.name");
    for (const Violation& violation : violations.list()) {
      INFO(violation.field << ": " << violation.description);
      CHECK_FALSE(violation.field.starts_with("lifetime"));
    }
  }
}

TEST_CASE("parts: who looks at parts makes no weights", "[unit]") {
  // Orthogonal weights of 4096 x 4096 are 7e10 products.
  v1::ExperimentSpec spec;
  spec.mutable_benchmark()->set_name("point_reach");
  spec.mutable_evaluation()->set_goals(1);
  Violations violations;
  const v1::ExperimentSpec whole = WithDefaults(spec);
  const auto looked = meta_learner::LookAtParts(whole, &violations);
  const auto made = meta_learner::MakeParts(whole, /*pool=*/nullptr, &violations);
  INFO(violations.ToStatus());
  REQUIRE(violations.empty());
  CHECK(looked.rule->meta_parameters().numel() == made.rule->meta_parameters().numel());
  CHECK(looked.rule->meta_parameters().abs().max().item<float>() == 0);
  CHECK(made.rule->meta_parameters().abs().max().item<float>() > 0);
}

TEST_CASE("parts: an average takes no checkpoint of another outer update or experiment", "[unit]") {
  const v1::ExperimentSpec spec = Spec(kPoints);
  const mentor::testing::TempFolder folder;
  const auto checkpoints = folder.path() / NewUuid() / "checkpoints";
  meta_learner::Checkpoint checkpoint = {.experiment_uid = checkpoints.parent_path().filename(),
                                         .spec_hash = SpecHash(spec)};
  meta_learner::AddParts(Parts(spec), &checkpoint.sections);
  std::vector<std::filesystem::path> files;
  for (const uint32_t step : {1u, 2u}) {
    checkpoint.outer_step = step;
    files.push_back(meta_learner::WriteCheckpoint(checkpoints, checkpoint)->path);
  }
  CHECK(meta_learner::AverageParameters(files, spec).ok());
  std::filesystem::copy_file(files[0], files[1], std::filesystem::copy_options::overwrite_existing);
  const auto again = meta_learner::AverageParameters(files, spec);
  CHECK(absl::IsDataLoss(again.status()));
  CHECK(Contains(std::string(again.status().message()), "it is of outer step 1"));
  checkpoint.experiment_uid = NewUuid();
  REQUIRE(meta_learner::WriteCheckpoint(checkpoints, checkpoint).ok());
  const auto foreign = meta_learner::AverageParameters(files, spec);
  CHECK(Contains(std::string(foreign.status().message()), "it belongs to experiment"));
}

}  // namespace mentor::TEST_FILE
