#include "mentor/bench/environment_rounds.h"

#include <cmath>

#include <absl/strings/match.h>

#include "tests/testing.h"

namespace mentor::bench {
namespace {

TEST_CASE("bench: what cannot be measured is refused", "[unit]") {
  CHECK(BenchEnvironments({.rounds = 0}).status().code() == absl::StatusCode::kInvalidArgument);
  const auto unknown = BenchEnvironments({.rounds = 1, .only = {"Reacher-v5", "Teacher-v5"}});
  CHECK(unknown.status().code() == absl::StatusCode::kNotFound);
  CHECK(absl::StrContains(unknown.status().message(), "Teacher-v5"));
  const auto plain = BenchEnvironments({.rounds = 1, .only = {"point_reach"}});
  CHECK(plain.status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("bench: a peer is asked in every round, for as many steps, until it knows nothing",
          "[unit]") {
  std::vector<int> asked;
  BenchSettings settings{.rounds = 2, .only = {"Reacher-v5", "InvertedPendulum-v5"}};
  settings.peer = [&asked](std::string_view environment, int steps,
                           uint32_t) -> absl::StatusOr<double> {
    if (environment != "Reacher-v5") return absl::NotFoundError("no pendulum here");
    asked.push_back(steps);
    return 1e6;
  };
  const auto bench = BenchEnvironments(settings);
  INFO(bench.status().ToString());
  REQUIRE(bench.ok());
  REQUIRE(bench->scenes.size() == 2);
  const SceneBench& pendulum = bench->scenes[0];
  const SceneBench& reacher = bench->scenes[1];
  REQUIRE(asked.size() == 2);
  CHECK(asked[0] == asked[1]);
  CHECK(asked[0] % 500 == 0);
  CHECK(reacher.peer_us == 1e6);
  CHECK(pendulum.peer_us == 0);
  CHECK(pendulum.peer_error == "no pendulum here");
  // Resets are part of the whole.
  CHECK(reacher.total_us > 0);
  CHECK(reacher.ahead_of_peer_ratio > 0);
  CHECK(pendulum.with_resets_ratio < pendulum.step_ratio);
  REQUIRE(bench->suites.size() == 1);
  // The mean over those that the peer knows.
  CHECK(bench->suites[0].ahead_of_peer_ratio == Approx(reacher.ahead_of_peer_ratio));
  CHECK(bench->suites[0].step_ratio == Approx(std::sqrt(pendulum.step_ratio * reacher.step_ratio)));

  settings.only = {"Reacher-v5"};
  settings.peer = [](std::string_view, int, uint32_t) -> absl::StatusOr<double> {
    return absl::InternalError("broken");
  };
  CHECK(BenchEnvironments(settings).status().message() == "broken");
}

TEST_CASE("bench: figures of a short run are there and positive", "[unit]") {
  CHECK(BenchEnvironments({.rounds = 0}).status().code() == absl::StatusCode::kInvalidArgument);
  const auto bench = BenchEnvironments({.rounds = 1, .only = {"Reacher-v5", "reach-v3"}});
  REQUIRE(bench.ok());
  REQUIRE(bench->scenes.size() == 2);
  for (const SceneBench& scene : bench->scenes) {
    INFO(scene.environment);
    for (double figure :
         {scene.bare_us, scene.step_us, scene.reset_us, scene.first_reset_us, scene.step_ratio}) {
      CHECK(figure > 0);
    }
    CHECK(scene.with_resets_ratio > 0);
  }
  REQUIRE(bench->suites.size() == 2);
  for (const SuiteBench& suite : bench->suites) {
    CHECK(suite.step_ratio > 0);
    CHECK(suite.two_threads_ratio > 0);
    CHECK(suite.two_threads_cpu_ratio > 0);
  }
}

}  // namespace
}  // namespace mentor::bench
