// The comparison of several runs: one self-contained page, its figures as SVG and PNG, its tables
// as CSV and Markdown.
//
//   FOLDER/comparison.html
//   FOLDER/comparison/tables.md *.csv *.gp *.svg *.png
//
// A meta-seed is (seed, benchmark.goal_seed): runs whose specs differ in these two only are meta-
// seeds of one method. A score is what Agarwal et al. (2021) call a run on a task. It is the
// success rate of agents in the last inner iteration of their lives in one environment, or the
// shaped return where nothing succeeds. See Unit. Intervals are those of statistics.h: stratified
// by environment, by levels of meta-seed, goal and lifetime. Functions without state.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "common/evaluation_method.h"
#include "mentor/report/draw_episodes.h"
#include "mentor/report/evaluation.h"
#include "mentor/report/figures.h"
#include "mentor/report/report.h"
#include "mentor/report/statistics.h"
#include "mentor/report/table.h"

namespace mentor::report {

// The meaning of one score: an agent's lifetime, or the mean of all lifetimes of one meta-seed in
// one environment. kAuto means the latter when every method has three meta-seeds.
enum class Unit { kAuto, kSeed, kLifetime };

struct ComparedRun {
  std::string name;  // As the user named it.
  ReportData data;
};

struct ComparisonData {
  std::string title;  // Empty: made from the methods.
  std::vector<ComparedRun> runs;
  Unit unit = Unit::kAuto;
};

// Gives methods short names: labels by the names of runs, one run of each method is enough.
// INVALID_ARGUMENT where meta-seeds of one method get two, or two methods the same.
absl::Status LabelMethods(const std::map<std::string, std::string>& labels,
                          std::vector<ComparedRun>* runs);

// INVALID_ARGUMENT names what does not fit; otherwise as WriteReport.
absl::StatusOr<ReportFiles> WriteComparison(const ComparisonData& data,
                                            const std::filesystem::path& folder,
                                            const ReportOptions& options = {});

// --- Its parts, for tests ---

// Runs that are meta-seeds of one method.
struct Group {
  std::string name;
  std::vector<const ComparedRun*> runs;
};
// Equal where tasks (with the seeds of goals), lifetimes and agents are: baselines are the same.
std::string ProtocolOf(const Group& group);
// Which goal seeds of one method must not be pooled as if their goals were independent: test goals
// of one are training goals of another. A sentence without its stop; empty: there are none.
std::string SharedGoals(const std::vector<Group>& groups);
// Which runs have no evaluation although others have; as above.
std::string WithoutEvaluation(const std::vector<Group>& groups);
// True if all runs estimate the variance of the outer gradient alike: one rule, as many parts of as
// many lifetimes, at least five degrees of freedom.
bool EstimateVarianceAlike(const std::vector<Group>& groups);
// "2", or "2 (goals 3)" where goals of several draws are compared.
std::string MetaSeedName(const std::vector<Group>& groups, const ComparedRun& run);
// Groups runs by method, in the order of the runs. Methods with the same title get different names.
std::vector<Group> GroupRuns(const std::vector<ComparedRun>& runs);

// One line of a comparison: a method's final or best weights, or a baseline. Baselines that are the
// same for several methods appear once.
struct Contender {
  std::string name;
  std::string group;  // That it belongs to; empty: a baseline of all.
  v1::EvaluationMethod method = v1::EVALUATION_METHOD_LEARNED;
  Style style;
  int iteration_steps = 0;  // Environment steps of an inner iteration.
  struct Row {
    // The run among those of its method; of PPO, which knows of no seed, the goal seed.
    size_t meta_seed = 0;
    const EvaluationRow* row = nullptr;
    int iterations = 1;
  };
  std::vector<Row> rows = {};
  // Means over the episodes that ended in each inner iteration; NaN: none ended. [rows][I]
  std::vector<std::vector<double>> iterations = {};

  bool learned() const { return IsLearned(method); }
  // True if the numbers differ between meta-seeds.
  bool has_meta_seeds() const { return learned() || method == v1::EVALUATION_METHOD_RANDOM_SIGNAL; }
  // True for other weights than the last: the best ones, or an average.
  bool best() const { return learned() && method != v1::EVALUATION_METHOD_LEARNED; }
};
struct Ranking {
  std::string split;
  bool has_goals = false;  // A run's tasks differ.
  Quantity quantity = Quantity::kSuccess;
  Unit unit = Unit::kLifetime;
  std::vector<std::string> environments = {};  // That all contenders have: the strata.
  std::vector<Contender> contenders = {};

  bool Has(const std::string& environment) const {
    return std::find(environments.begin(), environments.end(), environment) != environments.end();
  }
};
// One for each split that has contenders; test goals first.
std::vector<Ranking> Rankings(const std::vector<Group>& groups, Unit unit);

// Scores of a contender after inner iteration `iteration`; -1: the last. Empty when an environment
// has none.
Scores ScoresOf(const Ranking& ranking, const Contender& contender, int iteration = -1);

// True if an interquartile mean and a median say something: where most scores of a method are 0 or
// 1, and not all alike, both leave out what differs.
bool MiddleTells(const Ranking& ranking);

// True if x and y may be compared: two learned contenders, or a learned one with a baseline of its
// own.
inline bool Comparable(const Contender& x, const Contender& y) {
  return y.learned() ? x.method == y.method : y.group.empty() || y.group == x.group;
}

// The budget of one run.
struct Budget {
  double updates = 0;    // Outer updates.
  double lifetimes = 0;  // Begun in meta-training; here and in the next two NaN: unknown.
  double env_steps = 0;
  double cpu_seconds = 0;
  double evaluated = 0;  // Lifetimes of the evaluation, without baselines.
};
Budget BudgetOf(const ReportData& data);
// Mean over the budgets that are known; NaN: none is.
double MeanOf(const std::vector<Budget>& budgets, double Budget::*member);
// "38 to 40"; empty when none is known.
std::string RangeWords(const std::vector<Budget>& budgets, double Budget::*member);
// Says in a sentence or two whether all runs had the same budget, CPU seconds aside, and which.
// Empty for a single run.
std::string BudgetWords(const std::vector<Group>& groups);
// Which runs' seconds are not known, and why; empty: of none.
std::string UnknownCosts(const std::vector<Group>& groups);
Table BudgetTable(const std::vector<Group>& groups);

struct ComparisonTables {
  std::vector<Table> tables;
  std::vector<std::string> summary;
};
ComparisonTables Tabulate(const std::vector<Group>& groups, const std::vector<Ranking>& rankings);
// Success by episode of the lifetime, with each meta-seed behind the mean, of each ranking.
std::vector<EpisodeCurves> EpisodesOfStandings(const std::vector<Group>& groups,
                                               const std::vector<Ranking>& rankings);
void DrawComparison(const std::vector<Group>& groups, const std::vector<Ranking>& rankings,
                    const std::vector<EpisodeCurves>& episodes, const Published& published,
                    Drawing* drawing);

}  // namespace mentor::report
