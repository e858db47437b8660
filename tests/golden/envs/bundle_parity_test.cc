// Tasks written as bundles against recorded episodes: those of tests/data/parity, which the native
// environments match too, and those of gymnasium-robotics (tests/parity/record_fetch.py).
#include <map>
#include <memory>
#include <string>

#include "envs/verify.h"
#include "tests/bundles.h"
#include "tests/paths.h"

namespace mentor::envs::TEST_FILE {

using mentor::testing::ExampleBundle;
using mentor::testing::Options;

constexpr double kRewardTolerance = 1e-12;

// Replays the task's recordings in the bundle.
std::optional<TaskVerification> VerifyBundle(const std::string& folder, const std::string& task,
                                             const std::string& bundle) {
  const ExampleBundle example(bundle);
  if (!example.there()) {
    WARN("skipped: " << example.why());
    return std::nullopt;
  }
  const std::string name = example.Offer();
  const auto verified =
      Verify(testing::SourcePath("tests/data/" + folder), {task}, [&name](const std::string&) {
        return MakeEnvironment("mjcf", Options({{"bundle", name}}));
      });
  INFO(verified.status().ToString());
  REQUIRE(verified.ok());
  INFO(verified->text);
  CHECK(verified->passed);
  REQUIRE(verified->tasks.size() == 1);
  return verified->tasks[0];
}

TEST_CASE(
    "bundle parity: Reacher, InvertedPendulum and reach-v3 have the states of the native ones",
    "[golden]") {
  const std::map<std::string, std::string> bundles = {{"Reacher-v5", "reacher"},
                                                      {"InvertedPendulum-v5", "inverted_pendulum"},
                                                      {"reach-v3", "reach"}};
  for (const auto& [task, bundle] : bundles) {
    INFO(task);
    const auto result = VerifyBundle("parity", task, bundle);
    REQUIRE(result);
    CHECK(result->state == 0);  // Bit for bit.
    CHECK(result->observation <= 1e-12);
    CHECK(result->reward <= kRewardTolerance);
    CHECK(result->info <= kRewardTolerance);
    CHECK(result->flags == 0);
    CHECK(result->episodes >= 2);
  }
}

TEST_CASE("bundle parity: FetchReach has twenty episodes of gymnasium-robotics", "[golden]") {
  const auto result = VerifyBundle("parity_bundles", "FetchReach-v4", "fetch_reach");
  if (!result) return;
  CHECK(result->episodes == 20);
  CHECK(result->state == 0);
}

TEST_CASE("bundle parity: FetchPush has twenty episodes of gymnasium-robotics", "[golden]") {
  const auto result = VerifyBundle("parity_bundles", "FetchPush-v4", "fetch_push");
  if (!result) return;
  CHECK(result->episodes == 20);
  CHECK(result->state == 0);
}

}  // namespace mentor::envs::TEST_FILE
