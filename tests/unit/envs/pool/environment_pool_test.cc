// EnvironmentPool: the same bits for any size and any number of threads, when episodes begin, and
// what callers do wrong.
#include "envs/pool/environment_pool.h"

#include <limits>
#include <thread>

#include <absl/strings/match.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/hash.h"
#include "envs/benchmark.h"
#include "tests/specs.h"
#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

using Options = EnvironmentPool::Options;

std::unique_ptr<EnvironmentPool> Make(Options options) {
  auto pool = EnvironmentPool::Make(std::move(options));
  REQUIRE(pool.ok());
  return *std::move(pool);
}

std::vector<uint64_t> Seeds(int size) {
  std::vector<uint64_t> seeds;
  for (int i = 0; i < size; ++i) seeds.push_back(10 + i);
  return seeds;
}

// Actions of environment i at step t: the same wherever it is.
std::vector<float> Actions(const EnvironmentPool& pool, int t) {
  std::vector<float> actions;
  for (int i = 0; i < pool.size(); ++i) {
    for (int k = 0; k < pool.info().action_size; ++k)
      actions.push_back(static_cast<float>((7 * i + 3 * t + k) % 11) / 5 - 1);
  }
  return actions;
}

// Observation, reward and flags of environment `index`.
void Append(EnvironmentPool& pool, int index, std::vector<double>* numbers) {
  const size_t width = pool.info().observation_size;
  const auto row = pool.observations().subspan(index * width, width);
  numbers->insert(numbers->end(), row.begin(), row.end());
  numbers->push_back(pool.rewards()[index]);
  numbers->push_back(pool.terminated()[index]);
  numbers->push_back(pool.truncated()[index]);
  numbers->push_back(pool.successes()[index]);
}

std::vector<double> History(EnvironmentPool& pool, int index, int steps) {
  std::vector<double> numbers;
  REQUIRE(pool.Reset(Seeds(pool.size()), {}, {}).ok());
  Append(pool, index, &numbers);
  for (int t = 0; t < steps; ++t) {
    REQUIRE(pool.Step(Actions(pool, t)).ok());
    Append(pool, index, &numbers);
  }
  return numbers;
}

Options Short(Autoreset autoreset, int size = 1, int threads = 1) {
  return {.environment = "point_reach",
          .options = mentor::testing::Options({{"episode_steps", "3"}}),
          .size = size,
          .threads = threads,
          .autoreset = autoreset};
}

TEST_CASE("environment pool: bits do not depend on size and threads", "[unit]") {
  for (const std::string environment : {"point_reach", "Hopper-v5", "push-v3"}) {
    const auto alone = Make({.environment = environment});
    const std::vector<double> expected = History(*alone, 0, 60);
    for (const int size : {1, 3, 8}) {
      for (const int threads : {1, 2, 5}) {
        INFO(environment << " " << size << " " << threads);
        const auto pool = Make({.environment = environment, .size = size, .threads = threads});
        CHECK(History(*pool, 0, 60) == expected);
      }
    }
  }
}

TEST_CASE("environment pool: environments have the classes of a benchmark in turn", "[unit]") {
  v1::BenchmarkSpec spec;
  spec.set_name("ml10");
  Violations violations;
  const auto benchmark = MakeBenchmark(spec, &violations);
  REQUIRE(violations.empty());
  const std::vector<TaskSet>& classes = benchmark->Tasks(Split::kTest);
  const auto pool = Make({.classes = classes, .size = 7, .threads = 2});
  const std::vector<float> actions = Actions(*pool, 0);
  for (const uint32_t goal : {0, 9}) {
    REQUIRE(pool->Reset(Seeds(7), {}, {.goal = goal}).ok());
    REQUIRE(pool->Step(actions).ok());
    for (int i = 0; i < 7; ++i) {
      const v1::EnvironmentTask task = classes[i % 5].tasks[goal];
      const auto alone = Make({.environment = task.environment(), .goal_visible = false});
      const std::vector<double> parameters(task.parameters().begin(), task.parameters().end());
      const std::vector<uint64_t> seed = {Seeds(7)[i]};
      REQUIRE(alone->Reset(seed, {}, {.parameters = parameters}).ok());
      REQUIRE(alone->Step(std::span(actions).subspan(4 * i, 4)).ok());
      std::vector<double> found, expected;
      Append(*pool, i, &found);
      Append(*alone, 0, &expected);
      CHECK(found == expected);
    }
  }
  CHECK(absl::IsInvalidArgument(pool->Reset({}, {}, {.goal = 50})));
  CHECK(absl::IsInvalidArgument(pool->Reset({}, {}, {.parameters = {{1, 2, 3}}})));
}

TEST_CASE("environment pool: autoreset on the next step", "[unit]") {
  const auto pool = Make(Short(Autoreset::kNextStep));
  REQUIRE(pool->Reset(Seeds(1), {}, {}).ok());
  for (int t = 0; t < 3; ++t) {
    CHECK(pool->truncated()[0] == 0);
    REQUIRE(pool->Step(Actions(*pool, t)).ok());
  }
  CHECK(pool->truncated()[0] == 1);
  REQUIRE(pool->Step(Actions(*pool, 3)).ok());
  CHECK(pool->truncated()[0] == 0);
  CHECK(pool->rewards()[0] == 0);
}

TEST_CASE("environment pool: autoreset in the same step keeps the last observation", "[unit]") {
  const auto pool = Make(Short(Autoreset::kSameStep));
  const auto plain = Make(Short(Autoreset::kDisabled));
  for (auto* one : {pool.get(), plain.get()}) {
    REQUIRE(one->Reset(Seeds(1), {}, {}).ok());
    for (int t = 0; t < 3; ++t) REQUIRE(one->Step(Actions(*one, t)).ok());
    CHECK(one->truncated()[0] == 1);
  }
  CHECK(std::ranges::equal(pool->final_observations(), plain->observations()));
  CHECK(pool->rewards()[0] == plain->rewards()[0]);
  REQUIRE(plain->Reset({}, {}, {}).ok());
  CHECK(std::ranges::equal(pool->observations(), plain->observations()));
}

TEST_CASE("environment pool: without autoreset the caller resets those that ended", "[unit]") {
  const auto pool = Make(Short(Autoreset::kDisabled, 2, 2));
  REQUIRE(pool->Reset(Seeds(2), {}, {}).ok());
  REQUIRE(pool->Step(Actions(*pool, 0)).ok());
  const std::vector<uint8_t> first = {1, 0};
  REQUIRE(pool->Reset({}, first, {}).ok());
  for (int t = 1; t < 3; ++t) REQUIRE(pool->Step(Actions(*pool, t)).ok());
  CHECK(pool->truncated()[0] == 0);
  CHECK(pool->truncated()[1] == 1);
  const double before = pool->observations()[0];
  const absl::Status status = pool->Step(Actions(*pool, 3));
  CHECK(absl::IsFailedPrecondition(status));
  CHECK(status.message().find("environment 1") != std::string::npos);
  CHECK(status.message().find("reset_mask") != std::string::npos);
  // The other one made its step.
  CHECK(pool->truncated()[0] == 1);
  CHECK(pool->observations()[0] != before);
}

TEST_CASE("environment pool: those left out of the first reset have their seed", "[unit]") {
  const auto pool = Make(Short(Autoreset::kDisabled, 2));
  const auto both = Make(Short(Autoreset::kDisabled, 2));
  const std::vector<uint8_t> first = {1, 0}, second = {0, 1};
  REQUIRE(pool->Reset(Seeds(2), first, {}).ok());
  CHECK(absl::IsFailedPrecondition(pool->Step(Actions(*pool, 0))));
  REQUIRE(pool->Reset({}, second, {}).ok());
  REQUIRE(both->Reset(Seeds(2), {}, {}).ok());
  std::vector<double> found, expected;
  Append(*pool, 1, &found);
  Append(*both, 1, &expected);
  CHECK(found == expected);
}

TEST_CASE("environment pool: goal i is training goal i of ML1", "[unit]") {
  v1::BenchmarkSpec spec;
  spec.set_name("ml1");
  spec.set_environment("reach-v3");
  spec.set_goal_seed(4);
  Violations violations;
  const auto benchmark = MakeBenchmark(spec, &violations);
  REQUIRE(violations.ToStatus().ok());
  const auto tasks = benchmark->Tasks(Split::kTrain)[0].tasks;
  const auto pool = Make({.environment = "reach-v3", .goal_seed = 4});
  for (const uint32_t goal : {0U, 7U, 49U}) {
    const v1::EnvironmentTask task = tasks[goal];
    REQUIRE(pool->Reset(Seeds(1), {}, {.goal = goal}).ok());
    const std::vector<double> by_goal(pool->observations().begin(), pool->observations().end());
    const std::vector<double> numbers(task.parameters().begin(), task.parameters().end());
    REQUIRE(pool->Reset(Seeds(1), {}, {.parameters = numbers}).ok());
    CHECK(std::ranges::equal(pool->observations(), by_goal));
  }
  const absl::Status beyond = pool->Reset({}, {}, {.goal = 50});
  CHECK(absl::IsInvalidArgument(beyond));
  CHECK(beyond.message().find("options['goal']") != std::string::npos);
}

TEST_CASE("environment pool: a saved state goes on in another pool, episode after episode",
          "[unit]") {
  const auto pool = Make(Short(Autoreset::kNextStep));
  REQUIRE(pool->Reset(Seeds(1), {}, {}).ok());
  REQUIRE(pool->Step(Actions(*pool, 0)).ok());
  const std::string state = pool->SaveState(0).value();
  const auto other = Make(Short(Autoreset::kNextStep));
  REQUIRE(other->RestoreState(0, state).ok());
  for (int t = 1; t < 12; ++t) {
    REQUIRE(pool->Step(Actions(*pool, t)).ok());
    REQUIRE(other->Step(Actions(*other, t)).ok());
    CHECK(std::ranges::equal(pool->observations(), other->observations()));
    CHECK(pool->rewards()[0] == other->rewards()[0]);
  }
}

TEST_CASE("environment pool: a state with any bit changed is refused, and the episode goes on",
          "[unit]") {
  const auto pool = Make(Short(Autoreset::kNextStep)), other = Make(Short(Autoreset::kNextStep));
  REQUIRE(pool->Reset(Seeds(1), {}, {}).ok());
  REQUIRE(other->Reset(Seeds(1), {}, {}).ok());
  const std::string state = pool->SaveState(0).value();
  for (size_t length = 0; length < state.size(); ++length)
    CHECK_FALSE(other->RestoreState(0, std::string_view(state).substr(0, length)).ok());
  // With a digest of its own each beginning of the numbers is too short, too.
  for (size_t length = 0; length < 18; ++length) {
    Sha256 hash;
    hash.Update(std::string_view(state).substr(0, length));
    const absl::Status refused =
        other->RestoreState(0, state.substr(0, length) + std::string(hash.Finish()));
    CHECK(absl::IsInvalidArgument(refused));
    CHECK(absl::StrContains(refused.message(), "is too short"));
  }
  for (size_t bit = 0; bit < 8 * state.size(); ++bit) {
    std::string damaged = state;
    damaged[bit / 8] ^= static_cast<char>(1 << bit % 8);
    const absl::Status refused = other->RestoreState(0, damaged);
    if (!absl::IsInvalidArgument(refused) ||
        refused.message().find("is damaged") == absl::string_view::npos)
      FAIL("bit " << bit << ": " << refused.ToString());
  }
  REQUIRE(pool->Step(Actions(*pool, 0)).ok());
  REQUIRE(other->Step(Actions(*other, 0)).ok());
  CHECK(std::ranges::equal(pool->observations(), other->observations()));
}

// The rings go round many times while some environments stay at work.
TEST_CASE("environment pool: send and recv lose nothing and mix nothing up", "[unit]") {
  constexpr int kSize = 7, kBatch = 2, kSteps = 400;
  Options options = Short(Autoreset::kNextStep, kSize, 3);
  const auto plain = Make(options);
  options.asynchronous = true;
  const auto pool = Make(options);
  std::vector<std::vector<double>> expected(kSize), found(kSize);
  REQUIRE(plain->Reset(Seeds(kSize), {}, {}).ok());
  REQUIRE(pool->SendReset(Seeds(kSize), {}, {}).ok());
  for (int i = 0; i < kSize; ++i) Append(*plain, i, &expected[i]);
  for (int t = 0; t < kSteps; ++t) {
    REQUIRE(plain->Step(Actions(*plain, t)).ok());
    for (int i = 0; i < kSize; ++i) Append(*plain, i, &expected[i]);
  }
  std::vector<int> step(kSize);
  while (pool->at_work() > 0) {
    std::vector<int32_t> ids(std::min(kBatch, pool->at_work()));
    REQUIRE(pool->Recv(ids).ok());
    for (const int32_t id : ids) {
      Append(*pool, id, &found[id]);
      if (step[id] == kSteps) continue;
      const std::vector<float> all = Actions(*pool, step[id]++);
      const std::vector<int32_t> one = {id};
      REQUIRE(pool->Send(std::span(all).subspan(id * 2, 2), one).ok());
    }
  }
  CHECK(found == expected);
}

TEST_CASE("environment pool: a pool with work in flight ends", "[unit]") {
  for (int n = 0; n < 50; ++n) {
    Options options = Short(Autoreset::kNextStep, 16, 3);
    options.asynchronous = true;
    const auto pool = Make(options);
    REQUIRE(pool->SendReset(Seeds(16), {}, {}).ok());
    if (n % 2 == 0) REQUIRE(pool->Close().ok());
  }
}

TEST_CASE("environment pool: errors name the field", "[unit]") {
  CHECK(absl::IsInvalidArgument(
      EnvironmentPool::Make({.environment = "point_reach", .size = 0}).status()));
  CHECK(absl::IsNotFound(EnvironmentPool::Make({.environment = "point_reech"}).status()));
  const auto many = EnvironmentPool::Make({.environment = "Humanoid-v5", .size = 1 << 18});
  CHECK(many.status().message().rfind("num_envs: ", 0) == 0);
  const auto pool = Make({.environment = "point_reach", .size = 2});
  CHECK(absl::IsFailedPrecondition(pool->Step(Actions(*pool, 0))));
  CHECK(absl::StrContains(pool->ScriptedAction(0).status().message(), "no episode has begun"));
  REQUIRE(pool->Reset(Seeds(2), {}, {}).ok());
  CHECK_FALSE(absl::StrContains(pool->ScriptedAction(0).status().message(), "no episode"));
  const std::vector<float> few(3);
  CHECK(absl::IsInvalidArgument(pool->Step(few)));
  std::vector<float> bad = Actions(*pool, 0);
  bad[3] = std::numeric_limits<float>::quiet_NaN();
  const absl::Status status = pool->Step(bad);
  CHECK(absl::IsInvalidArgument(status));
  CHECK(status.message().rfind("actions[1, 1]", 0) == 0);
  const std::vector<float> one(2);
  const std::vector<int32_t> beyond = {2};
  CHECK(absl::IsInvalidArgument(pool->Send(one, beyond)));
  std::vector<int32_t> ids(1);
  CHECK(absl::IsFailedPrecondition(pool->Recv(ids)));
}

TEST_CASE("environment pool: closed while another thread steps", "[unit]") {
  for (int n = 0; n < 20; ++n) {
    const auto pool = Make({.environment = "point_reach", .size = 4, .threads = 2});
    REQUIRE(pool->Reset(Seeds(4), {}, {}).ok());
    const std::vector<float> actions = Actions(*pool, 0);
    std::thread other([&] {
      while (pool->Step(actions).message().find("closed") == std::string_view::npos) {
      }
    });
    while (!pool->Close().ok()) {
    }
    other.join();
    CHECK(absl::IsFailedPrecondition(pool->Step(actions)));
    CHECK(absl::IsFailedPrecondition(pool->SaveState(0).status()));
  }
}

TEST_CASE("environment pool: a forked process is told that the threads stayed behind", "[unit]") {
  const auto pool = Make({.environment = "point_reach", .size = 2, .threads = 2});
  const std::vector<uint64_t> seeds = {1, 2};
  REQUIRE(pool->Reset(seeds, {}, {}).ok());
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

}  // namespace mentor::envs::TEST_FILE
