// Exports a run's result as files, and reads them back.
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <absl/strings/match.h>
#include <nlohmann/json.hpp>

#include "agents/numerics.h"
#include "cli/local/evaluate.h"
#include "cli/local/signal_export.h"
#include "cli/local/trained_run.h"
#include "common/file.h"
#include "common/safetensors.h"
#include "envs/wrappers/random_reward.h"
#include "meta_learner/experiment/evaluation.h"
#include "methods/base/outer_rule.h"
#include "methods/diayn/discriminator.h"
#include "tests/loopback/cli/local/tiny_runs.h"
#include "tests/temp_folder.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using mentor::testing::Contains;
using mentor::testing::ReadText;

// Before anything else uses LibTorch.
const absl::Status kFixedForExport = agents::FixNumerics();

const std::string kExportSpec = testing::TinySpec(R"(
  benchmark { name: "point_reach" }
  lifetime { iterations: 3 steps_per_iteration: 40 }
  rule { outer_updates: 2 lifetimes_per_update: 4 shard_lifetimes: 2
         option { name: "k" value: "20" } }
  evaluation {
    lifetimes_per_goal: 1 goals: 4 deterministic_episodes: 1 train_goals: false
    baseline: [PPO_SPARSE]
  }
)");

// Returns the shortest spec of some rule with this network; nothing if no rule learns it.
std::optional<v1::ExperimentSpec> SpecWith(const std::string& network) {
  for (const methods::RuleEntry* rule : methods::OuterRules()) {
    for (const v1::SignalRole role : {v1::REWARD, v1::ADVANTAGE, v1::LOSS}) {
      for (const char* option : {"", "density"}) {
        v1::ExperimentSpec spec;
        spec.mutable_benchmark()->set_name("point_reach");
        spec.mutable_rule()->set_lifetimes_per_update(30);
        spec.mutable_rule()->set_shard_lifetimes(30);
        methods::AddExample(*rule, &spec);
        spec.mutable_rule()->set_lifetimes_per_update(spec.rule().shard_lifetimes());
        if (spec.signal().name() != network) spec.clear_signal();
        spec.mutable_signal()->set_name(network);
        spec.mutable_signal()->set_role(role);
        if (*option != '\0') {
          spec.mutable_signal()->add_option()->set_name(option);
          spec.mutable_signal()->mutable_option()->rbegin()->set_value("true");
        }
        spec.mutable_evaluation()->set_lifetimes_per_goal(0);
        Violations violations;
        CheckSpec(spec, &violations, meta_learner::CheckParts);
        if (!violations.empty()) continue;
        spec = WithDefaults(spec);
        const auto parts = meta_learner::MakeParts(spec, /*pool=*/nullptr, &violations);
        if (violations.empty() && parts.rule->needs().signal_network()) return spec;
      }
    }
  }
  return std::nullopt;
}

// Makes a folder as if this spec had been run to its end.
TrainedRun MadeUpRun(const v1::ExperimentSpec& spec) {
  TrainedRun run;
  run.spec = spec;
  Violations violations;
  run.parts = meta_learner::MakeParts(spec, /*pool=*/nullptr, &violations);
  REQUIRE(violations.empty());
  run.learned_parameters = run.parts.network->InitialWeights(/*seed=*/3);
  run.best_parameters = run.parts.network->InitialWeights(/*seed=*/4);
  run.initial_parameters = run.parts.rule->meta_parameters().clone();
  run.outer_step = 7;
  run.state_hash = std::string(64, 'a');
  return run;
}

TEST_CASE("export: every registered signal network leaves and comes back", "[loopback]") {
  REQUIRE(kFixedForExport.ok());
  const testing::TempFolder folder;
  for (const signals::SignalEntry* entry : signals::SignalNetworks()) {
    INFO(entry->name);
    const auto spec = SpecWith(entry->name);
    REQUIRE(spec.has_value());
    const TrainedRun run = MadeUpRun(*spec);
    const std::filesystem::path out = folder.path() / entry->name;
    const auto exported = ExportSignal(run, {.out = out});
    INFO(exported.status());
    REQUIRE(exported.ok());
    CHECK(exported->files.size() == 4);
    CHECK(exported->check_steps > 0);
    const auto json = nlohmann::json::parse(ReadText(out / kSignalConfig));
    CHECK(json["network"]["name"] == entry->name);
    CHECK(json["network"]["options"].size() == entry->options.size());
    CHECK(json["trained"]["outer_updates"] == 7);
    CHECK_FALSE(json["columns"].empty());
    const std::string card = ReadText(out / "README.md");
    for (const char* part : {"trained on", "How agents did", "not evaluated", "not for"})
      CHECK(Contains(card, part));
    CHECK(card.starts_with("---\nlibrary_name: mentor\npipeline_tag: "));
    const auto back = ReadExportedSignal(out);
    INFO(back.status());
    REQUIRE(back.ok());
    CHECK(torch::equal(back->learned_parameters, run.learned_parameters));
    CHECK(SpecHash(back->spec) == SpecHash(run.spec));
    CHECK(back->outer_step == 7);
  }
}

TEST_CASE("export: the same state gives the same bytes, and the best weights others",
          "[loopback]") {
  const testing::TempFolder folder;
  const auto spec = SpecWith("mlp");
  REQUIRE(spec.has_value());
  const TrainedRun run = MadeUpRun(*spec);
  const auto bytes = [&](const char* name, bool best) {
    const std::filesystem::path out = folder.path() / name / "signal";
    REQUIRE(ExportSignal(run, {.out = out, .best = best}).ok());
    std::string all;
    for (const char* file :
         {"model.safetensors", "signal_check.safetensors", "config.json", "README.md"})
      all += ReadText(out / file);
    return all;
  };
  const std::string one = bytes("one", false);
  CHECK(one == bytes("two", false));
  CHECK(one != bytes("best", true));
}

TEST_CASE("export: a discriminator becomes a bundle with the same probabilities", "[loopback]") {
  const testing::TempFolder folder;
  const auto spec = SpecWith("discriminator");
  REQUIRE(spec.has_value());
  const TrainedRun run = MadeUpRun(*spec);
  const ExportOptions options = {.out = folder.path() / "skills"};
  const auto exported = ExportDiscriminator(run, options);
  INFO(exported.status());
  REQUIRE(exported.ok());
  CHECK(exported->parameters == run.learned_parameters.numel());
  const std::string bytes = ReadText(options.out / envs::kDiscriminatorFile);
  auto network = envs::RewardNetwork::Read(bytes);
  REQUIRE(network.ok());
  const auto discriminator = methods::AsDiscriminator(run.parts.network);
  const torch::Tensor observations =
      torch::linspace(-2, 2, 5 * network->observation_size()).view({5, -1});
  const torch::Tensor log_skills =
      discriminator->LogSkills(run.learned_parameters, observations).to(torch::kFloat64);
  for (int64_t i = 0; i < observations.size(0); ++i) {
    const torch::Tensor o = observations[i].to(torch::kFloat64);
    const auto log_d = network->LogD(
        {o.const_data_ptr<double>(), static_cast<size_t>(network->observation_size())});
    for (int64_t z = 0; z < network->classes(); ++z)
      CHECK(log_d[static_cast<size_t>(z)] == Approx(log_skills[i][z].item<double>()).epsilon(1e-5));
  }

  // The bundle's name depends on the weights alone.
  TrainedRun other = MadeUpRun(*spec);
  other.state_hash = std::string(64, 'b');
  REQUIRE(ExportDiscriminator(other, {.out = folder.path() / "other"}).ok());
  CHECK(ReadText(folder.path() / "other" / envs::kDiscriminatorFile) == bytes);
  REQUIRE(ExportDiscriminator(run, {.out = folder.path() / "best", .best = true}).ok());
  CHECK(ReadText(folder.path() / "best" / envs::kDiscriminatorFile) != bytes);

  const absl::Status again = ExportDiscriminator(run, options).status();
  CHECK(absl::IsAlreadyExists(again));
  CHECK(Contains(again, "--force writes over it"));
  CHECK(ExportDiscriminator(run, {.out = options.out, .replace = true}).ok());
  const absl::Status signal = ExportDiscriminator(MadeUpRun(*SpecWith("mlp")), options).status();
  CHECK(absl::IsFailedPrecondition(signal));
  CHECK(Contains(signal, "signal.name: 'mlp' tells no skills apart"));
  other.learned_parameters[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK(Contains(ExportDiscriminator(other, {.out = folder.path() / "nan"}).status(),
                 "not every weight of the discriminator is finite"));
}

TEST_CASE("export: a signal of normalised observations has a format that older readers refuse",
          "[loopback]") {
  const testing::TempFolder folder;
  auto spec = SpecWith("lstm");
  REQUIRE(spec.has_value());
  v1::Option* option = spec->mutable_signal()->add_option();
  option->set_name("normalize_observations");
  option->set_value("true");
  const TrainedRun run = MadeUpRun(*spec);
  const std::filesystem::path out = folder.path() / "out";
  REQUIRE(ExportSignal(run, {.out = out}).ok());
  const auto json = nlohmann::json::parse(ReadText(out / kSignalConfig));
  CHECK(json["format"] == 2);
  CHECK(json["network"]["options"]["normalize_observations"] == true);
  const auto back = ReadExportedSignal(out);
  INFO(back.status());
  REQUIRE(back.ok());
  CHECK(SpecHash(back->spec) == SpecHash(run.spec));
}

// Exports a spec's untrained result; returns which reward of the task its agents earn, or the
// error.
std::string TaskRewardOf(const std::string& spec, const std::filesystem::path& out) {
  const auto loaded = LoadSpec(
      "benchmark { name: 'point_reach' } lifetime { iterations: 2 steps_per_iteration: 40 } "
      "evaluation { lifetimes_per_goal: 0 } " +
      spec);
  INFO(loaded.status());
  REQUIRE(loaded.ok());
  const auto exported = ExportSignal(MadeUpRun(WithDefaults(*loaded)), {.out = out});
  if (!exported.ok()) return std::string(exported.status().message());
  return nlohmann::json::parse(ReadText(out / kSignalConfig))["reward"]["task_reward"];
}

TEST_CASE("export: the task's reward is named as the agents earned it", "[loopback][nightly]") {
  const testing::TempFolder folder;
  const std::string response =
      "signal { name: 'bottleneck' role: REWARD } rule { name: 'response_gradient' "
      "lifetimes_per_update: 1 shard_lifetimes: 1 ";
  CHECK(TaskRewardOf(response + "}", folder.path() / "a") == "shaped");
  CHECK(TaskRewardOf(response + "option { name: 'objective' value: 'success' } }",
                     folder.path() / "b") == "success");
  const std::string lirpg =
      "signal { name: 'mlp' role: REWARD } rule { name: 'lirpg' lifetimes_per_update: 1 "
      "shard_lifetimes: 1 option { name: 'extrinsic' value: 'success' } ";
  CHECK(TaskRewardOf(lirpg + "}", folder.path() / "c") == "success");
  const std::string half = lirpg + "option { name: 'c_ex' value: '0.5' } ";
  const std::string unscaled = half + "option { name: 'scale_rewards' value: 'false' } ";
  CHECK(Contains(TaskRewardOf(half + "}", folder.path() / "d"), "rule.option.c_ex: is 0.5"));
  CHECK(TaskRewardOf(unscaled + "}", folder.path() / "e") == "success");
  CHECK(Contains(
      TaskRewardOf(unscaled + "option { name: 'reward_every' value: '3' } }", folder.path() / "f"),
      "rule.reward_every=1"));
}

TEST_CASE("export: what cannot be exported is refused with the remedy", "[loopback]") {
  const testing::TempFolder folder;
  const auto spec = SpecWith("mlp");
  REQUIRE(spec.has_value());
  const TrainedRun run = MadeUpRun(*spec);
  const auto says = [](const absl::Status& status, const char* words) {
    INFO(status);
    CHECK(Contains(std::string(status.message()), words));
  };
  const std::filesystem::path out = folder.path() / "out";
  REQUIRE(ExportSignal(run, {.out = out, .check = false}).ok());
  CHECK_FALSE(std::filesystem::exists(out / "signal_check.safetensors"));
  says(ExportSignal(run, {.out = out}).status(), "--force writes over it");
  CHECK(ExportSignal(run, {.out = out, .replace = true}).ok());
  says(ExportSignal(run, {.out = folder.path(), .replace = true}).status(), "is no earlier export");

  TrainedRun untrained = MadeUpRun(*spec);
  untrained.state_hash.clear();
  says(ExportSignal(untrained, {.out = folder.path() / "a"}).status(), "rule.outer_updates");

  const auto none = LoadSpec(
      "benchmark { name: 'point_reach' } lifetime { iterations: 1 steps_per_iteration: 40 } rule { "
      "name: 'rl2' option { name: 'k' value: '20' } } evaluation { goals: 1 "
      "deterministic_episodes: "
      "0 baseline: RANDOM_SIGNAL }");
  REQUIRE(none.ok());
  says(ExportSignal(MadeUpRun(WithDefaults(*none)), {.out = folder.path() / "b"}).status(),
       "'rl2' learns no signal network");

  says(ReadExportedSignal(folder.path() / "nothing").status(), "is no exported signal");
  TrainedRun diverged = MadeUpRun(*spec);
  diverged.learned_parameters[0] = std::numeric_limits<float>::quiet_NaN();
  REQUIRE(ExportSignal(diverged, {.out = folder.path() / "c", .check = false}).ok());
  says(ReadExportedSignal(folder.path() / "c").status(), "is finite");
  // A weight that changed.
  std::string weights = ReadText(out / "model.safetensors");
  weights.back() = static_cast<char>(weights.back() ^ 1);
  REQUIRE(WriteFileAtomically(out / "model.safetensors", weights).ok());
  says(ReadExportedSignal(out).status(), "weights.sha256");
}

TEST_CASE("export: earlier exports, whose files have other names, are read", "[loopback]") {
  const testing::TempFolder folder;
  const auto spec = SpecWith("mlp");
  REQUIRE(spec.has_value());
  const TrainedRun run = MadeUpRun(*spec);
  const std::filesystem::path out = folder.path() / "out";
  REQUIRE(ExportSignal(run, {.out = out, .license = "apache-2.0"}).ok());
  CHECK(Contains(ReadText(out / "README.md"), "\nlicense: \"apache-2.0\"\n"));
  std::filesystem::rename(out / kSignalConfig, out / kOldSignalConfig);
  std::filesystem::rename(out / "model.safetensors", out / "signal.safetensors");
  const auto back = ReadExportedSignal(out);
  INFO(back.status());
  REQUIRE(back.ok());
  CHECK(torch::equal(back->learned_parameters, run.learned_parameters));
}

TEST_CASE("export: what is wrong with a config.json is named in words", "[loopback]") {
  const testing::TempFolder folder;
  const auto spec = SpecWith("mlp");
  REQUIRE(spec.has_value());
  const std::filesystem::path out = folder.path() / "out";
  REQUIRE(ExportSignal(MadeUpRun(*spec), {.out = out, .check = false}).ok());
  const auto good = nlohmann::json::parse(ReadText(out / kSignalConfig));
  const auto refused = [&](const std::string& text, const char* words) {
    REQUIRE(WriteFileAtomically(out / kSignalConfig, text).ok());
    const std::string said(ReadExportedSignal(out).status().message());
    INFO(said);
    CHECK(Contains(said, words));
    CHECK_FALSE(Contains(said, "json.exception"));
  };
  refused("", "is no JSON object");
  refused("[1]", "is no JSON object");
  refused("{}", "format is no number");
  refused(R"({"format": 1e308})", "format is 1e+308, but this build reads 1");
  refused(R"({"format": 1})", "spec is no text");
  const struct {
    const char *path, *value, *words;
  } cases[] = {
      {"/format", "99", "format is 99, but this build reads 1"},
      {"/format", R"("1")", "format is no number"},
      {"/spec", "{}", "spec is no text"},
      {"/weights", "7", "weights.sha256 is no text"},
      {"/weights/sha256", "1e308", "weights.sha256 is no text"},
      {"/trained/outer_updates", "-1", "trained.outer_updates is no number of updates"},
      {"/trained/outer_updates", "1e308", "trained.outer_updates is no number of updates"},
  };
  for (const auto& [path, value, words] : cases) {
    auto bad = good;
    bad[nlohmann::json::json_pointer(path)] = nlohmann::json::parse(value);
    refused(bad.dump(), words);
  }
}

// The lifetimes of an evaluation, as bytes.
std::string LifetimesOf(const std::filesystem::path& folder) {
  const auto shards = meta_learner::ReadShards(folder);
  REQUIRE(shards.ok());
  REQUIRE_FALSE(shards->empty());
  std::string all;
  for (const v1::EvaluationShard& shard : *shards) {
    if (shard.taught_by() != v1::EVALUATION_METHOD_LEARNED) continue;
    for (const v1::EvaluatedLifetime& lifetime : shard.lifetimes())
      all += lifetime.SerializeAsString();
  }
  REQUIRE_FALSE(all.empty());
  return all;
}

TEST_CASE("export: a signal teaches as the run that it came from", "[loopback]") {
  const testing::TempFolder folder;
  const std::filesystem::path out = folder.path() / "run", signal = folder.path() / "signal";
  REQUIRE(testing::RunQuietly(testing::Checked(kExportSpec), out) == 0);
  const auto run = ReadRun(out);
  REQUIRE(run.ok());
  const auto exported = ExportSignal(*run, {.out = signal});
  INFO(exported.status());
  REQUIRE(exported.ok());
  const auto json = nlohmann::json::parse(ReadText(signal / kSignalConfig));
  CHECK(json["trained"]["environment_steps"] == 2 * 4 * 3 * 40);
  CHECK(json["evaluation"].size() >= 2);
  const std::string card = ReadText(signal / "README.md");
  CHECK(Contains(card, "| learned | unseen goals | 4 |"));
  CHECK(Contains(card, "model-index:\n- name: \"signal\"\n  results:\n  - task:\n"));
  CHECK(Contains(card, "    - type: mean_reward\n      value: 10.2"));

  EvaluateOptions options{.runs = {out}, .seeds = {1}, .baselines = {}, .quiet = true};
  REQUIRE(Evaluate(options).value() == 0);
  options.runs = {};
  options.signals = {signal};
  options.results = folder.path() / "results";
  REQUIRE(Evaluate(options).value() == 0);
  CHECK(LifetimesOf(folder.path() / "results" / "signal" / "test-u2" / "seed-1") ==
        LifetimesOf(EvaluationsFolder(run->folder.experiment) / "test-u2" / "seed-1"));
  // It also works on tasks of another benchmark with the same sizes, and on no others.
  options.tasks = "point_reach/train";
  CHECK(Evaluate(options).value() == 0);
  options.tasks = "single:Hopper-v5";
  CHECK(Contains(std::string(Evaluate(options).status().message()), "choose tasks of that shape"));
}

}  // namespace mentor::TEST_FILE
