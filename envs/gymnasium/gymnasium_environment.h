// Gymnasium's MuJoCo tasks, version 5, as Environments: reset, step, info, save and restore, which
// all eleven share. What distinguishes a task is a class in envs/gymnasium/tasks/ that reads like
// its row in the tables (docs/gymnasium.md) and registers itself:
//
//   class Hopper : public Task { ... };
//   const RegisterTasks<Hopper, Walker2d> kRegisterWalkers;
//
// Environments are not thread-safe; models and tasks are shared, read-only.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "envs/mujoco_environment.h"

namespace mentor::envs::gymnasium {

struct TaskFacts {
  const char* name = "";
  const char* summary = "";
  const char* xml = "";  // In the package's assets folder.
  struct Sizes {
    int nq = 0, nv = 0, nu = 0, nbody = 0, nsite = 0;
    bool operator==(const Sizes&) const = default;
  } sizes;  // What the model must have.
  int frame_skip = 0;
  double control = 1;  // Actions lie within [-control, control].
  int observation_size = 0;
  int episode_steps = 1000;
  bool ends_early = false;      // Step may terminate an episode.
  bool contact_forces = false;  // The task reads cfrc_ext.
  // The bodies that the task names, in the order of View::Body.
  std::vector<const char*> bodies = {};
  std::vector<std::string> info_keys;
  // For people, as in EnvironmentEntry.
  const char* observation_help = "";
  const char* reward_help = "";
  const char* random_help = "";
};

// The random numbers of one reset, in the order in which they are asked for.
class Draws {
 public:
  Draws(const RandomStream& random, uint32_t episode) : random_(random), episode_(episode) {}
  double Uniform(double low, double high) {
    return low + (high - low) * random_.Uniform(episode_, next_++);
  }
  // Noise on each number: uniform in [-size, size], or normal.
  void AddUniform(std::span<double> numbers, double size);
  void AddNormal(std::span<double> numbers, double deviation);

 private:
  const RandomStream& random_;
  const uint32_t episode_;
  uint32_t next_ = 0;
};

// Where the thing is whose speed counts: x and y.
using Position = std::array<double, 2>;

// The simulator as a task sees it. Positions and velocities are new; all that MuJoCo derives from
// them is what mj_step left, and older.
struct View {
  const mjModel& m;
  const mjData& d;
  std::span<const double> q, w, u;  // Positions, velocities, action.
  std::span<const int> body_ids;
  double dt;          // Seconds of a step.
  Position velocity;  // Speed of the task's position over the last step.

  const double* Body(int i) const { return d.xpos + 3 * body_ids[i]; }
  // A derived array of nbody rows from row `first` on.
  std::span<const double> Rows(const mjtNum* rows, int columns, int first = 0) const {
    return {rows + columns * first, static_cast<size_t>(columns * (m.nbody - first))};
  }
};

// Fills an observation part by part.
class Observation {
 public:
  explicit Observation(std::span<double> numbers) : rest_(numbers) {}
  void Add(double number);
  void Add(std::span<const double> numbers);
  void AddClipped(std::span<const double> numbers, double limit);
  bool full() const { return rest_.empty(); }

 private:
  std::span<double> rest_;
};

struct Outcome {
  double reward = 0;
  bool terminated = false;
  std::array<double, 9> info = {};  // In the order of info_keys.
};

class Task {
 public:
  virtual ~Task() = default;
  // q is the model's initial position, w is 0.
  virtual void Reset(Draws& draw, std::span<double> q, std::span<double> w) const = 0;
  // x and y of the root, unless the task says otherwise.
  virtual Position Where(const View& s) const { return {s.q[0], s.q[1]}; }
  virtual void Observe(const View& s, Observation& o) const = 0;
  virtual Outcome Reward(const View& s) const = 0;
};

// Pieces of rewards and ends.
double SquaredNorm(std::span<const double> numbers);
double Norm(double x, double y);
bool AllWithin(std::span<const double> numbers, double limit);  // Strictly; false for NaN.
bool AllFinite(std::span<const double> numbers);

class GymnasiumEnvironment : public MuJoCoEnvironment {
 public:
  static absl::StatusOr<std::unique_ptr<Environment>> Make(const TaskFacts& facts,
                                                           std::shared_ptr<const Task> task);

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
  int frame_skip() const override { return facts_.frame_skip; }
  void ApplyAction(std::span<const float> action) override;
  const std::vector<std::string>& InfoKeys() const override { return facts_.info_keys; }
  std::vector<double> Info() const override;

 private:
  GymnasiumEnvironment(const TaskFacts& facts, std::shared_ptr<const Task> task,
                       std::shared_ptr<const mjModel> model, std::vector<int> body_ids);

  View Look(const Position& velocity = {}) const;
  absl::Status Begin(std::span<double> observation);

  // Fixed after construction.
  const TaskFacts& facts_;
  const std::shared_ptr<const Task> task_;
  const std::vector<int> body_ids_;
  EnvironmentInfo info_;
  Simulation sim_;

  bool has_task_ = false;
  // The episode.
  int steps_ = -1;  // Negative: not reset.
  bool ended_ = false;
  Position position_{};  // After the last step: the place from which the next one's speed counts.
  std::vector<double> observation_;
  Outcome outcome_;
};

// Adds the environment to the catalogue.
void AddTask(const TaskFacts& facts, std::shared_ptr<const Task> task);

template <typename T>
void AddTask() {
  static const TaskFacts facts = T::Facts();
  AddTask(facts, std::make_shared<T>());
}
template <typename... T>
struct RegisterTasks {
  RegisterTasks() { (AddTask<T>(), ...); }
};

}  // namespace mentor::envs::gymnasium
