#include "mentor/report/last_episodes.h"

#include <cmath>
#include <string>
#include <vector>

#include "common/evaluation_method.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::report {
namespace {

using mentor::testing::Contains;
using mentor::testing::ReadText;
using mentor::testing::TempFolder;

// A life by iterations: the returns of the episodes that ended in each. Returns above 9 are
// successes.
EvaluationRow Life(const std::vector<std::vector<double>>& iterations) {
  EvaluationRow row;
  row.environment = "hopper";
  for (const auto& returns : iterations) {
    row.segment_episodes.push_back(static_cast<int>(returns.size()));
    for (const double value : returns) {
      row.episode_return.push_back(value);
      row.episode_success.push_back(value > 9 ? 1 : 0);
    }
  }
  row.lifetime_episodes = static_cast<int>(row.episode_return.size());
  return row;
}

EvaluationRow Evaluated(const std::string& method, uint64_t seed, uint32_t lifetime,
                        const std::vector<std::vector<double>>& iterations) {
  EvaluationRow row = Life(iterations);
  row.method = MethodNamed(method).value();
  row.split = "test";
  row.lifetime = lifetime;
  row.seed = seed;
  return row;
}

// Agents beside their signal make 20 steps in an iteration, as with two collections; PPO makes 10.
ReportData Run(uint64_t seed = 1) {
  ReportData data;
  data.title = "response";
  data.iterations = 3;
  data.identity.method = "response";
  data.identity.protocol = "one";
  data.identity.rule = "response_gradient";
  data.identity.seed = seed;
  data.identity.iteration_steps = 20;
  data.identity.baseline_iteration_steps = 10;
  data.beside = {Life({{1}, {}, {2, 6}}), Life({{}, {5}, {4, 4, 4}})};
  data.beside_known = 1000;
  for (const uint32_t lifetime : {0U, 1U}) {
    data.evaluation.push_back(
        Evaluated("PPO shaped", seed, lifetime, {{1}, {2, 3}, {lifetime == 0 ? 10.0 : 8.0}}));
  }
  return data;
}

TEST_CASE("last episodes: the mean of each agent's last ones, then the mean over agents",
          "[unit]") {
  const ReportData data = Run();
  const std::vector<Cohort> cohorts = CohortsOf(data);
  REQUIRE(cohorts.size() == 2);
  CHECK(cohorts[0].name == "agents beside their signal");
  CHECK(cohorts[0].env_steps() == 60);
  CHECK(cohorts[1].env_steps() == 30);

  const auto last = Measure(cohorts[0], 2, 60);
  REQUIRE(last.has_value());
  CHECK(last->returns.values == std::vector<double>{4, 4});  // (2 + 6) / 2 and (4 + 4) / 2.
  CHECK(last->mean_return.mean == 4);
  CHECK((last->fewest == 2 && last->most == 2));

  // More than there are: all of each agent, which are not equally many.
  const auto all = Measure(cohorts[0], 100, 60);
  REQUIRE(all.has_value());
  CHECK(all->returns.values == std::vector<double>{3, 4.25});  // 9 / 3 and 17 / 4.
  CHECK((all->fewest == 3 && all->most == 4));
  CHECK(all->mean_return.mean == 3.625);
  CHECK(all->mean_return.low == 3);
  CHECK(all->mean_return.high == 4.25);

  CHECK(Measure(cohorts[1], 1, 30)->mean_success.mean == 0.5);
}

TEST_CASE("last episodes: after as many steps, agents without an episode have no part", "[unit]") {
  const ReportData data = Run();
  const std::vector<Cohort> cohorts = CohortsOf(data);
  // One iteration of 20 steps, two of 10.
  const auto early = Measure(cohorts[0], 2, 39);
  REQUIRE(early.has_value());
  CHECK(early->env_steps == 20);
  CHECK(early->returns.values == std::vector<double>{1});
  CHECK(std::isnan(early->mean_return.low));  // One agent has no interval.
  CHECK(Measure(cohorts[1], 2, 20)->returns.values == std::vector<double>{2.5, 2.5});
  CHECK_FALSE(Measure(cohorts[0], 2, 19).has_value());
}

TEST_CASE("last episodes: where older ones are not known there is no number for earlier steps",
          "[unit]") {
  ReportData data = Run();
  data.beside_known = 4;  // The second agent may have had more before.
  const std::vector<Cohort> cohorts = CohortsOf(data);
  CHECK(Measure(cohorts[0], 3, 60).has_value());
  CHECK_FALSE(Measure(cohorts[0], 3, 40).has_value());
  CHECK(Measure(cohorts[0], 1, 40)->returns.values == std::vector<double>{1, 5});
}

TEST_CASE("last episodes: a run's table, words and files", "[unit]") {
  const TempFolder folder;
  const auto files = WriteReport(Run(), folder.path(), {.last_episodes = 2});
  REQUIRE(files.ok());
  // At 30 steps, which PPO had, agents beside their signal had finished one iteration of 20.
  CHECK(ReadText(folder.path() / "report" / "last_episodes.csv") ==
        "agents,env steps,number,episodes of each,return,return_low,return_high,success,"
        "success_low,success_high\n"
        "agents beside their signal,60,2,2,4,4,4,0,0,0\n"
        "agents beside their signal,20,1,1,1,,,0,,\n"
        "PPO shaped,30,2,2,6,5.5,6.5,0.25,0,0.5\n");
  CHECK(Contains(files->summary,
                 "Over the last 2 episodes of an agent, after 20 environment steps of it: agents "
                 "beside their signal have a return of 1.00 and a success of 0.00 (1 agent), PPO "
                 "shaped a return of 2.50"));
  const std::string page = ReadText(files->html);
  CHECK(Contains(page, "<h2 id=\"beside\">"));
  CHECK(Contains(page, "data-figure=\"last_episodes_by_steps\""));

  ReportData none = Run();
  none.beside.clear();
  const TempFolder other;
  const auto without = WriteReport(none, other.path());
  REQUIRE(without.ok());
  CHECK_FALSE(Contains(ReadText(without->html), "<h2 id=\"beside\">"));
  CHECK_FALSE(std::filesystem::exists(other.path() / "report" / "last_episodes.csv"));
}

TEST_CASE("last episodes: seeds of a method stand together, PPO of another run beside them",
          "[unit]") {
  std::vector<ComparedRun> runs;
  for (const uint64_t seed : {1, 2}) {
    runs.push_back({.name = std::to_string(seed), .data = Run(seed)});
    ReportData& data = runs.back().data;
    data.evaluation.clear();
    // One agent in each run.
    data.beside = {Life({{1}, {2}, {seed == 1 ? 3.0 : 5.0}})};
  }
  // PPO with as many steps in a spec of its own, and more.
  ReportData ppo = Run(3);
  ppo.title = ppo.identity.method = "ppo";
  ppo.identity.protocol = "longer";
  ppo.beside.clear();
  ppo.iterations = 7;
  ppo.evaluation = {Evaluated("PPO shaped", 3, 0, {{1}, {1}, {1}, {1}, {1}, {7}, {100}})};
  runs.push_back({.name = "ppo", .data = std::move(ppo)});

  const TempFolder folder;
  const auto files =
      WriteComparison({.title = "all", .runs = runs}, folder.path(), {.last_episodes = 1});
  REQUIRE(files.ok());
  CHECK(ReadText(folder.path() / "comparison" / "last_episodes.csv") ==
        "agents,env steps,number,episodes of each,return,return_low,return_high,success,"
        "success_low,success_high\n"
        "response: agents beside their signal,60,2,1,4,3,5,0,0,0\n"
        "PPO shaped (ppo),60,1,1,7,,,0,,\n");
  CHECK(Contains(files->summary,
                 "Over the last episode of an agent, after 60 environment steps of it: response: "
                 "agents beside their signal have a return of 4.00 [3.00, 5.00]"));
}

}  // namespace
}  // namespace mentor::report
