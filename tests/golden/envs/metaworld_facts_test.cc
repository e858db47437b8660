// The facts in the task files, and the goals drawn from them, against the machine-readable copies
// of the reference's tables in tests/data/parity.
#include <cstdlib>
#include <fstream>

#include <nlohmann/json.hpp>

#include "envs/benchmark.h"
#include "envs/benchmarks/metaworld_goals.h"
#include "tests/testing.h"

namespace mentor::envs {
namespace {

using Json = nlohmann::json;
using Numbers = std::vector<double>;

Json Read(const std::string& name) {
  std::ifstream file(MENTOR_TEST_DATA "/parity/" + name);
  REQUIRE(file.good());
  return Json::parse(file);
}

Numbers List(const metaworld::Vec3& v) {
  return {v[0], v[1], v[2]};
}

TEST_CASE("metaworld: facts of every task are the reference's, to the last bit", "[golden]") {
  const Json tasks = Read("metaworld_tasks.json").at("tasks");
  for (const metaworld::TaskEntry* entry : Registry<metaworld::TaskEntry>::Instance().All()) {
    INFO(entry->name);
    const Json& want = tasks.at(entry->name);
    const metaworld::TaskFacts& facts = entry->facts;
    const metaworld::RandVecBox& box = facts.rand_vec;
    CHECK(facts.xml == want.at("xml").get<std::string>());
    CHECK(List(facts.hand0) == want.at("hand_init").get<Numbers>());
    CHECK(List(facts.mocap_low) == want.at("mocap_low").get<Numbers>());
    CHECK(List(facts.mocap_high) == want.at("mocap_high").get<Numbers>());
    CHECK(List(facts.goal_low) == want.at("goal_low").get<Numbers>());
    CHECK(List(facts.goal_high) == want.at("goal_high").get<Numbers>());
    CHECK(Numbers(box.low.begin(), box.low.begin() + box.size) ==
          want.at("rand_low").get<Numbers>());
    CHECK(Numbers(box.high.begin(), box.high.begin() + box.size) ==
          want.at("rand_high").get<Numbers>());
    CHECK(want.at("reject").is_null() == (*box.refused_when == '\0'));
  }
}

TEST_CASE("ml1: goals of seed 0 are the reference's, bit for bit", "[golden]") {
  const Json goals = Read("metaworld_goals_seed0.json");
  REQUIRE(goals.at("ml1_test_seed") == 1);
  for (const auto& [environment, train] : goals.at("benchmarks").at("ML1").at("train").items()) {
    INFO(environment);
    v1::BenchmarkSpec spec;
    spec.set_name("ml1");
    spec.set_environment(environment);
    spec.set_goal_seed(0);
    Violations violations;
    const std::unique_ptr<Benchmark> ml1 = MakeBenchmark(spec, &violations);
    REQUIRE(ml1 != nullptr);
    const Json& test = goals.at("benchmarks").at("ML1").at("test").at(environment);
    for (const auto& [split, want] :
         {std::pair(Split::kTrain, train), std::pair(Split::kTest, test)}) {
      REQUIRE(ml1->Tasks(split).size() == 1);
      const TaskSet& set = ml1->Tasks(split)[0];
      CHECK(set.environment == environment);
      REQUIRE(set.tasks.size() == 50);
      Numbers got;
      for (const v1::EnvironmentTask& task : set.tasks) {
        CHECK(task.environment() == environment);
        CHECK_FALSE(task.goal_visible());
        got.insert(got.end(), task.parameters().begin(), task.parameters().end());
      }
      CHECK(got == want.get<Numbers>());
    }
  }
}

TEST_CASE("metaworld goals: the generator runs on from one environment to the next", "[golden]") {
  // ML10 begins with reach-v3 and push-v3; these are the first vectors of its training table for
  // seed 0.
  const metaworld::RandVecBox& reach = metaworld::FindTask("reach-v3")->facts.rand_vec;
  const metaworld::RandVecBox& push = metaworld::FindTask("push-v3")->facts.rand_vec;
  GoalTable table(0), alone(0);
  CHECK(table.Next(reach)[0].value == std::array{-0.0124825577474615, 0.689177300078208, 0.02,
                                                 -0.023311696234844456, 0.8791725038082665,
                                                 0.1822237299382261});
  const metaworld::RandVec first = table.Next(push)[0];
  CHECK(first.value == std::array{0.03427669573403064, 0.6344718127375507, 0.02,
                                  0.027837379845078503, 0.8399161145254773, 0.014317601276543194});
  CHECK(first.value != alone.Next(push)[0].value);
}

}  // namespace
}  // namespace mentor::envs
