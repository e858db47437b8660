// A replayed lifetime equals that of the evaluation, number by number, and its episodes can be
// watched.
#include "cli/local/relive.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include <CLI/CLI.hpp>
#include <absl/strings/str_replace.h>

#include "agents/numerics.h"
#include "cli/commands.h"
#include "cli/local/run_report.h"
#include "common/evaluation_method.h"
#include "common/file.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/store/checkpoint.h"
#include "tests/loopback/cli/local/tiny_runs.h"
#include "tests/temp_folder.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using mentor::testing::Contains;

constexpr char kEnvironment[] = "InvertedPendulum-v5";  // Episodes end early.
const std::string kSpec = testing::TinySpec(R"(
  benchmark { name: "single" environment: "InvertedPendulum-v5" }
  lifetime { iterations: 3 steps_per_iteration: 64 }
  rule { outer_updates: 1 lifetimes_per_update: 4 shard_lifetimes: 4
         option { name: "k" value: "16" } }
  evaluation {
    lifetimes_per_goal: 2 deterministic_episodes: 1
    baseline: [PPO_SPARSE, PPO_SHAPED, PPO_POTENTIAL, PPO_RND, PPO_ICM, PPO_COUNTS]
    bonus { name: "rnd" option { name: "hidden" value: "16" } }
    bonus { name: "icm" option { name: "hidden" value: "16" } }
  }
)");

// So fast that two updates tell all teachers apart.
const std::vector<std::string> kOverrides = {"agent.learning_rate=2e-2"};

bool GoOn(int, int) {
  return true;
}

// The folder of a finished run; one for all test cases.
const std::filesystem::path& RunOnce() {
  static const testing::TempFolder folder;
  static const bool done = [] {
    REQUIRE(agents::FixNumerics().ok());
    return testing::RunQuietly(testing::Checked(kSpec, kOverrides), folder.path()) == 0;
  }();
  REQUIRE(done);
  return folder.path();
}

std::string Message(const absl::StatusOr<Lifetime>& lifetime) {
  CHECK_FALSE(lifetime.ok());
  return std::string(lifetime.status().message());
}

TEST_CASE("relive: episodes and returns are those of the evaluation", "[loopback]") {
  const auto run = FindRun(RunOnce());
  REQUIRE(run.ok());
  const auto shards = meta_learner::ReadEvaluation(run->experiment);
  REQUIRE(shards.ok());
  int compared = 0;
  for (const v1::EvaluationShard& shard : *shards) {
    for (const v1::EvaluatedLifetime& expected : shard.lifetimes()) {
      if (expected.number() % 2 != 0) continue;  // The first lifetime of each goal.
      INFO(NameOf(shard.taught_by()) << " " << shard.split() << " " << expected.number());
      const auto lived =
          Relive({.run = RunOnce(),
                  .environment = kEnvironment,
                  .split = shard.split() == "test" ? envs::Split::kTest : envs::Split::kTrain,
                  .goal = static_cast<int>(expected.goal()),
                  .teacher = InfoOf(shard.taught_by()).option},
                 GoOn);
      REQUIRE(lived.ok());
      CHECK(lived->number == expected.number());
      std::vector<double> returns, deterministic;
      for (const LivedEpisode& episode : lived->episodes) {
        double sum = 0;
        for (double reward : episode.rewards) sum += reward;
        if (episode.deterministic) {
          deterministic.push_back(sum);
        } else if (episode.complete) {  // The evaluation counts no others.
          returns.push_back(sum);
        }
      }
      CHECK(returns == std::vector<double>(expected.episode_return().begin(),
                                           expected.episode_return().end()));
      REQUIRE_FALSE(deterministic.empty());
      // Enough steps for a full episode, and many early ends.
      CHECK(expected.deterministic_return_size() == 1);
      CHECK(expected.deterministic_success_size() == 1);
      CHECK(deterministic[0] == expected.deterministic_return(0));
      ++compared;
    }
  }
  CHECK(compared >= 4);
}

TEST_CASE("relive: agents of each baseline live alike until the first update, then apart",
          "[loopback]") {
  const auto run = FindRun(RunOnce());
  REQUIRE(run.ok());
  const auto shards = meta_learner::ReadEvaluation(run->experiment);
  REQUIRE(shards.ok());
  std::set<double> first;  // Returns of each method's first episode.
  std::map<v1::EvaluationMethod, std::vector<double>> lives;
  for (const v1::EvaluationShard& shard : *shards) {
    if (IsLearned(shard.taught_by())) continue;
    for (const v1::EvaluatedLifetime& life : shard.lifetimes()) {
      std::vector<double>& returns = lives[shard.taught_by()];
      if (returns.empty()) first.insert(life.episode_return(0));
      returns.insert(returns.end(), life.episode_return().begin(), life.episode_return().end());
    }
  }
  CHECK(first.size() == 1);
  CHECK(lives.size() == 6);
  std::set<std::vector<double>> different;
  for (const auto& [method, returns] : lives) different.insert(returns);
  CHECK(different.size() == 6);
}

TEST_CASE("relive: an episode plays again as it was lived, or says that it does not",
          "[loopback]") {
  auto lived = Relive({.run = RunOnce(), .environment = kEnvironment}, GoOn);
  REQUIRE(lived.ok());
  REQUIRE(lived->episodes.size() > 3);
  const auto environment = envs::MakeEnvironment(lived->task);
  REQUIRE(environment.ok());
  for (const size_t index : {size_t{2}, size_t{0}, lived->episodes.size() - 1}) {
    const LivedEpisode& episode = lived->episodes[index];
    const auto again = PlayAgain(**environment, *lived, episode, GoOn);
    REQUIRE(again.ok());
    CHECK(again->moments.size() == episode.rewards.size() + 1);
    CHECK(again->complete == episode.complete);
  }
  lived->episodes[0].rewards[1] += 1e-9;
  CHECK(Contains(PlayAgain(**environment, *lived, lived->episodes[0], GoOn).status().ToString(),
                 "step 2 has another reward"));
  CHECK(absl::IsCancelled(Relive({.run = RunOnce(), .environment = kEnvironment}, [](int, int) {
                            return false;
                          }).status()));
}

TEST_CASE("relive: what a run does not have is said", "[loopback]") {
  const auto with = [](ReliveOptions options) {
    if (options.run.empty()) options.run = RunOnce();
    if (options.environment.empty()) options.environment = kEnvironment;
    return Message(Relive(options, GoOn));
  };
  CHECK(Contains(with({.run = "/nonexistent"}), "/nonexistent does not exist"));
  CHECK(Contains(with({.environment = "Hopper-v5"}),
                 "do not live in Hopper-v5; they live in InvertedPendulum-v5"));
  CHECK(
      Contains(with({.goal = 1}), "--goal 1: the run has the goals 0 to 0 of InvertedPendulum-v5"));
  CHECK(Contains(with({.teacher = "nobody"}), "unknown teacher 'nobody'; known: learned, best"));

  // A checkpoint may be named; it must belong to this run.
  const auto run = FindRun(RunOnce());
  const std::filesystem::path file =
      run->experiment / "checkpoints" / meta_learner::CheckpointFileName(1);
  CHECK(Relive({.run = file, .environment = kEnvironment}, GoOn).ok());
  const testing::TempFolder other;
  std::filesystem::create_directories(other.path() / "checkpoints");
  std::filesystem::copy(file, other.path() / "checkpoints" / "00000001.ckpt");
  REQUIRE(WriteFileAtomically(other.path() / "spec.txtpb",
                              absl::StrReplaceAll(kSpec, {{"seed: 5", "seed: 6"}}))
              .ok());
  CHECK(Contains(with({.run = other.path()}), "its spec has the hash"));
}

// Runs `mentor env ARGUMENTS`.
int Env(std::vector<std::string> arguments) {
  CLI::App app;
  std::function<int()> action;
  AddEnvCommand(&app, &action);
  arguments.insert(arguments.begin(), "env");
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError&) {
    return 2;
  }
  return action();
}

TEST_CASE("env render: a run's agent first and last, tasks, options, wrappers, errors",
          "[loopback]") {
  const testing::TempFolder folder;
  const auto out = [&](const char* name) { return (folder.path() / name).string(); };
  CHECK(Env({"render", kEnvironment, "--policy", RunOnce().string(), "--out", out("life.png"),
             "--frames", "2", "--size", "96x64", "--quiet"}) == 0);
  CHECK(std::filesystem::file_size(out("life.png")) > 1000);
  CHECK(Env({"render", "push-v3", "--task", "-0.05,0.65,0.02,0.05,0.85,0.015", "--steps", "4",
             "--frames", "1", "--size", "96x64", "--camera", "corner3", "--wrapper",
             "sparse_reward", "--quiet", "--out", out("push.png")}) == 0);
  CHECK(Env({"render", "reach-v3", "--benchmark", "ml1", "--split", "train", "--goal", "49",
             "--policy", "random", "--steps", "4", "--frames", "1", "--size", "96x64", "--quiet",
             "--out", out("reach.png")}) == 0);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()),
                      std::filesystem::directory_iterator()) == 3);
  const auto refused = [&](std::vector<std::string> arguments) {
    for (const char* word : {"--quiet", "--out"}) arguments.emplace_back(word);
    arguments.push_back(out("no.gif"));
    return Env(std::move(arguments)) == 2 && !std::filesystem::exists(out("no.gif"));
  };
  CHECK(refused({"render", "push"}));
  CHECK(refused({"render", "push-v3", "--task", "1,2"}));
  CHECK(refused({"render", "push-v3", "--task", "a,b"}));
  CHECK(refused({"render", "push-v3", "--size", "96"}));
  CHECK(refused({"render", "push-v3", "--option", "mass"}));
  CHECK(refused({"render", "push-v3", "--wrapper", "nothing"}));
  CHECK(refused({"render", "push-v3", "--camera", "behind"}));
  CHECK(refused({"render", "push-v3", "--benchmark", "ml1", "--goal", "50"}));
  CHECK(refused({"render", "push-v3", "--policy", "nowhere"}));
  CHECK(refused({"render", "point_reach"}));
  CHECK(refused({"render", kEnvironment, "--policy", RunOnce().string(), "--episode", "next"}));
  CHECK(refused({"render", kEnvironment, "--policy", RunOnce().string(), "--steps", "9"}));
}

}  // namespace mentor::TEST_FILE
