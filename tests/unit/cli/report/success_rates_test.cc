#include "cli/report/success_rates.h"

#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "cli/report/report.h"
#include "common/evaluation_method.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::report::TEST_FILE {

using mentor::testing::Contains;
using mentor::testing::Near;

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

TEST_CASE("evaluation: segments, last and deterministic episodes are what their names say",
          "[unit]") {
  ReportData data;
  AddMethod("learned", {{0, 1, 0, 0, 1, 1, 1, 0}, {0, 0, 0, 0, 1, 0, 0, 0}}, &data);
  const auto results = SummariseEvaluation(data.evaluation, /*iterations=*/3);
  REQUIRE(results.ok());
  REQUIRE(results->size() == 1);
  const MethodResult& result = (*results)[0];
  CHECK(result.lifetimes == 2);
  REQUIRE(result.segments.size() == 3);
  CHECK(result.segments[0].mean == 0.25);  // One of four episodes.
  CHECK(result.segments[1].mean == 0);
  CHECK(result.segments[2].mean == 0.75);  // (2/2 + 1/2) / 2
  CHECK(result.last.mean == 0.5);          // Episode 5: 1 and 0.
  REQUIRE(result.det);
  CHECK(result.det->mean == 0.25);  // (1/2 + 0) / 2
  REQUIRE(result.last_return);
  CHECK(result.last_return->mean == 7.5);  // 10 * success
  CHECK(result.growth.mean == 0.5);        // 0.75 - 0.25
}

TEST_CASE("evaluation: lifetimes of one goal are not independent", "[unit]") {
  // Ten goals with ten lifetimes each, of which half always succeed.
  ReportData data;
  for (uint32_t i = 0; i < 100; ++i) {
    const double late = i / 10 < 5 ? 1 : 0;
    data.evaluation.push_back(Row("learned", i, {0, 0, 0, 0, late, late}));
    data.evaluation.back().goal = i / 10;
  }
  const auto check = [](const Interval& interval) {
    CHECK(interval.mean == 0.5);
    // sqrt(0.25 / 10) = 0.158 for goals; 100 lifetimes would have 0.05.
    CHECK(Near(interval.low, 0.2, {.abs = 1e-12}));
    CHECK(Near(interval.high, 0.8, {.abs = 1e-12}));
  };
  auto results = SummariseEvaluation(data.evaluation, 3);
  REQUIRE(results.ok());
  check((*results)[0].segments[2]);
  check((*results)[0].growth);

  // Goals with the same number of other draws are other goals.
  for (uint32_t i = 0; i < 100; ++i) data.evaluation[i].goal_seed = i % 10;
  results = SummariseEvaluation(data.evaluation, 3);
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

  // A lifetime without an end of an episode in some segment: all lifetimes are cut into equal
  // parts.
  const auto equal = SummariseEvaluation({row(0, {0, 0, 0, 1, 1, 1}, {6, 0, 0})}, 3);
  REQUIRE(equal.ok());
  CHECK((*equal)[0].segments[1].mean == 0.5);
}

TEST_CASE("evaluation: where nothing can succeed, shaped returns are compared", "[unit]") {
  ReportData data;
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
  // One success anywhere, and rates are compared.
  data.evaluation[3].episode_success[0] = 1;
  CHECK((*SummariseEvaluation(data.evaluation, 3))[0].quantity == Quantity::kSuccess);
}

}  // namespace mentor::report::TEST_FILE
