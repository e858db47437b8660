// The reward of wrapper random_reward, ln D(z | o), against diayn.json.
#include "envs/wrappers/random_reward.h"

#include <cstdlib>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "tests/paths.h"
#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

TEST_CASE("random_reward: its network gives the recorded numbers", "[golden]") {
  const char* folder = std::getenv("MENTOR_GOLDEN_DIR");
  std::ifstream file(std::string(folder ? folder : testing::SourcePath("tests/data/golden")) +
                     "/diayn.json");
  REQUIRE(file.good());
  const nlohmann::json golden = nlohmann::json::parse(file);
  const testing::Tolerance tolerance{.rel = golden.at("tolerance").at("rel"),
                                     .abs = golden.at("tolerance").at("abs")};
  int rows = 0;
  for (const nlohmann::json& test : golden.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const auto data = [](const nlohmann::json& tensor) {
      return tensor.at("data").get<std::vector<double>>();
    };
    std::vector<RewardNetwork::Layer> layers;
    for (const char* number : {"1", "2", "3"}) {
      layers.push_back({data(test.at("weights").at(std::string("W") + number)),
                        data(test.at("weights").at(std::string("b") + number))});
    }
    RewardNetwork network(std::move(layers));
    REQUIRE(network.classes() == test.at("skills").get<int>());
    const size_t d = static_cast<size_t>(network.observation_size());
    const auto observations = data(test.at("next_observations")), skill = data(test.at("skill")),
               log_q = data(test.at("expected").at("log_q")),
               reward = data(test.at("expected").at("reward_log_d"));
    for (size_t row = 0; row < skill.size(); ++row, ++rows) {
      const auto log_d = network.LogD({observations.data() + row * d, d});
      for (size_t z = 0; z < log_d.size(); ++z)
        CHECK(testing::Near(log_d[z], log_q[row * log_d.size() + z], tolerance));
      CHECK(testing::Near(log_d[static_cast<size_t>(skill[row])], reward[row], tolerance));
    }
  }
  CHECK(rows == 11);
}

}  // namespace mentor::envs::TEST_FILE
