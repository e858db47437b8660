#include "cli/report/records.h"

#include <filesystem>
#include <limits>
#include <string>

#include <nlohmann/json.hpp>

#include "cli/report/training_table.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::report::TEST_FILE {

using mentor::testing::Contains;
using mentor::testing::ReadText;
using mentor::testing::TempFolder;

TEST_CASE("records: columns of metrics are in the order in which people count", "[unit]") {
  TrainingPoint point;
  for (const char* name : {"success_episode_10", "success_episode_2", "success_episode_1"})
    point.metrics[name] = 1;
  CHECK(TrainingHeader(MetricNames({point})) ==
        "outer_update,env_steps,success_episode_1,success_episode_2,success_episode_10\n");
}

ReportData Made() {
  ReportData data;
  data.title = "Reach, \"far\"";
  data.facts = {{"Seed", "1"}};
  data.identity.seed = 1;
  TrainingPoint point;
  point.outer_update = 1;
  point.env_steps = 1000;
  point.metrics = {{"seg0", 0.5}, {"kl", std::numeric_limits<double>::quiet_NaN()}};
  data.training = {point};
  EvaluationRow row;
  row.method = v1::EVALUATION_METHOD_PPO_SPARSE;
  row.split = "test";
  row.environment = "reach, far";
  row.goal_seed = 7;
  row.lifetime_episodes = 2;
  row.segment_episodes = {1, 1};
  row.episode_success = {0, 1, 1};
  row.episode_return = {0.1, 2, -3};
  data.evaluation = {row};
  data.signals = {{.signal = {1, 2}, .shaped = {0.5, 0.25}, .episode_steps = 2, .iterations = 1}};
  return data;
}

TEST_CASE("records: numbers are written in full, and every file's rows are counted", "[unit]") {
  const TempFolder folder;
  REQUIRE(WriteRecords(Made(), folder.path() / "records").ok());
  const auto text = [&](const char* file) { return ReadText(folder.path() / "records" / file); };
  CHECK(text("training.csv") == "outer_update,env_steps,kl,seg0\n1,1000,,0.5\n");
  CHECK(Contains(text("lifetimes.csv"),
                 "\nsparse,test,\"reach, far\",0,0,7,1,0,2,1 1,0 1 1,0.1 2 -3\n"));
  CHECK(text("signals.csv") == "lifetime,step,signal,shaped_reward\n1,0,1,0.5\n1,1,2,0.25\n");
  const auto record = nlohmann::json::parse(text("run.json"));
  CHECK(record["format"] == 1);
  CHECK(record["title"] == "Reach, \"far\"");
  CHECK(record["facts"][0][1] == "1");
  CHECK(record["identity"]["seed"] == 1);
  CHECK(record["episode_steps"] == 2);
  const nlohmann::json counts = {{"training.csv", 1}, {"lifetimes.csv", 1}, {"signals.csv", 2}};
  CHECK(record["files"] == counts);
}

TEST_CASE("records: what a run no longer has goes away", "[unit]") {
  const TempFolder folder;
  ReportData data = Made();
  REQUIRE(WriteRecords(data, folder.path()).ok());
  data.signals.clear();
  REQUIRE(WriteRecords(data, folder.path()).ok());
  CHECK_FALSE(std::filesystem::exists(folder.path() / "signals.csv"));
  CHECK(std::filesystem::exists(folder.path() / "lifetimes.csv"));
}

}  // namespace mentor::report::TEST_FILE
