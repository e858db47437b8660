#include "meta_learner/experiment/trained_episodes.h"

#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "agents/segment.h"
#include "common/file.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

// Two agents of one environment.
const std::vector<SampledTask> kTasks = {{.environment = "box", .goal = 3},
                                         {.environment = "box", .goal = 5}};

Round At(uint32_t generation, uint32_t iteration) {
  return {.generation = generation, .iteration = iteration};
}

// An inner iteration of two agents in which episodes of these returns ended; those above 9 succeed.
std::vector<LifetimeOutcome> Ended(const std::vector<std::vector<double>>& returns) {
  std::vector<LifetimeOutcome> outcomes;
  for (const auto& own : returns) {
    LifetimeOutcome& outcome = outcomes.emplace_back();
    outcome.episode_return = own;
    for (const double value : own) outcome.episode_success.push_back(value > 9);
    outcome.segment_episodes = {static_cast<int>(own.size())};
  }
  return outcomes;
}

std::vector<double> Returns(const v1::EvaluatedLifetime& lifetime) {
  return {lifetime.episode_return().begin(), lifetime.episode_return().end()};
}
std::vector<uint32_t> EndedIn(const v1::EvaluatedLifetime& lifetime) {
  return {lifetime.segment_episodes().begin(), lifetime.segment_episodes().end()};
}

TEST_CASE("trained episodes: agents with unlike numbers of episodes, by iteration", "[unit]") {
  v1::TrainedLifetimes all;
  AddRound(At(0, 0), kTasks, Ended({{1, 2}, {}}), &all);
  AddRound(At(0, 1), kTasks, Ended({{3}, {10, 5, 6}}), &all);
  REQUIRE(all.generations_size() == 1);
  const v1::TrainedGeneration& generation = all.generations(0);
  REQUIRE(generation.lifetimes_size() == 2);
  CHECK(Returns(generation.lifetimes(0)) == std::vector<double>{1, 2, 3});
  CHECK(EndedIn(generation.lifetimes(0)) == std::vector<uint32_t>{2, 1});
  CHECK(Returns(generation.lifetimes(1)) == std::vector<double>{10, 5, 6});
  CHECK(EndedIn(generation.lifetimes(1)) == std::vector<uint32_t>{0, 3});
  CHECK(generation.lifetimes(1).episode_success(0) == 1);
  CHECK(generation.lifetimes(1).episode_success(1) == 0);
  CHECK(generation.lifetimes(1).number() == 1);
  CHECK(generation.lifetimes(1).goal() == 5);
}

TEST_CASE("trained episodes: an episode that crosses the border of two rounds counts whole, once",
          "[unit]") {
  // Steps of one agent: round 0: a a b | round 1: b b c (c has not ended).
  agents::Segment first, second;
  const auto set = [](agents::Segment* segment, std::vector<double> rewards,
                      std::vector<float> prev_done, double open_return, float open_steps) {
    segment->shaped_rewards = torch::tensor(rewards, torch::kFloat64).reshape({1, 3});
    segment->successes = torch::zeros({1, 3});
    segment->prev_done = torch::tensor(prev_done).reshape({1, 3});
    segment->last_done = torch::zeros({1});
    segment->open_returns = torch::full({1}, open_return, torch::kFloat64);
    segment->open_steps = torch::full({1}, open_steps);
    segment->open_successes = torch::zeros({1});
  };
  set(&first, {1, 2, 4}, {0, 0, 1}, 0, 0);
  set(&second, {8, 16, 32}, {0, 0, 1}, 4, 1);
  v1::TrainedLifetimes all;
  const std::vector<SampledTask> task = {kTasks[0]};
  AddRound(At(0, 0), task, Outcomes({first}), &all);
  AddRound(At(0, 1), task, Outcomes({second}), &all);
  CHECK(Returns(all.generations(0).lifetimes(0)) == std::vector<double>{3, 28});
  CHECK(EndedIn(all.generations(0).lifetimes(0)) == std::vector<uint32_t>{1, 1});
}

TEST_CASE("trained episodes: of many the newest are kept, more where agents are few", "[unit]") {
  CHECK(KeptEpisodes(1) == 65536);
  CHECK(KeptEpisodes(64) == 1024);
  CHECK(KeptEpisodes(1000) == 1000);
  const std::vector<SampledTask> tasks(100, kTasks[0]);  // 1000 episodes each.
  std::vector<double> many(700);
  std::iota(many.begin(), many.end(), 0.0);
  v1::TrainedLifetimes all;
  for (const uint32_t iteration : {0U, 1U})
    AddRound(At(0, iteration), tasks, Ended(std::vector<std::vector<double>>(100, many)), &all);
  const v1::EvaluatedLifetime& last = all.generations(0).lifetimes(99);
  CHECK(last.episode_return_size() == 1000);
  CHECK(last.episode_success_size() == 1000);
  CHECK(last.episode_return(0) == 400);
  CHECK(last.episode_return(999) == 699);
  CHECK(EndedIn(last) == std::vector<uint32_t>{300, 700});
}

TEST_CASE("trained episodes: rounds that are made again leave what they left before", "[unit]") {
  // Three generations of two iterations, of which the last two are kept; the second overflows.
  const std::vector<SampledTask> tasks(100, kTasks[0]);
  const auto round = [&](uint32_t step, v1::TrainedLifetimes* all) {
    const std::vector<double> returns(step == 3 ? 800 : 400, static_cast<double>(step));
    AddRound(At(step / 2, step % 2), tasks, Ended(std::vector<std::vector<double>>(100, returns)),
             all);
  };
  v1::TrainedLifetimes want;
  for (uint32_t step = 0; step < 6; ++step) round(step, &want);
  REQUIRE(want.generations_size() == 2);
  CHECK(want.generations(0).generation() == 1);
  for (uint32_t died = 1; died <= 6; ++died) {
    for (uint32_t kept = 0; kept <= died; ++kept) {
      INFO("rounds " << kept << " to " << died << " are made again");
      v1::TrainedLifetimes all;
      for (uint32_t step = 0; step < died; ++step) round(step, &all);
      ForgetFrom(At(kept / 2, kept % 2), &all);
      for (uint32_t step = kept; step < 6; ++step) round(step, &all);
      CHECK(all.SerializeAsString() == want.SerializeAsString());
    }
  }
}

TEST_CASE("trained episodes: a life whose beginning is not known", "[unit]") {
  v1::TrainedLifetimes all;
  AddRound(At(4, 2), kTasks, Ended({{1}, {2, 3}}), &all);
  CHECK(EndedIn(all.generations(0).lifetimes(0)) == std::vector<uint32_t>{0, 0, 1});
  CHECK(EndedIn(all.generations(0).lifetimes(1)) == std::vector<uint32_t>{0, 0, 2});
  CHECK(all.generations(0).lifetimes(1).number() == 9);
}

TEST_CASE("trained episodes: a file that is not there is none, a damaged one is named", "[unit]") {
  const testing::TempFolder folder;
  const auto none = ReadEpisodes(folder.path());
  REQUIRE(none.ok());
  CHECK(none->generations().empty());

  v1::TrainedLifetimes all;
  AddRound(At(0, 0), kTasks, Ended({{1}, {2, 3}}), &all);
  REQUIRE(MakeFolders(folder.path() / "artifacts").ok());
  const std::filesystem::path file = folder.path() / kEpisodesFile;
  // Earlier versions wrote no SHA-256.
  for (const std::string& bytes : {SealedEpisodes(all), all.SerializeAsString()}) {
    REQUIRE(WriteFileAtomically(file, bytes).ok());
    CHECK(ReadEpisodes(folder.path())->SerializeAsString() == all.SerializeAsString());
  }
  const std::string whole = SealedEpisodes(all);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] ^= 1;
    REQUIRE(WriteFileAtomically(file, changed).ok());
    CHECK(absl::IsDataLoss(ReadEpisodes(folder.path()).status()));
  }

  all.mutable_generations(0)->mutable_lifetimes(1)->set_segment_episodes(0, 3);
  for (const std::string& bytes : {std::string("no"), all.SerializeAsString()}) {
    REQUIRE(WriteFileAtomically(file, bytes).ok());
    const auto damaged = ReadEpisodes(folder.path());
    CHECK(absl::IsDataLoss(damaged.status()));
    CHECK(std::string(damaged.status().message()).starts_with(file.string()));
  }
}

}  // namespace mentor::meta_learner::TEST_FILE
