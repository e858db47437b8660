#include "mentor/report/comparison.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "mentor/report/gnuplot.h"
#include "tests/compared_runs.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::report {
namespace {

using mentor::testing::Contains;
using mentor::testing::Near;
using mentor::testing::ReadText;
using mentor::testing::Row;
using mentor::testing::Run;
using mentor::testing::TempFolder;

TEST_CASE("comparison: runs that differ in the seed are one method; baselines stand once",
          "[unit]") {
  const std::vector<ComparedRun> runs = {Run("reward", 1, 1), Run("advantage", 1, 0),
                                         Run("reward", 2, 0)};
  const auto groups = GroupRuns(runs);
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].name == "reward");
  REQUIRE(groups[0].runs.size() == 2);
  CHECK(groups[0].runs[1]->name == "reward-2");
  const auto rankings = Rankings(groups, Unit::kAuto);
  REQUIRE(rankings.size() == 1);
  const Ranking& ranking = rankings[0];
  CHECK(ranking.unit == Unit::kLifetime);  // There are fewer than three meta-seeds.
  REQUIRE(ranking.contenders.size() == 5);
  CHECK(ranking.contenders[0].name == "reward");
  CHECK(ranking.contenders[0].rows.size() == 12);
  CHECK(ranking.contenders[2].name == "PPO sparse");
  // The same agents in all runs: 3 seeds x 2 lifetimes once.
  CHECK(ranking.contenders[2].rows.size() == 6);
  CHECK(ranking.contenders[2].iteration_steps == 50);
  CHECK(ranking.contenders[3].name == "random signal (reward)");
  CHECK(ranking.contenders[3].rows.size() == 12);  // Another signal for each meta-seed.
  // Two of a kind do not look alike.
  CHECK(ranking.contenders[3].style.colour != ranking.contenders[4].style.colour);

  // By meta-seed; seeds of agents are lifetimes on the same goals.
  const Ranking by_seed = Rankings(groups, Unit::kSeed)[0];
  const auto pooled = [](const Ranking& of, size_t contender, int iteration = -1) {
    return Pool(ScoresOf(of, of.contenders[contender], iteration));
  };
  CHECK(pooled(by_seed, 0) == PooledScores{{1, 0.5}});
  CHECK(pooled(by_seed, 0, 0) == PooledScores{{0, 0}});
  CHECK(pooled(by_seed, 1) == PooledScores{{0.5}});
  CHECK(pooled(ranking, 1) == PooledScores{std::vector<double>(6, 0.5)});
  const Scores own = ScoresOf(ranking, ranking.contenders[1]);
  CHECK(std::set<Levels>(own.levels.begin(), own.levels.end()).size() == 2);  // Two goals.

  // Other tasks or agents: each method has its own baselines.
  std::vector<ComparedRun> others = runs;
  others[1].data.identity.protocol = "two";
  const auto apart = Rankings(GroupRuns(others), Unit::kAuto);
  CHECK(apart[0].contenders[2].name == "PPO sparse (reward)");
  CHECK(apart[0].contenders[3].name == "PPO sparse (advantage)");
}

TEST_CASE("comparison: strata are the environments that all methods have", "[unit]") {
  std::vector<ComparedRun> runs = {Run("reward", 1, 1), Run("advantage", 1, 0)};
  for (const char* method : {"learned", "PPO sparse", "random signal"})
    runs[0].data.evaluation.push_back(Row(method, 1, 0, {0, 0, 1, 1}, "push"));
  auto ranking = Rankings(GroupRuns(runs), Unit::kLifetime)[0];
  CHECK(ranking.environments == std::vector<std::string>{"reach"});
  for (const char* method : {"learned", "PPO sparse", "random signal"})
    runs[1].data.evaluation.push_back(Row(method, 1, 0, {0, 0, 1, 0}, "push"));
  ranking = Rankings(GroupRuns(runs), Unit::kLifetime)[0];
  CHECK(ranking.environments == std::vector<std::string>{"push", "reach"});
  CHECK(Pool(ScoresOf(ranking, ranking.contenders[0]))[0] == std::vector<double>{1});
}

// A run whose benchmark draws its goals as ml1 does: those of tests from goal_seed + 1.
ComparedRun RunOnGoals(const std::string& title, uint64_t seed, uint32_t goal_seed, double late) {
  ComparedRun run = Run(title, seed, late);
  run.name += "-" + std::to_string(goal_seed);
  run.data.identity.goal_seed = goal_seed;
  run.data.identity.training_goals = {"goals of " + std::to_string(goal_seed)};
  run.data.identity.test_goals = {"goals of " + std::to_string(goal_seed + 1)};
  for (EvaluationRow& row : run.data.evaluation) row.goal_seed = goal_seed;
  return run;
}

TEST_CASE(
    "comparison: baselines on other goals are other lives, those on the same goals stand once",
    "[unit]") {
  // PPO has the same seed of agents, goal numbers and lifetimes: 6 rows for each goal seed.
  std::vector<ComparedRun> runs = {RunOnGoals("a", 1, 1, 1), RunOnGoals("a", 2, 1, 1),
                                   RunOnGoals("a", 1, 3, 0), RunOnGoals("a", 2, 5, 0)};
  const auto groups = GroupRuns(runs);
  REQUIRE(groups.size() == 1);
  const Ranking ranking = Rankings(groups, Unit::kAuto)[0];
  CHECK(ranking.unit == Unit::kSeed);
  REQUIRE(ranking.contenders.size() == 3);
  CHECK(Pool(ScoresOf(ranking, ranking.contenders[0])) == PooledScores{{1, 1, 0.5, 0.5}});
  CHECK(ranking.contenders[1].name == "PPO sparse");
  CHECK(ranking.contenders[1].rows.size() == 18);
  CHECK(BySeed(ScoresOf(ranking, ranking.contenders[1])).size() == 3);

  // A method with other goals has its own baselines.
  runs.push_back(RunOnGoals("b", 1, 1, 1));
  CHECK(Rankings(GroupRuns(runs), Unit::kAuto)[0].contenders[2].name == "PPO sparse (a)");

  // Nothing but baselines.
  std::vector<ComparedRun> only;
  for (const uint32_t goal_seed : {1, 3, 5, 7, 9}) {
    only.push_back(RunOnGoals("a", goal_seed, goal_seed, 1));
    std::erase_if(only.back().data.evaluation, [](const EvaluationRow& row) {
      return row.method != v1::EVALUATION_METHOD_PPO_SPARSE;
    });
  }
  const auto baselines = GroupRuns(only);
  const auto rankings = Rankings(baselines, Unit::kAuto);
  REQUIRE(rankings[0].contenders.size() == 1);
  CHECK(rankings[0].contenders[0].name == "PPO sparse");
  const auto tables = Tabulate(baselines, rankings);
  // Nothing succeeds, so these are shaped returns.
  CHECK(
      Contains(tables.tables[1].Csv(), "\nPPO sparse,5,5,30,3.5,3.5,3.5,3.5 3.5 3.5 3.5 3.5,3.5,"));
  CHECK(Contains(tables.tables.back().Csv(), "\na,a-5-5,5 (goals 5),3,,"));
}

TEST_CASE("comparison: a run without evaluation is named, and counts as no meta-seed", "[unit]") {
  std::vector<ComparedRun> runs = {RunOnGoals("a", 1, 1, 1), RunOnGoals("a", 2, 3, 1)};
  CHECK(WithoutEvaluation(GroupRuns(runs)).empty());
  runs[1].data.evaluation.clear();
  CHECK(Contains(WithoutEvaluation(GroupRuns(runs)),
                 "there is no evaluation of " + runs[1].name + ": scores and their meta-seeds"));
  runs[0].data.evaluation.clear();
  CHECK(WithoutEvaluation(GroupRuns(runs)).empty());
}

TEST_CASE("comparison: a warning names goal seeds whose tests are goals of another's training",
          "[unit]") {
  const auto shared = [](std::vector<ComparedRun> runs) { return SharedGoals(GroupRuns(runs)); };
  CHECK(shared({RunOnGoals("a", 1, 1, 1), RunOnGoals("a", 2, 3, 1)}).empty());
  CHECK(shared({RunOnGoals("a", 1, 1, 1), RunOnGoals("b", 2, 2, 1)}).empty());  // Not pooled.
  CHECK(shared({RunOnGoals("a", 1, 1, 1), RunOnGoals("a", 2, 1, 1)}).empty());
  const std::vector<ComparedRun> runs = {RunOnGoals("a", 1, 2, 1), RunOnGoals("a", 2, 1, 1)};
  CHECK(Contains(shared(runs), "test goals of goal_seed 1 are training goals of goal_seed 2: "));
  const TempFolder folder;
  const auto written = WriteComparison({.title = "", .runs = runs}, folder.path());
  REQUIRE(written.ok());
  REQUIRE(written->warnings.size() == 1);
  CHECK(Contains(written->warnings[0], "give runs odd goal seeds, --set benchmark.goal_seed=1, 3"));
  CHECK(Contains(ReadText(written->html), "Test goals of goal_seed 1 are training goals of"));
}

TEST_CASE("comparison: equal titles are told apart", "[unit]") {
  std::vector<ComparedRun> runs = {Run("a", 1, 1), Run("a", 1, 0), Run("a", 1, 0)};
  runs[1].data.identity.method = "other";
  runs[1].data.identity.rule = "maml";
  runs[2].data.identity.method = "third";
  runs[2].data.identity.rule = "maml";
  const auto groups = GroupRuns(runs);
  REQUIRE(groups.size() == 3);
  CHECK(groups[0].name == "a [black_box  reward]");
  CHECK(groups[1].name == "a [maml  reward] #1");
  CHECK(groups[2].name == "a [maml  reward] #2");

  // Named by their settings, if these differ in few fields.
  runs[0].data.identity.settings = {{"rule.lambda", "0.9"}, {"agent.gamma", "1"}};
  runs[1].data.identity.settings = {{"rule.lambda", "0.8"}, {"agent.gamma", "1"}};
  runs[2].data.identity.settings = {{"agent.gamma", "1"}};
  const auto by_settings = GroupRuns(runs);
  CHECK(by_settings[0].name == "a [rule.lambda 0.9]");
  CHECK(by_settings[1].name == "a [rule.lambda 0.8]");
  CHECK(by_settings[2].name == "a [rule.lambda default]");
}

TEST_CASE("comparison: variances of gradients are compared if they are estimated alike", "[unit]") {
  std::vector<ComparedRun> runs = {Run("a", 1, 1), Run("b", 1, 1)};
  const auto alike = [&] { return EstimateVarianceAlike(GroupRuns(runs)); };
  for (ComparedRun& run : runs) {
    run.data.identity.lifetimes_per_update = 30;
    run.data.identity.settings = {{"rule.gradient_variance", "true"}};
  }
  CHECK(alike());  // Six groups of five lifetimes.
  runs[1].data.identity.settings["rule.group_lifetimes"] = "3";
  CHECK_FALSE(alike());
  runs[0].data.identity.settings["rule.group_lifetimes"] = "3";
  CHECK(alike());
  runs[1].data.identity.lifetimes_per_update = 60;
  CHECK_FALSE(alike());
  runs[1].data.identity.lifetimes_per_update = 30;
  runs[1].data.identity.rule = "rl2";
  CHECK_FALSE(alike());
  // A part for each shard; two shards are one degree of freedom.
  for (ComparedRun& run : runs) {
    run.data.identity.rule = "meta_gradient";
    run.data.identity.settings = {};
  }
  CHECK_FALSE(alike());
  for (ComparedRun& run : runs) run.data.identity.settings = {{"rule.shard_lifetimes", "5"}};
  CHECK(alike());
}

TEST_CASE("comparison: labels are short names of methods", "[unit]") {
  const std::string title = "A learned reward for a boat, LSTM, 40 updates";
  std::vector<ComparedRun> runs = {Run(title, 1, 1), Run(title, 2, 1), Run("other", 1, 0)};
  REQUIRE(LabelMethods({{title + "-2", "LSTM"}}, &runs).ok());
  const auto groups = GroupRuns(runs);
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].name == "LSTM");
  CHECK(groups[0].runs.size() == 2);
  CHECK(groups[1].name == "other");
  const auto refused = [&](const std::map<std::string, std::string>& labels) {
    return std::string(LabelMethods(labels, &runs).message());
  };
  CHECK(Contains(refused({{title + "-1", "a"}, {title + "-2", "b"}}),
                 "are meta-seeds of one method and get two names, 'a' and 'b'"));
  CHECK(Contains(refused({{title + "-1", "a"}, {"other-1", "a"}}),
                 "are two methods and get the same name, 'a'"));
  // A baseline, and another method that keeps its title.
  for (const char* taken : {"PPO sparse", "random signal", "other"})
    CHECK(Contains(refused({{title + "-1", taken}}),
                   "which is taken; give it another one than PPO potential, PPO shaped, "));
}

TEST_CASE("comparison: page, tables and figures", "[unit]") {
  const TempFolder folder;
  const ComparisonData data{
      .title = "",
      .runs = {Run("reward <b>", 1, 1), Run("reward <b>", 2, 1), Run("advantage", 1, 0)}};
  const auto written = WriteComparison(data, folder.path());
  INFO(written.status().ToString());
  REQUIRE(written.ok());
  const std::string page = ReadText(written->html);
  CHECK_FALSE(Contains(page.substr(0, page.find("<script")), "src="));
  CHECK_FALSE(Contains(page, "<b> / "));
  for (const char* figure :
       {"means_test", "profiles_test", "sample_efficiency_test", "probability_of_improvement_test",
        "training_by_steps", "training_by_wall", "training_by_cpu", "scores_by_budget_test",
        "metric_grad_norm"}) {
    INFO(figure);
    CHECK(Contains(page, "<figure id=\"" + std::string(figure) + "\""));
    CHECK(Contains(page, std::string(figure) + "-svg"));
    CHECK(ReadText(folder.path() / "comparison" / (std::string(figure) + ".png")).substr(1, 3) ==
          "PNG");
  }
  const auto csv = [&](const std::string& name) {
    return ReadText(folder.path() / "comparison" / (name + ".csv"));
  };
  CHECK(Contains(csv("scores_test"), ",mean,mean_low,mean_high,mean_by_meta_seed,IQM,"));
  CHECK(Contains(csv("scores_test"), "\nreward <b>,2,12,12,1,1,1,1 1,1,1,1,1 1,1,1,1,1 1\n"));
  CHECK(Contains(csv("scores_test"), "\nadvantage,1,6,6,0.5,0.5,0.5,,0.5,"));
  CHECK(Contains(csv("scores_test"), "\nPPO sparse,,6,6,0,0,0,,"));
  CHECK(Contains(csv("differences_test"), "\nreward <b>,advantage,0.5,0.5,0.5,better,yes,1,1,1\n"));
  CHECK(Contains(csv("parts_test"), "\nadvantage,0,0,0,,0.5,0.5,0.5,,0,0,0,,,,,,3.5,3.5,3.5,\n"));
  CHECK(Contains(csv("cost"), "\nadvantage,black_box,1,3,3000,6,2,500,1,,,,0.25,1,0.5,,\n"));
  CHECK(Contains(csv("runs"), "\nadvantage,advantage-1,1,3,,0123456789abcdef\n"));
  CHECK(Contains(csv("sample_efficiency_test"), "\nreward <b>,200,1,1,1\n"));
  const std::string markdown = ReadText(folder.path() / "comparison" / "tables.md");
  CHECK(Contains(markdown, "| advantage | 1 | 6 | 6 | 0.50 [0.50, 0.50] |"));
  CHECK(Contains(written->summary, "3 runs of 2 methods."));
  CHECK(Contains(
      written->summary,
      "(in parentheses: of each meta-seed): reward <b> 1.00 [1.00, 1.00] (1.00, 1.00), advantage "
      "0.50 [0.50, 0.50], "));
  CHECK(Contains(written->summary, "One seed (advantage): the intervals cover other goals and "));
  // Which method is better comes first.
  CHECK(written->summary.starts_with(
      "reward <b> is better than advantage (difference 0.50 [0.50, 0.50]).\n"));
  CHECK(Contains(written->summary, "advantage is better than PPO sparse (difference 0.50"));
  // The same data, the same bytes.
  const TempFolder other;
  REQUIRE(WriteComparison(data, other.path()).ok());
  CHECK(ReadText(other.path() / "comparison.html") == page);
}

TEST_CASE("comparison: the page says which budgets the runs had and whether they are equal",
          "[unit]") {
  std::vector<ComparedRun> runs = {Run("a", 1, 1), Run("a", 2, 1), Run("b", 1, 1)};
  for (ComparedRun& run : runs) run.data.identity.lifetimes_per_update = 500;
  // CPU seconds are never equal to the last digit: 3 x (1 + 0.25), and rounded.
  runs[1].data.training[0].metrics["outer_seconds"] = 2.25;
  CHECK(BudgetWords(GroupRuns(runs)) ==
        "All runs had the same budget of meta-training: 3 outer updates, 1,500 lifetimes and 3,000 "
        "environment steps each. CPU seconds of a run: a 4 to 6, b 4.");
  runs[2].data.training.pop_back();
  CHECK(
      BudgetWords(GroupRuns(runs)) ==
      "The budgets of meta-training were not equal: a run of a had 3 outer updates, 1,500 "
      "lifetimes, 3,000 environment steps and 4 to 6 CPU seconds; a run of b had 2 outer updates, "
      "1,000 lifetimes, 2,000 environment steps and 3 CPU seconds. Compare the curves against "
      "environment steps and CPU seconds.");
  // Agents that live on: each generation has begun as many lives.
  for (TrainingPoint& point : runs[0].data.training)
    point.metrics["generation"] = (point.outer_update - 1) / 2;
  CHECK(BudgetOf(runs[0].data).lifetimes == 1000);
  CHECK(BudgetOf(runs[0].data).evaluated == 6);

  const TempFolder folder;
  const auto written = WriteComparison({.title = "", .runs = runs}, folder.path());
  REQUIRE(written.ok());
  CHECK(Contains(written->summary, "The budgets of meta-training were not equal"));
  const std::string page = ReadText(written->html);
  CHECK_FALSE(Contains(page, "equal budgets"));
  CHECK(Contains(ReadText(folder.path() / "comparison" / "budgets.csv"),
                 "\nb,1,2,1000,2000,2.5,6\n"));
  // The same successes against what they cost.
  CHECK(
      Contains(ReadText(folder.path() / "comparison" / "training_by_cpu.csv"), "\nb,2.5,0.2,,\n"));
}

TEST_CASE("comparison: seconds of a run that went on from another one are not known", "[unit]") {
  std::vector<ComparedRun> runs = {Run("a", 1, 1), Run("a", 2, 1), Run("b", 1, 1)};
  for (const size_t branch : {1, 2}) {
    runs[branch].data.training.erase(runs[branch].data.training.begin());
    runs[branch].data.origin = "runs/short";
  }
  CHECK(std::isnan(BudgetOf(runs[2].data).cpu_seconds));
  CHECK(BudgetOf(runs[2].data).env_steps == 3000);
  CHECK(Contains(BudgetWords(GroupRuns(runs)), "CPU seconds of a run: a 4."));
  const TempFolder folder;
  const auto written = WriteComparison({.title = "", .runs = runs}, folder.path());
  REQUIRE(written.ok());
  CHECK(Contains(written->summary,
                 "CPU seconds and wall time leave out a-2 (its first 1 outer update was made in "
                 "runs/short), b-1 (its first"));
  const auto csv = [&](const std::string& name) {
    return ReadText(folder.path() / "comparison" / (name + ".csv"));
  };
  CHECK(Contains(csv("budgets"), "\na,2,3,,3000,3.75,6\n"));
  CHECK(Contains(csv("budgets"), "\nb,1,3,,3000,,6\n"));
  // One run of a is left, none of b; the means of steps are of equal updates.
  CHECK(Contains(csv("training_by_cpu"), "\na,3.75,"));
  CHECK_FALSE(Contains(csv("training_by_cpu"), "\nb,"));
  CHECK(Contains(csv("training_by_steps"), "\na,2,0.2,0.2,0.2\n"));
}

TEST_CASE("comparison: titles of runs survive gnuplot and the page", "[unit]") {
  const TempFolder folder;
  const std::string title = "signal 'a' <b> & $x \\n _1 ^2 {c} </script> % `date`";
  const auto written =
      WriteComparison({.title = "", .runs = {Run(title, 1, 1), Run("b", 1, 0)}}, folder.path());
  INFO(written.status().ToString());
  REQUIRE(written.ok());
  const std::string svg = ReadText(folder.path() / "comparison" / "training_by_steps.svg");
  CHECK(Contains(svg, "signal 'a' &lt;b> &amp; $x \\n _1 ^2 {c} &lt;/script> % `date`"));
  // At an axis, where a name is a format of gnuplot's.
  const std::string rows = ReadText(folder.path() / "comparison" / "means_test.svg");
  CHECK(Contains(rows, "`date`"));
  CHECK_FALSE(Contains(rows, "%%"));
  const std::string page = ReadText(written->html);
  size_t ends = 0;
  for (size_t at = page.find("</script"); at != std::string::npos;
       at = page.find("</script", at + 1))
    ++ends;
  CHECK(ends == 2);  // The page's own.
  CHECK(GnuplotString("a'b\nc") == "'a''b c'");
}

TEST_CASE("comparison: parts may be missing, wrong rows are named", "[unit]") {
  const TempFolder folder;
  ComparisonData data{.title = "t", .runs = {Run("a", 1, 1), Run("b", 1, 1)}};
  for (ComparedRun& run : data.runs) run.data.evaluation.clear();
  data.runs[1].data.training.clear();
  const auto written = WriteComparison(data, folder.path());
  INFO(written.status().ToString());
  REQUIRE(written.ok());
  CHECK(Contains(written->summary, "No run has been evaluated yet: mentor evaluate"));
  CHECK(Contains(ReadText(written->html), "There are no scores to compare."));
  data.runs[0] = Run("a", 1, 1);
  data.runs[1] = Run("b", 1, 1);
  for (EvaluationRow& row : data.runs[1].data.evaluation) row.environment = "push";
  CHECK(Contains(WriteComparison(data, folder.path())->summary, "in no common environment"));
  data.runs[0] = Run("a", 1, 1);
  data.runs[0].data.evaluation[0].episode_success[0] = 0.5;
  CHECK(Contains(std::string(WriteComparison(data, folder.path()).status().message()),
                 "a-1: evaluation row 0"));
  CHECK(absl::IsInvalidArgument(WriteComparison({}, folder.path()).status()));
}

TEST_CASE("comparison: one run is not two meta-seeds", "[unit]") {
  const TempFolder folder;
  ComparisonData data{.title = "t", .runs = {Run("a", 1, 1), Run("b", 1, 1), Run("a", 1, 1)}};
  data.runs[0].data.identity.experiment = data.runs[2].data.identity.experiment = "uid-1";
  data.runs[1].data.identity.experiment = "uid-2";
  data.runs[2].name = "a copy";
  const absl::Status status = WriteComparison(data, folder.path()).status();
  CHECK(absl::IsInvalidArgument(status));
  CHECK(Contains(std::string(status.message()), "a-1 and a copy are the same run"));
  CHECK_FALSE(std::filesystem::exists(folder.path() / "comparison.html"));
  // The same spec and seed in another folder: one straight to its end, one extended to it.
  data.runs[2].data.identity.experiment = "uid-3";
  CHECK(Contains(std::string(WriteComparison(data, folder.path()).status().message()),
                 "a-1 and a copy have the same spec and the same meta-seed, seed 1, and"));
  data.runs[0].data.identity.goal_seed = data.runs[2].data.identity.goal_seed = 3;
  CHECK(Contains(std::string(WriteComparison(data, folder.path()).status().message()),
                 "the same meta-seed, seed 1 and goal_seed 3, and would"));
  data.runs[2].data.identity.goal_seed = 5;  // Other goals.
  CHECK(WriteComparison(data, folder.path()).ok());
  data.runs.pop_back();
  CHECK(WriteComparison(data, folder.path()).ok());
}

}  // namespace
}  // namespace mentor::report
