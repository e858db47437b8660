// Many environments at once have the bits of single ones, whatever their number and that of the
// threads (envs/pool/environment_pool.h).
#include "envs/pool/environment_pool.h"

#include <algorithm>
#include <thread>

#include <absl/strings/match.h>
#include <sys/wait.h>
#include <unistd.h>

#include "envs/benchmark.h"
#include "tests/testing.h"

namespace mentor::envs {
namespace {

using Options = EnvironmentPool::Options;

std::unique_ptr<EnvironmentPool> Make(Options options) {
  auto pool = EnvironmentPool::Make(std::move(options));
  INFO(pool.status().ToString());
  REQUIRE(pool.ok());
  return *std::move(pool);
}

std::vector<uint64_t> Seeds(int first, int count) {
  std::vector<uint64_t> seeds(count);
  for (int i = 0; i < count; ++i) seeds[i] = first + i;
  return seeds;
}

// The action of environment `seed` at step t: environments of one seed act alike in all pools.
void Act(uint64_t seed, uint32_t t, std::span<float> action) {
  const RandomStream random{.seed = seed, .purpose = Purpose::kTest};
  for (size_t i = 0; i < action.size(); ++i)
    action[i] = static_cast<float>(2 * random.Uniform(t, static_cast<uint32_t>(i)) - 1);
}

// All numbers of the environment `watched` of a pool whose seeds begin at `first`.
std::vector<double> Life(Options options, int first, int watched, int steps) {
  const auto pool = Make(options);
  const std::vector<uint64_t> seeds = Seeds(first, options.size);
  REQUIRE(pool->Reset(seeds, {}, {}).ok());
  const size_t width = pool->info().observation_size, acts = pool->info().action_size;
  std::vector<double> numbers;
  std::vector<float> actions(options.size * acts);
  for (int t = 0; t < steps; ++t) {
    for (int i = 0; i < options.size; ++i)
      Act(seeds[i], t, std::span(actions).subspan(i * acts, acts));
    const absl::Status status = pool->Step(actions);
    INFO(status.ToString());
    REQUIRE(status.ok());
    const auto row = pool->observations().subspan(watched * width, width);
    numbers.insert(numbers.end(), row.begin(), row.end());
    numbers.push_back(pool->rewards()[watched]);
    numbers.push_back(pool->terminated()[watched] + 2 * pool->truncated()[watched] +
                      4 * pool->successes()[watched]);
  }
  return numbers;
}

TEST_CASE("pool: an environment has the same bits in any company and on any threads", "[unit]") {
  for (const char* name : {"point_reach", "Hopper-v5"}) {
    const std::vector<double> alone = Life({.environment = name}, 5, 0, 300);
    for (const int threads : {1, 2, 5}) {
      INFO(name << " on " << threads << " threads");
      CHECK(Life({.environment = name, .size = 3, .threads = threads}, 4, 1, 300) == alone);
      CHECK(Life({.environment = name, .size = 8, .threads = threads}, 0, 5, 300) == alone);
    }
  }
}

TEST_CASE("pool: the three kinds of autoreset tell one story", "[unit]") {
  constexpr int kEpisode = 10;  // An episode of point_reach.
  const auto next = Make({.environment = "point_reach"});
  const auto same = Make({.environment = "point_reach", .autoreset = Autoreset::kSameStep});
  const auto none = Make({.environment = "point_reach", .autoreset = Autoreset::kDisabled});
  for (const auto* pool : {&next, &same, &none}) REQUIRE((*pool)->Reset(Seeds(1, 1), {}, {}).ok());
  std::vector<float> action(next->info().action_size);
  for (int t = 0; t < kEpisode; ++t) {
    Act(1, t, action);
    for (const auto* pool : {&next, &same, &none}) REQUIRE((*pool)->Step(action).ok());
  }
  CHECK(next->truncated()[0]);
  CHECK(same->truncated()[0]);
  CHECK(std::ranges::equal(next->observations(), none->observations()));
  CHECK(std::ranges::equal(same->final_observations(), none->observations()));
  CHECK(same->final_successes()[0] == none->successes()[0]);
  // Disabled: a step is refused until the reset.
  const absl::Status ended = none->Step(action);
  CHECK(ended.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(absl::StrContains(ended.message(), "reset"));
  REQUIRE(none->Reset({}, {}, {}).ok());
  REQUIRE(next->Step(action).ok());
  CHECK(next->rewards()[0] == 0);
  CHECK_FALSE(next->truncated()[0]);
  CHECK(std::ranges::equal(next->observations(), none->observations()));
  CHECK(std::ranges::equal(same->observations(), none->observations()));
}

TEST_CASE("pool: some are reset, the others go on", "[unit]") {
  const auto pool =
      Make({.environment = "point_reach", .size = 3, .autoreset = Autoreset::kDisabled});
  REQUIRE(pool->Reset(Seeds(1, 3), {}, {}).ok());
  const std::vector<double> first(pool->observations().begin(), pool->observations().end());
  std::vector<float> actions(size_t{3} * pool->info().action_size, 0.5F);
  REQUIRE(pool->Step(actions).ok());
  const std::vector<double> stepped(pool->observations().begin(), pool->observations().end());
  const std::vector<uint8_t> mask = {0, 1, 0};
  REQUIRE(pool->Reset(Seeds(1, 3), mask, {}).ok());
  const size_t width = pool->info().observation_size;
  const auto row = [&](const auto& all, size_t i) {
    return std::vector<double>(all.begin() + i * width, all.begin() + (i + 1) * width);
  };
  CHECK(row(pool->observations(), 0) == row(stepped, 0));
  CHECK(row(pool->observations(), 1) == row(first, 1));
  CHECK(row(pool->observations(), 2) == row(stepped, 2));
}

TEST_CASE("pool: goals are the training goals of ml1", "[unit]") {
  const auto pool = Make({.environment = "door-close-v3", .goal_seed = 7});
  v1::BenchmarkSpec spec;
  spec.set_name("ml1");
  spec.set_environment("door-close-v3");
  spec.set_goal_seed(7);
  Violations violations;
  const auto benchmark = MakeBenchmark(spec, &violations);
  REQUIRE(benchmark != nullptr);
  const v1::EnvironmentTask task = benchmark->Tasks(Split::kTrain)[0].tasks[3];
  REQUIRE(pool->Reset(Seeds(1, 1), {}, {.goal = 3}).ok());
  const std::vector<double> by_goal(pool->observations().begin(), pool->observations().end());
  const std::vector<double> parameters(task.parameters().begin(), task.parameters().end());
  REQUIRE(pool->Reset(Seeds(2, 1), {}, {.parameters = parameters}).ok());
  CHECK(std::ranges::equal(pool->observations(), by_goal));
  const absl::Status beyond = pool->Reset({}, {}, {.goal = 50});
  CHECK(beyond.code() == absl::StatusCode::kInvalidArgument);
  CHECK(absl::StrContains(beyond.message(), "0 to 49"));
  // A wrong task is refused, and a reset mends it.
  CHECK_FALSE(pool->Reset({}, {}, {.parameters = std::vector<double>{1}}).ok());
  std::vector<float> action(pool->info().action_size);
  CHECK_FALSE(pool->Step(action).ok());
  REQUIRE(pool->Reset({}, {}, {.goal = 0}).ok());
  CHECK(pool->Step(action).ok());
}

TEST_CASE("pool: a saved episode goes on in another pool", "[unit]") {
  const auto first = Make({.environment = "Hopper-v5"});
  const auto second = Make({.environment = "Hopper-v5", .size = 2});
  REQUIRE(first->Reset(Seeds(3, 1), {}, {}).ok());
  std::vector<float> action(first->info().action_size, 0.3F);
  for (int t = 0; t < 5; ++t) REQUIRE(first->Step(action).ok());
  const auto state = first->SaveState(0);
  REQUIRE(state.ok());
  REQUIRE(second->Reset(Seeds(8, 2), {}, {}).ok());
  REQUIRE(second->RestoreState(1, *state).ok());
  REQUIRE(first->Step(action).ok());
  std::vector<float> both(size_t{2} * action.size(), 0.3F);
  REQUIRE(second->Step(both).ok());
  const size_t width = first->info().observation_size;
  CHECK(std::ranges::equal(first->observations(), second->observations().subspan(width)));
  for (const std::string& broken :
       {std::string(), std::string("\xff\xff\xff\xff", 4), state->substr(0, state->size() - 1)}) {
    CHECK(second->RestoreState(1, broken).code() == absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("pool: environments that are ready come first, and each comes once", "[unit]") {
  constexpr int kSize = 6, kBatch = 2, kRounds = 200;
  const auto pool =
      Make({.environment = "point_reach", .size = kSize, .threads = 3, .asynchronous = true});
  REQUIRE(pool->SendReset(Seeds(1, kSize), {}, {}).ok());
  const std::vector<float> actions(size_t{kBatch} * pool->info().action_size, 0.1F);
  std::vector<int> answers(kSize);
  std::vector<int32_t> ids(kBatch);
  for (int round = 0; round < kRounds; ++round) {
    REQUIRE(pool->Recv(ids).ok());
    CHECK(ids[0] < ids[1]);
    for (const int32_t id : ids) ++answers[id];
    REQUIRE(pool->Send(actions, ids).ok());
  }
  CHECK(std::ranges::min(answers) > 0);
  CHECK(pool->at_work() == kSize);
  CHECK(pool->Send(actions, ids).code() == absl::StatusCode::kFailedPrecondition);
  std::vector<int32_t> all(kSize), more(kSize + 1);
  CHECK(pool->Recv(more).code() == absl::StatusCode::kFailedPrecondition);
  CHECK(pool->Step(std::vector<float>(kSize * actions.size() / kBatch)).code() ==
        absl::StatusCode::kFailedPrecondition);
  REQUIRE(pool->Recv(all).ok());
  CHECK(all == std::vector<int32_t>{0, 1, 2, 3, 4, 5});
  REQUIRE(pool->Send(actions, std::vector<int32_t>{0, 1}).ok());  // Dropped while at work.
}

TEST_CASE("pool: wrong calls are refused, and nothing is lost", "[unit]") {
  const auto unknown = EnvironmentPool::Make({.environment = "pusk-v3"});
  CHECK(unknown.status().code() == absl::StatusCode::kNotFound);
  CHECK(absl::StrContains(unknown.status().message(), "push-v3"));
  const auto pool = Make({.environment = "point_reach", .size = 2});
  std::vector<float> actions(size_t{2} * pool->info().action_size);
  CHECK(pool->Step(actions).code() == absl::StatusCode::kFailedPrecondition);
  REQUIRE(pool->Reset(Seeds(1, 2), {}, {}).ok());
  actions[1] = std::numeric_limits<float>::quiet_NaN();
  const absl::Status nan = pool->Step(actions);
  CHECK(nan.code() == absl::StatusCode::kInvalidArgument);
  CHECK(absl::StrContains(nan.message(), "actions[0, 1]"));
  actions[1] = 0;
  CHECK(pool->Step(std::vector<float>(3)).code() == absl::StatusCode::kInvalidArgument);
  CHECK(pool->Step(actions).ok());
  REQUIRE(pool->Close().ok());
}

TEST_CASE("pool: a forked process is told that the threads stayed behind", "[unit]") {
  const auto pool = Make({.environment = "point_reach", .size = 2, .threads = 2});
  REQUIRE(pool->Reset(Seeds(1, 2), {}, {}).ok());
  const std::vector<float> actions(size_t{2} * pool->info().action_size);
  const pid_t child = fork();
  if (child == 0) {
    const absl::Status status = pool->Step(actions);
    _exit(absl::StrContains(status.message(), "forked") ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(pool->Step(actions).ok());
}

}  // namespace
}  // namespace mentor::envs
