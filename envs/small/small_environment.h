// Base of environments without a simulator, whose whole state is a few numbers. It makes the
// checks, keeps the task's parameters and the key of the episode, and writes and reads saved
// states. The derived class begins an episode, makes its steps and gives its observations. Not
// thread-safe.
#pragma once

#include <string>
#include <vector>

#include "envs/environment.h"

namespace mentor::envs {

struct SmallFacts {
  EnvironmentInfo info;
  int state = 0;                    // Numbers of the state.
  int parameters = 0;               // Numbers of a task's parameters.
  std::string parameters_are = {};  // For errors: "the goal".
  double low = 0, high = 0;         // Range of each parameter.
  std::vector<std::string> info_keys = {};
  bool may_be_visible = false;  // task.goal_visible may be true.
};

class SmallEnvironment : public Environment {
 public:
  explicit SmallEnvironment(SmallFacts facts);

  const EnvironmentInfo& info() const final { return facts_.info; }
  absl::Status SetTask(const v1::EnvironmentTask& task) final;
  absl::Status Reset(const RandomStream& random, uint32_t episode,
                     std::span<double> observation) final;
  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) final;
  absl::StatusOr<std::string> SaveState() const final;
  absl::Status RestoreState(std::string_view state, std::span<double> observation) final;
  const std::vector<std::string>& InfoKeys() const final { return facts_.info_keys; }
  std::vector<double> Info() const final { return terms_; }
  bool ScriptedAction(std::span<float> action) const final;

 protected:
  // Looks at legal parameters before they become parameters(), and makes what follows from them.
  // An error leaves the old task.
  virtual absl::Status Prepare(std::span<const double> parameters) { return absl::OkStatus(); }
  // Fills state(), which is all zeros.
  virtual void Begin() {}
  // Changes state(); steps() counts this step already. The base fills in `truncated`.
  virtual StepOutcome Advance(std::span<const float> action) = 0;
  // By default shows state().
  virtual void Observe(std::span<double> observation);
  // True if a restored state() is possible; the base has checked that its numbers are finite.
  virtual bool IsLegal() const { return true; }
  // The hand-written policy.
  virtual bool Script(std::span<float> action) const { return false; }

  std::span<const double> parameters() const { return parameters_; }
  std::span<double> state() { return state_; }
  std::span<const double> state() const { return state_; }
  // Values of info_keys, for Advance to fill in; zeros after a reset or a restored state.
  std::span<double> terms() { return terms_; }
  int steps() const { return steps_; }
  // Words and numbers of this episode, by draw.
  uint32_t Word(uint32_t draw) const { return random_.Block(episode_, draw)[0]; }
  double Uniform(uint32_t draw) const { return random_.Uniform(episode_, draw); }
  const RandomStream& random() const { return random_; }
  uint32_t episode() const { return episode_; }

 private:
  // Fixed after construction.
  const SmallFacts facts_;
  // The task.
  std::vector<double> parameters_;
  bool has_task_ = false;
  // The episode.
  RandomStream random_;
  uint32_t episode_ = 0;
  int steps_ = -1;  // Negative: not reset.
  bool ended_ = false;
  std::vector<double> state_;
  std::vector<double> terms_;
};

// The choice that an action [n] is: the greatest of its numbers, the first of equals.
int Chosen(std::span<const float> action);
// One-hot.
void WriteChoice(int choice, std::span<float> action);

// A step of a script towards something at distance `difference` when an action of 1 moves by
// `unit`.
float Towards(double difference, double unit);

}  // namespace mentor::envs
