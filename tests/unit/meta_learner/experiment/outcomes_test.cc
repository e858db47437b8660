#include "meta_learner/experiment/outcomes.h"

#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

// Results of an episode from before the first step of a segment.
struct Open {
  float steps = 0;
  double shaped_return = 0;
  float success = 0;
};

// One lifetime: rewards, successes and episode starts of its steps.
agents::Segment MakeSegment(std::vector<double> rewards, std::vector<float> successes,
                            std::vector<float> prev_done, float last_done, Open open = {}) {
  const int64_t n = static_cast<int64_t>(rewards.size());
  agents::Segment segment;
  segment.shaped_rewards = torch::tensor(rewards, torch::kFloat64).reshape({1, n});
  segment.successes = torch::tensor(successes, torch::kFloat32).reshape({1, n});
  segment.prev_done = torch::tensor(prev_done, torch::kFloat32).reshape({1, n});
  segment.last_done = torch::full({1}, last_done);
  segment.open_steps = torch::full({1}, open.steps);
  segment.open_returns = torch::full({1}, open.shaped_return, torch::kFloat64);
  segment.open_successes = torch::full({1}, open.success);
  return segment;
}

TEST_CASE("outcomes: episodes go on over the border of two segments, and only ended ones count",
          "[unit]") {
  // Steps:      segment 1: a a b b | segment 2: b c c (c has not ended)
  const agents::Segment first = MakeSegment({1, 2, 3, 4}, {0, 1, 1, 0}, {0, 0, 1, 0}, 0);
  const agents::Segment second = MakeSegment({5, 6, 7}, {0, 0, 1}, {0, 1, 0}, 0,
                                             {.steps = 2, .shaped_return = 7, .success = 1});
  const auto outcomes = Outcomes({first, second});
  REQUIRE(outcomes.size() == 1);
  CHECK(outcomes[0].episode_return == std::vector<double>{3, 12});
  CHECK(outcomes[0].episode_success == std::vector<double>{1, 1});
  CHECK(outcomes[0].segment_episodes == std::vector<int>{1, 1});  // b ended in the second.

  // The same from the second alone.
  const auto later = Outcomes({second});
  CHECK(later[0].episode_return == std::vector<double>{12});
  CHECK(later[0].episode_success == std::vector<double>{1});
}

TEST_CASE("outcomes: an episode that ends with its segment counts once", "[unit]") {
  const auto outcomes =
      Outcomes({MakeSegment({1, 1}, {0, 0}, {0, 0}, 1), MakeSegment({2, 2}, {0, 1}, {1, 0}, 1)});
  CHECK(outcomes[0].episode_return == std::vector<double>{2, 4});
  CHECK(outcomes[0].episode_success == std::vector<double>{0, 1});
  CHECK(outcomes[0].segment_episodes == std::vector<int>{1, 1});
}

TEST_CASE("outcomes: metrics of a round, by segment and by environment", "[unit]") {
  const LifetimeOutcome good{
      .episode_success = {0, 1, 1, 1}, .episode_return = {1, 2, 3, 4}, .segment_episodes = {2, 2}};
  const LifetimeOutcome bad{
      .episode_success = {0, 0, 0, 1}, .episode_return = {0, 0, 0, 0}, .segment_episodes = {2, 2}};
  const auto metrics = RoundMetrics({good, bad}, {"reach", "push"});
  CHECK(metrics.at("seg0") == 0.25);  // (1/2 + 0) / 2
  CHECK(metrics.at("seg1") == 0.75);
  CHECK(metrics.at("success_episode_3") == 1);
  CHECK(metrics.at("seg0/reach") == 0.5);
  CHECK(metrics.at("shaped_return") == 1.25);  // 2.5 and 0
  CHECK(metrics.at("meta_return/reach") == Approx(1 + 0.9 * 2 + 0.81 * 3 + 0.729 * 4));
  CHECK(RoundMetrics({good, bad}, {"reach", "reach"}).count("seg0/reach") == 0);
}

TEST_CASE("outcomes: episodes that end early belong to the segment in which they ended", "[unit]") {
  const LifetimeOutcome falls{.episode_success = {0, 0, 0, 0, 0, 1},
                              .episode_return = {1, 1, 1, 1, 1, 7},
                              .segment_episodes = {5, 0, 1}};
  const LifetimeOutcome stands{
      .episode_success = {1, 1}, .episode_return = {3, 5}, .segment_episodes = {1, 1, 0}};
  const auto metrics = RoundMetrics({falls, stands}, {"hopper", "hopper"});
  CHECK(metrics.at("seg0") == 0.5);
  CHECK(metrics.at("seg1") == 1);  // Values of the one lifetime that ended an episode there.
  CHECK(metrics.at("seg2") == 1);
  CHECK(metrics.at("shaped_return") == 3);  // 12 / 6 and 8 / 2
  // They belong to different parts of the lifetimes.
  CHECK(metrics.count("success_episode_0") == 0);
}

TEST_CASE("outcomes: the score counts success first and return to break ties", "[unit]") {
  const LifetimeOutcome outcome{.episode_success = {1, 0, 1}, .episode_return = {9, 2, 4}};
  CHECK(LifetimeScore(outcome, 2) == Approx(0.5 + 1e-6 * 3));
  CHECK(LifetimeScore(outcome, 100) == Approx(2.0 / 3 + 1e-6 * 5));
}

}  // namespace mentor::meta_learner::TEST_FILE
