// The measurements of environments: env, host, loop and memory (tests/bench/bench.h).
#include <algorithm>
#include <barrier>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "common/bundle_finder.h"
#include "common/check.h"
#include "common/cpu_time.h"
#include "common/hosts.h"
#include "envs/host/host_list.h"
#include "envs/mujoco_environment.h"
#include "tests/bench/bench.h"
#include "tests/bench/workload.h"

namespace mentor::bench {
namespace {

constexpr uint32_t kChunkSteps = 500;  // Steps of the environment before the simulator's turn.
constexpr double kRoundUs = 150'000;   // A round has as many chunks as fill this time, by a trial.
constexpr int kChunksMax = 50;
constexpr uint32_t kGoals = 10;  // The goals take turns.
constexpr int kLoopRuns = 10;    // Chunks of a single environment, to make the start unimportant.
constexpr int kMemoryThreads = 2;
constexpr char kMetaWorld[] = "Meta-World v3";

using Actions = std::vector<std::vector<float>>;
using OptionList = google::protobuf::RepeatedPtrField<v1::Option>;

OptionList Options(const std::vector<std::pair<std::string, std::string>>& values) {
  OptionList options;
  for (const auto& [name, value] : values) {
    v1::Option* option = options.Add();
    option->set_name(name);
    option->set_value(value);
  }
  return options;
}

double CpuMicroseconds() {
  return 1e6 * ThreadCpuSeconds();
}

double WallMicroseconds() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The actions of a chunk: a drift that changes every 25 steps, and noise of half the range; or
// uniform ones.
Actions MakeActions(const envs::EnvironmentInfo& info, uint32_t chunk, bool uniform = false) {
  const RandomStream random{.seed = 1, .purpose = Purpose::kTest, .lifetime = chunk};
  const double middle = (info.action_low + info.action_high) / 2;
  const double half = (info.action_high - info.action_low) / 2;
  const uint32_t n = info.action_size;
  Actions actions(kChunkSteps, std::vector<float>(n));
  for (uint32_t t = 0; t < kChunkSteps; ++t) {
    for (uint32_t i = 0; i < n; ++i) {
      const double noise = random.Uniform(t, i) - 0.5;
      const double drift = 2 * random.Uniform(t - t % 25, n + i) - 1;
      actions[t][i] = static_cast<float>(middle + half * (uniform ? 2 * noise : drift + noise));
    }
  }
  return actions;
}

// Time, by what it was spent on.
struct Spent {
  double step_us = 0, reset_us = 0;
  int steps = 0, resets = 0;

  double PerStep() const { return (step_us + reset_us) / steps; }
  Spent& operator+=(const Spent& other) {
    step_us += other.step_us;
    reset_us += other.reset_us;
    steps += other.steps;
    resets += other.resets;
    return *this;
  }
};

// An environment that plays chunks of actions, each with one of its tasks.
class Scene {
 public:
  // `name`: an environment, or the folder of a bundle, with a slash.
  static absl::StatusOr<Scene> Make(const std::string& name, const OptionList& options = {}) {
    if (absl::StrContains(name, '/')) {
      MENTOR_ASSIGN_OR_RETURN(const BundleManifest manifest, OfferFolder(name));
      return Make("mjcf", Options({{"bundle", BundleName(manifest.digest)}}));
    }
    Scene scene;
    MENTOR_ASSIGN_OR_RETURN(scene.environment_, envs::MakeEnvironment(name, options));
    scene.entry_ = envs::FindEnvironment(name);
    Violations none;  // The environment was made with these options.
    scene.options_ = OptionValues::Parse(scene.entry_->options, options, "", &none);
    scene.observation_.resize(scene.environment_->info().observation_size);
    return scene;
  }

  const envs::EnvironmentEntry& entry() const { return *entry_; }
  const envs::EnvironmentInfo& info() const { return environment_->info(); }
  // It is null without MuJoCo.
  envs::MuJoCoEnvironment* mujoco() const {
    return dynamic_cast<envs::MuJoCoEnvironment*>(environment_.get());
  }

  // Returns the CPU time of the first reset of a chunk.
  absl::StatusOr<double> FirstReset(uint32_t chunk) {
    MENTOR_RETURN_IF_ERROR(SetTask(chunk));
    const double start = CpuMicroseconds();
    MENTOR_RETURN_IF_ERROR(Reset(chunk, 0));
    return CpuMicroseconds() - start;
  }

  // Makes the steps of a chunk, with a reset wherever an episode ends.
  absl::StatusOr<Spent> Steps(uint32_t chunk, const Actions& actions,
                              double (*now)() = CpuMicroseconds) {
    MENTOR_RETURN_IF_ERROR(SetTask(chunk));
    episodes_.clear();
    Spent spent;
    for (size_t t = 0; t < actions.size();) {
      const double begin = now();
      MENTOR_RETURN_IF_ERROR(Reset(chunk, episodes_.size()));
      const double middle = now();
      const size_t first = t;
      for (bool done = false; !done && t < actions.size(); ++t) {
        const absl::StatusOr<envs::StepOutcome> outcome =
            environment_->Step(actions[t], observation_);
        if (!outcome.ok()) return outcome.status();
        done = outcome->terminated || outcome->truncated;
      }
      episodes_.push_back(t - first);
      spent += {now() - middle, middle - begin, static_cast<int>(t - first), 1};
    }
    return spent;
  }

  // Returns the CPU time of the simulator alone along the motion of the last Steps of `other`.
  absl::StatusOr<double> BareSteps(const Scene& other, uint32_t chunk, const Actions& actions) {
    MENTOR_RETURN_IF_ERROR(SetTask(chunk));
    envs::MuJoCoEnvironment& bare = *mujoco();
    double us = 0;
    size_t t = 0;
    for (size_t episode = 0; episode < other.episodes_.size(); ++episode) {
      MENTOR_RETURN_IF_ERROR(Reset(chunk, episode));
      const mjModel* m = bare.simulation().model();
      mjData* d = bare.simulation().data();
      const size_t end = t + other.episodes_[episode];
      const double start = CpuMicroseconds();
      MENTOR_RETURN_IF_ERROR(bare.simulation().Guard([&] {
        for (; t < end; ++t) {
          bare.ApplyAction(actions[t]);
          for (int i = 0; i < bare.frame_skip(); ++i) mj_step(m, d);
        }
      }));
      us += CpuMicroseconds() - start;
    }
    return us;
  }

 private:
  Scene() = default;

  absl::Status SetTask(uint32_t chunk) {
    const RandomStream random{.seed = 2, .purpose = Purpose::kTasks};
    return environment_->SetTask(envs::DrawTask(*entry_, options_, random, chunk % kGoals));
  }
  absl::Status Reset(uint32_t chunk, size_t episode) {
    const RandomStream random{.seed = 3, .purpose = Purpose::kEnvironmentReset, .lifetime = chunk};
    return environment_->Reset(random, static_cast<uint32_t>(episode), observation_);
  }

  const envs::EnvironmentEntry* entry_ = nullptr;
  OptionValues options_;
  std::unique_ptr<envs::Environment> environment_;
  std::vector<double> observation_;
  std::vector<size_t> episodes_;  // Steps of each episode of the last chunk.
};

// Steps a second of `size` environments that some threads share, by the wall clock.
absl::StatusOr<double> StepsPerSecond(const std::string& name, int size, int threads) {
  std::vector<Scene> scenes;
  for (int i = 0; i < size; ++i) {
    MENTOR_ASSIGN_OR_RETURN(Scene scene, Scene::Make(name));
    MENTOR_RETURN_IF_ERROR(scene.FirstReset(i).status());
    scenes.push_back(std::move(scene));
  }
  const Actions actions = MakeActions(scenes[0].info(), 0, /*uniform=*/true);
  const int workers = std::min(size, threads), runs = std::max(1, kLoopRuns / size);
  std::vector<absl::Status> statuses(workers);
  const double begin = WallMicroseconds();
  {
    std::vector<std::jthread> running;
    for (int worker = 0; worker < workers; ++worker) {
      running.emplace_back([&, worker] {
        for (int i = worker; i < size * runs; i += workers)
          statuses[worker].Update(scenes[i % size].Steps(i % size, actions).status());
      });
    }
  }
  const double us = WallMicroseconds() - begin;
  for (const absl::Status& status : statuses) MENTOR_RETURN_IF_ERROR(status);
  return 1e6 * size * runs * kChunkSteps / us;
}

// Sums of logarithms over the environments of a suite, whose means are geometric.
struct Suite {
  std::string first;
  int scenes = 0;
  double step = 0, with_resets = 0, total_us = 0;
};

absl::Status MeasureScene(const std::string& name, Suite* suite, Figures* figures) {
  MENTOR_ASSIGN_OR_RETURN(Scene scene, Scene::Make(name));
  MENTOR_ASSIGN_OR_RETURN(Scene bare, Scene::Make(name));
  std::vector<double> first_resets;
  for (uint32_t goal = 0; goal < kGoals; ++goal) {
    MENTOR_ASSIGN_OR_RETURN(first_resets.emplace_back(), scene.FirstReset(goal));
  }
  std::sort(first_resets.begin(), first_resets.end());
  const Actions trial = MakeActions(scene.info(), 0);
  MENTOR_ASSIGN_OR_RETURN(const Spent guess, scene.Steps(0, trial));
  MENTOR_RETURN_IF_ERROR(bare.BareSteps(scene, 0, trial).status());

  Spent ours;
  double bare_us = 0;
  const int chunks = std::clamp(static_cast<int>(kRoundUs / guess.step_us), 1, kChunksMax);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const Actions actions = MakeActions(scene.info(), chunk);
    MENTOR_ASSIGN_OR_RETURN(const Spent spent, scene.Steps(chunk, actions));
    MENTOR_ASSIGN_OR_RETURN(const double us, bare.BareSteps(scene, chunk, actions));
    ours += spent;
    bare_us += us;
  }
  const double step_ratio = bare_us / ours.step_us;
  const double with_resets_ratio = bare_us / (ours.step_us + ours.reset_us);
  (*figures)["step/" + name] = {step_ratio, "ratio"};
  (*figures)["with_resets/" + name] = {with_resets_ratio, "ratio"};
  (*figures)["bare_us/" + name] = {bare_us / ours.steps, "us"};
  (*figures)["step_us/" + name] = {ours.step_us / ours.steps, "us"};
  (*figures)["total_us/" + name] = {ours.PerStep(), "us"};
  (*figures)["reset_us/" + name] = {ours.reset_us / ours.resets, "us"};
  (*figures)["first_reset_us/" + name] = {first_resets[kGoals / 2], "us"};
  if (++suite->scenes == 1) suite->first = name;
  suite->step += std::log(step_ratio);
  suite->with_resets += std::log(with_resets_ratio);
  suite->total_us += std::log(ours.PerStep());
  return absl::OkStatus();
}

// Plays an episode in each Meta-World environment, and keeps all environments.
absl::Status PlayAll(uint32_t thread, std::vector<Scene>* kept, int* environments) {
  for (const envs::EnvironmentEntry* entry : envs::Catalogue()) {
    if (entry->suite != kMetaWorld) continue;
    MENTOR_ASSIGN_OR_RETURN(Scene scene, Scene::Make(entry->name));
    MENTOR_RETURN_IF_ERROR(scene.Steps(thread, MakeActions(scene.info(), thread)).status());
    kept->push_back(std::move(scene));
  }
  *environments = static_cast<int>(kept->size());
  return absl::OkStatus();
}

std::vector<std::string> Chosen(const Settings& settings, std::vector<std::string> otherwise) {
  return settings.environments.empty() ? std::move(otherwise) : settings.environments;
}

}  // namespace

absl::StatusOr<Figures> MeasureEnv(const Settings& settings) {
  std::vector<std::string> on_mujoco;
  if (settings.environments.empty()) {
    for (const envs::EnvironmentEntry* entry : envs::CompleteEnvironments()) {
      MENTOR_ASSIGN_OR_RETURN(const Scene scene, Scene::Make(entry->name));
      if (scene.mujoco() != nullptr) on_mujoco.push_back(entry->name);
    }
  }
  Figures figures;
  std::map<std::string, Suite> suites;
  for (const std::string& name : Chosen(settings, on_mujoco)) {
    MENTOR_ASSIGN_OR_RETURN(const Scene scene, Scene::Make(name));
    if (scene.mujoco() == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--environments: ", name, " is not on MuJoCo; there is nothing to compare with"));
    }
    MENTOR_RETURN_IF_ERROR(MeasureScene(name, &suites[scene.entry().suite], &figures));
  }
  for (const auto& [name, suite] : suites) {
    const std::string prefix = absl::StrCat(name, " (", suite.scenes, "): ");
    // The ratio of two such means is the mean of ratios. A peer with as many environments reports
    // its own mean.
    figures[prefix + "step"] = {std::exp(suite.step / suite.scenes), "ratio"};
    figures[prefix + "with resets"] = {std::exp(suite.with_resets / suite.scenes), "ratio"};
    figures[prefix + "total"] = {std::exp(suite.total_us / suite.scenes), "us"};
    MENTOR_ASSIGN_OR_RETURN(const double one, StepsPerSecond(suite.first, 1, 1));
    MENTOR_ASSIGN_OR_RETURN(const double two, StepsPerSecond(suite.first, 2, 2));
    figures[prefix + "two threads"] = {two / one, "ratio"};
  }
  return figures;
}

absl::StatusOr<Figures> MeasureHost(const Settings& settings) {
  MENTOR_RETURN_IF_ERROR(envs::AllowSimulators({"bench=python3 -m mentor_env"}, 60));
  Figures figures;
  for (const std::string& id : Chosen(settings, {"FetchReach-v4", "Hopper-v5"})) {
    absl::StatusOr<Scene> scene = Scene::Make(
        std::string(kHostEnvironment), Options({{std::string(kHostOption), "bench"}, {"id", id}}));
    if (!scene.ok()) return absl::UnimplementedError(scene.status().message());
    const Actions actions = MakeActions(scene->info(), 0, /*uniform=*/true);
    Spent counted;
    for (uint32_t chunk = 0; chunk < 4; ++chunk) {
      // The wall clock, because two processes take part.
      MENTOR_ASSIGN_OR_RETURN(const Spent spent, scene->Steps(chunk, actions, WallMicroseconds));
      if (chunk >= 2) counted += spent;  // The others warm up.
    }
    figures["step_us/" + id] = {counted.PerStep(), "us"};
  }
  return figures;
}

absl::StatusOr<Figures> MeasureLoop(const Settings& settings) {
  const int threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  Figures figures;
  for (const std::string& name :
       Chosen(settings, {"push-v3", "door-close-v3", "Hopper-v5", "HalfCheetah-v5", "Ant-v5"})) {
    for (const int size : {1, 8, 64}) {
      MENTOR_ASSIGN_OR_RETURN(const double rate, StepsPerSecond(name, size, threads));
      figures[absl::StrCat("steps_per_s/", name, "/", size)] = {rate, "steps/s"};
    }
  }
  return figures;
}

absl::StatusOr<Figures> MeasureMemory(const Settings&) {
  const double before = MemoryBytes("VmRSS:");
  double after = 0;
  int environments[kMemoryThreads] = {};
  std::vector<absl::Status> statuses(kMemoryThreads);
  // Memory is read while every thread still has its simulators.
  std::barrier done(kMemoryThreads, [&after]() noexcept { after = MemoryBytes("VmRSS:"); });
  {
    std::vector<std::jthread> workers;
    for (int i = 0; i < kMemoryThreads; ++i) {
      workers.emplace_back([&, i] {
        std::vector<Scene> kept;
        statuses[i] = PlayAll(i, &kept, &environments[i]);
        done.arrive_and_wait();
      });
    }
  }
  for (const absl::Status& status : statuses) MENTOR_RETURN_IF_ERROR(status);
  constexpr double kMegabyte = 1 << 20;
  return Figures{{"environments", {static_cast<double>(environments[0]), ""}},
                 {"resident", {(after - before) / kMegabyte, "MB"}},
                 {"resident_before", {before / kMegabyte, "MB"}}};
}

}  // namespace mentor::bench
