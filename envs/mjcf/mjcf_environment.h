// A task that an experiment brings as a bundle (plan.h), as an Environment. Not thread-safe; the
// plan and its model are shared.
//
// A reset depends only on the task's parameters and the key of the episode. Programs over one array
// of numbers do all arithmetic of the task.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "envs/mjcf/plan.h"
#include "envs/mjcf/program.h"
#include "envs/mujoco_environment.h"

namespace mentor::envs::mjcf {

class MjcfEnvironment : public MuJoCoEnvironment {
 public:
  explicit MjcfEnvironment(std::shared_ptr<const Plan> plan);

  const EnvironmentInfo& info() const override { return info_; }
  absl::Status SetTask(const v1::EnvironmentTask& task) override;
  absl::Status Reset(const RandomStream& random, uint32_t episode,
                     std::span<double> observation) override;
  absl::Status ResetTo(std::span<const double> positions, std::span<const double> velocities,
                       std::span<double> observation) override;
  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override;
  absl::StatusOr<std::string> SaveState() const override;
  absl::Status RestoreState(std::string_view state, std::span<double> observation) override;

  Simulation& simulation() override { return sim_; }
  int frame_skip() const override { return static_cast<int>(plan_->task.frame_skip()); }
  void ApplyAction(std::span<const float> action) override;
  const std::vector<std::string>& InfoKeys() const override { return plan_->term_names; }
  std::vector<double> Info() const override { return terms_; }
  const EnvironmentHelp* help() const override { return &plan_->help; }

 private:
  // A batch of expressions, ready to run.
  struct Stage {
    const Batch* batch;
    Program program;
  };
  class Draws;

  std::vector<Stage> Prepare(std::span<const Batch> batches);
  absl::Status Run(std::vector<Stage>& stages);
  absl::Status CheckReset(std::span<const double> observation) const;
  // One attempt of a reset; draws: null without noise.
  absl::Status Begin(Draws* draws);
  absl::Status Settle(bool by_chance);
  void WriteParameters(bool after_settling);
  void AddNoise(Draws& draws, bool after_settling);
  // The rest of a reset, once positions and velocities are final.
  absl::Status FinishReset();
  void StartEpisode(std::span<double> observation);
  void Gather();
  void Observe(bool after_reset);
  void Follow();
  std::string SettledKey() const;

  // Fixed after construction.
  const std::shared_ptr<const Plan> plan_;
  const mjModel& m_;  // The shared model.
  EnvironmentInfo info_;
  const double bundle_number_;  // From the digest: a state names its bundle.
  Simulation sim_;

  std::vector<double> numbers_;  // What programs read and write.
  std::vector<Stage> at_reset_, at_step_, condition_;
  std::vector<double> results_;

  // The task.
  bool has_task_ = false, goal_visible_ = false;
  std::vector<double> parameters_;

  // The episode.
  int steps_ = -1;  // Negative: not reset.
  bool ended_ = false;
  std::vector<double> pose_;  // [7]: the body that the mocap body follows, if any.
  std::vector<double> now_;   // Numbers that are shown a step late.
  std::vector<double> observation_;
  std::vector<double> terms_;
};

}  // namespace mentor::envs::mjcf
