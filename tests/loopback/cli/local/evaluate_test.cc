// Two tiny runs from spec to comparison: run, evaluate with more seeds and other tasks, report.
#include "cli/local/evaluate.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <absl/strings/match.h>
#include <google/protobuf/text_format.h>

#include "agents/numerics.h"
#include "cli/commands.h"
#include "cli/local/run_hash.h"
#include "cli/local/run_report.h"
#include "cli/local/trained_run.h"
#include "common/evaluation_method.h"
#include "common/file.h"
#include "common/uuid.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/store/state_folder.h"
#include "methods/base/outer_rule.h"
#include "tests/loopback/cli/local/tiny_runs.h"
#include "tests/temp_folder.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using mentor::testing::Contains;
using mentor::testing::ReadText;
using meta_learner::ReadShards;

const std::string kSpec = testing::TinySpec(R"(
  display_name: "tiny reward"
  benchmark { name: "point_reach" }
  lifetime { iterations: 3 steps_per_iteration: 40 }
  rule { outer_updates: 2 lifetimes_per_update: 4 shard_lifetimes: 2
         option { name: "k" value: "20" } }
  evaluation {
    lifetimes_per_goal: 1 goals: 4 deterministic_episodes: 1 train_goals: false
    baseline: [PPO_SPARSE, RANDOM_SIGNAL]
  }
)");

// Before anything else uses LibTorch.
const absl::Status fixed = agents::FixNumerics();

// Folders of two finished runs of two methods: the roles of the signal.
struct Runs {
  testing::TempFolder folder;
  std::string reward = (folder.path() / "reward").string();
  std::string advantage = (folder.path() / "advantage").string();
};
const Runs& TwoRuns() {
  static const Runs runs;
  static const bool done = [] {
    REQUIRE(fixed.ok());
    for (const bool reward : {true, false}) {
      std::vector<std::string> overrides;
      if (!reward) overrides = {"signal.role=ADVANTAGE", "display_name=tiny advantage"};
      REQUIRE(testing::RunQuietly(testing::Checked(kSpec, overrides),
                                  reward ? runs.reward : runs.advantage) == 0);
    }
    return true;
  }();
  REQUIRE(done);
  return runs;
}

// Runs `mentor ARGUMENTS`.
int Mentor(std::vector<std::string> arguments) {
  CLI::App app;
  std::function<int()> action;
  AddEvaluateCommand(&app, &action);
  AddReportCommand(&app, &action);
  AddRuleCommands(&app, &action);
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError&) {
    return 2;
  }
  return action();
}

std::filesystem::path Experiment(const std::string& run) {
  const auto found = FindRun(run);
  REQUIRE(found.ok());
  return found->experiment;
}

TEST_CASE("hash: what a crash inside of a creation left beside a run is no second one (D14)",
          "[loopback]") {
  const std::string& run = TwoRuns().reward;
  const auto before = HashRun(run);
  REQUIRE(before.ok());
  const auto left = std::filesystem::path(run) / "experiments" / NewUuid();
  REQUIRE(meta_learner::MakeNewFolder(left).ok());
  const auto beside = HashRun(run);
  std::filesystem::remove_all(left);
  REQUIRE(beside.ok());
  CHECK(beside->state_hash == before->state_hash);
}

TEST_CASE("evaluate: two runs, more seeds, one comparison", "[loopback]") {
  const Runs& runs = TwoRuns();
  const std::string out = (runs.folder.path() / "both").string();
  REQUIRE(Mentor({"evaluate", runs.reward, runs.advantage, "--seeds", "4-6", "--baselines",
                  "ppo_sparse,random_signal", "--threads", "2", "--quiet", "--out", out}) == 0);

  // Under the run's own seed the agents equal those of the evaluation at its end, bit for bit;
  // under another seed they differ.
  for (const std::string& run : {runs.reward, runs.advantage}) {
    const auto own = ReadShards(meta_learner::EvaluationFolder(Experiment(run)));
    const auto again = ReadShards(Experiment(run) / "evaluations" / "test-u2" / "seed-5");
    const auto other = ReadShards(Experiment(run) / "evaluations" / "test-u2" / "seed-6");
    REQUIRE((own.ok() && again.ok() && other.ok()));
    REQUIRE(own->size() == 8);  // Four teachers, two shards each.
    REQUIRE(again->size() == own->size());
    bool differs = false;
    for (size_t i = 0; i < own->size(); ++i) {
      INFO(NameOf((*own)[i].taught_by()));
      CHECK((*again)[i].tasks() == "test");
      CHECK((*again)[i].outer_step() == 2);
      REQUIRE((*own)[i].lifetimes_size() == 2);
      for (int l = 0; l < 2; ++l) {
        // One lifetime for each goal; the numbers continue from shard to shard.
        const v1::EvaluatedLifetime& row = (*own)[i].lifetimes(l);
        CHECK(row.number() == 2 * (*own)[i].index() + static_cast<uint32_t>(l));
        CHECK(row.goal() == row.number());
        CHECK(row.environment() == (*own)[0].lifetimes(0).environment());
      }
      for (int l = 0; l < (*own)[i].lifetimes_size(); ++l) {
        CHECK((*own)[i].lifetimes(l).SerializeAsString() ==
              (*again)[i].lifetimes(l).SerializeAsString());
        differs = differs || (*own)[i].lifetimes(l).episode_return(0) !=
                                 (*other)[i].lifetimes(l).episode_return(0);
      }
    }
    CHECK(differs);
  }
  // Under one seed all runs teach the same newborn agents, so the sparse baseline is the same.
  const auto lives = [&](const std::string& run) {
    const auto shards = ReadShards(Experiment(run) / "evaluations" / "test-u2" / "seed-4");
    REQUIRE(shards.ok());
    std::string all;
    for (const v1::EvaluationShard& shard : *shards) {
      if (shard.taught_by() != v1::EVALUATION_METHOD_PPO_SPARSE) continue;
      for (const v1::EvaluatedLifetime& lifetime : shard.lifetimes())
        all += lifetime.SerializeAsString();
    }
    return all;
  };
  CHECK_FALSE(lives(runs.reward).empty());
  CHECK(lives(runs.reward) == lives(runs.advantage));

  // Nothing counts twice.
  const std::string twice = (runs.folder.path() / "twice").string();
  CHECK(Mentor({"report", runs.reward, runs.reward, "--out", twice}) == 2);
  CHECK(Mentor({"report", runs.reward, Experiment(runs.reward).string(), "--out", twice}) == 2);
  CHECK(Mentor({"evaluate", runs.reward, runs.reward + "/", "--seeds", "4", "--quiet"}) == 2);
  CHECK_FALSE(std::filesystem::exists(twice));

  const std::filesystem::path files = std::filesystem::path(out) / "comparison";
  const std::string scores = ReadText(files / "scores_test.csv");
  CHECK(Contains(scores,
                 "\ntiny reward,1,12,12,"));  // 3 seeds of 4 lifetimes; the run's own is seed 5.
  CHECK(Contains(scores, "\ntiny advantage (best),1,12,12,"));
  CHECK(Contains(scores, "\nPPO sparse,,12,12,"));  // Once for both.
  CHECK(Contains(scores, "\nrandom signal (tiny reward),,12,12,"));
  const std::string markdown = ReadText(files / "tables.md");
  CHECK(Contains(markdown, "| method | meta-seeds | scores |"));
  const std::string page = ReadText(std::filesystem::path(out) / "comparison.html");
  for (const char* figure :
       {"means_test", "profiles_test", "sample_efficiency_test", "probability_of_improvement_test",
        "training_by_steps", "training_by_wall"}) {
    INFO(figure);
    CHECK(Contains(page, "<figure id=\"" + std::string(figure) + "\""));
  }
  const std::string cost = ReadText(files / "cost.csv");
  CHECK(Contains(cost, "\ntiny reward,black_box,1,2,960,"));  // 2 x 4 x 120 steps
}

TEST_CASE("report: an evaluation's file of another run or another name is refused", "[loopback]") {
  const Runs& runs = TwoRuns();
  const testing::TempFolder folder;
  const std::string run = (folder.path() / "run").string();
  std::filesystem::copy(runs.reward, run, std::filesystem::copy_options::recursive);
  REQUIRE(ReportOf(run).ok());
  const auto own = meta_learner::EvaluationFolder(Experiment(run)),
             other = meta_learner::EvaluationFolder(Experiment(runs.advantage));
  const std::string name = "test-learned-00000.binpb";
  const auto put = [&](const std::filesystem::path& from) {
    std::filesystem::copy_file(from, own / name, std::filesystem::copy_options::overwrite_existing);
    return std::string(ReportOf(run).status().message());
  };
  CHECK(Contains(put(other / name), name + " belongs to a run of another spec"));
  CHECK(Contains(put(own / "test-random_signal-00000.binpb"), "it was copied or renamed"));
  CHECK(Mentor({"report", run, "--out", folder.path().string()}) != 0);
  CHECK(put(meta_learner::EvaluationFolder(Experiment(runs.reward)) / name).empty());
}

TEST_CASE("report: a damaged checkpoint is named, and the update that stands in for it",
          "[loopback]") {
  const testing::TempFolder folder;
  const std::string run = (folder.path() / "run").string();
  std::filesystem::copy(TwoRuns().reward, run, std::filesystem::copy_options::recursive);
  CHECK(ReportOf(run)->damaged_checkpoints.empty());
  const auto newest = HashRun(run)->checkpoint;
  std::filesystem::resize_file(newest, std::filesystem::file_size(newest) / 2);
  const auto data = ReportOf(run);
  REQUIRE(data.ok());
  CHECK(data->outer_updates_made == 1);
  CHECK(Contains(data->damaged_checkpoints, newest.filename().string()));
}

TEST_CASE("evaluate: what is there is kept, what is missing is made again alike", "[loopback]") {
  const Runs& runs = TwoRuns();
  const std::vector<std::string> command = {"evaluate",    runs.reward, "--name",  "again",
                                            "--seeds",     "1,2",       "--goals", "3",
                                            "--baselines", "none",      "--quiet"};
  REQUIRE(Mentor(command) == 0);
  const auto folder = Experiment(runs.reward) / "evaluations" / "again";
  const auto lost = folder / "seed-2" / "test-learned-00001.binpb",
             kept = folder / "seed-1" / "test-learned-00000.binpb";
  const std::string before = ReadText(lost);
  const auto time = std::filesystem::last_write_time(kept);
  std::filesystem::remove(lost);
  REQUIRE(Mentor(command) == 0);
  CHECK(ReadText(lost) == before);
  CHECK(std::filesystem::last_write_time(kept) == time);
  // The same name for another protocol.
  std::vector<std::string> other = command;
  other[7] = "2";
  CHECK(Mentor(other) == 1);
  const auto refused =
      Evaluate({.runs = {runs.reward}, .goals = 2, .name = "again", .quiet = true});
  CHECK(Contains(std::string(refused.status().message()), "give this one a name with --name"));
  std::filesystem::remove_all(folder);
}

TEST_CASE("evaluate: a part of another seed, run, life or task is made again", "[loopback]") {
  const Runs& runs = TwoRuns();
  const std::vector<std::string> command = {"evaluate",  runs.reward, "--name",      "believed",
                                            "--seeds",   "6",         "--baselines", "none",
                                            "--weights", "last",      "--quiet"};
  REQUIRE(Mentor(command) == 0);
  const auto folder = Experiment(runs.reward) / "evaluations" / "believed";
  using Change = void (*)(v1::EvaluationShard*);
  // One change in each of the two parts of the six seeds.
  const Change changes[] = {
      [](auto* part) { part->set_seed(7); },
      [](auto* part) { part->set_spec_hash("aa"); },
      [](auto* part) { part->set_state_hash("aa"); },
      [](auto* part) { part->set_outer_step(1); },
      [](auto* part) { part->set_tasks("train"); },
      [](auto* part) { part->set_averaged_checkpoints(1); },
      [](auto* part) { part->mutable_lifetimes()->RemoveLast(); },
      [](auto* part) { part->mutable_lifetimes(0)->set_number(9); },
      [](auto* part) { part->mutable_lifetimes(0)->set_environment("elsewhere"); },
      [](auto* part) { part->mutable_lifetimes(1)->set_goal(9); },
      [](auto* part) { part->mutable_lifetimes(1)->mutable_segment_episodes()->RemoveLast(); },
      [](auto* part) { part->set_index(9); },
  };
  std::map<std::filesystem::path, std::string> before;
  for (const Change change : changes) {
    const size_t at = before.size();
    const auto seed = folder / meta_learner::SeedFolder(at / 2 + 1);
    const auto file =
        seed / (at % 2 == 0 ? "test-learned-00000.binpb" : "test-learned-00001.binpb");
    before[file] = ReadText(file);
    v1::EvaluationShard part;
    REQUIRE(part.ParseFromString(before[file]));
    part.clear_crc32c();
    change(&part);
    REQUIRE(meta_learner::WriteShard(file, part).ok());
    REQUIRE(ReadText(file) != before[file]);
  }
  REQUIRE(Mentor(command) == 0);
  for (const auto& [file, bytes] : before) {
    INFO(file);
    CHECK(ReadText(file) == bytes);
  }
  std::filesystem::remove_all(folder);
}

TEST_CASE("evaluate: the best weights alone, the last ones, or both", "[loopback]") {
  const Runs& runs = TwoRuns();
  const auto folder = Experiment(runs.reward) / "evaluations" / "weights";
  const auto evaluate = [&](const std::string& weights) {
    REQUIRE(Mentor({"evaluate", runs.reward, "--name", "weights", "--seeds", "1", "--weights",
                    weights, "--baselines", "none", "--quiet"}) == 0);
    const auto shards = ReadShards(folder / "seed-1");
    REQUIRE(shards.ok());
    std::set<v1::EvaluationMethod> methods;
    for (const v1::EvaluationShard& shard : *shards) methods.insert(shard.taught_by());
    return methods;
  };
  CHECK(evaluate("best") == std::set{v1::EVALUATION_METHOD_LEARNED_BEST});
  // The others join it: it is one protocol.
  CHECK(evaluate("last") ==
        std::set{v1::EVALUATION_METHOD_LEARNED, v1::EVALUATION_METHOD_LEARNED_BEST});
  CHECK(evaluate("both").size() == 2);
  CHECK(Mentor({"evaluate", runs.reward, "--name", "weights", "--seeds", "1", "--baselines", "none",
                "--quiet"}) == 0);
  std::filesystem::remove_all(folder);
  CHECK(Mentor({"evaluate", "--signal", "none", "--weights", "best"}) == 2);
  CHECK(Mentor({"evaluate", runs.reward, "--weights", "first"}) == 2);
}

TEST_CASE("report: labels of a comparison", "[loopback][nightly]") {
  const Runs& runs = TwoRuns();
  const std::string out = (runs.folder.path() / "labels").string();
  REQUIRE(Mentor({"report", runs.reward, runs.advantage, "--out", out, "--label",
                  runs.reward + "=R=1"}) == 0);
  const std::string scores =
      ReadText(std::filesystem::path(out) / "comparison" / "scores_test.csv");
  CHECK(Contains(scores, "\nR=1,"));
  CHECK(Contains(scores, "\ntiny advantage,"));
  CHECK(Mentor({"report", runs.reward, "--label", "other=R", "--out", out}) == 2);
  REQUIRE(Mentor({"report", runs.reward, "--label", runs.reward + "=R=1", "--out", out}) == 0);
  CHECK(Contains(ReadText(std::filesystem::path(out) / "report.html"), "<title>R=1: "));
  std::filesystem::remove_all(out);
}

TEST_CASE("evaluate: other tasks of the same shape, and what does not fit", "[loopback]") {
  const Runs& runs = TwoRuns();
  const testing::TempFolder folder;
  const auto message = [&](EvaluateOptions options) {
    options.runs = {runs.reward};
    options.quiet = true;
    const auto code = Evaluate(options);
    REQUIRE_FALSE(code.ok());
    return std::string(code.status().message());
  };
  CHECK(Contains(message({.tasks = "single:InvertedPendulum-v5"}),
                 "it has observations of 4 numbers and actions of 1, but"));
  CHECK(Contains(message({.tasks = "nothing"}), "nothing"));
  CHECK(Contains(message({.tasks = "ml1:nowhere-v3"}), "nowhere-v3"));
  REQUIRE(WriteFileAtomically(folder.path() / "bad.txtpb", "nonsense").ok());
  CHECK(Contains(message({.tasks = (folder.path() / "bad.txtpb").string()}), "is not a benchmark"));

  REQUIRE(WriteFileAtomically(folder.path() / "far.txtpb",
                              "name: \"point_reach\" option { name: \"rho\" value: \"0.3\" }")
              .ok());
  REQUIRE(Mentor({"evaluate", runs.reward, "--tasks", (folder.path() / "far.txtpb").string(),
                  "--seeds", "1", "--baselines", "none", "--quiet"}) == 0);
  const auto data = ReportOf(runs.reward);
  REQUIRE(data.ok());
  const auto far = std::count_if(data->evaluation.begin(), data->evaluation.end(),
                                 [](const auto& row) { return row.split == "far"; });
  CHECK(far == 8);  // Final and best weights on four goals.
  // The run's report shows them beside its own goals.
  REQUIRE(Mentor({"report", runs.reward, "--out", folder.path().string()}) == 0);
  const std::string page = ReadText(folder.path() / "report.html");
  CHECK(Contains(page, "<figure id=\"evaluation_test\""));
  CHECK(Contains(page, "<figure id=\"evaluation_far\""));
  CHECK(Contains(page, "random signal"));
  std::filesystem::remove_all(Experiment(runs.reward) / "evaluations" / "far-u2");
}

TEST_CASE("evaluate: flags", "[loopback]") {
  CHECK(*ParseSeeds("3") == std::vector<uint64_t>{1, 2, 3});
  CHECK(*ParseSeeds("7,2") == std::vector<uint64_t>{7, 2});
  CHECK(*ParseSeeds("4-6,9") == std::vector<uint64_t>{4, 5, 6, 9});
  for (const char* bad : {"", "a", "1,1", "5-3", "1-2-3", "0-99999", "-1"})
    CHECK_FALSE(ParseSeeds(bad).ok());
  CHECK(ParseBaselines("none")->empty());
  CHECK(*ParseBaselines("ppo_sparse,RANDOM_SIGNAL") ==
        std::vector<v1::Baseline>{v1::PPO_SPARSE, v1::RANDOM_SIGNAL});
  CHECK(Contains(std::string(ParseBaselines("sparse").status().message()), "known: ppo_sparse"));
  const auto tasks = ParseTasks("ml1:button-press-v3/train");
  REQUIRE(tasks.ok());
  CHECK(tasks->benchmark.name() == "ml1");
  CHECK(tasks->benchmark.environment() == "button-press-v3");
  CHECK(tasks->train);
  CHECK(Mentor({"evaluate", "/nonexistent"}) == 2);
  for (const char* name : {"", "..", ".", "a\nb"})
    CHECK(Mentor({"evaluate", TwoRuns().reward, "--check", "--name", name}) == 2);
  CHECK(Mentor({"report", "/nonexistent", "/nowhere"}) == 2);
  CHECK(Mentor({"report", "/nonexistent"}) == 2);
}

TEST_CASE("evaluate: a run that learns nothing has its baselines, or says what to do",
          "[loopback]") {
  const testing::TempFolder folder;
  v1::ExperimentSpec spec = testing::Checked(kSpec, {"rule.outer_updates=0"});
  REQUIRE(testing::RunQuietly(spec, folder.path()) == 0);
  CHECK(Mentor({"evaluate", folder.path().string(), "--seeds", "1", "--baselines", "ppo_sparse",
                "--quiet"}) == 0);
  const auto refused = Evaluate({.runs = {folder.path()}, .baselines = {}, .quiet = true});
  CHECK(Contains(std::string(refused.status().message()), "nothing to evaluate without"));
  CHECK(Mentor({"report", folder.path().string(), TwoRuns().reward, "--out",
                folder.path().string()}) == 0);

  const testing::TempFolder idle;
  spec.mutable_evaluation()->clear_baseline();
  REQUIRE(testing::RunQuietly(spec, idle.path()) == 0);
  REQUIRE(Mentor({"report", idle.path().string()}) == 0);
  CHECK(Contains(ReadText(idle.path() / "report.html"), "set evaluation.baseline to [PPO_SPARSE"));
}

TEST_CASE(
    "report: goal seeds are meta-seeds where a benchmark lists its goals, and decide nothing "
    "elsewhere",
    "[loopback][nightly]") {
  const testing::TempFolder folder;
  const auto run = [&](const std::string& name, const std::string& benchmark, uint32_t goal_seed) {
    v1::ExperimentSpec spec = testing::Checked(kSpec, {"rule.outer_updates=0"});
    REQUIRE(google::protobuf::TextFormat::ParseFromString(benchmark, spec.mutable_benchmark()));
    spec.mutable_benchmark()->set_goal_seed(goal_seed);
    spec.mutable_evaluation()->clear_baseline();
    spec.mutable_evaluation()->add_baseline(v1::PPO_SPARSE);
    REQUIRE(testing::RunQuietly(spec, folder.path() / name) == 0);
    return (folder.path() / name).string();
  };
  const std::string listed =
      "name: 'custom' task_set { environment: 'point_reach' goals: 3 } "
      "task_set { environment: 'point_reach' split: TEST goals: 4 }";
  const std::string one = run("one", listed, 1), three = run("three", listed, 3),
                    again = run("again", listed, 3);
  const auto data = ReportOf(three);
  REQUIRE(data.ok());
  CHECK(data->identity.goal_seed == 3);
  CHECK(data->identity.training_goals.size() == 3);
  CHECK(data->identity.test_goals.size() == 4);
  CHECK(data->identity.method == ReportOf(one)->identity.method);
  REQUIRE(data->evaluation.size() == 4);
  for (const report::EvaluationRow& row : data->evaluation) CHECK(row.goal_seed == 3);
  const std::string out = (folder.path() / "out").string();
  REQUIRE(Mentor({"report", one, three, "--out", out}) == 0);
  // The same seed of agents, and other goals: eight lives.
  CHECK(Contains(ReadText(std::filesystem::path(out) / "comparison" / "scores_test.csv"),
                 "\nPPO sparse,2,8,8,"));
  CHECK(Mentor({"report", three, again, "--out", out}) == 2);

  // The seed of agents draws fresh goals.
  const std::string fresh = run("fresh", "name: 'point_reach'", 1),
                    same = run("same", "name: 'point_reach'", 3);
  CHECK(ReportOf(same)->identity.goal_seed == 0);
  CHECK(ReportOf(same)->evaluation[0].goal_seed == ReportOf(same)->evaluation[0].seed);
  CHECK(Mentor({"report", fresh, same, "--out", out}) == 2);
}

TEST_CASE("curricula: list and show", "[loopback]") {
  CHECK(Contains(DescribeParts("curriculum", false), "adr"));
  CHECK(Contains(DescribeParts("curriculum", true), "\"name\": \"adr\""));
  const auto adr = DescribePart("curriculum", "adr", false);
  REQUIRE(adr.ok());
  CHECK(Contains(*adr, "threshold_high: default 0.8"));
  CHECK(Contains(*adr, "range_entropy, in nat"));
  CHECK(Contains(*DescribePart("curriculum", "adr", true), "\"options\""));
  CHECK(Contains(std::string(DescribePart("curriculum", "nothing", false).status().message()),
                 "known: adr"));
  CHECK(Mentor({"curriculum", "list"}) == 0);
  CHECK(Mentor({"curriculum", "show", "nothing"}) == 2);
}

TEST_CASE("rule and signal: list and show", "[loopback]") {
  CHECK(Contains(DescribeParts("rule", false), "black_box"));
  CHECK(Contains(DescribeParts("signal", true), "\"name\": \"lstm\""));
  const auto rule = DescribePart("rule", "black_box", false);
  REQUIRE(rule.ok());
  CHECK(Contains(*rule, "inner loop    ppo"));
  CHECK(Contains(*rule, "learning_rate: default "));
  CHECK(Contains(*rule, "after whole lifetimes"));
  CHECK(Contains(*rule, "lstm (ADVANTAGE)"));
  CHECK(Contains(*DescribePart("rule", "black_box", true), "\"inner_loop_options\""));
  for (const methods::RuleEntry* entry : methods::OuterRules()) {
    INFO(entry->name);
    CHECK(Contains(*DescribePart("rule", entry->name, false), "\n  needs "));
  }
  // Networks that fit only with an option are there with the option; docs/rules.md says the same.
  CHECK(Contains(*DescribePart("rule", "black_box", true), "\"option\": \"density: true\""));
  CHECK(Contains(*rule, "mlp (ADVANTAGE, density: true)"));
  CHECK(Contains(*rule, "attention (REWARD, density: true)"));
  CHECK_FALSE(Contains(*DescribePart("rule", "meta_gradient", true), "\"option\": \""));
  const auto signal = DescribePart("signal", "lstm", false);
  REQUIRE(signal.ok());
  CHECK(Contains(*signal, "be sampled"));
  CHECK(Contains(*DescribePart("signal", "lstm", true), "\"density\": true"));
  CHECK(Contains(std::string(DescribePart("rule", "nothing", false).status().message()),
                 "known: black_box"));
  CHECK(Mentor({"rule", "list"}) == 0);
  CHECK(Mentor({"signal", "show", "nothing"}) == 2);
}

}  // namespace mentor::TEST_FILE
