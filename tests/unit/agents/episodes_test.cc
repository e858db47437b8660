
#include "agents/segment.h"
#include "tests/torch_testing.h"

namespace mentor::agents::TEST_FILE {

torch::Tensor Row(const std::vector<double>& values, torch::Dtype dtype = torch::kFloat32) {
  return torch::tensor(values, torch::kFloat64)
      .reshape({1, static_cast<int64_t>(values.size())})
      .to(dtype);
}

TEST_CASE("episodes: one that was open before the segment counts whole", "[unit]") {
  // Steps: b b | c c, after two steps of b with a return of 10 and a success.
  Segment segment;
  segment.shaped_rewards = Row({1, 2, 3, 4}, torch::kFloat64);
  segment.successes = Row({0, 0, 1, 0});
  segment.prev_done = Row({0, 0, 1, 0});
  segment.last_done = torch::ones({1});
  segment.open_steps = torch::full({1}, 2.0F);
  segment.open_returns = torch::full({1}, 10.0, torch::kFloat64);
  segment.open_successes = torch::ones({1});
  const auto episodes = EndedEpisodes(segment);
  REQUIRE(episodes.size() == 1);
  REQUIRE(episodes[0].size() == 2);
  CHECK(episodes[0][0].shaped_return == 13);
  CHECK(episodes[0][0].steps == 4);
  CHECK(episodes[0][0].success);
  CHECK(episodes[0][1].shaped_return == 7);
  CHECK(episodes[0][1].steps == 2);
  CHECK(episodes[0][1].success);

  // One that does not end is not counted.
  segment.last_done.zero_();
  CHECK(EndedEpisodes(segment)[0].size() == 1);
}

TEST_CASE("episodes: one that ended with the segment before is not counted again", "[unit]") {
  // The first step begins an episode; all of its one-step episodes end.
  Segment segment;
  segment.shaped_rewards = Row({5, 6}, torch::kFloat64);
  segment.successes = Row({0, 1});
  segment.prev_done = Row({1, 1});
  segment.last_done = torch::ones({1});
  const auto episodes = EndedEpisodes(segment);
  REQUIRE(episodes[0].size() == 2);
  CHECK(episodes[0][0].shaped_return == 5);
  CHECK_FALSE(episodes[0][0].success);
  CHECK(episodes[0][1].shaped_return == 6);
  CHECK(episodes[0][1].success);
}

TEST_CASE("episodes: each agent has its own open episode", "[unit]") {
  // Agent 0 ends the episode that was open; agent 1 began one, ends it, and leaves another open.
  Segment segment;
  segment.shaped_rewards = torch::tensor({{1.0, 2.0}, {3.0, 4.0}}, torch::kFloat64);
  segment.successes = torch::zeros({2, 2});
  segment.prev_done = torch::tensor({{0.0F, 0.0F}, {1.0F, 1.0F}});
  segment.last_done = torch::tensor({1.0F, 0.0F});
  segment.open_steps = torch::tensor({7.0F, 0.0F});
  segment.open_returns = torch::tensor({100.0, 0.0}, torch::kFloat64);
  segment.open_successes = torch::tensor({1.0F, 0.0F});
  const auto episodes = EndedEpisodes(segment);
  REQUIRE(episodes.size() == 2);
  REQUIRE(episodes[0].size() == 1);
  CHECK(episodes[0][0].steps == 9);
  CHECK(episodes[0][0].shaped_return == 103);
  CHECK(episodes[0][0].success);
  REQUIRE(episodes[1].size() == 1);
  CHECK(episodes[1][0].steps == 1);
  CHECK(episodes[1][0].shaped_return == 3);
  CHECK_FALSE(episodes[1][0].success);
}

}  // namespace mentor::agents::TEST_FILE
