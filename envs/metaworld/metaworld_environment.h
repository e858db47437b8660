// Meta-World v3 as an Environment: the mocap arm, the step, the double reset pass, the 39 numbers
// of the observation. Everything of docs/metaworld.md that all fifty tasks share. Not thread-safe;
// models and settled resets are shared among all instances of the process.
//
// A task's parameters are its rand_vec. Resets use no random numbers: they are functions of (task,
// rand_vec).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "envs/metaworld/task.h"
#include "envs/mujoco_environment.h"

namespace mentor::envs::metaworld {

constexpr int kObservationSize = 39;
constexpr int kActionSize = 4;
constexpr int kEpisodeSteps = 500;
constexpr int kFrameSkip = 5;

class MetaWorldEnvironment : public MuJoCoEnvironment {
 public:
  static absl::StatusOr<std::unique_ptr<Environment>> Make(const TaskEntry& entry);

  const EnvironmentInfo& info() const override { return info_; }
  absl::Status SetTask(const v1::EnvironmentTask& task) override;
  absl::Status Reset(const RandomStream& random, uint32_t episode,
                     std::span<double> observation) override;
  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override;
  absl::StatusOr<std::string> SaveState() const override;
  absl::Status RestoreState(std::string_view state, std::span<double> observation) override;

  Simulation& simulation() override { return world_.sim(); }
  int frame_skip() const override { return kFrameSkip; }
  void ApplyAction(std::span<const float> action) override;
  const std::vector<std::string>& InfoKeys() const override;
  std::vector<double> Info() const override;
  bool ScriptedAction(std::span<float> action) const override;

 private:
  // The half of an observation that is measured now: hand, opening, two objects.
  using Measured = std::array<double, 18>;

  MetaWorldEnvironment(const TaskEntry& entry, std::shared_ptr<const mjModel> model, Names& names);

  Measured Measure() const;
  void Assemble(const Measured& now, const Measured& before, bool clip);
  absl::Status SettleReset();
  void HandReset();
  std::string TaskKey() const;

  // Fixed after construction.
  const TaskFacts& facts_;
  EnvironmentInfo info_;
  World world_;
  std::unique_ptr<Task> task_;
  const std::vector<std::string> missing_;  // Names that the model lacks; Make refuses then.

  // The task.
  std::optional<RandVec> v_;
  bool goal_visible_ = false;

  // The episode.
  int steps_ = -1;  // Negative: not reset.
  Episode episode_;
  Measured measured_{};  // Unclipped, of the last step.
  std::array<double, kObservationSize> observation_{};
  Outcome outcome_;
};

}  // namespace mentor::envs::metaworld
