// Lifetimes that are kept beside the file of claims.
#include "mentor/local/kept_lifetimes.h"

#include "tests/testing.h"
#include "tests/text.h"

namespace mentor {
namespace {

using report::EvaluationRow;
using testing::Contains;

std::vector<EvaluationRow> SomeRows() {
  EvaluationRow row;
  row.method = v1::EVALUATION_METHOD_LEARNED;
  row.split = "test";
  row.environment = "reach-v2, \"far\"";
  row.lifetime = 4000000000;
  row.goal = 7;
  row.goal_seed = 18446744073709551615u;
  row.lifetime_episodes = 2;
  row.segment_episodes = {1, 1};
  row.episode_success = {0, 1, 1};
  row.episode_return = {0.1, -1.0 / 3, 1e300};
  row.seed = 3;
  EvaluationRow other = row;
  other.method = v1::EVALUATION_METHOD_PPO_SPARSE;
  other.has_goals = false;
  other.environment = "";
  other.segment_episodes = {};
  other.episode_return = {};
  return {row, other};
}

std::string Said(std::string_view bytes) {
  const auto rows = UnpackLifetimes(bytes, "a.csv.gz");
  REQUIRE_FALSE(rows.ok());
  CHECK(Contains(rows.status(), "record the run again with --lifetimes"));
  return std::string(rows.status().message());
}

TEST_CASE("kept lifetimes: what is packed is unpacked in bits") {
  const std::vector<EvaluationRow> want = SomeRows();
  const auto bytes = PackLifetimes(want);
  REQUIRE(bytes.ok());
  CHECK(*bytes == *PackLifetimes(want));
  const auto got = UnpackLifetimes(*bytes, "a.csv.gz");
  REQUIRE(got.ok());
  REQUIRE(got->size() == want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    const EvaluationRow &a = want[i], &b = (*got)[i];
    CHECK(
        std::tie(a.method, a.split, a.environment, a.lifetime, a.goal, a.goal_seed, a.has_goals) ==
        std::tie(b.method, b.split, b.environment, b.lifetime, b.goal, b.goal_seed, b.has_goals));
    CHECK(std::tie(a.seed, a.lifetime_episodes, a.segment_episodes, a.episode_success,
                   a.episode_return) == std::tie(b.seed, b.lifetime_episodes, b.segment_episodes,
                                                 b.episode_success, b.episode_return));
  }
}

TEST_CASE("kept lifetimes: a damaged file is refused with a remedy") {
  const std::string bytes = *PackLifetimes(SomeRows());
  CHECK(Contains(Said(""), "a.csv.gz: is no whole gzip file"));
  CHECK(Contains(Said("teacher,split\n"), "is no whole gzip file"));
  for (size_t cut = 1; cut < bytes.size(); cut += 3)
    CHECK(Contains(Said(std::string_view(bytes).substr(0, bytes.size() - cut)), "no whole gzip"));
  std::string flipped = bytes;
  flipped[flipped.size() - 6] ^= 1;
  CHECK(Contains(Said(flipped), "is no whole gzip file"));
  std::vector<EvaluationRow> rows = SomeRows();
  rows[1].split = "";
  CHECK(Contains(Said(*PackLifetimes(rows)), "a.csv.gz:3: column split is not as written"));
  rows = SomeRows();
  rows[0].episode_return = {std::numeric_limits<double>::infinity()};
  CHECK(Contains(Said(*PackLifetimes(rows)), "a.csv.gz:2: column episode_return"));
}

}  // namespace
}  // namespace mentor
