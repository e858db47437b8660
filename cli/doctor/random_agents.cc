#include "cli/doctor/random_agents.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <span>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/rng.h"
#include "envs/render/episode.h"

namespace mentor::doctor {
namespace {

constexpr uint64_t kSeed = 1;

// Means and deviations, number by number (Welford 1962).
class Moments {
 public:
  explicit Moments(size_t size) : mean_(size), sum_(size) {}
  void Add(std::span<const double> numbers) {
    ++count_;
    for (size_t i = 0; i < mean_.size(); ++i) {
      const double delta = numbers[i] - mean_[i];
      mean_[i] += delta / count_;
      sum_[i] += delta * (numbers[i] - mean_[i]);
    }
  }
  const std::vector<double>& mean() const { return mean_; }
  std::vector<double> deviation() const {
    std::vector<double> deviation(sum_.size());
    for (size_t i = 0; i < sum_.size(); ++i)
      deviation[i] = std::sqrt(sum_[i] / std::max(1., count_));
    return deviation;
  }

 private:
  double count_ = 0;
  std::vector<double> mean_, sum_;
};

class RandomWalk {
 public:
  RandomWalk(const envs::EnvironmentInfo& info, double initial_std)
      : info_(info),
        initial_std_(initial_std),
        observations_(info.observation_size),
        rewards_(1),
        action_(info.action_size),
        noise_(info.action_size) {}

  // One episode, number `index` of this environment.
  absl::Status Episode(envs::Environment& environment, const v1::EnvironmentTask& task,
                       uint32_t index, const std::function<bool()>& goes_on) {
    MENTOR_RETURN_IF_ERROR(environment.SetTask(task));
    const RandomStream noise{.seed = kSeed, .purpose = Purpose::kActionNoise, .lifetime = index};
    uint32_t step = 0;
    const envs::Act act = [&](std::span<const double> observation, std::span<float> action) {
      observations_.Add(observation);
      Draw(noise, step++, action);
      return absl::OkStatus();
    };
    MENTOR_ASSIGN_OR_RETURN(
        const envs::Episode episode,
        PlayEpisode(environment,
                    {.seed = kSeed, .purpose = Purpose::kEnvironmentReset, .lifetime = index},
                    /*number=*/0, act, /*steps=*/0, [&](int, int) { return goes_on(); }));
    for (size_t t = 1; t < episode.moments.size(); ++t) {
      const double reward = episode.moments[t].reward;
      rewards_.Add(std::span(&reward, 1));
      zeros_ += reward == 0;
      ++random_.steps;
    }
    ++random_.episodes;
    random_.successes += episode.success;
    return absl::OkStatus();
  }

  RandomAgents Result() const {
    RandomAgents random = random_;
    random.observation_mean = observations_.mean();
    random.observation_deviation = observations_.deviation();
    random.reward_mean = rewards_.mean()[0];
    random.reward_deviation = rewards_.deviation()[0];
    random.reward_zero = static_cast<double>(zeros_) / std::max(1, random.steps);
    return random;
  }

 private:
  void Draw(const RandomStream& stream, uint32_t step, std::span<float> clipped) {
    if (info_.discrete_actions) {
      std::ranges::fill(clipped, 0.0F);
      clipped[stream.Below(clipped.size(), step, 0)] = 1;
      return;
    }
    stream.Normals(step, noise_);
    std::ranges::transform(noise_, action_.begin(),
                           [&](double z) { return static_cast<float>(initial_std_ * z); });
    envs::ClipAction(info_, action_, clipped);
  }

  const envs::EnvironmentInfo info_;
  const double initial_std_;
  Moments observations_, rewards_;
  std::vector<float> action_;
  std::vector<double> noise_;
  int zeros_ = 0;
  RandomAgents random_;
};

}  // namespace

RandomAgents MeasureRandomAgents(const envs::Benchmark& benchmark, double initial_std, int steps,
                                 const std::function<bool()>& goes_on) {
  const std::vector<envs::TaskSet>& sets = benchmark.Tasks(envs::Split::kTrain);
  RandomWalk walk(benchmark.info(), initial_std);
  std::vector<std::unique_ptr<envs::Environment>> environments(sets.size());
  for (uint32_t index = 0; goes_on() && walk.Result().steps < steps; ++index) {
    const size_t i = index % sets.size();
    const auto number = static_cast<uint32_t>(index / sets.size());
    const v1::EnvironmentTask task =
        sets[i].tasks.empty() ? sets[i].draw({.seed = kSeed, .purpose = Purpose::kTasks}, number)
                              : sets[i].tasks[number % sets[i].tasks.size()];
    absl::Status status;
    if (environments[i] == nullptr) {
      auto made = envs::MakeEnvironment(task);
      status = made.status();
      if (status.ok()) environments[i] = *std::move(made);
    }
    if (status.ok()) status = walk.Episode(*environments[i], task, index, goes_on);
    if (!status.ok()) {
      RandomAgents random = walk.Result();
      random.error = absl::StrCat(sets[i].name, ": ", status.message());
      return random;
    }
  }
  return walk.Result();
}

}  // namespace mentor::doctor
