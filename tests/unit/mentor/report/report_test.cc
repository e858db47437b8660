#include "mentor/report/report.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <numeric>
#include <sstream>
#include <string>

#include <absl/strings/escaping.h>
#include <nlohmann/json.hpp>

#include "common/evaluation_method.h"
#include "common/hash.h"
#include "mentor/report/chart.h"
#include "mentor/report/evaluation.h"
#include "mentor/report/figures.h"
#include "mentor/report/hints.h"
#include "mentor/report/html.h"
#include "mentor/report/outcome.h"
#include "mentor/report/page.h"
#include "mentor/report/summary.h"
#include "mentor/report/theme.h"
#include "mentor/report/training_table.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::report {
namespace {

using mentor::testing::Contains;
using mentor::testing::Near;
using mentor::testing::ReadText;
using mentor::testing::TempFolder;

size_t CountOf(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
    ++count;
  return count;
}

// A lifetime of six episodes in three segments, and two deterministic ones.
EvaluationRow Row(const std::string& method, uint32_t lifetime, std::vector<double> success) {
  EvaluationRow row;
  row.method = MethodNamed(method).value();
  row.split = "test";
  row.lifetime = lifetime;
  row.goal = lifetime / 2;
  row.lifetime_episodes = 6;
  for (const double value : success) row.episode_return.push_back(10 * value);
  row.episode_success = std::move(success);
  return row;
}

// Four lifetimes a method; `late` successes among the last two episodes of all lifetimes.
void AddMethod(const std::string& method, std::vector<std::vector<double>> lifetimes,
               ReportData* data) {
  for (uint32_t i = 0; i < lifetimes.size(); ++i)
    data->evaluation.push_back(Row(method, i, lifetimes[i]));
}

ReportData Whole() {
  ReportData data;
  data.title = "Reach <b>& co</b>";
  data.spec_text = "display_name: \"Reach <b>& co</b>\"\nseed: 1\n";
  data.facts = {{"seed", "1"}};
  data.outer_updates_total = 8;
  data.outer_updates_paper = 500;
  data.metrics = {
      {.name = "entropy", .unit = "nat", .panel = MetricInfo::Panel::kOwn},
      {.name = "kl", .unit = "nat", .label = "divergence", .panel = MetricInfo::Panel::kOwn},
      {.name = "value_loss", .panel = MetricInfo::Panel::kCompared, .log_scale = true},
      {.name = "epochs", .panel = MetricInfo::Panel::kOwn},
      {.name = "shaped_return", .panel = MetricInfo::Panel::kNone},
      {.name = "seg*", .panel = MetricInfo::Panel::kNone}};
  for (const char* phase : {"rollout", "policy", "signal", "update", "outer", "wall"}) {
    data.metrics.push_back(
        {.name = std::string(phase) + "_seconds", .unit = "s", .panel = MetricInfo::Panel::kNone});
  }
  for (uint32_t i = 1; i <= 8; ++i) {
    TrainingPoint point;
    point.outer_update = i;
    point.env_steps = 1000 * i;
    point.metrics = {{"seg0", 0.1},
                     {"seg1", 0.1 + 0.01 * i},
                     {"seg2", 0.1 + 0.02 * i},
                     {"shaped_return", 3.0 + i},
                     {"entropy", -0.2},
                     {"kl", 0.001 * i},
                     {"value_loss", 1.0 / i},
                     {"epochs", 4},
                     {"rollout_seconds", 2},
                     {"policy_seconds", 0.5},
                     {"signal_seconds", 0.25},
                     {"update_seconds", 1.5},
                     {"outer_seconds", 0.75},
                     {"wall_seconds", 2.0}};
    data.training.push_back(point);
  }
  AddMethod("learned",
            {{0, 0, 0, 1, 1, 1, 1, 1},
             {0, 0, 1, 0, 1, 1, 1, 0},
             {1, 0, 0, 0, 1, 0, 1, 1},
             {0, 0, 0, 0, 1, 1, 1, 1}},
            &data);
  AddMethod("PPO sparse",
            {{0, 0, 0, 0, 0, 0, 0, 0},
             {0, 0, 0, 0, 0, 0, 0, 0},
             {1, 0, 0, 0, 0, 0, 0, 0},
             {0, 0, 0, 0, 1, 0, 0, 0}},
            &data);
  SignalSample sample;
  for (int t = 0; t < 100; ++t) {
    sample.signal.push_back(0.01 * t);
    sample.shaped.push_back(0.02 * t + 0.1 * std::sin(t));
  }
  sample.episode_steps = 10;
  sample.iterations = 2;
  data.signals = {sample, sample};
  return data;
}

TEST_CASE("evaluation: segments, last and deterministic episodes are what their names say",
          "[unit]") {
  ReportData data;
  AddMethod("learned", {{0, 1, 0, 0, 1, 1, 1, 0}, {0, 0, 0, 0, 1, 0, 0, 0}}, &data);
  const auto results = SummariseEvaluation(data.evaluation, /*iterations=*/3);
  REQUIRE(results.ok());
  REQUIRE(results->size() == 1);
  const MethodResult& result = (*results)[0];
  CHECK(result.lifetimes == 2);
  CHECK(result.goals == 1);
  REQUIRE(result.segments.size() == 3);
  CHECK(result.segments[0].mean == 0.25);  // One of four episodes.
  CHECK(result.segments[1].mean == 0);
  CHECK(result.segments[2].mean == 0.75);  // (2/2 + 1/2) / 2
  CHECK(result.last.mean == 0.5);          // Episode 5: 1 and 0.
  REQUIRE(result.det);
  CHECK(result.det->mean == 0.25);  // (1/2 + 0) / 2
  REQUIRE(result.last_return);
  CHECK(result.last_return->mean == 7.5);  // 10 * success
  CHECK(result.episodes.size() == 8);
  CHECK(GrowthWithinLifetime(result).mean == 0.5);  // 0.75 - 0.25
}

TEST_CASE("evaluation: equal goals and numbers are compared in pairs, whatever the order of rows",
          "[unit]") {
  ReportData data;
  // Lifetimes differ much, methods differ by one episode in each: pairs see it, independent samples
  // would not.
  AddMethod("learned",
            {{0, 0, 0, 0, 1, 0}, {0, 0, 0, 0, 1, 0}, {0, 0, 0, 0, 1, 1}, {0, 0, 0, 0, 1, 1}},
            &data);
  AddMethod("PPO sparse",
            {{0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 1, 0}, {0, 0, 0, 0, 0, 1}},
            &data);
  std::swap(data.evaluation[4], data.evaluation[7]);
  const auto results = SummariseEvaluation(data.evaluation, 3);
  REQUIRE(results.ok());
  const auto comparisons = CompareWithBaselines(*results);
  REQUIRE(comparisons.size() == 2);
  CHECK(comparisons[1].segment == 2);
  CHECK(comparisons[1].paired);
  CHECK(comparisons[1].difference.mean == 0.5);
  CHECK(comparisons[1].difference.low == 0.5);
  CHECK(comparisons[1].difference.high == 0.5);

  // Lives with other numbers on the same goals are pairs, too.
  for (EvaluationRow& row : data.evaluation)
    row.lifetime += row.method == v1::EVALUATION_METHOD_LEARNED ? 0 : 100;
  const auto renumbered = SummariseEvaluation(data.evaluation, 3);
  REQUIRE(renumbered.ok());
  CHECK(CompareWithBaselines(*renumbered)[1].paired);
  data.evaluation[4].goal = 77;
  const auto others = SummariseEvaluation(data.evaluation, 3);
  REQUIRE(others.ok());
  const auto independent = CompareWithBaselines(*others);
  CHECK_FALSE(independent[1].paired);
  CHECK(independent[1].difference.mean == 0.5);
  CHECK(independent[1].difference.low < 0.5);
}

TEST_CASE("evaluation: lifetimes of one goal are not independent, here and in differences",
          "[unit]") {
  // Ten goals with ten lifetimes each, of which half always succeed.
  ReportData data;
  for (uint32_t i = 0; i < 100; ++i) {
    const double late = i / 10 < 5 ? 1 : 0;
    for (const char* method : {"learned", "PPO sparse"}) {
      const double own = method[0] == 'l' ? late : 0;
      data.evaluation.push_back(Row(method, i, {0, 0, 0, 0, own, own}));
      data.evaluation.back().goal = i / 10;
    }
  }
  const auto check = [](const Interval& interval) {
    CHECK(interval.mean == 0.5);
    // sqrt(0.25 / 10) = 0.158 for goals; 100 lifetimes would have 0.05.
    CHECK(Near(interval.low, 0.2, {.abs = 1e-12}));
    CHECK(Near(interval.high, 0.8, {.abs = 1e-12}));
  };
  auto results = SummariseEvaluation(data.evaluation, 3);
  REQUIRE(results.ok());
  CHECK((*results)[0].goals == 10);
  check((*results)[0].segments[2]);
  check((*results)[0].episodes[5]);
  check(GrowthWithinLifetime((*results)[0]));
  const Comparison paired = CompareWithBaselines(*results)[1];
  CHECK(paired.paired);
  check(paired.difference);
  data.evaluation.back().goal = 1000;
  results = SummariseEvaluation(data.evaluation, 3);
  const Comparison unpaired = CompareWithBaselines(*results)[1];
  CHECK_FALSE(unpaired.paired);
  CHECK(unpaired.difference.mean == 0.5);
  data.evaluation.back().goal = 9;

  // Goals with the same number of other draws are other goals.
  for (uint32_t i = 0; i < 200; ++i) data.evaluation[i].goal_seed = i / 2 % 10;
  results = SummariseEvaluation(data.evaluation, 3);
  CHECK((*results)[0].goals == 100);
  CHECK((*results)[0].segments[2].low > 0.38);
}

TEST_CASE("evaluation: several environments get a result each", "[unit]") {
  ReportData data;
  AddMethod("learned", {{0, 0, 0, 0, 1, 1}, {0, 0, 0, 0, 0, 0}}, &data);
  data.evaluation[0].environment = "reach-v3";
  data.evaluation[1].environment = "push-v3";
  const auto results = SummariseEvaluation(data.evaluation, 3);
  REQUIRE(results.ok());
  REQUIRE(results->size() == 3);
  CHECK((*results)[0].segments[2].mean == 0.5);
  CHECK((*results)[1].environment == "push-v3");
  CHECK((*results)[1].segments[2].mean == 0);
  CHECK((*results)[2].segments[2].mean == 1);
}

TEST_CASE("evaluation: rows that do not fit are refused by name", "[unit]") {
  const auto message = [](std::vector<EvaluationRow> rows) {
    return std::string(SummariseEvaluation(rows, 3).status().message());
  };
  EvaluationRow row = Row("learned", 3, {0, 0, 0, 0, 1, 1});
  row.lifetime_episodes = 7;
  CHECK(Contains(message({row}), "lifetime_episodes is 7, expected 0 to 6"));
  row = Row("learned", 3, {0, 0, 0, 0, 0.5, 1});
  CHECK(Contains(message({row}), "success is 0.5, expected 0 or 1"));
  row = Row("learned", 3, {0, 0, 0, 0, 1, 1});
  row.split = "";
  CHECK(Contains(message({row}), "does not say which tasks"));
  CHECK(Contains(
      message({Row("learned", 0, {0, 0, 0, 0, 1, 1}), Row("learned", 1, {0, 0, 0, 0, 1, 1, 1})}),
      "lifetime 1: 1 deterministic episodes, expected 0 as for lifetime 0"));
  row = Row("learned", 3, {0, 0, 0, 0, 1, 1});
  row.segment_episodes = {2, 2, 3};
  CHECK(Contains(message({row}), "episodes of its segments"));
}

TEST_CASE("evaluation: where episodes end early, each counts in the segment where it ended",
          "[unit]") {
  const auto row = [](uint32_t lifetime, std::vector<double> success, std::vector<int> segments) {
    EvaluationRow row = Row("learned", lifetime, std::move(success));
    row.segment_episodes = std::move(segments);
    row.lifetime_episodes =
        std::accumulate(row.segment_episodes.begin(), row.segment_episodes.end(), 0);
    return row;
  };
  // Four, two and one episodes, and one, two, two; one deterministic episode each.
  const std::vector<EvaluationRow> rows = {row(0, {0, 0, 0, 1, 0, 1, 1, 1}, {4, 2, 1}),
                                           row(1, {1, 0, 0, 1, 0, 0}, {1, 2, 2})};
  const auto results = SummariseEvaluation(rows, 3);
  REQUIRE(results.ok());
  const MethodResult& result = (*results)[0];
  REQUIRE(result.segments.size() == 3);
  CHECK(result.segments[0].mean == 0.625);  // (1/4 + 1) / 2
  CHECK(result.segments[1].mean == 0.25);   // (1/2 + 0) / 2
  CHECK(result.segments[2].mean == 0.75);   // (1 + 1/2) / 2
  CHECK(result.last.mean == 0.5);           // 1 and 0
  REQUIRE(result.det);
  CHECK(result.det->mean == 0.5);
  CHECK(result.lifetime_episodes == 0);
  CHECK(result.episodes.empty());

  const TempFolder folder;
  ReportData data = Whole();
  data.evaluation = rows;
  REQUIRE(WriteReport(data, folder.path()).ok());
  const std::string page = ReadText(folder.path() / "report.html");
  CHECK(Contains(page, "<figure id=\"evaluation_test\">"));
  CHECK_FALSE(Contains(page, "<figure id=\"episodes_test\">"));

  // A lifetime without an end of an episode in some segment: all lifetimes are cut into equal
  // parts.
  const auto equal = SummariseEvaluation({row(0, {0, 0, 0, 1, 1, 1}, {6, 0, 0})}, 3);
  REQUIRE(equal.ok());
  CHECK((*equal)[0].segments[1].mean == 0.5);
}

TEST_CASE("evaluation: where nothing can succeed, shaped returns are compared", "[unit]") {
  ReportData data = Whole();
  data.evaluation.clear();
  for (TrainingPoint& point : data.training) {
    for (const char* segment : {"seg0", "seg1", "seg2"}) point.metrics[segment] = 0;
  }
  for (uint32_t i = 0; i < 4; ++i) {
    for (const char* method : {"learned", "PPO shaped"}) {
      EvaluationRow row = Row(method, i, {0, 0, 0, 0, 0, 0});
      row.split = "train";  // As on a benchmark without test tasks.
      row.episode_return = {-5, -5, -4, -4, method[0] == 'l' ? -1.0 : -3.0, -2};
      data.evaluation.push_back(row);
    }
  }
  const auto results = SummariseEvaluation(data.evaluation, 3);
  REQUIRE(results.ok());
  CHECK((*results)[0].quantity == Quantity::kReturn);
  CHECK((*results)[0].segments[2].mean == -1.5);
  CHECK((*results)[0].last.mean == -2);
  const TempFolder folder;
  const auto written = WriteReport(data, folder.path());
  INFO(written.status().ToString());
  REQUIRE(written.ok());
  CHECK(Contains(written->summary,
                 "It worked: agents taught by the learned reward have a shaped return of -1.50 "
                 "[-1.50, -1.50] in an episode after 2 updates on training goals, better than PPO "
                 "shaped (difference 1.00"));
  CHECK(Contains(written->summary, "The shaped return of an episode rises in meta-training"));
  CHECK(Contains(ReadText(written->html), "No episode reports success"));
  CHECK(Contains(ReadText(folder.path() / "report" / "evaluation_train.gp"), "shaped return"));
  // One success anywhere, and rates are compared.
  data.evaluation[3].episode_success[0] = 1;
  CHECK((*SummariseEvaluation(data.evaluation, 3))[0].quantity == Quantity::kSuccess);
}

TEST_CASE("report: one page with every plot inside and the files beside it", "[unit]") {
  const TempFolder folder;
  const ReportData data = Whole();
  const auto written = WriteReport(data, folder.path());
  INFO(written.status().ToString());
  REQUIRE(written.ok());
  const std::string page = ReadText(written->html);
  for (const auto& file : written->others) {
    INFO(file);
    CHECK(std::filesystem::file_size(file) > 0);
  }
  // Self-contained: nothing is loaded, from the network or from files, and no script but the one
  // whose hash the page's policy names.
  const std::string shown = page.substr(0, page.find("<script"));
  CHECK_FALSE(Contains(shown, "src="));
  CHECK_FALSE(Contains(shown, "<link"));
  CHECK_FALSE(Contains(shown, "url(http"));
  CHECK(CountOf(page, "</script>") == 2);  // Parts of the numbers, and of the code that draws them.
  Sha256 hash;
  const size_t script = page.rfind("<script>") + 8;
  hash.Update(page.substr(script, page.rfind("</script>") - script));
  CHECK(Contains(shown, "script-src 'sha256-" + absl::Base64Escape(hash.Finish()) + "'\""));
  for (const char* figure :
       {"evaluation_test", "episodes_test", "training_by_update", "training_by_steps",
        "training_return", "training_rule", "signal_episode", "signal_age", "signal_histogram",
        "signal_scatter", "throughput", "phases"}) {
    INFO(figure);
    CHECK(CountOf(page, "<figure id=\"" + std::string(figure) + "\"") == 1);
    CHECK(CountOf(page, "data-figure=\"" + std::string(figure) + "\"") == 1);
    CHECK(CountOf(page, "<noscript><svg ") == 12);
    CHECK(CountOf(page, "id=\"" + std::string(figure) + "-svg-canvas\"") == 1);
    CHECK(ReadText(folder.path() / "report" / (std::string(figure) + ".png")).substr(1, 3) ==
          "PNG");
  }
  // All colours of the plots follow the reader's setting.
  CHECK_FALSE(Contains(shown, "rgb("));
  // People read words, files have names.
  CHECK_FALSE(Contains(shown, ">seg2"));
  CHECK(Contains(shown, "<th scope=\"col\" class=\"n\">after 2 updates</th>"));
  // Text of users is text.
  CHECK_FALSE(Contains(page, "<b>& co"));
  CHECK(Contains(page, "<h1>Reach &lt;b&gt;&amp; co&lt;/b&gt;</h1>"));
  CHECK(Contains(written->summary, "8 outer updates"));
  CHECK(Contains(written->summary, "(8,000 environment steps)"));
  CHECK(Contains(written->summary, "1.6 % of its length"));
  // (0.12 + 0.14) / 2 to (0.24 + 0.26) / 2; neighbours differ by 0.02, so the error is 0.01 sqrt 2.
  CHECK(
      Contains(written->summary,
               "\nSuccess after 2 updates rises in meta-training: 0.13 (first 2 outer updates) to "
               "0.25 (last 2), change 0.12 [0.09, 0.15].\n"));
  // One sentence and one chart open the page; the chart is not drawn again below.
  const size_t chart = page.find("<figure id=\"evaluation_test\"");
  CHECK(chart < page.find("How to read this page"));
  CHECK(CountOf(page.substr(0, chart), "<p>") == 1);
  CHECK(Contains(page.substr(0, chart),
                 "<p>It worked: agents taught by the learned reward succeed in 0.88 [0."));

  // 4 lifetimes: seg2 of "learned" is 7 of 8 episodes, of "PPO sparse" 1 of 8.
  const std::string table = ReadText(folder.path() / "report" / "evaluation.csv");
  CHECK(Contains(table, "test,,learned,4,2,seg2,0.875,"));
  CHECK(Contains(table, "test,,PPO sparse,4,2,seg2,0.125,"));
  CHECK(table.find(",learned,") < table.find(",PPO sparse,"));
  CHECK(Contains(ReadText(folder.path() / "report" / "training.csv"), "\n3,3000,"));

  // The same data, the same bytes.
  const TempFolder other;
  REQUIRE(WriteReport(data, other.path()).ok());
  CHECK(ReadText(other.path() / "report.html") == page);
}

// Two methods in ten episodes; the name of the second one is an attack.
Figure SmallFigure() {
  Series learned{.name = "learned", .style = {"blue"}, .intervals = true};
  learned.places = {{1, {0.25, 0.125, 0.5}}, PlaceAt(2, kNone), {3, {0.75, 0.5, 1}}};
  Series other{.name = "</script><b>&", .style = {"green"}, .kind = Series::Kind::kPoints};
  other.places = {PlaceAt(1, 0.1), PlaceAt(2, 0.1), PlaceAt(3, 1.0 / 3)};
  return {.name = "small",
          .section = "evaluation",
          .title = "Success <i>",
          .caption = "How.",
          .panels = {{.x = {.label = "episode", .whole = true},
                      .y = {.label = "success rate", .low = 0, .high = 1},
                      .series = {learned, other}}}};
}

TEST_CASE("chart: the page has the numbers as data, as words and as a table", "[unit]") {
  const Figure figure = SmallFigure();
  const std::string data = ChartData({figure});
  CHECK_FALSE(Contains(data, "<"));
  const auto json = nlohmann::json::parse(data);
  const auto& panel = json["small"]["panels"][0];
  CHECK(panel["y"] == nlohmann::json({{"label", "success rate"}, {"low", 0}, {"high", 1}}));
  CHECK(panel["series"][0]["y"] == nlohmann::json({0.25, nullptr, 0.75}));
  CHECK(panel["series"][0]["high"] == nlohmann::json({0.5, nullptr, 1}));
  CHECK(panel["series"][1]["name"] == "</script><b>&");
  CHECK(panel["series"][1]["kind"] == "points");
  CHECK_FALSE(panel["series"][1].contains("low"));

  CHECK(Describe(figure.panels[0]) ==
        "Success rate against episode. learned from 0.25 at 1 to 0.75 at 3, greatest 0.75 at 3; "
        "</script><b>&, 3 points, from 0.1 to 0.333.");
  const std::string html = FigureHtml(figure, {}, "files");
  CHECK_FALSE(Contains(html, "</script>"));
  CHECK_FALSE(Contains(html, "<i>"));
  CHECK(Contains(html, "role=\"img\" aria-label=\"Success rate against episode. learned from"));
  CHECK(Contains(html,
                 "<th scope=\"row\">3</th><td class=\"n\">0.75<small>[0.5, 1]</small></td>"
                 "<td class=\"n\">0.333</td>"));
  // The format for gnuplot: an empty line breaks a curve, two begin another block.
  CHECK(TableOf(figure).text ==
        "series,x,value,low,high\n"
        "learned,1,0.25,0.125,0.5\n\nlearned,3,0.75,0.5,1\n\n\n"
        "</script><b>&,1,0.1,,\n</script><b>&,2,0.1,,\n</script><b>&,3,0.3333333333,,\n");
}

TEST_CASE("chart: long lines are thinned, rows too, the ends stay", "[unit]") {
  Figure figure = SmallFigure();
  Series& line = figure.panels[0].series[0];
  line.places.clear();
  figure.panels[0].series.resize(1);
  for (int i = 0; i <= 10'000; ++i) line.places.push_back(PlaceAt(i, 0.5));
  const auto json = nlohmann::json::parse(ChartData({figure}));
  const auto& x = json["small"]["panels"][0]["series"][0]["x"];
  CHECK(x.size() < 1300);
  CHECK(x.back() == 10'000);
  const std::string table = NumbersOf(figure);
  CHECK(CountOf(table, "<tr>") < 70);
  CHECK(Contains(table, ">10,000</th>"));
}

TEST_CASE("report: date, contents and films of the run's folder", "[unit]") {
  const TempFolder folder;
  ReportData data = Whole();
  data.date = "1 May 2030, 09:00 UTC";
  data.films = {folder.path() / "lives <1>.mp4", folder.path() / "one.gif"};
  REQUIRE(WriteReport(data, folder.path()).ok());
  const std::string page = ReadText(folder.path() / "report.html");
  CHECK(Contains(page, "Report of 1 May 2030, 09:00 UTC."));
  CHECK(Contains(page, "<video controls muted preload=\"metadata\" src=\"lives%20%3C1%3E.mp4\""));
  CHECK(Contains(page, "<img class=\"film\" src=\"one.gif\""));
  for (const char* chapter : {"evaluation", "meta-training", "signal", "films", "cost", "run"}) {
    INFO(chapter);
    CHECK(CountOf(page, "<a href=\"#" + std::string(chapter) + "\">") == 1);
    CHECK(CountOf(page, "<h2 id=\"" + std::string(chapter) + "\">") == 1);
  }
}

TEST_CASE("report: final and best weights that did the same share a line", "[unit]") {
  const TempFolder folder;
  ReportData data = Whole();
  std::vector<EvaluationRow> best;
  for (const EvaluationRow& row : data.evaluation) {
    if (row.method != v1::EVALUATION_METHOD_LEARNED) continue;
    best.push_back(row);
    best.back().method = v1::EVALUATION_METHOD_LEARNED_BEST;
  }
  data.evaluation.insert(data.evaluation.end(), best.begin(), best.end());
  const auto csv = [&] {
    REQUIRE(WriteReport(data, folder.path()).ok());
    return ReadText(folder.path() / "report" / "episodes_test.csv");
  };
  CHECK(Contains(csv(), "learned (final and best weights),6,"));
  CHECK_FALSE(Contains(csv(), "learned (best)"));
  data.evaluation.back().episode_success[0] = 1 - data.evaluation.back().episode_success[0];
  CHECK(Contains(csv(), "learned (best),6,"));
}

TEST_CASE("report: every part may be missing", "[unit]") {
  const TempFolder folder;
  ReportData data;
  REQUIRE(WriteReport(data, folder.path()).ok());
  std::string page = ReadText(folder.path() / "report.html");
  CHECK(Contains(page, "There are no evaluated episodes."));
  data.evaluation = {Row("learned", 0, {})};
  data.evaluation[0].lifetime_episodes = 0;
  const auto unended = WriteReport(data, folder.path());
  REQUIRE(unended.ok());
  CHECK(Contains(unended->summary, "No episode ended within a lifetime"));
  CHECK(Contains(page, "No outer update has been made"));
  CHECK(Contains(page, "No signals have been recorded yet"));

  // One update, an odd metric, one that is no number; one constant signal.
  TrainingPoint point;
  point.outer_update = 1;
  point.metrics = {{"seg0", 0.0}, {"kl", std::numeric_limits<double>::quiet_NaN()}, {"x,\"y\"", 2}};
  data.training = {point};
  data.signals = {{{0.5, 0.5}, {1, 1}}};
  data.evaluation = {Row("learned", 0, {0, 0, 0, 0, 0, 0})};
  const auto written = WriteReport(data, folder.path());
  INFO(written.status().ToString());
  REQUIRE(written.ok());
  page = ReadText(folder.path() / "report.html");
  CHECK(Contains(page, "training_by_update-svg"));
  CHECK(Contains(page, "signal_histogram-svg"));
  CHECK(Contains(ReadText(folder.path() / "report" / "training.csv"), "\"x,\"\"y\"\"\""));
}

Outcome OutcomeOf(const ReportData& data) {
  const auto results = SummariseEvaluation(data.evaluation, data.iterations);
  REQUIRE(results.ok());
  return OutcomeOf(data, *results, CompareWithBaselines(*results));
}

TEST_CASE("report: the words follow the intervals", "[unit]") {
  const auto summary = [](const ReportData& data) {
    const auto results = SummariseEvaluation(data.evaluation, data.iterations);
    REQUIRE(results.ok());
    const auto comparisons = CompareWithBaselines(*results);
    const Summary words =
        Summarise(data, *results, comparisons, OutcomeOf(data, *results, comparisons));
    std::string text;
    for (const auto* sentences : {&words.opening, &words.evaluation}) {
      for (const std::string& sentence : *sentences) text += sentence + "\n";
    }
    return text;
  };
  ReportData data = Whole();
  CHECK(Contains(summary(data), "It worked: agents taught by the learned reward succeed in 0.88"));
  CHECK(Contains(summary(data), "better than PPO sparse (difference 0.75"));
  CHECK(Contains(summary(data), "Within a lifetime success rises: 0.75 ["));
  CHECK_FALSE(Contains(summary(data), "Warning"));
  CHECK(Contains(summary(data),
                 "the intervals cover other goals and lifetimes (here 2 goals, 4 lifetimes), not"));

  data.evaluation.clear();
  AddMethod("learned", {{0, 0, 0, 0, 1, 0}, {0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0}}, &data);
  AddMethod("PPO shaped", {{0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 1}, {0, 0, 0, 0, 0, 0}}, &data);
  CHECK(Contains(summary(data), "cannot be told apart from PPO shaped (difference 0.00"));
  CHECK(Contains(summary(data), "Within a lifetime success does not move: 0.17 [0.00"));

  // Nothing is unseen where there are no goals.
  for (EvaluationRow& row : data.evaluation) {
    row.has_goals = false;
    row.goal = 0;
  }
  CHECK_FALSE(Contains(summary(data), "unseen goals"));
  CHECK(Contains(summary(data), "the intervals cover other lifetimes (here 3 lifetimes), not"));

  // Success before any learning cannot come from the signal.
  data.evaluation.clear();
  AddMethod("learned", {{1, 1, 0, 0, 0, 0}, {1, 1, 0, 0, 0, 0}}, &data);
  AddMethod("PPO sparse", {{0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0}}, &data);
  CHECK(Contains(summary(data), "Warning: before any learning 'learned' exceeds PPO sparse"));
  CHECK(Contains(summary(data), "Within a lifetime success falls: -1.00"));
}

std::string SummaryOf(const ReportData& data) {
  const TempFolder folder;
  const auto written = WriteReport(data, folder.path());
  INFO(written.status().ToString());
  REQUIRE(written.ok());
  return written->summary + "\n" + ReadText(written->html);
}

TEST_CASE(
    "report: a run that went on from another one says where it began, and counts its own "
    "seconds",
    "[unit]") {
  ReportData data = Whole();
  data.origin = "runs/short";
  data.training.erase(data.training.begin(), data.training.begin() + 3);
  CHECK(UpdatesBefore(data.training) == 3);
  CHECK(StepsPerSecond(data.training) ==
        500);  // It is not the 4000 steps of all updates until the first.
  const std::string said = SummaryOf(data);
  CHECK(Contains(said, "(8,000 environment steps), the first 3 in runs/short"));
  // It only evaluates.
  data.training.clear();
  data.outer_updates_made = 3;
  CHECK(Contains(SummaryOf(data),
                 "This run made no outer update: its weights are those after outer update 3 of "
                 "runs/short."));
}

TEST_CASE("report: a run that failed says so first", "[unit]") {
  ReportData data = Whole();
  data.failure = "shard 3: the loss is not a number";
  CHECK(SummaryOf(data).starts_with("The run failed: shard 3: the loss is not a number\n"));
}

TEST_CASE("report: a run that goes on says so first", "[unit]") {
  ReportData data = Whole();
  data.goes_on = true;
  CHECK(Summarise(data, {}, {}, {}).opening[0] ==
        "The run is still active: these are its results so far.");
}

TEST_CASE("report: runs of one title are told apart by folder and seed", "[unit]") {
  ReportData data = Whole();
  data.title = "reach";
  data.run = "run-<2>";
  data.identity.seed = 7;
  CHECK(Contains(SummaryOf(data), "<title>reach: run-&lt;2&gt;, seed 7</title>"));
}

TEST_CASE("report: the best weights are those before the update that raised the score", "[unit]") {
  ReportData data = Whole();
  const double scores[] = {0.1, 0.1, 0.4, 0.4, 0.5, 0.5, 0.5, 0.5};
  for (size_t i = 0; i < 8; ++i) data.training[i].metrics["best_score"] = scores[i];
  CHECK(BestUpdate(data.training, 8) == 4u);
  CHECK(BestUpdate(data.training, 4) == 2u);
  CHECK(BestUpdate({data.training[0]}, 8) == 0u);
  // Raised before the first update that is known.
  CHECK_FALSE(BestUpdate({data.training.begin() + 5, data.training.end()}, 8));
  CHECK_FALSE(BestUpdate(Whole().training, 8));
  AddMethod("learned (best)", {{0, 0, 0, 1, 1, 1, 1, 1}, {0, 0, 0, 0, 1, 1, 1, 1}}, &data);
  data.evaluated_update = 8;
  const std::string said = SummaryOf(data);
  CHECK(Contains(said, "learned (best): after outer update 4, which had the best score"));
}

// Forty outer updates whose success and entropy are functions of the update.
template <typename Success, typename Entropy>
ReportData Trained(Success&& success, Entropy&& entropy) {
  ReportData data = Whole();
  const TrainingPoint point = data.training[0];
  data.training.clear();
  for (uint32_t i = 1; i <= 40; ++i) {
    data.training.push_back(point);
    data.training.back().outer_update = i;
    data.training.back().metrics["seg2"] = success(i);
    data.training.back().metrics["entropy"] = entropy(i);
  }
  return data;
}

TEST_CASE("report: a run that learned nothing says what to do, each with its number", "[unit]") {
  const auto flat = [](uint32_t i) { return 0.2 + 0.02 * ((7 * i) % 5); };
  ReportData data = Trained(flat, [](uint32_t) { return 0.36; });
  data.folder = "runs/mine";
  data.spec_file = "runs/mine/spec.txtpb";
  data.evaluation.clear();
  Outcome outcome = OutcomeOf(data);
  CHECK(outcome.answer == Answer::kNothing);
  REQUIRE(outcome.curve);
  CHECK(outcome.curve->movement == Movement::kStays);
  CHECK(outcome.curve->window == 10);
  CHECK(Contains(outcome.sentence,
                 "Nothing was learned: success after 2 updates does not move in meta-training: "
                 "0.24 (first 10 outer updates) to 0.24 (last 10), change 0.00 [-0.0"));
  REQUIRE(outcome.next.size() == 3);
  CHECK(outcome.next[0].text == "More updates, 200 in place of 40");
  CHECK(outcome.next[0].command == "mentor run --from runs/mine --set rule.outer_updates=200");
  CHECK(outcome.next[1].text == "A longer life, 12 iterations in place of 3");
  CHECK(outcome.next[1].command == "mentor run --from runs/mine --set lifetime.iterations=12");
  CHECK(outcome.next[2].command == "mentor doctor runs/mine/spec.txtpb");
  CHECK(Contains(
      SummaryOf(data),
      "More updates, 200 in place of 40: mentor run --from runs/mine --set rule.outer_updates"));

  // Where PPO moves nothing in such a life, a longer one comes first.
  AddMethod("learned", {{0, 0, 0, 1, 0, 0}, {0, 0, 1, 0, 0, 0}, {1, 0, 0, 0, 0, 1}}, &data);
  AddMethod("PPO shaped", {{0, 0, 0, 1, 0, 0}, {0, 0, 1, 0, 0, 0}, {1, 0, 0, 0, 0, 1}}, &data);
  outcome = OutcomeOf(data);
  CHECK(outcome.answer == Answer::kNothing);
  CHECK(Contains(outcome.sentence, "It did not work: agents taught by the learned reward"));
  CHECK(Contains(
      outcome.next[0].text,
      "A longer life, 12 iterations in place of 3: in this one success of PPO shaped does not "
      "move (0.17 to 0.17, change 0.00 "));
  CHECK(outcome.next[1].text == "More updates, 200 in place of 40");

  // Training that still rises is worth its time; one that goes on is not advised.
  data = Trained([](uint32_t i) { return 0.1 + 0.01 * i; }, [](uint32_t) { return 0.36; });
  data.evaluation.clear();
  CHECK(OutcomeOf(data).answer == Answer::kLearning);
  data = Trained(flat, [](uint32_t) { return 0.36; });
  data.evaluation.clear();
  data.folder = "runs/mine";
  data.goes_on = true;
  CHECK(OutcomeOf(data).next.empty());
  // A curve of seven updates says nothing, nor one whose tasks change.
  data.training.resize(7);
  CHECK(OutcomeOf(data).answer == Answer::kUnknown);
  data = Trained(flat, [](uint32_t) { return 0.36; });
  data.identity.settings["curriculum.name"] = "\"adr\"";
  CHECK_FALSE(OuterCurveOf(data));
}

TEST_CASE("report: what got worse in meta-training is said, with what to do", "[unit]") {
  const auto calm = [](uint32_t) { return 0.36; };
  const auto rises = [](uint32_t i) { return 0.1 + 0.015 * i; };
  const auto falls = [](uint32_t i) { return i <= 20 ? 0.1 + 0.03 * i : 1.4 - 0.035 * i; };
  const auto noisy = [](uint32_t i) { return 0.2 + 0.1 * ((7 * i) % 5); };
  const std::string worse =
      "It got worse: from 0.67 (outer update 18 to 21) to 0.05 at the end. "
      "Take the best weights (--weights best of mentor evaluate";
  CHECK_FALSE(Contains(SummaryOf(Trained(rises, calm)), "It got worse"));
  CHECK_FALSE(Contains(SummaryOf(Trained(noisy, calm)), "It got worse"));
  const std::string said = SummaryOf(Trained(falls, calm));
  CHECK(Contains(said, worse));
  CHECK_FALSE(Contains(said, "entropy_coef"));
  CHECK(Contains(SummaryOf(Trained(falls, [](uint32_t i) { return 0.1 * i; })),
                 "a smaller entropy_coef: the entropy went from 0.10 to 4.00."));
  // Tasks that become harder are no decline.
  ReportData curriculum = Trained(falls, calm);
  curriculum.identity.settings["curriculum.name"] = "\"adr\"";
  CHECK_FALSE(Contains(SummaryOf(curriculum), "It got worse"));
}

TEST_CASE("report: hints name what the metrics of a run show, and none of a run that learns",
          "[unit]") {
  const auto rises = [](uint32_t i) { return 0.1 + 0.015 * i; };
  const auto with = [&](const std::string& metric, auto&& value) {
    ReportData data = Trained(rises, [](uint32_t) { return 0.4; });
    for (TrainingPoint& point : data.training) point.metrics[metric] = value(point.outer_update);
    std::string ids;
    for (const Hint& hint : HintsOf(data)) ids += hint.id + " ";
    return ids;
  };
  CHECK(with("epochs", [](uint32_t i) { return i % 5 == 0 ? 1.0 : 3.0; }) == "");
  CHECK(with("epochs", [](uint32_t i) { return i > 20 ? 1.0 : 3.0; }) == "kl-stops-at-once ");
  CHECK(with("advantage_floored", [](uint32_t) { return 1.0; }) == "advantage-floored ");
  CHECK(with("advantage_floored", [](uint32_t i) { return i < 30 ? 1.0 : 0.0; }) == "");
  CHECK(with("signal_std", [](uint32_t) { return 0.0; }) == "signal-died ");
  CHECK(with("signal_sd", [](uint32_t i) { return std::pow(2.0, i); }) == "signal-runs-away ");
  CHECK(with("entropy", [](uint32_t i) { return 0.1 * i; }) == "entropy-grows ");
  ReportData one_epoch = Trained(rises, [](uint32_t) { return 0.4; });
  for (TrainingPoint& point : one_epoch.training) point.metrics["epochs"] = 1;
  one_epoch.identity.settings["rule.epochs"] = "1";
  CHECK(HintsOf(one_epoch).empty());
  CHECK(Contains(SentenceOf({"entropy-grows", "It grew."}), "it_does_not_learn.md#entropy-grows"));
}

TEST_CASE("report: pooled evaluations say which weights, seeds and goals are in", "[unit]") {
  ReportData data = Whole();  // Goals 0 and 1.
  for (EvaluationRow& row : data.evaluation) row.seed = 5;
  for (const uint64_t seed : {1, 2, 3}) {
    data.evaluation.push_back(Row("learned", 9, {0, 0, 0, 0, 0, 0, 0, 0}));
    data.evaluation.back().seed = seed;
  }
  data.evaluated_update = 8;
  data.evaluated_before = {2, 5};
  CHECK(Contains(SummaryOf(data),
                 "<p>Weights after outer update 8. Unseen goals: seed of agents 5 on goals 0 to 1; "
                 "seeds of agents 1 to 3 on goal 4. Evaluations of older weights are not here: "
                 "after outer updates 2, 5.</p>"));
}

TEST_CASE("report: a lifetime of one iteration is one part", "[unit]") {
  ReportData data = Whole();
  data.iterations = 1;
  data.signal_role.clear();
  const std::string said = SummaryOf(data);
  CHECK(Contains(said, "of their episodes in the whole lifetime on unseen goals"));
  CHECK(Contains(said, ">whole lifetime</th>"));
  CHECK_FALSE(Contains(said, ">before learning</th>"));
  CHECK_FALSE(Contains(said, "episodes before learning"));
}

TEST_CASE("report: columns of metrics are in the order in which people count", "[unit]") {
  TrainingPoint point;
  for (const char* name : {"success_episode_10", "success_episode_2", "success_episode_1"})
    point.metrics[name] = 1;
  CHECK(TrainingHeader(MetricNames({point})) ==
        "outer_update,env_steps,success_episode_1,success_episode_2,success_episode_10\n");
}

TEST_CASE("report: without gnuplot there are no pictures to download, and all else", "[unit]") {
  const TempFolder folder;
  const auto missing =
      WriteReport(Whole(), folder.path(), {.gnuplot = folder.path() / "none" / "gnuplot"});
  REQUIRE(missing.ok());
  CHECK(Contains(missing->warnings.at(0), "apt-get install gnuplot-nox"));
  CHECK(Contains(ReadText(folder.path() / "report" / "evaluation.csv"), "PPO sparse"));
  const std::string page = ReadText(missing->html);
  CHECK(Contains(page, "The pictures to download (SVG, PNG) are missing: "));
  CHECK(Contains(page, "data-figure=\"evaluation_test\""));
  CHECK_FALSE(Contains(page, "<noscript>"));

  const auto failing = WriteReport(Whole(), folder.path(), {.gnuplot = "false"});
  REQUIRE(failing.ok());
  CHECK(Contains(failing->warnings.at(0), "gnuplot failed on"));
}

TEST_CASE("report: data that contradict themselves are refused", "[unit]") {
  const TempFolder folder;
  ReportData data = Whole();
  data.training[3].outer_update = 2;
  CHECK(Contains(std::string(WriteReport(data, folder.path()).status().message()),
                 "training point 3: outer update 2"));
  data = Whole();
  data.signals[1].shaped.pop_back();
  CHECK(Contains(std::string(WriteReport(data, folder.path()).status().message()),
                 "signal sample 1: 100 signals, but 99 shaped rewards"));
  data = Whole();
  data.signals[0].signal[7] = std::numeric_limits<double>::infinity();
  CHECK(Contains(std::string(WriteReport(data, folder.path()).status().message()),
                 "signal sample 0, step 7: signal inf"));
}

TEST_CASE("report: a signal is compared with the shaped reward and with its change inside episodes",
          "[unit]") {
  SignalSample sample;
  sample.shaped = {0, 1, 3, 0, 2, 3};  // Two episodes of three steps; changes 1, 2 and 2, 1.
  sample.signal = {7, 1, 2, 9, 2, 1};
  sample.episode_steps = 3;
  const auto correlations = Correlate({sample, sample});
  REQUIRE(correlations.size() == 3);
  CHECK(Near(correlations[0].change_pearson, 1, {.abs = 1e-15}));
  CHECK(Near(correlations[2].change_spearman, 1, {.abs = 1e-15}));
  CHECK(correlations[2].steps == 12);
  CHECK(correlations[0].pearson < 0);
  sample.episode_steps = 0;
  CHECK(std::isnan(Correlate({sample})[0].change_pearson));
}

TEST_CASE("report: rules that decide inside a lifetime have learning curves by generation",
          "[unit]") {
  ReportData data;
  data.spec_text = "seed: 1";
  for (int update = 0; update < 11; ++update) {  // Three whole generations of three, one cut short.
    TrainingPoint point;
    point.outer_update = update + 1;
    point.env_steps = 100 * (update + 1);
    point.metrics = {{"generation", update / 3},
                     {"iteration", update % 3},
                     {"success", update % 3 == 2 ? 0.25 * (update / 3) : 0.0},
                     {"shaped_return", 1},
                     {"outer_grad_variance", 0.5}};
    data.training.push_back(point);
  }
  data.metrics = {{.name = "outer_grad_variance", .panel = MetricInfo::Panel::kCompared}};
  const auto lives = LifeCurves(data.training);
  REQUIRE(lives.size() == 3);
  CHECK(lives[2].generation == 2);
  CHECK(lives[2].iterations == std::vector<int>{0, 1, 2});
  CHECK(lives[2].values == std::vector<double>{0, 0, 0.5});
  CHECK(LifeCurves(Whole().training).empty());
  const TempFolder folder;
  const auto written = WriteReport(data, folder.path());
  INFO(written.status().ToString());
  REQUIRE(written.ok());
  CHECK(Contains(written->summary,
                 "It is too early to say: 11 outer updates, and nothing has been evaluated yet."));
  const std::string page = ReadText(written->html);
  CHECK(Contains(page, "training_lives-svg"));
  CHECK(Contains(page, "training_rule-svg"));
}

TEST_CASE("report: metrics are drawn as their declarations say, others small", "[unit]") {
  ReportData data = Whole();
  for (TrainingPoint& point : data.training) {
    point.metrics["from_another_build"] = 1;  // It is not declared.
    point.metrics["reward_mean/door"] = 1;
    point.metrics["step"] = point.outer_update == 3 ? 0.0 : 1.0;
  }
  data.metrics.push_back({.name = "reward_mean/*", .panel = MetricInfo::Panel::kNone});
  data.metrics.push_back({.name = "step", .label = "length of a step", .log_scale = true});
  const TempFolder folder;
  REQUIRE(WriteReport(data, folder.path()).ok());
  const auto text = [&](const char* file) { return ReadText(folder.path() / "report" / file); };
  // Panels in the order of the declarations.
  const std::string panels = text("training_rule.gp");
  const size_t entropy = panels.find("set ylabel 'entropy, nat'");
  const size_t kl = panels.find("set ylabel 'divergence, nat'");
  CHECK(entropy != std::string::npos);
  REQUIRE(kl != std::string::npos);
  CHECK(entropy < kl);
  CHECK_FALSE(Contains(panels, "from_another_build"));
  // A logarithmic axis where it was asked for, back to a linear one for the next.
  const size_t log = panels.find("\nset logscale y", kl),
               back = panels.find("unset logscale y", log);
  REQUIRE(log != std::string::npos);
  CHECK(panels.find("set ylabel 'value_loss'", kl) < log);
  CHECK(back != std::string::npos);
  const std::string small = text("training_statistics.gp");
  CHECK(Contains(small, "set title 'from_another_build'"));
  CHECK(Contains(small, "set title 'Length of a step'"));
  CHECK_FALSE(Contains(small, "\nset logscale y"));  // A value is 0.
  CHECK_FALSE(Contains(small, "reward_mean"));
  CHECK(Contains(text("training.csv"), "reward_mean/door"));
}

TEST_CASE("report: attention maps, and runs that measure nothing", "[unit]") {
  const TempFolder folder;
  ReportData data;
  data.measures_nothing = true;
  data.maps = {{.name = "block 0, head 0", .rows = 2, .columns = 2, .values = {1, 0, 0.25, 0.75}}};
  const auto written = WriteReport(data, folder.path());
  INFO(written.status().ToString());
  REQUIRE(written.ok());
  CHECK(Contains(written->summary, "set evaluation.baseline to [PPO_SPARSE"));
  CHECK(Contains(ReadText(written->html), "map_0-svg"));
  CHECK(Contains(ReadText(folder.path() / "report" / "map_0.csv"), "\n1,1,0.75\n"));
}

TEST_CASE("report: cost by phase adds up", "[unit]") {
  const ReportData data = Whole();
  const auto costs = CostByPhase(data.training);
  REQUIRE(costs.size() == 5);
  CHECK(costs[0].phase == "simulation");
  CHECK(costs[0].seconds == 1.5);  // 2 of the rollout less 0.5 of the policy.
  std::map<std::string, double> seconds;
  for (const PhaseCost& cost : costs) seconds[cost.phase] = cost.seconds;
  CHECK(seconds == std::map<std::string, double>{{"simulation", 1.5},
                                                 {"policy", 0.5},
                                                 {"signal network", 0.25},
                                                 {"inner updates", 1.5},
                                                 {"outer rule", 0.75}});
  double share = 0;
  for (const PhaseCost& cost : costs) share += cost.share;
  CHECK(Near(share, 1, {.abs = 1e-12}));
  CHECK(StepsPerSecond(data.training) == 500);  // 1000 steps in 2 s.
  CHECK(CostByPhase({}).empty());
  ReportData quick = Whole();
  for (TrainingPoint& point : quick.training)
    point.metrics["policy_seconds"] = 3;  // More than the rollout's 2.
  CHECK(CostByPhase(quick.training)[0].seconds == 0);
  CHECK(CostByPhase(quick.training)[1].seconds == 2);
  CHECK(StepsPerSecond({}) == 0);
}

TEST_CASE("report: text is escaped for its place", "[unit]") {
  CHECK(EscapeHtml("a<b>&\"'") == "a&lt;b&gt;&amp;&quot;&#39;");
  CHECK(EscapeHtml("m\xC3\xBC"
                   "de") ==
        "m\xC3\xBC"
        "de");
  CHECK(EscapeHtml("\xC3(") == "\xEF\xBF\xBD(");  // Broken sequence.
  CHECK(EscapeHtml("\xED\xA0\x80").size() == 9);  // A surrogate: three bytes, three marks.
  CHECK(EscapeHtml(std::string("\x01\n", 2)) == "\xEF\xBF\xBD\n");
  CHECK(CsvField("plain") == "plain");
  CHECK(CsvField("a,\"b\"") == "\"a,\"\"b\"\"\"");
  CHECK(CsvNumber(0.1) == "0.1");
  CHECK(CsvNumber(std::nan("")) == "");
}

TEST_CASE("report: an inlined picture takes its colours from the page", "[unit]") {
  const std::string svg =
      "<?xml version=\"1.0\"?>\n<svg width=\"4\" viewBox=\"0 0 4 2\"><g stroke='rgb(  0, 114, "
      "178)' "
      "fill=\"black\"><use xlink:href='#gpPt1'/><path id='gpPt1'/></g></svg>\n";
  const std::string inlined = InlineSvg(svg, "fig", "a \"b\"");
  CHECK(Contains(inlined, "<svg viewBox=\"0 0 4 2\" role=\"img\" aria-label=\"a &quot;b&quot;\""));
  CHECK(Contains(inlined, "stroke='var(--blue)' fill=\"var(--ink)\""));
  CHECK(Contains(inlined, "href='#fig-gpPt1'"));
  CHECK(Contains(inlined, "id='fig-gpPt1'"));
  CHECK_FALSE(Contains(inlined, "<?xml"));
  CHECK(InlineSvg("no picture", "fig", "").empty());
}

}  // namespace
}  // namespace mentor::report
