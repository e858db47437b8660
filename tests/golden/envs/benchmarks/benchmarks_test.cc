// Meta-World's benchmarks against the tables of seed 0 in tests/data/parity: environments in their
// order, splits, goals.
#include <bit>
#include <fstream>

#include <nlohmann/json.hpp>

#include "common/hash.h"
#include "envs/benchmark.h"
#include "tests/paths.h"
#include "tests/specs.h"
#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

using Json = nlohmann::json;
using Numbers = std::vector<double>;

static_assert(std::endian::native == std::endian::little, "hashes are of little-endian numbers");

const Json& Goals() {
  static const Json goals = [] {
    std::ifstream file(testing::SourcePath("tests/data/parity/metaworld_goals_seed0.json"));
    REQUIRE(file.good());
    return Json::parse(file);
  }();
  return goals;
}

std::unique_ptr<Benchmark> Make(const std::string& name, const std::string& environment = "",
                                uint32_t seed = 0) {
  v1::BenchmarkSpec spec;
  spec.set_name(name);
  spec.set_environment(environment);
  spec.set_goal_seed(seed);
  // Then no model is loaded.
  if (name.starts_with("mt")) testing::SetOption(&spec, "one_hot", "false");
  Violations violations;
  std::unique_ptr<Benchmark> benchmark = MakeBenchmark(spec, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(benchmark != nullptr);
  return benchmark;
}

// All vectors of a set, one after the other.
Numbers Vectors(const TaskSet& set) {
  Numbers numbers;
  for (const v1::EnvironmentTask& task : set.tasks)
    numbers.insert(numbers.end(), task.parameters().begin(), task.parameters().end());
  return numbers;
}

void CheckSets(const std::vector<TaskSet>& sets, const Json& want, bool visible) {
  REQUIRE(sets.size() == want.size());
  for (const TaskSet& set : sets) {
    INFO(set.name);
    REQUIRE(want.contains(set.name));
    REQUIRE(set.tasks.size() == 50);
    for (const v1::EnvironmentTask& task : set.tasks) {
      REQUIRE(task.environment() == set.name);
      REQUIRE(task.goal_visible() == visible);
    }
    const Numbers got = Vectors(set);
    const Json& table = want.at(set.name);
    if (table.is_array()) {
      CHECK(got == table.get<Numbers>());
      continue;
    }
    const Numbers first = table.at("first").get<Numbers>();
    CHECK(Numbers(got.begin(), got.begin() + static_cast<int64_t>(first.size())) == first);
    CHECK(Sha256Hex(std::string_view(reinterpret_cast<const char*>(got.data()),
                                     got.size() * sizeof(double))) ==
          table.at("sha256").get<std::string>());
  }
}

TEST_CASE("benchmarks: goals of ML1 and MT1 with seed 0 are the reference's, bit for bit",
          "[golden]") {
  REQUIRE(Goals().at("ml1_test_seed") == 1);
  const Json& ml1 = Goals().at("benchmarks").at("ML1");
  REQUIRE(ml1.at("train").size() == 50);
  for (const auto& [environment, train] : ml1.at("train").items()) {
    INFO(environment);
    const auto benchmark = Make("ml1", environment);
    CheckSets(benchmark->Tasks(Split::kTrain), {{environment, train}}, /*visible=*/false);
    CheckSets(benchmark->Tasks(Split::kTest), {{environment, ml1.at("test").at(environment)}},
              /*visible=*/false);
    const auto shown = Make("mt1", environment);
    CheckSets(shown->Tasks(Split::kTrain), {{environment, train}}, /*visible=*/true);
    CHECK(shown->Tasks(Split::kTest).empty());
  }
}

TEST_CASE("benchmarks: environments and goals of ML10, ML45, MT10, MT50 are the reference's",
          "[golden]") {
  int tables = 0;
  for (const char* name : {"ML10", "ML45", "MT10", "MT50"}) {
    INFO(name);
    const std::string lower =
        std::string{name[0] == 'M' ? 'm' : '?', name[1] == 'L' ? 'l' : 't'} + std::string(name + 2);
    const auto benchmark = Make(lower);
    const Json& want = Goals().at("benchmarks").at(name);
    CheckSets(benchmark->Tasks(Split::kTrain), want.at("train"), /*visible=*/name[1] == 'T');
    CheckSets(benchmark->Tasks(Split::kTest), want.value("test", Json::object()),
              /*visible=*/false);
    for (const auto& split : want) tables += static_cast<int>(split.size());
  }
  CHECK(tables == 125);  // The reference also recorded 100 of ML1.
}

TEST_CASE("benchmarks: MT45 has the environments and goals of ML45, shown", "[golden]") {
  CheckSets(Make("mt45")->Tasks(Split::kTrain), Goals().at("benchmarks").at("ML45").at("train"),
            /*visible=*/true);
}

TEST_CASE("benchmarks: each table has its own generator, which runs on between environments",
          "[golden]") {
  const auto vectors = [](const Benchmark& benchmark, Split split, size_t set) {
    return Vectors(benchmark.Tasks(split).at(set));
  };
  const auto ml10 = Make("ml10", "", 7);
  // The first environment of a list has ML1's goals, in both splits; the others have not.
  CHECK(vectors(*ml10, Split::kTrain, 0) == vectors(*Make("ml1", "reach-v3", 7), Split::kTrain, 0));
  CHECK(vectors(*ml10, Split::kTest, 0) ==
        vectors(*Make("ml1", "drawer-open-v3", 7), Split::kTrain, 0));
  CHECK(vectors(*ml10, Split::kTrain, 1) != vectors(*Make("ml1", "push-v3", 7), Split::kTrain, 0));
  CHECK(vectors(*Make("ml1", "push-v3", 7), Split::kTest, 0) ==
        vectors(*Make("ml1", "push-v3", 8), Split::kTrain, 0));
  CHECK(vectors(*ml10, Split::kTrain, 0) != vectors(*Make("ml10", "", 8), Split::kTrain, 0));
}

}  // namespace mentor::envs::TEST_FILE
