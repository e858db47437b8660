// Episodic control in mazes (methods/episodic_control/README.md#required-results): the agents of
// the ready specs find shortest ways, and agents that write wrongly or take the first of equals do
// not. Agents live here with the learner's own loop, plan of units and unit runner, without
// services, so that every step can be counted.
#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actor/unit_runner.h"
#include "common/spec/spec.h"
#include "envs/environment.h"
#include "meta_learner/experiment/parts.h"
#include "meta_learner/experiment/shards.h"
#include "methods/episodic_control/loop.h"
#include "shards/unit_plan.h"
#include "tests/learning/learning.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using agents::Segment;
using methods::EpisodicConfig;

// The replaced part of a broken agent; none: the real agent.
struct Broken {
  std::function<void(EpisodicConfig*)> config = nullptr;
  std::function<void(v1::PolicyWeights*)> policy = nullptr;
};

// One agent's life in its maze.
struct MazeLife {
  int shortest = 0;          // Steps of a shortest way.
  std::vector<int> lengths;  // Over all episodes that ended.
  int optimal_after = -1;    // Steps until the greedy way was a shortest one; -1: never.

  double LastExcess() const {
    constexpr size_t kLast = 20;
    const size_t count = std::min(kLast, lengths.size());
    double sum = 0;
    for (size_t i = lengths.size() - count; i < lengths.size(); ++i) sum += lengths[i];
    return sum / static_cast<double>(count) - shortest;
  }
};

int ShortestWay(const v1::EnvironmentTask& task) {
  const auto environment = envs::MakeEnvironment(task);
  REQUIRE(environment.ok());
  std::vector<double> observation(static_cast<size_t>((*environment)->info().observation_size));
  std::vector<float> action(static_cast<size_t>((*environment)->info().action_size));
  REQUIRE((*environment)->Reset({}, 0, observation).ok());
  for (int steps = 1;; ++steps) {
    REQUIRE((*environment)->ScriptedAction(action));
    const auto outcome = (*environment)->Step(action, observation);
    REQUIRE(outcome.ok());
    if (outcome->terminated) return steps;
  }
}

v1::Shard ShardOf(const v1::ExperimentSpec& spec) {
  const v1::ExperimentSpec whole = WithDefaults(spec);
  Violations violations;
  const auto parts = meta_learner::MakeParts(whole, /*pool=*/nullptr, &violations);
  REQUIRE(violations.empty());
  const auto tasks = meta_learner::EvaluationTasks(*parts.benchmark, whole, envs::Split::kTest);
  auto shards = meta_learner::EvaluationShards(
      {"experiments/mazes", whole, *parts.benchmark}, tasks,
      /*first_number=*/0, envs::Split::kTest, v1::REWARD_SOURCE_SIGNAL);
  REQUIRE(shards.size() == 1);
  return shards[0];
}

std::unique_ptr<methods::InnerLoop> MakeLoop(const v1::Shard& shard, const Broken& broken) {
  Violations violations;
  methods::InnerLoopContext context;
  context.shard = &shard;
  context.options = OptionValues::Parse(methods::FindInnerLoop("episodic_control")->options,
                                        shard.inner_loop().option(), "rule.option", &violations);
  REQUIRE(violations.empty());
  EpisodicConfig config = methods::ReadEpisodicControl(context.options, shard);
  if (broken.config) broken.config(&config);
  return methods::MakeEpisodicControl(context, std::move(config));
}

std::vector<MazeLife> Live(const std::string& file, const std::vector<std::string>& overrides,
                           const Broken& broken = {}) {
  const v1::Shard shard = ShardOf(testing::ReadySpec(file, overrides));
  const auto steps = shard.spec().lifetime().steps_per_iteration();
  const int limit = static_cast<int>(shard.shape().episode_steps());
  std::vector<MazeLife> lives;
  for (const v1::Lifetime& lifetime : shard.lifetimes())
    lives.emplace_back().shortest = ShortestWay(lifetime.task());
  actor::UnitRunner runner;
  const auto run = [&](const std::vector<v1::Unit>& units) {
    std::vector<v1::Result> results;
    for (const v1::Unit& unit : units) {
      results.push_back(runner.Run(unit));
      REQUIRE(results.back().error() == "");
    }
    return results;
  };
  const auto policies_of = [&](std::vector<v1::PolicyWeights> policies) {
    for (v1::PolicyWeights& policy : policies) {
      if (broken.policy) broken.policy(&policy);
    }
    return policies;
  };

  std::vector<v1::EpisodeCursor> cursors = shards::FirstCursors(shard.lifetimes_size());
  std::vector<int> running(lives.size(), 0);
  const auto loop = MakeLoop(shard, broken);
  loop->Begin();
  const torch::NoGradGuard no_grad;
  for (uint32_t iteration = 0; iteration < shard.iterations(); ++iteration) {
    methods::LoopReport report;
    const auto segment = loop->Iterate(
        iteration,
        [&](std::vector<v1::PolicyWeights> policies) {
          const shards::CollectionPlan plan{
              .number = iteration, .steps = steps, .policies = policies_of(std::move(policies))};
          const auto units = shards::PlanUnits(shard, /*unit_shard=*/1, plan, cursors);
          return shards::AssembleSegment(shard, plan, units, run(units), &cursors);
        },
        &report);
    INFO(segment.status());
    REQUIRE(segment.ok());
    // A greedy episode from the start.
    const auto greedy = run(shards::PlanUnits(shard, /*unit_shard=*/2,
                                              {.number = iteration + 1,
                                               .steps = static_cast<uint32_t>(limit),
                                               .deterministic = true,
                                               .policies = policies_of(loop->Policies())},
                                              cursors));
    for (size_t s = 0; s < lives.size(); ++s) {
      MazeLife& life = lives[s];
      for (int64_t t = 0; t < steps; ++t) {
        ++running[s];
        const auto at = static_cast<int64_t>(s);
        const torch::Tensor ended =
            t + 1 < steps ? segment->prev_done[at][t + 1] : segment->last_done[at];
        if (ended.item<float>() == 0) continue;
        life.lengths.push_back(std::exchange(running[s], 0));
      }
      const size_t first = greedy[s].trajectory().terminations().data().find('\1');
      if (life.optimal_after < 0 && first + 1 == static_cast<size_t>(life.shortest))
        life.optimal_after = static_cast<int>((iteration + 1) * steps);
    }
  }
  for (const MazeLife& life : lives) {
    WARN("shortest way " << life.shortest << ", " << life.lengths.size() << " episodes, the last "
                         << life.LastExcess() << " longer, optimal after " << life.optimal_after);
  }
  return lives;
}

double MedianExcess(const std::vector<MazeLife>& lives) {
  std::vector<double> excess;
  for (const MazeLife& life : lives) excess.push_back(life.LastExcess());
  std::sort(excess.begin(), excess.end());
  const size_t middle = excess.size() / 2;
  const double median =
      excess.size() % 2 == 1 ? excess[middle] : (excess[middle - 1] + excess[middle]) / 2;
  WARN("median of " << excess.size() << " mazes: " << median);
  return median;
}

Broken WithRewrite(methods::EpisodicTable<float>::Rewrite rewrite) {
  return {.config = [rewrite](EpisodicConfig* config) { config->rewrite = rewrite; }};
}

// The first of equal actions is taken: each value is slightly less than those of earlier actions.
// An empty table gets a row for that; everything else stays as it was.
void TakeFirstOfEquals(v1::PolicyWeights* policy) {
  constexpr float kTrifle = 1e-8F;
  const size_t key = policy->episodic().key();
  std::string bytes;
  size_t place = 0;
  for (uint32_t a = 0; a < policy->action_size(); ++a) {
    int32_t rows = 0;
    std::memcpy(&rows, policy->weights().data() + place, sizeof(rows));
    place += sizeof(rows);
    const auto n = static_cast<size_t>(std::max(rows, 1));
    std::vector<float> numbers(n * (key + 1), 0.0F);
    if (rows > 0)
      std::memcpy(numbers.data(), policy->weights().data() + place, numbers.size() * sizeof(float));
    place += static_cast<size_t>(rows) * (key + 1) * sizeof(float);
    for (size_t i = n * key; i < numbers.size(); ++i) numbers[i] -= kTrifle * static_cast<float>(a);
    const auto count = static_cast<int32_t>(n);
    bytes.append(reinterpret_cast<const char*>(&count), sizeof(count));
    bytes.append(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float));
  }
  REQUIRE(place == policy->weights().size());
  policy->set_weights(bytes);
}

constexpr char kMfec[] = "maze_mfec.txtpb", kNec[] = "maze_nec.txtpb";
constexpr double kExcess = 6;   // Steps more than a shortest way.
constexpr int64_t kSolved = 8;  // Over nine mazes.

TEST_CASE("learning: MFEC walks mazes by nearly shortest ways", "[learning]") {
  const std::vector<MazeLife> lives = Live(kMfec, {"seed=1"});
  CHECK(lives.size() == 6);
  CHECK(MedianExcess(lives) <= kExcess);
}
TEST_CASE("learning: broken MFEC keeps the last return", "[learning][nightly]") {
  CHECK(MedianExcess(Live(kMfec, {"seed=1"}, WithRewrite([](float, float written) {
                            return written;
                          }))) > 2 * kExcess);
}
TEST_CASE("learning: broken MFEC keeps the least return", "[learning][nightly]") {
  CHECK(MedianExcess(Live(kMfec, {"seed=1"}, WithRewrite([](float stored, float written) {
                            return std::min(stored, written);
                          }))) > 2 * kExcess);
}
TEST_CASE("learning: broken MFEC takes the first of equals", "[learning][nightly]") {
  CHECK(MedianExcess(Live(kMfec, {"seed=1"}, {.policy = TakeFirstOfEquals})) > 2 * kExcess);
}

// Agents in the mazes of three seeds.
std::vector<MazeLife> NecLives(const Broken& broken = {}) {
  std::vector<MazeLife> lives;
  for (const char* seed : {"seed=1", "seed=2", "seed=3"}) {
    for (MazeLife& life : Live(kNec, {seed}, broken)) lives.push_back(std::move(life));
  }
  return lives;
}
// Mazes whose greedy way was a shortest one at some time.
int64_t Solved(const std::vector<MazeLife>& lives) {
  return std::count_if(lives.begin(), lives.end(),
                       [](const MazeLife& life) { return life.optimal_after > 0; });
}
TEST_CASE("learning: NEC finds shortest ways from pixels and keeps to them",
          "[learning][nightly]") {
  const std::vector<MazeLife> lives = NecLives();
  CHECK(Solved(lives) >= kSolved);
  CHECK(MedianExcess(lives) <= kExcess);
}
TEST_CASE("learning: broken NEC never writes a row again", "[learning][nightly]") {
  const std::vector<MazeLife> lives =
      NecLives(WithRewrite([](float stored, float) { return stored; }));
  CHECK(Solved(lives) < kSolved / 2);
  CHECK(MedianExcess(lives) > 2 * kExcess);
}

TEST_CASE("episodic control: the same bits whoever collects and learns", "[learning]") {
  // The checkpoint is in the middle of lives, so that tables are part of the state.
  const std::vector<std::string> overrides = {"rule.outer_updates=8", "rule.lifetimes_per_update=4",
                                              "rule.shard_lifetimes=2",
                                              "evaluation.lifetimes_per_goal=0"};
  testing::CheckSameBits(kMfec, overrides);
  std::vector<std::string> trained = overrides;
  trained.insert(trained.end(), {"rule.learning_rate=1e-3", "rule.epsilon_iterations=4"});
  testing::CheckSameBits(kNec, trained);
}

}  // namespace mentor::TEST_FILE
