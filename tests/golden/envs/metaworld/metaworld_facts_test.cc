// The facts in the task files against the machine-readable copy of the reference's tables in
// tests/data/parity.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/rng.h"
#include "envs/metaworld/task.h"
#include "tests/paths.h"
#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

using Json = nlohmann::json;
using Numbers = std::vector<double>;

Json Read(const std::string& name) {
  std::ifstream file(testing::SourcePath("tests/data/parity/" + name));
  REQUIRE(file.good());
  return Json::parse(file);
}

Numbers List(const metaworld::Vec3& v) {
  return {v[0], v[1], v[2]};
}

// The reference refuses a start within r of the goal, or within r of a fixed point. In its words,
// "n(v[0:2]-v[3:5]) < r" or "n(v[0:2]-[x,y]) < r".
struct Refusal {
  double radius = 0;
  std::optional<std::pair<double, double>> point;

  explicit Refusal(const std::string& text) {
    double x = 0, y = 0;
    if (std::sscanf(text.c_str(), "n(v[0:2]-v[3:5]) < %lf", &radius) == 1) return;
    REQUIRE(std::sscanf(text.c_str(), "n(v[0:2]-[%lf,%lf]) < %lf", &x, &y, &radius) == 3);
    point.emplace(x, y);
  }
  // A vector whose start lies `distance` to the right of the goal or the point.
  metaworld::RandVec At(double distance) const {
    const auto [x, y] = point.value_or(std::pair(0.25, 0.5));
    return {.value = {x + distance, y, 0, x, y, 0}, .size = 6};
  }
  bool operator()(const metaworld::RandVec& v) const {
    const auto [x, y] = point.value_or(std::pair(v[3], v[4]));
    return std::hypot(v[0] - x, v[1] - y) < radius;
  }
};

std::string WithoutSpaces(std::string text) {
  std::erase(text, ' ');
  return text;
}

TEST_CASE("metaworld: facts of every task are the reference's, to the last bit", "[golden]") {
  const Json tasks = Read("metaworld_tasks.json").at("tasks");
  REQUIRE(tasks.size() == 50);
  for (const auto& [name, want] : tasks.items()) {
    INFO(name);
    const metaworld::TaskEntry* entry = metaworld::FindTask(name);
    REQUIRE(entry != nullptr);
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
    for (size_t i = box.size; i < box.low.size(); ++i) {
      CHECK(box.low[i] == 0);
      CHECK(box.high[i] == 0);
    }
  }
  CHECK(Registry<metaworld::TaskEntry>::Instance().All().size() == tasks.size());
}

TEST_CASE("metaworld: tasks refuse the vectors that the reference refuses", "[golden]") {
  const Json tasks = Read("metaworld_tasks.json").at("tasks");
  const RandomStream random{.seed = 5, .purpose = Purpose::kTest};
  for (const metaworld::TaskEntry* entry : Registry<metaworld::TaskEntry>::Instance().All()) {
    INFO(entry->name);
    const Json& want = tasks.at(entry->name).at("reject");
    const metaworld::RandVecBox& box = entry->facts.rand_vec;
    // Vectors from everywhere: in some boxes no start and goal are close.
    std::vector<metaworld::RandVec> vectors(1000, {.size = box.size});
    for (uint32_t i = 0; i < vectors.size(); ++i) {
      for (int k = 0; k < box.size; ++k) vectors[i].value[k] = -0.25 + 1.25 * random.Uniform(i, k);
    }
    if (want.is_null()) {
      CHECK(box.refused_when().empty());
      for (const metaworld::RandVec& v : vectors) REQUIRE_FALSE(box.refuses(v));
      continue;
    }
    CHECK(WithoutSpaces(box.refused_when()) == WithoutSpaces(want.get<std::string>()));
    const Refusal refusal(want.get<std::string>());
    vectors.push_back(refusal.At(refusal.radius - 1e-9));
    vectors.push_back(refusal.At(refusal.radius + 1e-9));
    int refused = 0;
    for (const metaworld::RandVec& v : vectors) {
      const bool is_refused = box.refuses(v);
      REQUIRE(is_refused == refusal(v));
      refused += is_refused;
    }
    CHECK(refused > 10);
    CHECK(refused < 500);
  }
}

}  // namespace mentor::envs::TEST_FILE
