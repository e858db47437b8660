#include "meta_learner/experiment/parts.h"

#include "common/spec/spec.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

using namespace mentor;
using mentor::testing::Contains;

TEST_CASE("parts: a network of too many parameters is refused before it has weights (D6)",
          "[unit]") {
  const auto message = [](const std::string& signal) {
    const auto spec =
        LoadSpec("benchmark { name: 'point_reach' } evaluation { goals: 1 } " + signal, {},
                 meta_learner::CheckParts);
    return std::string(spec.status().message());
  };
  CHECK(message("") == "");
  // An LSTM of 4096 units has more than 4 * 4096 * 4096 = 67,108,864.
  const std::string wide = message("signal { option { name: 'lstm' value: '4096' } }");
  INFO(wide);
  CHECK(Contains(wide, "signal.option: make a network of "));
  CHECK(Contains(wide, "parameters; at most 33554432 are allowed: give narrower or fewer layers"));
  CHECK_FALSE(Contains(wide, "\n"));
}

TEST_CASE("parts: regression wants an environment with labels", "[unit]") {
  const auto message = [](const std::string& environment) {
    const auto spec = LoadSpec(
        "benchmark { name: 'single' environment: '" + environment +
            "' } lifetime { iterations: 1 steps_per_iteration: 40 } rule { name: 'rl2' option { "
            "name: 'loss' value: 'squared' } option { name: 'k' value: '20' } } evaluation { "
            "goals: 1 deterministic_episodes: 0 baseline: RANDOM_SIGNAL }",
        {}, meta_learner::CheckParts);
    return std::string(spec.status().message());
  };
  CHECK(message("quadratic_function") == "");
  CHECK(Contains(message("point_reach"),
                 "rule.option.loss: is squared, but point_reach has no labels; set ppo"));
}
