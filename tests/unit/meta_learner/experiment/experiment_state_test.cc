#include "meta_learner/experiment/experiment_state.h"

#include <cmath>

#include "meta_learner/experiment/tensor_sections.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

LifetimeOutcome Life(std::vector<double> success, std::vector<int> segments) {
  LifetimeOutcome outcome{.episode_success = std::move(success),
                          .segment_episodes = std::move(segments)};
  outcome.episode_return.assign(outcome.episode_success.size(), 0);
  return outcome;
}

TEST_CASE("best weights: the mean over the window of last segments decides", "[unit]") {
  BestWeights best;
  const auto weights = [](float value) { return torch::full({2}, value); };
  best.Consider({Life({0, 1, 1}, {1, 2}), Life({1, 1, 0}, {1, 2})}, 4, weights(1), 0);
  CHECK(best.score == 0.75);  // 1 and 0.5
  CHECK(best.weights.equal(weights(1)));
  // 1, 0.5, 0.5, 0.5: worse, so the weights stay.
  best.Consider({Life({0, 1, 0}, {1, 2}), Life({0, 1, 0}, {1, 2})}, 4, weights(2), 1);
  CHECK(best.score == 0.75);
  CHECK(best.weights.equal(weights(1)));
  // The first two fall out of the window: 0.5, 0.5, 1, 1.
  best.Consider({Life({1}, {0, 1}), Life({1}, {0, 1})}, 4, weights(3), 2);
  CHECK(best.scores == std::vector<double>{0.5, 0.5, 1, 1});
  CHECK(best.score == 0.75);
  torch::Tensor trained = weights(4);
  best.Consider({Life({1}, {0, 1})}, 4, trained, 3);
  CHECK(best.score == 0.875);
  trained.fill_(5);  // Training goes on.
  CHECK(best.weights.equal(weights(4)));
}

TEST_CASE("best weights: scores that fall leave the window one round after the other", "[unit]") {
  BestWeights best;
  for (const double success : {1.0, 0.75, 0.5, 0.25, 0.0})
    best.Consider({Life({success}, {1})}, 2, torch::ones({1}), 0);
  CHECK(best.scores == std::vector<double>{0.25, 0});
  CHECK(best.score == 1);
}

TEST_CASE("best weights: lifetimes in whose last segment no episode ended have no part", "[unit]") {
  BestWeights best;
  LifetimeOutcome cold = Life({0}, {0, 1});
  cold.episode_return = {-1000};
  best.Consider({Life({1}, {1, 0})}, 4, torch::ones({1}), 0);
  CHECK(best.scores.empty());
  CHECK(std::isinf(best.score));
  CHECK_FALSE(best.weights.defined());
  // Had the environment without an episode counted as 0, this score would be the better one.
  best.Consider({cold, Life({1}, {1, 0})}, 4, torch::ones({1}), 0);
  CHECK(best.scores == std::vector<double>{1e-6 * -1000});
  CHECK(best.score == -1e-3);
}

ExperimentState Full() {
  ExperimentState state{.outer_step = 7, .env_steps = 1234};
  state.best = {.weights = torch::tensor({1.0F, 2.0F}), .score = 0.5, .scores = {0.25, 0.75}};
  for (const uint32_t iterations : {1U, 2U}) {
    v1::Snapshot& snapshot = state.lives.emplace_back();
    snapshot.set_iterations(iterations);
    v1::EpisodeCursor& cursor = *snapshot.add_cursors();
    cursor.set_step(5);
    cursor.set_shaped_return(-3.5);
  }
  return state;
}

TEST_CASE("state: comes back from the sections of a checkpoint", "[unit]") {
  const ExperimentState state = Full();
  Checkpoint checkpoint{.outer_step = state.outer_step};
  AddState(state, {}, &checkpoint.sections);
  CHECK(HasRunningLives(checkpoint));
  const auto read = ReadState(checkpoint);
  REQUIRE(read.ok());
  CHECK(read->outer_step == 7);
  CHECK(read->env_steps == 1234);
  CHECK(read->best.weights.equal(state.best.weights));
  CHECK(read->best.score == 0.5);
  CHECK(read->best.scores == state.best.scores);
  REQUIRE(read->lives.size() == 2);
  CHECK(read->lives[1].iterations() == 2);
  CHECK(read->lives[1].cursors(0).shaped_return() == -3.5);
  CHECK(UnknownOpenEpisodes(*read) == 0);

  // Before the first lifetimes.
  Checkpoint fresh;
  AddState({.best = {.weights = torch::ones({1})}}, {}, &fresh.sections);
  CHECK_FALSE(HasRunningLives(fresh));
  const auto empty = ReadState(fresh);
  REQUIRE(empty.ok());
  CHECK(empty->best.scores.empty());
  CHECK(std::isinf(empty->best.score));
}

TEST_CASE("patience: a run ends when so many updates bring no better score", "[unit]") {
  v1::RuleSpec rule;
  rule.set_outer_updates(10);
  ExperimentState state{.outer_step = 9,
                        .best = {.weights = torch::ones({1}), .score = 0.5, .outer_step = 4}};
  CHECK_FALSE(IsTrained(state, rule));  // It has no patience, and makes all of them.
  // Weights after 5, 6, 7 and 8 updates had no better score. The newest, after 9, have none.
  rule.set_patience(5);
  CHECK_FALSE(IsTrained(state, rule));
  rule.set_patience(4);
  CHECK(IsTrained(state, rule));
  state.best.score = BestWeights().score;  // No episode has ended.
  CHECK_FALSE(IsTrained(state, rule));
  state.best.score = 0.5;
  // Agents in the middle of their lives have no score yet.
  state.lives.emplace_back();
  CHECK_FALSE(IsTrained(state, rule));
  state.outer_step = 10;
  CHECK(IsTrained(state, rule));
}

TEST_CASE("patience: a checkpoint knows when the score was best, outside its hash", "[unit]") {
  v1::RuleSpec rule;
  Checkpoint without{.outer_step = 7}, with{.outer_step = 7};
  ExperimentState state = Full();
  state.best.outer_step = 3;
  AddState(state, rule, &without.sections);
  rule.set_patience(200);
  AddState(state, rule, &with.sections);
  CHECK(with.sections.size() == without.sections.size() + 1);
  CHECK(StateHash(with.sections) == StateHash(without.sections));
  CHECK(ReadState(with)->best.outer_step == 3);
  // Where the run so far had no patience, it begins here.
  CHECK(ReadState(without)->best.outer_step == 7);
  with.outer_step = 2;
  const auto later = ReadState(with);
  CHECK(absl::IsDataLoss(later.status()));
  CHECK(std::string(later.status().message()).find("aside/best_step") != std::string::npos);
}

TEST_CASE("state: open episodes of snapshots of 0.1.0 are counted", "[unit]") {
  ExperimentState state = Full();
  state.lives[0].mutable_cursors(0)->clear_shaped_return();
  CHECK(UnknownOpenEpisodes(state) == 1);
  // No episode is open where the next step begins one.
  state.lives[0].mutable_cursors(0)->set_step(0);
  CHECK(UnknownOpenEpisodes(state) == 0);
}

TEST_CASE("state: damage names the section", "[unit]") {
  Checkpoint whole{.outer_step = 7};
  AddState(Full(), {}, &whole.sections);
  const auto message = [&](const char* section, const char* bytes) {
    Checkpoint broken = whole;
    if (bytes == nullptr) {
      broken.sections.erase(section);
    } else {
      broken.sections[section] = bytes;
    }
    const auto read = ReadState(broken);
    CHECK(absl::IsDataLoss(read.status()));
    return std::string(read.status().message());
  };
  for (const char* section : {"experiment/best_weights", "experiment/best_score",
                              "experiment/scores", "experiment/env_steps"})
    CHECK(message(section, nullptr).find(section) != std::string::npos);
  CHECK(message("lives/00001", "\xff").find("lives/00001") != std::string::npos);
  // Another form: a number where a row belongs.
  Checkpoint other = whole;
  other.sections["experiment/scores"] = EncodeTensor(torch::full({}, 1.0, torch::kFloat64));
  CHECK(absl::IsDataLoss(ReadState(other).status()));
}

}  // namespace mentor::meta_learner::TEST_FILE
