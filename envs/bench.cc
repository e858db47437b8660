#include "envs/bench.h"

#include <algorithm>
#include <array>
#include <barrier>
#include <chrono>
#include <cmath>
#include <ctime>
#include <memory>
#include <thread>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "envs/metaworld/metaworld_environment.h"

namespace mentor::envs {
namespace {

using metaworld::kActionSize;
using metaworld::kEpisodeSteps;
using metaworld::kObservationSize;
using Actions = std::vector<std::array<float, kActionSize>>;

double CpuMicroseconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
}

double WallMicroseconds() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// A tour of the workspace with noise, different for each episode.
Actions MakeActions(uint32_t episode) {
  const RandomStream random{.seed = 1, .purpose = Purpose::kTest, .lifetime = episode};
  Actions actions(kEpisodeSteps);
  std::array<double, kActionSize> drift{};
  for (int t = 0; t < kEpisodeSteps; ++t) {
    for (int i = 0; i < kActionSize; ++i) {
      if (t % 25 == 0) drift[i] = 2 * random.Uniform(t, 10 + i) - 1;
      actions[t][i] = static_cast<float>(drift[i] + random.Uniform(t, i) - 0.5);
    }
  }
  return actions;
}

// The environment, and beside it the same scene without it.
class Scene {
 public:
  static absl::StatusOr<Scene> Make(const metaworld::TaskEntry& entry) {
    Scene scene(entry);
    for (auto* pointer : {&scene.environment_, &scene.bare_}) {
      MENTOR_ASSIGN_OR_RETURN(std::unique_ptr<Environment> made,
                              metaworld::MetaWorldEnvironment::Make(entry));
      pointer->reset(static_cast<metaworld::MetaWorldEnvironment*>(made.release()));
    }
    return scene;
  }

  // CPU time of a reset to goal number `goal`.
  absl::StatusOr<double> Reset(int goal) {
    const RandomStream random{.seed = 2, .purpose = Purpose::kTasks};
    const v1::EnvironmentTask task = DrawTask(*FindEnvironment(entry_.name), {}, random, goal);
    MENTOR_RETURN_IF_ERROR(environment_->SetTask(task));
    MENTOR_RETURN_IF_ERROR(bare_->SetTask(task));
    const double start = CpuMicroseconds();
    MENTOR_RETURN_IF_ERROR(environment_->Reset({}, 0, observation_));
    return CpuMicroseconds() - start;
  }

  // CPU time of the steps of an episode.
  absl::StatusOr<double> Steps(const Actions& actions) {
    const double start = CpuMicroseconds();
    for (const auto& action : actions) {
      if (absl::StatusOr<StepOutcome> outcome = environment_->Step(action, observation_);
          !outcome.ok()) {
        return outcome.status();
      }
    }
    return CpuMicroseconds() - start;
  }

  // CPU time of the simulator alone along the same motion.
  absl::StatusOr<double> BareSteps(const Actions& actions) {
    MENTOR_RETURN_IF_ERROR(bare_->Reset({}, 0, observation_));
    Simulation& sim = bare_->simulation();
    const mjModel* m = sim.model();
    mjData* d = sim.data();
    const double start = CpuMicroseconds();
    for (const auto& action : actions) {
      for (int i = 0; i < 3; ++i) {
        d->mocap_pos[i] = std::clamp(d->mocap_pos[i] + std::clamp<double>(action[i], -1, 1) * 0.01,
                                     entry_.facts.mocap_low[i], entry_.facts.mocap_high[i]);
      }
      d->ctrl[0] = action[3];
      d->ctrl[1] = -action[3];
      for (int i = 0; i < 5; ++i) mj_step(m, d);
    }
    return CpuMicroseconds() - start;
  }

 private:
  explicit Scene(const metaworld::TaskEntry& entry)
      : entry_(entry), observation_(kObservationSize) {}

  const metaworld::TaskEntry& entry_;
  std::unique_ptr<metaworld::MetaWorldEnvironment> environment_, bare_;
  std::vector<double> observation_;
};

absl::StatusOr<SceneBench> BenchScene(const metaworld::TaskEntry& entry,
                                      const BenchSettings& settings) {
  MENTOR_ASSIGN_OR_RETURN(Scene scene, Scene::Make(entry));
  std::vector<double> bare, step, reset, first_reset;
  for (int goal = 0; goal < settings.goals; ++goal) {
    MENTOR_ASSIGN_OR_RETURN(const double us, scene.Reset(goal));
    first_reset.push_back(us);
  }
  int goal = 0;
  for (int round = 0; round < settings.rounds; ++round) {
    double bare_us = 0, step_us = 0, reset_us = 0;
    const int end = settings.goals * (round + 1) / settings.rounds;
    const int episodes = end - goal;
    for (; goal < end; ++goal) {
      const Actions actions = MakeActions(goal);
      MENTOR_ASSIGN_OR_RETURN(const double a, scene.Reset(goal));
      MENTOR_ASSIGN_OR_RETURN(const double b, scene.Steps(actions));
      MENTOR_ASSIGN_OR_RETURN(const double c, scene.BareSteps(actions));
      reset_us += a;
      step_us += b;
      bare_us += c;
    }
    reset.push_back(reset_us / episodes);
    step.push_back(step_us / episodes / kEpisodeSteps);
    bare.push_back(bare_us / episodes / kEpisodeSteps);
  }
  SceneBench result{.environment = entry.name,
                    .bare_us = Median(bare),
                    .step_us = Median(step),
                    .reset_us = Median(reset),
                    .first_reset_us = Median(first_reset)};
  result.step_ratio = result.bare_us / result.step_us;
  result.with_resets_ratio = result.bare_us / (result.step_us + result.reset_us / kEpisodeSteps);
  return result;
}

// One episode in each of `threads` threads at once: wall time, and CPU time of one thread's steps
// on average.
struct Together {
  double wall_us = 0, cpu_us = 0;
};
absl::StatusOr<Together> RunTogether(std::vector<Scene>& scenes, size_t threads,
                                     const Actions& actions) {
  for (size_t i = 0; i < threads; ++i)
    MENTOR_RETURN_IF_ERROR(scenes[i].Reset(static_cast<int>(i)).status());
  std::vector<absl::StatusOr<double>> cpu_us(threads, 0.0);
  std::barrier start(static_cast<std::ptrdiff_t>(threads) + 1);
  double begin = 0, end = 0;
  {
    std::vector<std::jthread> workers;
    for (size_t i = 0; i < threads; ++i) {
      workers.emplace_back([&, i] {
        start.arrive_and_wait();
        cpu_us[i] = scenes[i].Steps(actions);
      });
    }
    start.arrive_and_wait();
    begin = WallMicroseconds();
    workers.clear();
    end = WallMicroseconds();
  }
  Together together{.wall_us = end - begin};
  for (const absl::StatusOr<double>& us : cpu_us) {
    MENTOR_RETURN_IF_ERROR(us.status());
    together.cpu_us += *us / static_cast<double>(threads);
  }
  return together;
}

absl::Status BenchThreads(const BenchSettings& settings, EnvironmentBench* bench) {
  const std::vector<const metaworld::TaskEntry*> tasks =
      Registry<metaworld::TaskEntry>::Instance().All();
  std::vector<Scene> scenes;
  for (int i = 0; i < 2; ++i) {
    MENTOR_ASSIGN_OR_RETURN(Scene scene, Scene::Make(*tasks.front()));
    scenes.push_back(std::move(scene));
  }
  std::vector<double> wall, cpu;
  for (int round = 0; round < std::max(settings.rounds, 1) * 3; ++round) {
    const Actions actions = MakeActions(1000 + round);
    MENTOR_ASSIGN_OR_RETURN(const Together one, RunTogether(scenes, 1, actions));
    MENTOR_ASSIGN_OR_RETURN(const Together two, RunTogether(scenes, 2, actions));
    wall.push_back(2 * one.wall_us / two.wall_us);
    cpu.push_back(2 * one.cpu_us / two.cpu_us);
  }
  bench->two_threads_ratio = Median(wall);
  bench->two_threads_cpu_ratio = Median(cpu);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EnvironmentBench> BenchEnvironments(const BenchSettings& settings) {
  if (settings.rounds < 1 || settings.goals < settings.rounds) {
    return absl::InvalidArgumentError(
        absl::StrCat("rounds is ", settings.rounds, ", goals ", settings.goals,
                     "; give at least one round and a goal for each"));
  }
  EnvironmentBench bench;
  double step = 0, with_resets = 0;  // Sums of logarithms.
  for (const metaworld::TaskEntry* task : Registry<metaworld::TaskEntry>::Instance().All()) {
    MENTOR_ASSIGN_OR_RETURN(const SceneBench scene, BenchScene(*task, settings));
    step += std::log(scene.step_ratio);
    with_resets += std::log(scene.with_resets_ratio);
    bench.scenes.push_back(scene);
  }
  const double n = static_cast<double>(bench.scenes.size());
  bench.step_ratio = std::exp(step / n);
  bench.with_resets_ratio = std::exp(with_resets / n);
  MENTOR_RETURN_IF_ERROR(BenchThreads(settings, &bench));
  return bench;
}

}  // namespace mentor::envs
