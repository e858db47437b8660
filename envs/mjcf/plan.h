// A bundle's task, read, checked and compiled against its model: the shared part of its
// environments. Immutable; threads may share.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <mujoco/mujoco.h>

#include "common/bundle_finder.h"
#include "common/rng.h"
#include "common/violations.h"
#include "envs/environment.h"
#include "envs/mjcf/bundle_model.h"
#include "envs/mjcf/expression.h"
#include "envs/mjcf/quantities.h"
#include "envs/physics.h"
#include "mentor/v1/mjcf_task.pb.h"

namespace mentor::envs::mjcf {

inline constexpr char kTaskFile[] = "task.txtpb";

// Reads task.txtpb and checks ranges and whatever needs no model; adds every violation.
v1::MjcfTask ReadTask(std::string_view text, Violations* violations);

// Texts that are evaluated together, and the places of their results.
struct Batch {
  std::vector<std::string> texts;
  std::vector<int> outputs;
  std::vector<std::string> names;  // For errors: "reward[0] 'reach'".
};

struct Plan {
  struct Parameter {
    std::string name;
    std::vector<double> low, high;
    int first = 0;  // In the task's vector.
    int place = 0;  // Among the numbers.
    bool hidden = false, after_settling = false;
    enum class Target { kNone, kBody, kSite, kMocap, kJoint, kMass, kFriction, kSize, kDamping };
    Target target = Target::kNone;
    int id = -1;
    int size() const { return static_cast<int>(low.size()); }
  };
  struct Noise {
    enum class Target { kQpos, kQvel, kBody } target = Target::kQpos;
    int first = 0, count = 0;  // In qpos or qvel; for kBody the id of the body, and 3.
    std::vector<double> low, high;
    bool normal = false, replace = false, after_settling = false;
  };
  struct Shown {
    int place = 0;
    double low = 0, high = 0;  // Where clipped.
    bool clipped = false, previous = false, hidden = false;
  };
  struct Control {
    int actuator = 0, number = 0;
    std::optional<double> gain;  // None: scaled to the ctrlrange.
    double low = 0, high = 0;    // The ctrlrange's.
    bool clips = false;          // MuJoCo does not.
    int qpos = -1;               // Added position; negative: none.
  };
  struct Mocap {
    int body = -1, mocap = -1, follow = -1;
    double scale[3] = {0, 0, 0};
    std::optional<std::vector<double>> low, high, start, orientation;
  };
  struct Hold {
    int qpos = 0;
    double value = 0;
  };
  struct Term {
    int place = 0;
    double weight = 1;
  };

  std::string digest;  // The bundle's.
  v1::MjcfTask task;
  std::shared_ptr<const mjModel> model;
  std::shared_ptr<const Quantities> quantities;

  // Places among the numbers that the environment writes.
  int action_place = 0, time_place = 0, step_place = 0;
  int action_size = 0;
  int keyframe = -1;

  std::vector<Parameter> parameters;
  int parameter_count = 0;
  bool has_hidden = false, changes_physics = false;
  std::optional<Batch> parameter_condition;

  std::vector<Control> controls;
  std::optional<Mocap> mocap;
  std::vector<Hold> holds;
  std::vector<Noise> noise;
  bool noise_before_settling = false;
  std::vector<double> settle_control;

  std::vector<Batch> at_reset, at_step;
  std::optional<Batch> condition;
  std::vector<int> remembered;  // Places that keep their number through an episode.
  std::vector<Shown> observation;
  int previous_count = 0;
  std::vector<Term> terms;
  std::vector<std::string> term_names;
  int success_place = -1, terminated_place = -1;
  EnvironmentHelp help;

  // True if a task's vector meets the condition.
  bool Meets(std::span<const double> parameters) const;
  // Number `index` of a sequence of tasks' vectors, uniform in the ranges, drawn again where the
  // condition is not met. Has pause points: after the end of the work its result is meaningless.
  std::vector<double> Draw(const RandomStream& random, uint32_t index) const;
  // The factors that a task's vector gives.
  PhysicsFactors Physics(std::span<const double> parameters) const;
};

// INVALID_ARGUMENT lists everything that is wrong with the bundle.
absl::StatusOr<std::shared_ptr<const Plan>> MakePlan(const HeldBundle& bundle,
                                                     const CompilerLimits& limits = {});
// The same, shared with its present users and kept a while. name: "sha256:HEX".
absl::StatusOr<std::shared_ptr<const Plan>> FindPlan(const std::string& name);

}  // namespace mentor::envs::mjcf
