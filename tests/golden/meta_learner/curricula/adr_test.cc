// ADR's ranges against adr_boundaries.json: ends and buffers after each lifetime at an end.
#include "meta_learner/curricula/adr.h"

#include "tests/golden.h"

namespace mentor::meta_learner::TEST_FILE {

using testing::CheckNear;
using testing::Json;
using testing::ToTensor;
using torch::Tensor;

TEST_CASE("golden: ADR's ranges and buffers") {
  const Json file = testing::ReadGolden("adr_boundaries");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const auto numbers = [&](const char* name) {
      return test.at(name).at("data").get<std::vector<double>>();
    };
    AdrConfig config{.buffer = test.at("buffer"),
                     .threshold_low = test.at("threshold_low"),
                     .threshold_high = test.at("threshold_high"),
                     .parameters = {}};
    const auto nominal = numbers("nominal"), low = numbers("limit_low"),
               high = numbers("limit_high"), delta = numbers("delta");
    for (size_t i = 0; i < nominal.size(); ++i) {
      config.parameters.push_back(
          {.nominal = nominal[i], .limits = {low[i], high[i]}, .deltas = {delta[i], delta[i]}});
    }
    Adr adr(config);
    const auto parameter = numbers("parameter"), side = numbers("side"),
               performance = numbers("performance");
    std::vector<double> got;
    int moves = 0;
    for (size_t i = 0; i < parameter.size(); ++i) {
      const auto before = adr.Save().at("ends");
      const bool moved =
          adr.Tell(static_cast<size_t>(parameter[i]), static_cast<size_t>(side[i]), performance[i]);
      CHECK(moved == !before.equal(adr.Save().at("ends")));
      moves += moved;
      for (const Adr::Range& range : adr.ranges())
        got.insert(got.end(), range.ends.begin(), range.ends.end());
    }
    CHECK(moves > 0);
    const Tensor want = ToTensor(test.at("expected").at("ranges"));
    CheckNear("ranges", torch::tensor(got, torch::kFloat64).reshape(want.sizes()), want,
              testing::GoldenTolerance(file));
    const Json& left = test.at("expected").at("left");
    REQUIRE(left.size() == adr.ranges().size());
    for (size_t i = 0; i < left.size(); ++i) {
      for (size_t end = 0; end < 2; ++end)
        CHECK(adr.ranges()[i].buffers[end].size() == left[i][end].get<size_t>());
    }
  }
}

}  // namespace mentor::meta_learner::TEST_FILE
