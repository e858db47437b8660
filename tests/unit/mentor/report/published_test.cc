#include "mentor/report/published.h"

#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "common/evaluation_method.h"
#include "mentor/report/chart.h"
#include "mentor/report/comparison.h"
#include "mentor/report/draw_episodes.h"
#include "tests/paths.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::report {
namespace {

using mentor::testing::Contains;
using mentor::testing::Near;
using mentor::testing::ReadText;
using mentor::testing::TempFolder;

absl::StatusOr<Published> Read(const std::string& text, const std::string& rows = "") {
  const TempFolder folder;
  const auto path = folder.path() / "curves.csv";
  std::ofstream(path, std::ios::binary) << text;
  return ReadPublished(path, rows);
}

constexpr char kPaper[] =
    "\xef\xbb\xbf# From a paper.\r\n"
    "figure, method ,\"split\",episode,success\r\n"
    "\r\n"
    "1,\"PPO, \"\"dense\"\"\",test,1,0.25\r\n"
    "1,\"PPO, \"\"dense\"\"\",test,3,1\r\n"
    "1,\"PPO, \"\"dense\"\"\",test,deterministic,0.5\r\n"
    "1,learned reward,train,2,0\r\n"
    "2,learned reward,train,2,0.75\r\n"
    "2,learned reward,train,after 4000 steps,high\r\n";

TEST_CASE("published: comments, quotes and the rows of one figure", "[unit]") {
  const auto published = Read(kPaper, "figure=1");
  INFO(published.status().ToString());
  REQUIRE(published.ok());
  CHECK(published->name == "published");
  REQUIRE(published->curves.size() == 2);
  CHECK(published->curves[0].method == "PPO, \"dense\"");
  CHECK(published->curves[0].split == "test");
  CHECK(published->curves[0].episodes == std::map<int, double>{{1, 0.25}, {3, 1}});
  CHECK(published->curves[0].deterministic == 0.5);
  CHECK(published->curves[1].split == "train");
  CHECK_FALSE(published->curves[1].deterministic);
  // Values with commas, and several columns.
  CHECK(Read(kPaper, "figure=1, \"method=PPO, \"\"dense\"\"\"")->curves.size() == 1);
  CHECK(Read(kPaper, "figure = 2,episode=2")->curves[0].episodes.at(2) == 0.75);
  // Without a column for it: goals that were never seen.
  CHECK(Read("method,episode,success\na,1,0.5\n")->curves[0].split == "test");
}

TEST_CASE("published: what is wrong is named with its file, line, column and remedy", "[unit]") {
  const auto refuses = [](const std::string& text, const std::string& rows,
                          const std::string& part) {
    const absl::Status status = Read(text, rows).status();
    INFO(status.ToString());
    CHECK(absl::IsInvalidArgument(status));
    CHECK(Contains(status, part));
  };
  const std::string header = "method,episode,success\n";
  refuses("", "", "curves.csv:1: is empty; the first line names the columns");
  refuses("# c\nmethod,success\na,1\n", "", "curves.csv:2: has no column 'episode'");
  refuses("method,method,episode,success\n", "", "more than one column 'method'");
  refuses(header, "", "no rows follow");
  refuses(header + "a,1\n", "", "curves.csv:2: has 2 cells, expected 3 as in line 1");
  refuses(header + "a,1,\"0.5\n", "", "curves.csv:2: a cell's quotes do not end");
  refuses(header + "a,1,\"0.5\"5\n", "", "quotes do not end");
  for (const char* success : {"high", "1.01", "-0.1", "nan", "inf", "", "20.7%"}) {
    refuses(header + "a,1," + success + "\n", "",
            "curves.csv:2: column success: is '" + std::string(success) + "', expected a rate");
  }
  for (const char* episode : {"0", "-1", "1.5", "one", "1001", ""}) {
    refuses(header + "a," + episode + ",0.5\n", "",
            "curves.csv:2: column episode: is '" + std::string(episode) + "', expected a whole");
  }
  refuses(header + ",1,0.5\n", "", "curves.csv:2: column method: is empty");
  // Two figures of one paper.
  refuses(kPaper, "split=train,episode=2",
          "curves.csv:8: a second number for episode 2 of 'learned reward' on split train, after "
          "line 7; they differ in column figure: choose with --published_rows \"figure=1\"");
  refuses(header + "a,1,0.5\na,1,0.25\n", "", "after line 2; remove one of the two");
  refuses(kPaper, "goals=test",
          "curves.csv has no column 'goals'; it has figure, method, split, episode, success");
  refuses(kPaper, "figure=1,split=validation",
          "is left at split=validation; column split has test, train in the rows");
  refuses(kPaper, "figure", "--published_rows: 'figure' is not COLUMN=VALUE");
  refuses(kPaper, "\"figure=1", "--published_rows: a quote is not closed");
  std::string many = header;
  for (int i = 0; i < 13; ++i) many += "method " + std::to_string(i) + ",1,0.5\n";
  refuses(many, "", "curves.csv:14: the 13th method on split test");
  // Bounded.
  CHECK(Contains(Read(header + std::string(2 << 20, 'a')).status(), "curves.csv"));
  CHECK_FALSE(Read(header + std::string(2 << 20, '\n') + "a,1,0.5\n").ok());
  CHECK_FALSE(ReadPublished("/nowhere/curves.csv", "").ok());
}

TEST_CASE("published: the curves of the paper's four figures", "[unit]") {
  const std::string file = testing::SourcePath("docs/data/paper_figures.csv");
  const auto door = ReadPublished(file, "figure=1,benchmark=ml1 door-close", "the paper");
  INFO(door.status().ToString());
  REQUIRE(door.ok());
  CHECK(door->name == "the paper");
  REQUIRE(door->curves.size() == 3);
  CHECK(door->curves[0].method == "learned reward");
  CHECK(door->curves[0].episodes.at(10) == 0.816);
  CHECK(door->curves[0].deterministic == 0.854);
  for (const char* rows :
       {"figure=1,benchmark=ml1 reach", "figure=1,benchmark=ml1 button-press",
        "figure=3,benchmark=ml10", "figure=4,benchmark=ml1 reach", "figure=4,benchmark=ml10"}) {
    INFO(rows);
    CHECK(ReadPublished(file, rows).status().ToString() == "OK");
  }
  CHECK(Contains(ReadPublished(file, "figure=2").status(), "after 4000 steps"));
}

// Two inner iterations of two episodes, and one without noise.
ComparedRun Run(const std::string& title, uint64_t seed, double late, const std::string& role) {
  ComparedRun run{.name = title + "-" + std::to_string(seed), .data = {}};
  run.data.title = title;
  run.data.iterations = 2;
  run.data.signal_role = role;
  run.data.identity.method = title;
  run.data.identity.protocol = "one";
  run.data.identity.rule = "black_box";
  run.data.identity.seed = seed;
  for (const uint32_t lifetime : {0u, 1u}) {
    for (const auto& [method, success] : std::map<std::string, std::vector<double>>{
             {"learned", {0, 0, 1, late, 1}}, {"PPO sparse", {0, 0, 0, 0, 0}}}) {
      run.data.evaluation.push_back({.method = MethodNamed(method).value(),
                                     .split = "test",
                                     .environment = "reach",
                                     .lifetime = lifetime,
                                     .goal = lifetime,
                                     .lifetime_episodes = 4,
                                     .segment_episodes = {2, 2},
                                     .episode_success = success,
                                     .episode_return = {1, 2, 3, 4, 5},
                                     .seed = 1});
    }
  }
  return run;
}

Published Paper() {
  return {.name = "the paper",
          .curves = {{.split = "test",
                      .method = "Learned Reward",
                      .episodes = {{1, 0}, {3, 0.5}, {4, 0.75}},
                      .deterministic = 0.875},
                     {.split = "test", .method = "ES", .episodes = {{1, 0.25}, {5, 0.5}}}}};
}

// The chart that a page draws.
nlohmann::json SeriesOf(const std::string& page, const std::string& figure) {
  const std::string begin = "id=\"charts\">";
  const size_t at = page.find(begin) + begin.size();
  return nlohmann::json::parse(page.substr(at, page.find("</script>", at) - at))
      .at(figure)["panels"][0]["series"];
}

TEST_CASE("published: a run's report has them dashed beside its curves, and in a table", "[unit]") {
  const TempFolder folder;
  const ReportData data = Run("reach", 1, 0, "reward").data;
  const auto written = WriteReport(data, folder.path(), {.published = Paper()});
  INFO(written.status().ToString());
  REQUIRE(written.ok());
  CHECK(written->warnings.empty());
  const std::string page = ReadText(written->html);
  const auto series = SeriesOf(page, "episodes_test");
  REQUIRE(series.size() == 4);
  CHECK(series[0]["name"] == "learned");
  CHECK(series[0]["dash"] == 1);
  CHECK(series[1]["dash"] == 1);  // PPO sparse too: dashes are for what is published.
  CHECK(series[2]["name"] == "Learned Reward, the paper");
  CHECK(series[2]["colour"] == series[0]["colour"]);
  CHECK(series[2]["dash"] == 2);
  CHECK(series[2]["point"] == 6);  // Hollow.
  // Episode 2 is not known; the one without noise comes after the longest lifetime, of 5.
  CHECK(series[2]["x"] == nlohmann::json({1, 2, 3, 4, 5, 5.5, 6}));
  CHECK(series[2]["y"] == nlohmann::json({0, nullptr, 0.5, 0.75, nullptr, nullptr, 0.875}));
  CHECK_FALSE(series[2].contains("low"));
  CHECK(series[3]["name"] == "ES, the paper");
  CHECK(series[3]["colour"] != series[0]["colour"]);
  CHECK(series[3]["colour"] != series[1]["colour"]);
  const std::string script = ReadText(folder.path() / "report" / "episodes_test.gp");
  CHECK(Contains(script, "set key samplen 5\n"));  // The legend shows that it is dashed.
  CHECK(Contains(script, "dashtype 2 pointtype 6 pointsize 0.7 title 'Learned Reward, the paper'"));
  CHECK(std::filesystem::file_size(folder.path() / "report" / "episodes_test.png") > 0);

  const std::string table = ReadText(folder.path() / "report" / "published_test.csv");
  CHECK(Contains(table,
                 "published method,part of the lifetime,episodes,published,ours,success rate,"
                 "success rate_low,success rate_high,difference\n"));
  CHECK(Contains(table,
                 "\nLearned Reward,before learning,\"1 to 2, of which 1 published\",0,learned,0,0,"
                 "0,0\n"));
  CHECK(
      Contains(table, "\nLearned Reward,after 1 update,3 to 4,0.625,learned,0.5,0.5,0.5,-0.125\n"));
  CHECK(Contains(table,
                 "\nLearned Reward,without noise,after the lifetime,0.875,learned,1,1,1,0.125\n"));
  CHECK(Contains(table, "\nES,before learning,\"1 to 2, of which 1 published\",0.25,"));
  CHECK(Contains(page, "Beside what is published (the paper), unseen goals"));

  // Without them the dashes of our methods stay.
  REQUIRE(WriteReport(data, folder.path()).ok());
  CHECK(SeriesOf(ReadText(written->html), "episodes_test")[1]["dash"] == 2);
}

TEST_CASE("published: a comparison has each meta-seed behind the mean", "[unit]") {
  const TempFolder folder;
  const ComparisonData data{.title = "t",
                            .runs = {Run("reward", 7, 1, "reward"), Run("reward", 8, 0, "reward"),
                                     Run("advantage", 7, 1, "advantage")}};
  const auto written = WriteComparison(data, folder.path(), {.published = Paper()});
  INFO(written.status().ToString());
  REQUIRE(written.ok());
  const std::string page = ReadText(written->html);
  const auto series = SeriesOf(page, "episodes_test");
  REQUIRE(series.size() == 7);
  CHECK(series[0]["name"] == "reward");
  CHECK(series[0]["y"][3] == 0.5);
  CHECK(series[0].contains("low"));
  CHECK(series[1]["name"] == "reward");  // One button of the legend shows and hides all three.
  CHECK(series[1]["small"] == true);
  CHECK(series[1]["colour"] == series[0]["colour"]);
  CHECK(series[1]["y"][3] == 1);
  CHECK(series[2]["y"][3] == 0);
  CHECK(series[3]["name"] == "advantage");  // One seed: no thin line.
  CHECK(series[4]["name"] == "PPO sparse");
  CHECK(series[5]["name"] == "Learned Reward, the paper");
  CHECK(series[5]["colour"] == series[0]["colour"]);
  CHECK(Contains(page, "Thin lines are single meta-seeds"));
  const std::string csv = ReadText(folder.path() / "comparison" / "episodes_test.csv");
  CHECK(Contains(csv, "\n\"reward, meta-seed 7\",4,1,,\n"));
  CHECK(Contains(csv, "\n\"reward, meta-seed 8\",4,0,,\n"));
  const std::string script = ReadText(folder.path() / "comparison" / "episodes_test.gp");
  CHECK(Contains(script, "with lines linecolor rgb '#990072b2' linewidth 1 notitle"));
  CHECK(Contains(ReadText(folder.path() / "comparison" / "published_test.csv"),
                 "\nLearned Reward,after 1 update,3 to 4,0.625,reward,0.75,"));
  CHECK(Contains(ReadText(folder.path() / "comparison" / "tables.md"), "| Learned Reward |"));

  // Two methods that learn a reward: the published one has a colour of its own, and a row with
  // each.
  ComparisonData two = data;
  two.runs[2].data.signal_role = "reward";
  REQUIRE(WriteComparison(two, folder.path(), {.published = Paper()}).ok());
  const auto again = SeriesOf(ReadText(written->html), "episodes_test");
  for (int i = 0; i < 5; ++i) CHECK(again[5]["colour"] != again[i]["colour"]);
  const std::string table = ReadText(folder.path() / "comparison" / "published_test.csv");
  CHECK(Contains(table, "0.625,reward,"));
  CHECK(Contains(table, "0.625,advantage,"));
}

TEST_CASE("published: what has no place in a figure is said", "[unit]") {
  const TempFolder folder;
  ReportData data = Run("reach", 1, 0, "reward").data;
  Published published = Paper();
  published.curves[1].split = "train";
  const auto warning = [&] {
    const auto written = WriteReport(data, folder.path(), {.published = published});
    REQUIRE(written.ok());
    CHECK(Contains(ReadText(written->html), "class=\"error\">Published curves"));
    return written->warnings.at(0);
  };
  CHECK(warning() ==
        "published curves of split train are not shown: the evaluation has goals of split test "
        "alone; give the rows one of these names in column split, or leave them out with "
        "--published_rows");
  // Each reason is said.
  published.curves[0].split = "validation";
  for (EvaluationRow& row : data.evaluation)
    if (row.lifetime == 1) row.split = "seen";
  CHECK(
      Contains(warning(),
               "of split train, validation are not shown: the evaluation has goals of split seen, "
               "test alone"));
  data = Run("reach", 1, 0, "reward").data;
  published.curves[0].split = "test";
  for (EvaluationRow& row : data.evaluation) row.episode_success.assign(5, 0);
  CHECK(
      Contains(warning(), "no episode of test succeeded; the evaluation has goals of split test"));
  data = Run("reach", 1, 0, "reward").data;
  published.curves[1].split = "test";
  data.evaluation[0].lifetime_episodes = 3;
  data.evaluation[0].segment_episodes = {1, 2};
  data.evaluation[0].episode_success.pop_back();
  data.evaluation[0].episode_return.pop_back();
  CHECK(Contains(warning(), "test has lifetimes with other numbers of episodes"));
  data = Run("reach", 1, 0, "reward").data;
  for (EvaluationRow& row : data.evaluation) row.episode_success.assign(5, 0);
  CHECK(Contains(warning(), "no episode of test succeeded"));
  data.evaluation.clear();
  CHECK(Contains(warning(), "there is no evaluation"));
}

}  // namespace
}  // namespace mentor::report
