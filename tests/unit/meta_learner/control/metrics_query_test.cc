// Answers to users about an experiment's points.
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "common/status.h"
#include "meta_learner/control/methods.h"
#include "meta_learner/store/database.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

using Numbers = std::vector<double>;

struct Fixture {
  // Values of steps 1, 2, ..
  void Record(const std::string& metric, const Numbers& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      REQUIRE(store->results
                  .RecordPoints(experiment.uid(), static_cast<uint32_t>(i + 1),
                                {{metric, values[i]}}, {})
                  .ok());
    }
  }
  v1::QueryMetricsRequest Request(uint32_t max_points = 0) const {
    v1::QueryMetricsRequest request;
    request.set_name(experiment.name());
    request.set_max_points(max_points);
    return request;
  }
  absl::StatusOr<v1::QueryMetricsResponse> Query(const v1::QueryMetricsRequest& request) const {
    return QueryMetrics(&store->records, &store->results, request);
  }

  testing::TempFolder folder;
  std::unique_ptr<Store> store = OpenStore(folder.path()).value();
  v1::Experiment experiment = testing::StartSmall(store.get(), "one");
};

Numbers List(const google::protobuf::RepeatedField<double>& numbers) {
  return {numbers.begin(), numbers.end()};
}
std::vector<uint32_t> List(const google::protobuf::RepeatedField<uint32_t>& numbers) {
  return {numbers.begin(), numbers.end()};
}

TEST_CASE("metrics: merged points have mean, least, greatest, count and their first step",
          "[unit]") {
  Fixture fixture;
  fixture.Record("m", {5, -1, 2, 9, -8, 4, 1});
  const auto answer = fixture.Query(fixture.Request(3));
  REQUIRE(answer.ok());
  REQUIRE(answer->series_size() == 1);
  const v1::MetricSeries& series = answer->series(0);
  CHECK(series.metric() == "m");
  CHECK(List(series.steps()) == std::vector<uint32_t>{1, 3, 5});
  CHECK(List(series.count()) == std::vector<uint32_t>{2, 2, 3});
  CHECK(List(series.mean()) == Numbers{2, 5.5, -1});
  CHECK(List(series.min()) == Numbers{-1, 2, -8});
  CHECK(List(series.max()) == Numbers{5, 9, 4});
  // One for all, and each for itself.
  const v1::MetricSeries all = fixture.Query(fixture.Request(1))->series(0);
  CHECK(List(all.min()) == Numbers{-8});
  CHECK(List(all.max()) == Numbers{9});
  CHECK(List(all.count()) == std::vector<uint32_t>{7});
  const v1::MetricSeries each = fixture.Query(fixture.Request(7))->series(0);
  CHECK(List(each.max()) == Numbers{5, -1, 2, 9, -8, 4, 1});
  CHECK(List(each.min()) == List(each.max()));
  CHECK(fixture.Query(fixture.Request(8))->series(0).steps_size() == 7);
}

TEST_CASE("metrics: a thousand points unless asked, ten thousand at most", "[unit]") {
  Fixture fixture;
  const auto database = sql::OpenSqlite(fixture.folder.path() / "mentor.db", /*read_only=*/false);
  REQUIRE(database.ok());
  REQUIRE((*database)
              ->Execute("WITH RECURSIVE steps(step) AS (VALUES(1) UNION ALL SELECT step + 1 FROM "
                        "steps WHERE step < 1001) INSERT INTO points(uid, metric, step, value) "
                        "SELECT '" +
                        fixture.experiment.uid() + "', 'm', step, step FROM steps")
              .ok());
  CHECK(fixture.Query(fixture.Request())->series(0).steps_size() == 1000);
  CHECK(fixture.Query(fixture.Request(10'000))->series(0).steps_size() == 1001);
  CHECK(ReasonOf(fixture.Query(fixture.Request(10'001)).status()) == "INVALID_FIELD");
}

TEST_CASE("metrics: values that are not finite are left out", "[unit]") {
  Fixture fixture;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  fixture.Record("m", {std::nan(""), 3, kInfinity, -kInfinity, 1});
  fixture.Record("n", {std::nan("")});
  const auto answer = fixture.Query(fixture.Request(1));
  REQUIRE(answer->series_size() == 2);
  CHECK(List(answer->series(0).steps()) == std::vector<uint32_t>{2});
  CHECK(List(answer->series(0).mean()) == Numbers{2});
  CHECK(List(answer->series(0).max()) == Numbers{3});
  CHECK(List(answer->series(0).count()) == std::vector<uint32_t>{2});
  CHECK(answer->series(1).steps_size() == 0);
}

TEST_CASE("metrics: steps from the first to the last that were asked for", "[unit]") {
  Fixture fixture;
  fixture.Record("m", {1, 2, 3, 4, 5});
  const auto steps = [&](uint32_t least, uint32_t most) {
    v1::QueryMetricsRequest request = fixture.Request();
    request.set_step_min(least);
    request.set_step_max(most);
    const auto answer = fixture.Query(request);
    REQUIRE(answer.ok());
    return answer->series_size() == 0 ? std::vector<uint32_t>() : List(answer->series(0).steps());
  };
  using Steps = std::vector<uint32_t>;
  CHECK(steps(0, 0) == Steps{1, 2, 3, 4, 5});
  CHECK(steps(4, 0) == Steps{4, 5});
  CHECK(steps(0, 2) == Steps{1, 2});
  CHECK(steps(3, 3) == Steps{3});
  CHECK(steps(6, 9).empty());
  v1::QueryMetricsRequest turned = fixture.Request();
  turned.set_step_min(3);
  turned.set_step_max(2);
  CHECK(ReasonOf(fixture.Query(turned).status()) == "INVALID_FIELD");
}

TEST_CASE("metrics: pages go on in natural order, each in its own experiment", "[unit]") {
  Fixture fixture;
  for (const char* name : {"success_10", "success_9", "a", "success_2"}) fixture.Record(name, {1});
  v1::QueryMetricsRequest request = fixture.Request();
  request.set_page_size(1);
  std::vector<std::string> names;
  std::string token;
  do {
    request.set_page_token(token);
    const auto page = fixture.Query(request);
    REQUIRE(page.ok());
    REQUIRE(page->series_size() == 1);
    names.push_back(page->series(0).metric());
    if (names.size() == 1) {
      v1::QueryMetricsRequest other = request;
      other.set_name(testing::StartSmall(fixture.store.get(), "other").name());
      other.set_page_token(page->next_page_token());
      CHECK(ReasonOf(fixture.Query(other).status()) == "PAGE_TOKEN_MISMATCH");
    }
    token = page->next_page_token();
  } while (!token.empty());
  CHECK(names == std::vector<std::string>{"a", "success_2", "success_9", "success_10"});
  // Pages of those that were asked for.
  request.clear_page_token();
  request.add_metrics("success_9");
  CHECK(fixture.Query(request)->series(0).metric() == "success_9");
  CHECK(fixture.Query(request)->next_page_token().empty());
  request.set_page_size(-1);
  CHECK(ReasonOf(fixture.Query(request).status()) == "INVALID_FIELD");
}

TEST_CASE("metrics: a list has the last of each, with the step it is of", "[unit]") {
  Fixture fixture;
  fixture.Record("b", {5, 3, 4});
  fixture.Record("a", {7});
  v1::ListMetricsRequest request;
  request.set_name(fixture.experiment.name());
  const auto list = ListMetrics(&fixture.store->records, &fixture.store->results, request);
  REQUIRE(list.ok());
  REQUIRE(list->descriptors_size() == 2);
  CHECK(list->descriptors(0).name() == "a");
  CHECK(list->descriptors(0).unit() == "1");  // It is not declared.
  CHECK(list->descriptors(1).last() == 4);
  CHECK(list->descriptors(1).last_step() == 3);
  request.set_name("experiments/none");
  CHECK(absl::IsNotFound(
      ListMetrics(&fixture.store->records, &fixture.store->results, request).status()));
}

}  // namespace mentor::meta_learner::TEST_FILE
