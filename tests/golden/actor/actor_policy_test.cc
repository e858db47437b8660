// The policy against golden/policy_forward.json, which is float64: the bound is float32's, relative
// to the size of the numbers that the sums are made of.
#include "actor/actor_policy.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/paths.h"
#include "tests/testing.h"

namespace mentor::actor::TEST_FILE {

using Json = nlohmann::json;
using mentor::testing::Near;

Json ReadGolden(const std::string& name) {
  const char* dir = std::getenv("MENTOR_GOLDEN_DIR");
  const std::string path =
      std::string(dir ? dir : testing::SourcePath("tests/data/golden")) + "/" + name + ".json";
  std::ifstream file(path);
  INFO(path);
  REQUIRE(file);
  return Json::parse(file);
}

// Row s of a stacked tensor.
std::vector<float> Slice(const Json& tensor, int s) {
  const auto data = tensor.at("data").get<std::vector<double>>();
  const size_t size = data.size() / tensor.at("shape").at(0).get<size_t>();
  return {data.begin() + static_cast<ptrdiff_t>(s * size),
          data.begin() + static_cast<ptrdiff_t>((s + 1) * size)};
}

TEST_CASE("policy: mean, action, log-density and clipping as in the golden file", "[golden]") {
  const Json file = ReadGolden("policy_forward");
  constexpr mentor::testing::Tolerance kFloat32{.rel = 4e-6, .abs = 4e-6};
  for (const Json& test : file.at("cases")) {
    const int agents = test.at("S"), steps = test.at("B");
    const size_t d = test.at("D"), a = test.at("A");
    const Json& expected = test.at("expected");
    for (int s = 0; s < agents; ++s) {
      INFO(test.at("name").get<std::string>() << ", agent " << s);
      v1::PolicyWeights weights;
      weights.set_observation_size(static_cast<uint32_t>(d));
      weights.set_action_size(static_cast<uint32_t>(a));
      weights.set_network(v1::POLICY_NETWORK_MLP);
      weights.set_hidden_units(test.at("H"));
      for (const char* name :
           {"actor.W1", "actor.b1", "actor.W2", "actor.b2", "actor.W3", "actor.b3", "logstd"}) {
        const auto values = Slice(test.at("params").at(name), s);
        weights.mutable_weights()->append(reinterpret_cast<const char*>(values.data()),
                                          values.size() * sizeof(float));
      }
      Policy policy;
      REQUIRE(policy.Load(weights).ok());
      const auto obs = Slice(test.at("obs"), s), noise = Slice(test.at("noise"), s);
      const auto want_mean = Slice(expected.at("mean"), s);
      const auto want_action = Slice(expected.at("action"), s),
                 want_logp = Slice(expected.at("logp"), s);
      const auto want_clipped = Slice(expected.at("env_action"), s);
      const auto want_deterministic = Slice(expected.at("deterministic_env_action"), s);
      for (int b = 0; b < steps; ++b) {
        std::vector<float> mean(a), action(a), exact(a);
        std::vector<double> e(a);
        float log_prob = 0, log_prob_of_mean = 0;
        const std::span observation = std::span(obs).subspan(b * d, d);
        for (size_t j = 0; j < a; ++j) e[j] = noise[b * a + j];
        policy.Mean(observation, mean);
        policy.Sample(observation, e, action, &log_prob);
        policy.Deterministic(observation, exact, &log_prob_of_mean);
        CHECK(exact == mean);
        CHECK(log_prob_of_mean >= log_prob);
        for (size_t j = 0; j < a; ++j) {
          CHECK(Near(mean[j], want_mean[b * a + j], kFloat32));
          CHECK(Near(action[j], want_action[b * a + j], kFloat32));
          CHECK(Near(std::clamp(action[j], -1.0f, 1.0f), want_clipped[b * a + j], kFloat32));
          CHECK(Near(std::clamp(exact[j], -1.0f, 1.0f), want_deterministic[b * a + j], kFloat32));
        }
        // Rounding of the action enters the density through (a - mean) / std.
        CHECK(Near(log_prob, want_logp[b], {.rel = 2e-5, .abs = 2e-5}));
      }
    }
  }
}

}  // namespace mentor::actor::TEST_FILE
