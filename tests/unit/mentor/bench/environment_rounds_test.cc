#include "tests/bench/environment_rounds.h"

#include <cmath>

#include <absl/strings/match.h>

#include "tests/testing.h"

namespace mentor::bench {
namespace {

TEST_CASE("bench: what cannot be measured is refused", "[unit]") {
  const auto unknown = BenchEnvironments({"Reacher-v5", "Teacher-v5"});
  CHECK(unknown.status().code() == absl::StatusCode::kNotFound);
  CHECK(absl::StrContains(unknown.status().message(), "Teacher-v5"));
  const auto plain = BenchEnvironments({"point_reach"});
  CHECK(plain.status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("bench: figures of a short round are there and positive", "[unit]") {
  const auto bench = BenchEnvironments({"InvertedPendulum-v5", "Reacher-v5", "reach-v3"});
  INFO(bench.status().ToString());
  REQUIRE(bench.ok());
  REQUIRE(bench->scenes.size() == 3);
  for (const SceneBench& scene : bench->scenes) {
    INFO(scene.environment);
    for (double figure : {scene.bare_us, scene.step_us, scene.reset_us, scene.first_reset_us}) {
      CHECK(figure > 0);
    }
    CHECK(scene.step_ratio == Approx(scene.bare_us / scene.step_us));
    // Resets are part of the whole.
    CHECK(scene.total_us > scene.step_us);
    CHECK(scene.with_resets_ratio == Approx(scene.bare_us / scene.total_us));
  }
  REQUIRE(bench->suites.size() == 2);
  const SceneBench& pendulum = bench->scenes[0];
  const SceneBench& reacher = bench->scenes[1];
  const SuiteBench& gymnasium = bench->suites[0];
  CHECK(gymnasium.scenes == 2);
  CHECK(gymnasium.step_ratio == Approx(std::sqrt(pendulum.step_ratio * reacher.step_ratio)));
  CHECK(gymnasium.total_us == Approx(std::sqrt(pendulum.total_us * reacher.total_us)));
  for (const SuiteBench& suite : bench->suites) {
    CHECK(suite.two_threads_ratio > 0);
    CHECK(suite.two_threads_cpu_ratio > 0);
  }
}

}  // namespace
}  // namespace mentor::bench
