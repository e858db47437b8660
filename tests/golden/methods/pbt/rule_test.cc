// Population based training against golden numbers: which member copies which, the new
// hyperparameters, and the toy problem of the paper (tests/quadratic_population.h).
#include "methods/pbt/rule.h"

#include <cmath>
#include <limits>

#include "tests/golden.h"
#include "tests/quadratic_population.h"

namespace mentor::testing::TEST_FILE {

using methods::PopulationConfig;
using methods::SelectAndExplore;
using torch::Tensor;

TEST_CASE("golden: population, selection and exploration") {
  const Json file = ReadGolden("pbt_exploit_explore");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    PopulationConfig config{
        .hyperparameters = {}, .fraction = test.at("fraction"), .resample = test.at("resample")};
    CHECK(test.at("factors").get<std::vector<double>>() == std::vector<double>{0.8, 1.2});
    const Tensor low = ToTensor(test.at("low")), high = ToTensor(test.at("high"));
    int64_t j = 0;
    for (const std::string& name : test.at("hyperparameters").get<std::vector<std::string>>()) {
      config.hyperparameters.push_back({.name = name,
                                        .log_scale = name.ends_with("(log)"),
                                        .low = low[j].item<double>(),
                                        .high = high[j].item<double>()});
      ++j;
    }
    std::vector<double> scores;
    for (const Json& score : test.at("scores")) {
      scores.push_back(score.is_null() ? std::numeric_limits<double>::quiet_NaN()
                                       : score.get<double>());
    }
    const auto got = SelectAndExplore(config, torch::tensor(scores, torch::kFloat64),
                                      ToTensor(test.at("before")), ToTensor(test.at("uniforms")));
    const Json& expected = test.at("expected");
    CHECK(got.bottom == expected.at("bottom").get<std::vector<uint32_t>>());
    CHECK(got.top == expected.at("top").get<std::vector<uint32_t>>());
    const Tensor parents = ToTensor(expected.at("parents"));
    for (size_t i = 0; i < got.parents.size(); ++i)
      CHECK(got.parents[i] == parents[static_cast<int64_t>(i)].item<double>());
    CheckNear("after", got.hyperparameters, ToTensor(expected.at("after")), GoldenTolerance(file));
  }
}

TEST_CASE("golden: population, the quadratic of the paper") {
  const Json file = ReadGolden("pbt_quadratic");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    QuadraticPopulation population;
    population.learning_rate = test.at("learning_rate");
    population.exploit = test.at("exploit");
    population.explore = test.at("explore");
    const Tensor uniforms = ToTensor(test.at("uniforms"));
    const auto at = test.at("q_at").get<std::vector<double>>();
    const Tensor want = ToTensor(test.at("q"));
    const int64_t ready = test.at("ready"), steps = test.at("steps");
    size_t next = 0;
    for (int64_t step = 1; step <= steps; ++step) {
      population.Step();
      if (step % ready == 0) {
        const Tensor u = uniforms[step / ready - 1];
        population.Select(u[0].item<double>(), u[1].item<double>());
      }
      if (next >= at.size() || static_cast<double>(step) != at[next]) continue;
      CheckNear("q", population.Q(), want[static_cast<int64_t>(next)], GoldenTolerance(file));
      ++next;
    }
    CHECK(next == at.size());
  }
}

}  // namespace mentor::testing::TEST_FILE
