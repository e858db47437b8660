#include "envs/small/umbrella_chain.h"

#include <cstdlib>
#include <fstream>

#include <nlohmann/json.hpp>

#include "tests/paths.h"
#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

TEST_CASE("umbrella: recorded chains with their draws written out", "[golden]") {
  const char* folder = std::getenv("MENTOR_GOLDEN_DIR");
  std::ifstream file(std::string(folder ? folder : testing::SourcePath("tests/data/golden")) +
                     "/mg_umbrella.json");
  REQUIRE(file.good());
  const nlohmann::json golden = nlohmann::json::parse(file);
  int cases = 0;
  for (const nlohmann::json& recorded : golden.at("cases")) {
    INFO(recorded.at("name"));
    const auto data = [](const nlohmann::json& tensor) {
      return tensor.at("data").get<std::vector<double>>();
    };
    const int length = recorded.at("chain_length"), n = recorded.at("n_distractor");
    const UmbrellaChain chain{.length = length,
                              .distractors = n,
                              .final_reward = recorded.at("final_reward"),
                              .noise_reward = recorded.at("noise_reward")};
    const auto coins = data(recorded.at("draws").at("coins")),
               actions = data(recorded.at("actions"));
    const auto distractors = data(recorded.at("draws").at("distractors"));
    const nlohmann::json& expected = recorded.at("expected");
    const auto want_observations = data(expected.at("obs")),
               want_rewards = data(expected.at("reward"));
    const auto want_terminated = data(expected.at("terminated"));

    std::vector<double> observation(3 + n), observations, rewards, terminated;
    const int need = recorded.at("draws").at("need");
    int have = recorded.at("draws").at("have0");
    const auto observe = [&](int steps) {
      const auto begin = distractors.begin() + steps * n;
      chain.Observe(steps, need, have, std::vector<int>(begin, begin + n), observation);
      observations.insert(observations.end(), observation.begin(), observation.end());
    };
    observe(0);
    bool success = false;
    for (int t = 0; t < length; ++t) {
      const auto outcome = chain.Step(t, need, &have, actions[t] != 0,
                                      t < length - 1 ? static_cast<int>(coins[t]) : 0);
      rewards.push_back(outcome.reward);
      terminated.push_back(outcome.terminated);
      success = outcome.success;
      observe(t + 1);
    }
    CHECK(observations == want_observations);
    CHECK(rewards == want_rewards);
    CHECK(terminated == want_terminated);
    CHECK(success == expected.at("success").get<bool>());
    CHECK(have == expected.at("have_after").get<int>());
    ++cases;
  }
  CHECK(cases > 10);
}

}  // namespace mentor::envs::TEST_FILE
