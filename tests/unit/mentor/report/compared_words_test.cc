// What comparisons say, and that they say what a report of the same numbers says.
#include <algorithm>
#include <string>
#include <vector>

#include "mentor/report/comparison.h"
#include "mentor/report/outcome.h"
#include "mentor/report/summary.h"
#include "tests/compared_runs.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::report {
namespace {

using mentor::testing::Contains;
using mentor::testing::Row;
using mentor::testing::Run;

// Runs a and b of 100 lives on a goal each, of which the first `wins` succeed, in a alone.
std::vector<ComparedRun> RareSuccess(int wins) {
  std::vector<ComparedRun> runs = {Run("a", 1, 1), Run("b", 1, 1)};
  for (ComparedRun& run : runs) run.data.evaluation.clear();
  for (uint32_t lifetime = 0; lifetime < 100; ++lifetime) {
    const double more = static_cast<int>(lifetime) < wins ? 1 : 0;
    runs[0].data.evaluation.push_back(Row("learned", 1, lifetime, {0, 0, more, more}));
    runs[1].data.evaluation.push_back(Row("learned", 1, lifetime, {0, 0, 0, 0}));
  }
  return runs;
}

TEST_CASE("comparison: the words follow the interval of the difference of means", "[unit]") {
  const auto said = [](int wins) {
    const std::vector<ComparedRun> runs = RareSuccess(wins);
    const auto groups = GroupRuns(runs);
    return Tabulate(groups, Rankings(groups, Unit::kLifetime)).summary[0];
  };
  CHECK(said(0) == "a cannot be told apart from b (difference 0.00 [0.00, 0.00]).");
  CHECK(Contains(said(1), "a cannot be told apart from b (difference 0.01 [0.00, 0.03])."));
  CHECK(Contains(said(20), "a is better than b (difference 0.20 [0.1"));
}

TEST_CASE("comparison: where most lives fail, only means are compared", "[unit]") {
  const auto columns = [](const std::vector<ComparedRun>& runs) {
    const auto groups = GroupRuns(runs);
    const Table scores = Tabulate(groups, Rankings(groups, Unit::kLifetime)).tables[1];
    return scores.Csv().substr(0, scores.Csv().find('\n'));
  };
  // The middle half of the lives has no success, and an interquartile mean of 0 would hide 20 %.
  CHECK_FALSE(Contains(columns(RareSuccess(20)), "IQM"));
  CHECK(Contains(columns(RareSuccess(20)), "mean"));
  // Lives that all fail hide nothing, nor do lives with shares between 0 and 1.
  CHECK(Contains(columns(RareSuccess(0)), "IQM"));
  std::vector<ComparedRun> shares = RareSuccess(20);
  for (EvaluationRow& row : shares[0].data.evaluation) row.episode_success = {0, 0, 0, 1};
  CHECK(Contains(columns(shares), "IQM"));
}

TEST_CASE("comparison: a report and a comparison give the same verdict", "[unit]") {
  // PPO and the learned reward on 60 goals, hard and easy: of 60 lives 20 succeed, and 13.
  ComparedRun run = Run("a", 1, 1);
  run.data.evaluation.clear();
  for (uint32_t lifetime = 0; lifetime < 60; ++lifetime) {
    for (const bool learned : {true, false}) {
      const double wins = lifetime % 3 == 0 && (learned || lifetime % 9 != 0) ? 1 : 0;
      run.data.evaluation.push_back(
          Row(learned ? "learned" : "PPO sparse", 1, lifetime, {0, 0, wins, wins}));
    }
  }
  const auto results = SummariseEvaluation(run.data.evaluation, run.data.iterations);
  REQUIRE(results.ok());
  const Outcome outcome = OutcomeOf(run.data, *results, CompareWithBaselines(*results));
  REQUIRE(outcome.comparisons.size() == 1);
  CHECK(outcome.comparisons[0].paired);
  CHECK(Contains(outcome.sentence, "better than PPO sparse (difference 0.12 [0.0"));
  const std::vector<ComparedRun> runs = {run};
  const auto groups = GroupRuns(runs);
  const auto summary = Tabulate(groups, Rankings(groups, Unit::kLifetime)).summary;
  CHECK(std::any_of(summary.begin(), summary.end(), [&](const std::string& sentence) {
    return Contains(sentence, "a is better than PPO sparse (difference " +
                                  FormatInterval(outcome.comparisons[0].difference) + ").");
  }));
}

}  // namespace
}  // namespace mentor::report
