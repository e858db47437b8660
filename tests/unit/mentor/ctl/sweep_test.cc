#include "mentor/ctl/sweep.h"

#include <set>

#include "common/resources/names.h"
#include "common/spec/differences.h"
#include "common/spec/spec.h"
#include "tests/testing.h"
#include "tests/text.h"

using namespace mentor;
using namespace mentor::ctl;
using mentor::testing::Contains;

namespace {

std::string Message(const absl::Status& status) {
  CHECK(absl::IsInvalidArgument(status));
  return std::string(status.message());
}

std::vector<std::string> Ids(const std::vector<SweepPoint>& points) {
  std::vector<std::string> ids;
  for (const SweepPoint& point : points) ids.push_back(point.id);
  return ids;
}

}  // namespace

TEST_CASE("sweep: grids and seeds as they are typed", "[unit]") {
  const auto axis = ParseGridAxis("rule.learning_rate=1e-4, 3e-4");
  REQUIRE(axis.ok());
  CHECK(axis->path == "rule.learning_rate");
  CHECK(axis->values == std::vector<std::string>{"1e-4", "3e-4"});
  const auto lists = ParseGridAxis("evaluation.baseline=A;A,B");
  CHECK(lists->values == std::vector<std::string>{"A", "A,B"});
  for (const char* wrong : {"", "x", "=1", "x="}) {
    CHECK(Contains(Message(ParseGridAxis(wrong).status()), "give PATH=VALUE,VALUE"));
  }
  CHECK(Contains(Message(ParseGridAxis("x=1,,2").status()), "empty value"));
  CHECK(Contains(Message(ParseGridAxis("x=1,1").status()), "has '1' twice"));
  CHECK(Contains(Message(ParseGridAxis("seed=1,2").status()), "--seeds"));

  CHECK(*ParseSeeds("1-3,10,2") == std::vector<uint64_t>{1, 2, 3, 10});
  CHECK(*ParseSeeds("7") == std::vector<uint64_t>{7});
  for (const char* wrong : {"", "a", "1-", "-3", "3-1", "1-2-3", "1.5"}) {
    CHECK(Contains(Message(ParseSeeds(wrong).status()), "give seeds such as 1-5 or 1,2,7"));
  }
  CHECK(Contains(Message(ParseSeeds("0-18446744073709551615").status()), "at most 1000"));
}

TEST_CASE("sweep: every combination has a legal name that follows from its settings", "[unit]") {
  const auto points = PlanSweep(
      "point_reach", {{"rule.learning_rate", {"1e-4", "3e-4"}}, {"agent.gamma", {"0.9"}}}, {1, 2});
  REQUIRE(points.ok());
  CHECK(Ids(*points) ==
        std::vector<std::string>{"point-reach-0p9-1e-4-s1", "point-reach-0p9-1e-4-s2",
                                 "point-reach-0p9-3e-4-s1", "point-reach-0p9-3e-4-s2"});
  CHECK((*points)[1].Overrides() ==
        std::vector<std::string>{"agent.gamma=0.9", "rule.learning_rate=1e-4", "seed=2"});
  // The order of the flags is of no importance.
  const auto turned = PlanSweep(
      "point_reach", {{"agent.gamma", {"0.9"}}, {"rule.learning_rate", {"1e-4", "3e-4"}}}, {1, 2});
  CHECK(Ids(*turned) == Ids(*points));

  // Values that give one slug, names that are too long or begin with a digit.
  const auto hard = PlanSweep("7_a name that is long enough to leave no room for any value at all",
                              {{"signal.name", {"a b", "a-b", std::string(80, 'x')}}}, {});
  REQUIRE(hard.ok());
  std::set<std::string> ids;
  for (const SweepPoint& point : *hard) {
    CHECK(IsExperimentId(point.id));
    CHECK(ids.insert(point.id).second);
  }
  const auto equal = PlanSweep("x", {{"signal.name", {"a b", "a-b"}}}, {});
  CHECK((*equal)[0].id != (*equal)[1].id);

  CHECK(Contains(Message(PlanSweep("x", {}, {}).status()), "--grid: is missing"));
  CHECK(Contains(Message(PlanSweep("x", {{"a", {"1"}}, {"a", {"2"}}}, {}).status()), "twice"));
  std::vector<std::string> many;
  for (int i = 0; i < 40; ++i) many.push_back(std::to_string(i));
  CHECK(Contains(Message(PlanSweep("x", {{"a", many}, {"b", many}}, {}).status()),
                 "more than 1000 experiments"));
}

TEST_CASE("sweep: fields in which specs differ, options of parts among them", "[unit]") {
  const std::string spec = "benchmark { name: 'b' } rule { name: 'r' } ";
  const auto flat = [&](const std::vector<std::string>& overrides) {
    Violations violations;
    return FlatSpec(WithDefaults(ParseSpec(spec, overrides, &violations)));
  };
  const auto one = flat({"rule.learning_rate=1e-4", "seed=1"});
  CHECK(one.at("rule.learning_rate") == "1e-4");
  CHECK(one.at("benchmark.name") == "b");
  const auto other = flat({"rule.learning_rate=3e-4", "seed=2", "agent.hidden_units=8"});
  const auto third = flat({"display_name=third", "benchmark.goal_seed=3"});
  CHECK(DifferingPaths({one, one}).empty());
  CHECK(DifferingPaths({one, other}) ==
        std::vector<std::string>{"agent.hidden_units", "rule.learning_rate"});
  CHECK(DifferingPaths({one, third}) == std::vector<std::string>{"rule.learning_rate"});
}
