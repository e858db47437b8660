#include "tests/bench/environment_rounds.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <thread>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/cpu_time.h"
#include "envs/mujoco_environment.h"
#include "mentor/report/statistics.h"

namespace mentor::bench {
namespace {

constexpr int kChunkSteps = 500;      // Steps of the environment before the simulator's turn.
constexpr double kRoundUs = 150'000;  // A round has as many chunks as fill this time, by a trial.
constexpr int kChunksMax = 50;
constexpr uint32_t kGoals = 10;           // The goals take turns.
constexpr uint32_t kThreadsChunk = 1000;  // Steps of one chunk of the threads' actions.

using Actions = std::vector<std::vector<float>>;
using OptionList = google::protobuf::RepeatedPtrField<v1::Option>;

double CpuMicroseconds() {
  return 1e6 * ThreadCpuSeconds();
}

double WallMicroseconds() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// A tour of the actions, different for each chunk: a drift that changes every 25 steps, plus fresh
// noise of half the range.
Actions MakeActions(const envs::EnvironmentInfo& info, uint32_t chunk) {
  const RandomStream random{.seed = 1, .purpose = Purpose::kTest, .lifetime = chunk};
  const double middle = (info.action_low + info.action_high) / 2;
  const double half = (info.action_high - info.action_low) / 2;
  const uint32_t n = info.action_size;
  Actions actions(kChunkSteps, std::vector<float>(n));
  std::vector<double> drift(n);
  for (uint32_t t = 0; t < kChunkSteps; ++t) {
    for (uint32_t i = 0; i < n; ++i) {
      if (t % 25 == 0) drift[i] = 2 * random.Uniform(t, n + i) - 1;
      actions[t][i] = static_cast<float>(middle + half * (drift[i] + random.Uniform(t, i) - 0.5));
    }
  }
  return actions;
}

// CPU time, by what it was spent on.
struct Spent {
  double step_us = 0, reset_us = 0;
  int steps = 0, resets = 0;

  Spent& operator+=(const Spent& other) {
    step_us += other.step_us;
    reset_us += other.reset_us;
    steps += other.steps;
    resets += other.resets;
    return *this;
  }
};

// An environment, and the same scene in the bare simulator.
class Scene {
 public:
  static absl::StatusOr<Scene> Make(const envs::EnvironmentEntry& entry,
                                    const OptionList& options = {}) {
    Scene scene(entry, options);
    for (auto* pointer : {&scene.environment_, &scene.bare_}) {
      MENTOR_ASSIGN_OR_RETURN(std::unique_ptr<envs::Environment> made,
                              envs::MakeEnvironment(entry.name, options));
      auto* mujoco = dynamic_cast<envs::MuJoCoEnvironment*>(made.get());
      if (mujoco == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat(
            entry.name, " is not a MuJoCo environment; there is nothing to compare with"));
      }
      (void)made.release();
      pointer->reset(mujoco);
    }
    scene.observation_.resize(scene.environment_->info().observation_size);
    return scene;
  }

  const envs::EnvironmentInfo& info() const { return environment_->info(); }

  // Returns the CPU time of the first reset to a goal.
  absl::StatusOr<double> FirstReset(uint32_t goal) {
    MENTOR_RETURN_IF_ERROR(environment_->SetTask(Task(goal)));
    const double start = CpuMicroseconds();
    MENTOR_RETURN_IF_ERROR(environment_->Reset(Stream(goal), 0, observation_));
    return CpuMicroseconds() - start;
  }

  // Makes the steps of a chunk, with a reset wherever an episode ends.
  absl::StatusOr<Spent> Steps(uint32_t chunk, const Actions& actions) {
    MENTOR_RETURN_IF_ERROR(environment_->SetTask(Task(chunk)));
    episodes_.clear();
    Spent spent;
    for (size_t t = 0; t < actions.size();) {
      const double begin = CpuMicroseconds();
      MENTOR_RETURN_IF_ERROR(environment_->Reset(
          Stream(chunk), static_cast<uint32_t>(episodes_.size()), observation_));
      const double middle = CpuMicroseconds();
      const size_t first = t;
      for (bool done = false; !done && t < actions.size(); ++t) {
        const absl::StatusOr<envs::StepOutcome> outcome =
            environment_->Step(actions[t], observation_);
        if (!outcome.ok()) return outcome.status();
        done = outcome->terminated || outcome->truncated;
      }
      const double end = CpuMicroseconds();
      episodes_.push_back(t - first);
      spent += {end - middle, middle - begin, static_cast<int>(t - first), 1};
    }
    return spent;
  }

  // Returns the CPU time of the simulator alone along the motion of the last Steps.
  absl::StatusOr<double> BareSteps(uint32_t chunk, const Actions& actions) {
    MENTOR_RETURN_IF_ERROR(bare_->SetTask(Task(chunk)));
    envs::Simulation& sim = bare_->simulation();
    const int frame_skip = bare_->frame_skip();
    double us = 0;
    size_t t = 0;
    for (size_t episode = 0; episode < episodes_.size(); ++episode) {
      MENTOR_RETURN_IF_ERROR(
          bare_->Reset(Stream(chunk), static_cast<uint32_t>(episode), observation_));
      const mjModel* m = sim.model();
      mjData* d = sim.data();
      const size_t end = t + episodes_[episode];
      const double start = CpuMicroseconds();
      MENTOR_RETURN_IF_ERROR(sim.Guard([&] {
        for (; t < end; ++t) {
          bare_->ApplyAction(actions[t]);
          for (int i = 0; i < frame_skip; ++i) mj_step(m, d);
        }
      }));
      us += CpuMicroseconds() - start;
    }
    return us;
  }

 private:
  Scene(const envs::EnvironmentEntry& entry, const OptionList& options) : entry_(entry) {
    Violations none;  // The environment was made with these violations.
    options_ = OptionValues::Parse(entry.options, options, "", &none);
  }

  v1::EnvironmentTask Task(uint32_t chunk) const {
    const RandomStream random{.seed = 2, .purpose = Purpose::kTasks};
    return envs::DrawTask(entry_, options_, random, chunk % kGoals);
  }
  static RandomStream Stream(uint32_t chunk) {
    return {.seed = 3, .purpose = Purpose::kEnvironmentReset, .lifetime = chunk};
  }

  const envs::EnvironmentEntry& entry_;
  OptionValues options_;
  std::unique_ptr<envs::MuJoCoEnvironment> environment_, bare_;
  std::vector<double> observation_;
  std::vector<size_t> episodes_;  // Steps of each episode of the chunk.
};

absl::StatusOr<SceneBench> BenchScene(const envs::EnvironmentEntry& entry) {
  MENTOR_ASSIGN_OR_RETURN(Scene scene, Scene::Make(entry));
  std::vector<double> first_resets;
  for (uint32_t goal = 0; goal < kGoals; ++goal) {
    MENTOR_ASSIGN_OR_RETURN(const double us, scene.FirstReset(goal));
    first_resets.push_back(us);
  }
  const Actions trial = MakeActions(scene.info(), 0);
  MENTOR_ASSIGN_OR_RETURN(const Spent guess, scene.Steps(0, trial));
  MENTOR_RETURN_IF_ERROR(scene.BareSteps(0, trial).status());
  const int chunks = std::clamp(static_cast<int>(kRoundUs / guess.step_us), 1, kChunksMax);

  Spent ours;
  double bare_us = 0;
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const Actions actions = MakeActions(scene.info(), chunk);
    MENTOR_ASSIGN_OR_RETURN(const Spent spent, scene.Steps(chunk, actions));
    MENTOR_ASSIGN_OR_RETURN(const double us, scene.BareSteps(chunk, actions));
    ours += spent;
    bare_us += us;
  }
  const double total_us = ours.step_us + ours.reset_us;
  return SceneBench{.environment = entry.name,
                    .suite = entry.suite,
                    .bare_us = bare_us / ours.steps,
                    .step_us = ours.step_us / ours.steps,
                    .reset_us = ours.reset_us / ours.resets,
                    .first_reset_us = report::Median(first_resets),
                    .total_us = total_us / ours.steps,
                    .step_ratio = bare_us / ours.step_us,
                    .with_resets_ratio = bare_us / total_us};
}

// Runs one chunk in each of `threads` threads at once. Returns the wall time and the mean CPU time
// of a thread. Long runs make the first placement of the threads unimportant.
constexpr int kRunsTogether = 10;
struct Together {
  double wall_us = 0, cpu_us = 0;
};
absl::StatusOr<Together> RunTogether(std::vector<Scene>& scenes, size_t threads, uint32_t chunk,
                                     const Actions& actions) {
  std::vector<absl::StatusOr<Spent>> spent(threads, Spent{});
  std::barrier start(static_cast<std::ptrdiff_t>(threads) + 1);
  double begin = 0, end = 0;
  {
    std::vector<std::jthread> workers;
    for (size_t i = 0; i < threads; ++i) {
      workers.emplace_back([&, i] {
        start.arrive_and_wait();
        for (int run = 0; run < kRunsTogether && spent[i].ok(); ++run)
          spent[i] = scenes[i].Steps(chunk, actions);
      });
    }
    start.arrive_and_wait();
    begin = WallMicroseconds();
    workers.clear();
    end = WallMicroseconds();
  }
  Together together{.wall_us = end - begin};
  for (const absl::StatusOr<Spent>& one : spent) {
    MENTOR_RETURN_IF_ERROR(one.status());
    together.cpu_us += (one->step_us + one->reset_us) / static_cast<double>(threads);
  }
  return together;
}

absl::Status BenchThreads(const envs::EnvironmentEntry& entry, SuiteBench* bench) {
  std::vector<Scene> scenes;
  for (int i = 0; i < 2; ++i) {
    MENTOR_ASSIGN_OR_RETURN(Scene scene, Scene::Make(entry));
    scenes.push_back(std::move(scene));
  }
  const Actions actions = MakeActions(scenes[0].info(), kThreadsChunk);
  // Both have seen the goal.
  for (Scene& scene : scenes) MENTOR_RETURN_IF_ERROR(scene.FirstReset(kThreadsChunk).status());
  MENTOR_ASSIGN_OR_RETURN(const Together one, RunTogether(scenes, 1, kThreadsChunk, actions));
  MENTOR_ASSIGN_OR_RETURN(const Together two, RunTogether(scenes, 2, kThreadsChunk, actions));
  bench->two_threads_ratio = 2 * one.wall_us / two.wall_us;
  bench->two_threads_cpu_ratio = 2 * one.cpu_us / two.cpu_us;
  return absl::OkStatus();
}

double GeometricMean(const std::vector<const SceneBench*>& scenes, double SceneBench::*figure) {
  double logarithms = 0;
  for (const SceneBench* scene : scenes) logarithms += std::log(scene->*figure);
  return std::exp(logarithms / static_cast<double>(scenes.size()));
}

// Returns the requested environments that run on MuJoCo.
absl::StatusOr<std::vector<const envs::EnvironmentEntry*>> Choose(
    const std::vector<std::string>& only) {
  std::vector<const envs::EnvironmentEntry*> chosen;
  std::vector<std::string> missing = only;
  for (const envs::EnvironmentEntry* entry : envs::CompleteEnvironments()) {
    if (!only.empty() && std::erase(missing, entry->name) == 0) continue;
    MENTOR_ASSIGN_OR_RETURN(const std::unique_ptr<envs::Environment> made,
                            envs::MakeEnvironment(entry->name, {}));
    if (only.empty() && dynamic_cast<envs::MuJoCoEnvironment*>(made.get()) == nullptr) continue;
    chosen.push_back(entry);
  }
  if (!missing.empty()) {
    return absl::NotFoundError(absl::StrCat("no environment ", absl::StrJoin(missing, ", "),
                                            "; `mentor env list` names them"));
  }
  return chosen;
}

}  // namespace

absl::StatusOr<PairBench> BenchPair(const Contestant& first, const Contestant& second) {
  std::vector<Scene> scenes;
  for (const Contestant* contestant : {&first, &second}) {
    MENTOR_RETURN_IF_ERROR(
        envs::MakeEnvironment(contestant->environment, contestant->options).status());
    MENTOR_ASSIGN_OR_RETURN(
        Scene scene,
        Scene::Make(*envs::FindEnvironment(contestant->environment), contestant->options));
    scenes.push_back(std::move(scene));
  }
  const Actions trial = MakeActions(scenes[0].info(), 0);
  if (scenes[0].info().action_size != scenes[1].info().action_size)
    return absl::InvalidArgumentError("the two environments take different actions");
  MENTOR_ASSIGN_OR_RETURN(const Spent guess, scenes[0].Steps(0, trial));
  MENTOR_RETURN_IF_ERROR(scenes[1].Steps(0, trial).status());
  const int chunks = std::clamp(static_cast<int>(kRoundUs / guess.step_us), 2, kChunksMax);
  Spent spent[2];
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const Actions actions = MakeActions(scenes[0].info(), chunk);
    for (const int turn : {0, 1}) {
      const int which = (turn + chunk) % 2;
      MENTOR_ASSIGN_OR_RETURN(const Spent more, scenes[which].Steps(chunk, actions));
      spent[which] += more;
    }
  }
  const auto of = [](const Spent& s) { return (s.step_us + s.reset_us) / s.steps; };
  return PairBench{.first_us = of(spent[0]), .second_us = of(spent[1])};
}

absl::StatusOr<EnvironmentBench> BenchEnvironments(const std::vector<std::string>& only) {
  MENTOR_ASSIGN_OR_RETURN(const std::vector<const envs::EnvironmentEntry*> entries, Choose(only));
  EnvironmentBench bench;
  for (const envs::EnvironmentEntry* entry : entries) {
    MENTOR_ASSIGN_OR_RETURN(SceneBench scene, BenchScene(*entry));
    bench.scenes.push_back(std::move(scene));
  }
  std::map<std::string, std::vector<const SceneBench*>> suites;
  for (const SceneBench& scene : bench.scenes) suites[scene.suite].push_back(&scene);
  for (const auto& [name, scenes] : suites) {
    SuiteBench suite{.suite = name,
                     .scenes = static_cast<int>(scenes.size()),
                     .step_ratio = GeometricMean(scenes, &SceneBench::step_ratio),
                     .with_resets_ratio = GeometricMean(scenes, &SceneBench::with_resets_ratio),
                     .total_us = GeometricMean(scenes, &SceneBench::total_us)};
    MENTOR_RETURN_IF_ERROR(
        BenchThreads(*envs::FindEnvironment(scenes.front()->environment), &suite));
    bench.suites.push_back(suite);
  }
  return bench;
}

}  // namespace mentor::bench
