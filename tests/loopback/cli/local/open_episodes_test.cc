// Rules that decide inside a lifetime measure whole episodes. The borders of inner iterations lie
// inside episodes. The records of the iterations must equal those of the whole lifetimes, also
// after a resume from a checkpoint between two iterations.
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>

#include "agents/numerics.h"
#include "cli/local/relive.h"
#include "common/file.h"
#include "common/spec/spec.h"
#include "meta_learner/experiment/checked_spec.h"
#include "meta_learner/experiment/experiment_state.h"
#include "meta_learner/experiment/parts.h"
#include "meta_learner/experiment/round.h"
#include "meta_learner/experiment/tensor_sections.h"
#include "meta_learner/experiment/trained_episodes.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/store.h"
#include "signals/signal_network.h"
#include "tests/loopback/cli/local/tiny_runs.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using meta_learner::Checkpoint;
using Series = std::map<std::string, std::map<uint32_t, double>>;  // Values by metric and step.

// Two generations.
constexpr uint32_t kIterations = 3, kUpdates = 2 * kIterations, kLifetimes = 4;
// Episodes of 10 steps that succeed now and then, and episodes that end early: neither fits into
// iterations of 54.
constexpr const char* kBenchmarks[] = {R"(name: "point_reach")",
                                       R"(name: "single" environment: "InvertedPendulum-v5")"};

const absl::Status fixed = agents::FixNumerics();

// The rule's minimal spec, with any signal network that suits it. Lifetimes have the default
// length, or one iteration where agents do not learn within their lives.
bool DecidesInside(const methods::RuleEntry& rule) {
  for (const signals::SignalEntry* signal : signals::SignalNetworks()) {
    for (const v1::SignalRole role : {v1::REWARD, v1::ADVANTAGE}) {
      for (const bool one_iteration : {false, true}) {
        v1::ExperimentSpec spec;
        spec.mutable_benchmark()->set_name("point_reach");
        methods::AddExample(rule, &spec);
        spec.mutable_rule()->set_shard_lifetimes(30);
        if (!spec.has_signal()) {
          spec.mutable_signal()->set_name(signal->name);
          spec.mutable_signal()->set_role(role);
        }
        spec.mutable_evaluation()->set_lifetimes_per_goal(0);
        if (one_iteration) {
          spec.mutable_lifetime()->set_iterations(1);
          spec.mutable_evaluation()->set_deterministic_episodes(0);
          spec.mutable_evaluation()->add_baseline(v1::RANDOM_SIGNAL);
        }
        Violations violations;
        const auto parts =
            meta_learner::MakeParts(WithDefaults(spec), /*pool=*/nullptr, &violations);
        if (parts.rule != nullptr) return parts.rule->needs().decisions_inside_lifetime;
      }
    }
  }
  FAIL(rule.name << " goes with no signal network");
  return false;
}

// A spec of the rule with a signal network that suits it, in two shards where the rule allows that.
v1::ExperimentSpec SpecOf(const std::string& rule, const std::string& benchmark) {
  std::string refusals;
  for (const signals::SignalEntry* signal : signals::SignalNetworks()) {
    for (const int shard : {2, 4}) {
      const auto spec = LoadSpec(
          absl::StrCat("seed: 3 benchmark { ", benchmark, " } lifetime { iterations: ", kIterations,
                       " steps_per_iteration: 54 } agent { hidden_units: 8 epochs: 2 minibatches: "
                       "2 } signal { name: '",
                       signal->name, "' } rule { name: '", rule, "' outer_updates: ", kUpdates,
                       " lifetimes_per_update: ", kLifetimes, " shard_lifetimes: ", shard,
                       " } evaluation { lifetimes_per_goal: 0 } "
                       "checkpoint { every: 1 keep_last: 100 }"),
          {}, meta_learner::CheckParts);
      if (spec.ok()) return *spec;
      absl::StrAppend(&refusals, spec.status().ToString(), "\n");
    }
  }
  FAIL(rule << ": no signal network suits it: " << refusals);
  return {};
}

// A finished run.
struct Run {
  testing::TempFolder folder;
  std::filesystem::path checkpoints;
  std::string uid;
  Series series;

  Checkpoint Read(uint32_t step) const {
    auto checkpoint =
        meta_learner::ReadCheckpoint(checkpoints / meta_learner::CheckpointFileName(step));
    REQUIRE(checkpoint.ok());
    return *std::move(checkpoint);
  }
};

// Runs to the end, from a checkpoint of another run of the spec when there is one.
void RunToEnd(const v1::ExperimentSpec& spec, const Checkpoint* from, Run* run) {
  const std::string out = run->folder.path().string();
  if (from != nullptr) {
    const auto store = meta_learner::OpenStore(out);
    REQUIRE(store.ok());
    const auto experiment = (*store)->records.Create(meta_learner::WithSpec(spec, "run"));
    REQUIRE(experiment.ok());
    Checkpoint own = *from;
    own.experiment_uid = experiment->uid();
    REQUIRE(MakeFolders((*store)->files.CheckpointFolder(own.experiment_uid)).ok());
    const auto info =
        meta_learner::WriteCheckpoint((*store)->files.CheckpointFolder(own.experiment_uid), own);
    REQUIRE(info.ok());
    // An update that was not recorded would be made again.
    REQUIRE(
        (*store)->results.ReconcileCheckpoints(own.experiment_uid, {own.outer_step}, {*info}).ok());
  }
  REQUIRE(testing::RunQuietly(spec, out) == 0);
  const auto store = meta_learner::OpenStore(out);
  REQUIRE(store.ok());
  const auto experiment = (*store)->records.Get("experiments/run");
  REQUIRE(experiment.ok());
  run->uid = experiment->uid();
  run->checkpoints = (*store)->files.CheckpointFolder(run->uid);
  const auto points = (*store)->results.Points(run->uid);
  REQUIRE(points.ok());
  for (const auto& [metric, values] : *points) {
    for (const auto& [step, value] : values) run->series[metric][step] = value;
  }
}

struct Step {
  double reward = 0;
  bool success = false, done = false;
};
// Whole lifetimes, step by step, by their number in the generation.
using Lives = std::map<uint32_t, std::vector<Step>>;

// The steps of a generation's agents, replayed from the run's checkpoints in this thread: raw
// steps, before any sum.
Lives LiveAgain(const v1::ExperimentSpec& spec, const Run& run, uint32_t generation) {
  Lives lives;
  const std::string name = "experiments/again";
  for (uint32_t i = 0; i < kIterations; ++i) {
    const uint32_t step = generation * kIterations + i;
    Violations violations;
    const auto parts = meta_learner::MakeParts(spec, /*pool=*/nullptr, &violations);
    REQUIRE(violations.empty());
    meta_learner::ExperimentState state;
    if (step > 0) {
      const Checkpoint checkpoint = run.Read(step);
      const auto rule = meta_learner::TensorsOfSections(checkpoint.sections, "rule/");
      REQUIRE((rule.ok() && parts.rule->Load(*rule).ok()));
      const auto read = meta_learner::ReadState(checkpoint);
      REQUIRE(read.ok());
      state = *read;
    }
    const methods::RuleNeeds needs = parts.rule->needs();
    const auto tasks = meta_learner::TrainingTasks(*parts.benchmark, spec, generation,
                                                   meta_learner::AlikeLifetimes(needs));
    const auto shards =
        meta_learner::RoundShards({name, spec, *parts.benchmark}, tasks, needs,
                                  meta_learner::RoundOf(needs, spec, step), state.lives);
    REQUIRE(shards.ok());
    for (const v1::Shard& shard : *shards) {
      const auto on_unit = [&](const v1::Unit& unit, const v1::Trajectory& trajectory) {
        std::vector<double> rewards(unit.steps());
        std::memcpy(rewards.data(), trajectory.rewards().data().data(), 8 * rewards.size());
        for (uint32_t t = 0; t < unit.steps(); ++t) {
          lives[unit.random().lifetime()].push_back(
              {.reward = rewards[t],
               .success = trajectory.successes().data()[t] != 0,
               .done = (trajectory.terminations().data()[t] | trajectory.truncations().data()[t]) !=
                       0});
        }
        return true;
      };
      REQUIRE(LiveShard(shard, parts.rule->meta_parameters(), on_unit, [](const v1::Segment&) {
                return absl::OkStatus();
              }).ok());
    }
  }
  return lives;
}

// The expected rows of a generation.
struct Expected {
  // Means over the lifetimes in which episodes ended, by iteration.
  std::vector<double> success = std::vector<double>(kIterations, 0);
  std::vector<double> returns = success, lifetimes = success;
  double score = 0, scored = 0;  // From the last iterations.
  int crossed = 0;  // Episodes that began in an earlier iteration than the one of their end.
  int succeeded = 0;
};

// begin: the iteration from which returns and successes count; earlier steps are unknown.
Expected Measure(const Lives& lives, uint32_t begin = 0) {
  Expected expected;
  for (const auto& [number, steps] : lives) {
    REQUIRE(steps.size() % kIterations == 0);
    const size_t iteration_steps = steps.size() / kIterations;
    std::vector<double> success(kIterations, 0), returns = success, ended = success;
    size_t first = 0;
    double total = 0;
    bool succeeded = false;
    for (size_t t = 0; t < steps.size(); ++t) {
      if (t >= begin * iteration_steps) total += steps[t].reward;
      succeeded |= steps[t].success;
      if (!steps[t].done) continue;
      const size_t iteration = t / iteration_steps;
      success[iteration] += succeeded;
      returns[iteration] += total;
      ++ended[iteration];
      expected.crossed += first / iteration_steps != iteration;
      expected.succeeded += succeeded;
      first = t + 1;
      total = 0;
      succeeded = false;
    }
    for (uint32_t i = 0; i < kIterations; ++i) {
      if (ended[i] == 0) continue;
      expected.success[i] += success[i] / ended[i];
      expected.returns[i] += returns[i] / ended[i];
      ++expected.lifetimes[i];
    }
    if (const uint32_t last = kIterations - 1; ended[last] > 0) {
      expected.score += (success[last] + 1e-6 * returns[last]) / ended[last];
      ++expected.scored;
    }
  }
  for (uint32_t i = 0; i < kIterations; ++i) {
    if (expected.lifetimes[i] == 0) continue;
    expected.success[i] /= expected.lifetimes[i];
    expected.returns[i] /= expected.lifetimes[i];
  }
  return expected;
}

// Return and success of the whole episodes of each lifetime, and how many ended in each iteration.
void CheckEpisodes(const Run& run, const Lives& lives, uint32_t generation, uint32_t begin = 0) {
  const auto all = meta_learner::ReadEpisodes(run.checkpoints.parent_path());
  REQUIRE((all.ok() && all->generations_size() == 2));
  const v1::TrainedGeneration& own = all->generations(static_cast<int>(generation));
  CHECK(own.generation() == generation);
  REQUIRE(own.lifetimes_size() == static_cast<int>(lives.size()));
  int i = 0;
  for (const auto& [number, steps] : lives) {
    std::vector<double> returns, successes;
    std::vector<uint32_t> ended(kIterations, 0);
    double total = 0;
    bool succeeded = false;
    for (size_t t = 0; t < steps.size(); ++t) {
      total += steps[t].reward;
      succeeded |= steps[t].success;
      if (!steps[t].done) continue;
      if (const size_t iteration = t * kIterations / steps.size(); iteration >= begin) {
        returns.push_back(total);
        successes.push_back(succeeded);
        ++ended[iteration];
      }
      total = 0;
      succeeded = false;
    }
    const v1::EvaluatedLifetime& lifetime = own.lifetimes(i++);
    CHECK(lifetime.number() == number);
    CHECK(std::vector<uint32_t>(lifetime.segment_episodes().begin(),
                                lifetime.segment_episodes().end()) == ended);
    REQUIRE(lifetime.episode_return_size() == static_cast<int>(returns.size()));
    for (size_t e = 0; e < returns.size(); ++e) {
      CHECK(lifetime.episode_return(static_cast<int>(e)) == Approx(returns[e]).epsilon(1e-12));
      CHECK(lifetime.episode_success(static_cast<int>(e)) == successes[e]);
    }
  }
}

double At(const Series& series, const std::string& metric, uint32_t step) {
  const auto found = series.find(metric);
  if (found == series.end() || !found->second.contains(step))
    return std::numeric_limits<double>::quiet_NaN();
  return found->second.at(step);
}

// Rows of the iterations of a generation, from iteration `begin` on.
void CheckRows(const Series& series, const Expected& expected, uint32_t generation,
               uint32_t begin = 0) {
  for (uint32_t i = begin; i < kIterations; ++i) {
    const uint32_t step = generation * kIterations + i + 1;
    INFO("generation " << generation << ", iteration " << i);
    if (expected.lifetimes[i] == 0) {
      CHECK(std::isnan(At(series, "success", step)));
      continue;
    }
    CHECK(At(series, "success", step) == Approx(expected.success[i]).epsilon(1e-12));
    CHECK(At(series, "shaped_return", step) == Approx(expected.returns[i]).epsilon(1e-12));
  }
}

TEST_CASE("rules with decisions inside a lifetime measure whole episodes", "[loopback][nightly]") {
  REQUIRE(fixed.ok());
  int rules = 0;
  for (const methods::RuleEntry* entry : methods::OuterRules()) {
    const std::string& rule = entry->name;
    // Agents with skills have none, because they refuse episodes that an iteration cuts. Agents
    // with tables and those of LPG refuse actions that are not choices.
    if (!DecidesInside(*entry) || rule == "diayn" || rule == "episodic_control" || rule == "lpg")
      continue;
    for (const std::string benchmark : kBenchmarks) {
      INFO(rule << " on " << benchmark);
      const v1::ExperimentSpec spec = SpecOf(rule, benchmark);
      ++rules;

      Run run;
      RunToEnd(spec, nullptr, &run);
      double score = 0, scored = 0;
      int succeeded = 0;
      for (const uint32_t generation : {0U, 1U}) {
        const Lives lives = LiveAgain(spec, run, generation);
        CheckEpisodes(run, lives, generation);
        const Expected expected = Measure(lives);
        CHECK(expected.crossed > 0);
        succeeded += expected.succeeded;
        CheckRows(run.series, expected, generation);
        // The mean over the last two generations decides on the best weights.
        score += expected.score;
        scored += expected.scored;
        if (generation == 0) {
          CHECK(At(run.series, "best_score", kIterations) == Approx(score / scored).epsilon(1e-12));
        }
      }
      if (benchmark == kBenchmarks[0]) CHECK(succeeded > 0);

      // From a checkpoint between two iterations every result is the same.
      for (const uint32_t step : {1U, 2U, 4U}) {
        INFO("from the checkpoint of update " << step);
        const Checkpoint checkpoint = run.Read(step);
        Run again;
        RunToEnd(spec, &checkpoint, &again);
        for (uint32_t later = step + 1; later <= kUpdates; ++later) {
          for (const char* metric : {"success", "shaped_return", "meta_return", "best_score"}) {
            INFO(metric << " of update " << later);
            const double got = At(again.series, metric, later);
            const double want = At(run.series, metric, later);
            CHECK((got == want || (std::isnan(got) && std::isnan(want))));
          }
        }
        CHECK(meta_learner::StateHash(again.Read(kUpdates).sections) ==
              meta_learner::StateHash(run.Read(kUpdates).sections));
        // Episodes that ended earlier are those of the other run.
        if (step < kIterations) CheckEpisodes(again, LiveAgain(spec, run, 0), 0, /*begin=*/step);
      }
    }
  }
  CHECK(rules >= 4);  // At least two rules, on both benchmarks.
}

TEST_CASE(
    "a checkpoint of 0.1.0 does not say what open episodes had achieved: their returns count "
    "from there",
    "[loopback]") {
  const v1::ExperimentSpec spec = SpecOf("meta_gradient", kBenchmarks[0]);
  Run run;
  RunToEnd(spec, nullptr, &run);
  Checkpoint old = run.Read(1);
  int open = 0;
  for (auto& [section, bytes] : old.sections) {
    if (!section.starts_with("lives/")) continue;
    v1::Snapshot snapshot;
    REQUIRE(snapshot.ParseFromString(bytes));
    for (v1::EpisodeCursor& cursor : *snapshot.mutable_cursors()) {
      open += cursor.has_shaped_return();
      cursor.clear_shaped_return();
    }
    bytes = snapshot.SerializeAsString();
  }
  CHECK(open == kLifetimes);  // 54 steps are five episodes and a piece.
  const auto state = meta_learner::ReadState(old);
  REQUIRE(state.ok());
  CHECK(meta_learner::UnknownOpenEpisodes(*state) == kLifetimes);

  Run again;
  RunToEnd(spec, &old, &again);
  const Lives lives = LiveAgain(spec, run, 0);
  CheckRows(again.series, Measure(lives, /*begin=*/1), 0, /*begin=*/1);
  CHECK(At(again.series, "shaped_return", 2) != At(run.series, "shaped_return", 2));
  // Only numbers for people change, not the learned weights.
  CHECK(At(again.series, "shaped_return", 3) == At(run.series, "shaped_return", 3));
  CHECK(again.Read(kUpdates).sections.at("rule/weights") ==
        run.Read(kUpdates).sections.at("rule/weights"));
}

}  // namespace mentor::TEST_FILE
