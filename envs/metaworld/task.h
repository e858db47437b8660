// What a Meta-World task consists of: facts, three functions that read like its specification
// (docs/metaworld.md#task-statements), and a policy by hand. A task is a class in
// envs/metaworld/tasks/ that registers itself, beside the tasks that it shares things with. What
// all share is in World and MetaWorldEnvironment.
//
//   class Reach : public Task { ... };
//   const RegisterTasks<Reach, ReachWall> kRegisterReaches;
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "common/registry.h"
#include "envs/metaworld/reward_functions.h"
#include "envs/metaworld/world.h"

namespace mentor::envs::metaworld {

constexpr Vec3 Tail(const std::array<double, 6>& v) {
  return {{v[3], v[4], v[5]}};
}

// The task's vector v ("rand_vec"): 3 or 6 numbers; where there are 6, usually start and goal.
struct RandVec {
  std::array<double, 6> value{};
  int size = 0;

  double operator[](int i) const { return value[i]; }
  Vec3 Head() const { return {{value[0], value[1], value[2]}}; }  // v[0:3]
  Vec3 Tail() const { return metaworld::Tail(value); }            // v[3:6]
};

// Where v is drawn from. Draws whose start v[0:2] is nearer to the goal than start_goal_min are
// refused; the goal is v[3:5], or a fixed point.
struct RandVecBox {
  int size = 0;
  std::array<double, 6> low{}, high{};
  double start_goal_min = 0;  // 0: nothing is refused.
  std::optional<std::array<double, 2>> fixed_goal = {};

  bool refuses(const RandVec& v) const {
    const auto [x, y] = fixed_goal.value_or(std::array{v[3], v[4]});
    return Norm(v[0] - x, v[1] - y) < start_goal_min;
  }
  std::string refused_when() const;  // For people; empty when nothing is refused.
};

struct TaskFacts {
  const char* name = "";
  const char* summary = "";
  const char* xml = "";                                            // Below the assets folder.
  Vec3 hand0 = {0, 0.6, 0.2};                                      // Where a reset brings the hand.
  Vec3 mocap_low = {-0.5, 0.4, 0.05}, mocap_high = {0.5, 1, 0.5};  // The hand's box.
  RandVecBox rand_vec;
  // Clips the goal in observations, never the one in rewards: where goals are drawn, or the hand's
  // box, unless the task says otherwise.
  Vec3 goal_low = rand_vec.size == 6 ? Tail(rand_vec.low) : mocap_low;
  Vec3 goal_high = rand_vec.size == 6 ? Tail(rand_vec.high) : mocap_high;
};

// The one or two objects of the observation.
struct Objects {
  Vec3 position;
  Quat orientation;
  Vec3 second_position = {};
  Quat second_orientation = {};
};

// Results of a reset, to which the rewards of the episode refer. Names as in the task statements.
// Doubles only: a saved state holds the struct as it is.
struct Episode {
  Vec3 tcp0, obj0, target;
  // Only some tasks use these.
  Vec3 push0, handle0, lever0, head0, stick0;
  double press0 = 0;
  double first = -1;  // Distance at the episode's first step; negative: not seen yet.
};

// The input of a reward, after the step's forward pass.
struct StepView {
  const World& world;
  std::array<double, 4> a;  // Unclipped action.
  Vec3 hand, o, o2;         // From the clipped observation.
  double g = 0;             // Gripper opening, likewise.
  Quat q;
  Vec3 tcp, hand0;
  double d = 0, dt = 0;  // From o to tcp, and to the target.

  void Measure(const Episode& e) {
    d = Norm(o - tcp);
    dt = Norm(o - e.target);
  }
};

// The input of a scripted policy: the observation with its goal shown.
struct Sight {
  Vec3 hand, o, o2, goal;
  double g = 0;  // Gripper opening.
  Quat q;

  // How far the hand is from p, in the plane of the table and in height.
  double LevelTo(const Vec3& p) const { return Norm(hand[0] - p[0], hand[1] - p[1]); }
  double HeightTo(const Vec3& p) const { return std::abs(hand[2] - p[2]); }
  // Within both.
  bool Near(const Vec3& p, double level, double height) const {
    return LevelTo(p) <= level && HeightTo(p) <= height;
  }
};

// The output of a scripted policy: move the hand by `gain` times the way to `to`, set the fingers'
// effort.
struct Advice {
  Vec3 to;
  double gain = 10;
  double grip = 0;  // -1 opens, 1 closes.
};

// A number of the info, which in some tasks is a condition.
struct InfoValue {
  double value = 0;
  constexpr InfoValue() = default;
  template <typename Number>
  constexpr InfoValue(Number number) : value(static_cast<double>(number)) {}
};

// Tasks name its values in this order.
struct Outcome {
  double reward = 0;
  bool success = false;
  InfoValue near_object;
  InfoValue grasp_success;
  double grasp_reward = 0;
  double in_place_reward = 0;
  double obj_to_target = 0;
};

class Task {
 public:
  virtual ~Task() = default;
  virtual Objects Observe(const World& world) const = 0;
  // One pass of a reset, after the hand has settled: the statements in order.
  virtual void Reset(const RandVec& v, World& world, Episode& episode) const = 0;
  // Values that the statements call live: read again after each step.
  virtual void Live(const World& world, Episode& episode) const {}
  virtual Outcome Reward(const StepView& s, Episode& e) const = 0;
  // A policy by hand that solves the task. Waypoints, thresholds, gains and efforts are those of
  // the package's metaworld/policies.
  virtual Advice Script(const Sight& s) const = 0;
};

// cage(p, R, P, B, Z, E, mode, p0): reward for closing the gripper around a point.
struct CageShape {
  double radius;            // R of the object
  double pad_margin;        // P
  double medium_bound = 0;  // B, used by kMedium only
  double xz_bound;          // Z
  double effort;            // E: desired closing
  enum Density { kPlain, kHigh, kMedium } density = kPlain;
};
double Cage(const StepView& s, const Episode& e, const Vec3& p, const CageShape& shape,
            const Vec3& p0);
inline double Cage(const StepView& s, const Episode& e, const Vec3& p, const CageShape& shape) {
  return Cage(s, e, p, shape, e.obj0);
}

// cageSweep(p, R, X, Z): the same for tasks that sweep or roll the object; the action does not
// enter. Its margins, like those of CagePick, come from where the pads are now: the reference means
// their first positions, but keeps views of live simulator memory.
struct SweepShape {
  double radius;       // R of the object
  double grip_margin;  // X
  double xz_bound;     // Z
};
double CageSweep(const StepView& s, const Episode& e, const Vec3& p, const SweepShape& shape);
// cagePick(p) of pick-place-v3.
double CagePick(const StepView& s, const Episode& e, const Vec3& p);

// What most infos call grasp_success: the fingers hold the object, `lift` above the height z0.
inline bool Grasped(const StepView& s, GeomId object, double z0, double lift = 0.02) {
  return s.g > 0 && s.o[2] - lift > z0 && s.world.Touching(object);
}

// --- The catalogue of tasks ---

struct TaskEntry {
  std::string name;
  TaskFacts facts;
  std::function<std::unique_ptr<Task>(Names&)> make;
};

inline const TaskEntry* FindTask(std::string_view name) {
  return Registry<TaskEntry>::Instance().Find(name);
}

// Adds the task here and its environment to the catalogue of environments.
void AddTask(TaskEntry entry);

template <typename T>
void AddTask() {
  AddTask({T::kFacts.name, T::kFacts, [](Names& names) { return std::make_unique<T>(names); }});
}
template <typename... T>
struct RegisterTasks {
  RegisterTasks() { (AddTask<T>(), ...); }
};

}  // namespace mentor::envs::metaworld
