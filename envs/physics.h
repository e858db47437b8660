// Factors on the physics of a MuJoCo model, and the arrays of a model that they change. Domain
// randomisation (envs/wrappers/domain_randomization.cc) and the tasks of bundles
// (envs/mjcf/mjcf_environment.h) give them to a Simulation.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <mujoco/mujoco.h>

namespace mentor::envs {

// One factor for each body, geom, joint and actuator of a model, in MuJoCo's order. Thread-safe
// like any value.
struct PhysicsFactors {
  std::vector<double> mass;      // [nbody] on mass and inertia: the density of the body's matter.
  std::vector<double> friction;  // [ngeom] on sliding, torsional and rolling friction.
  std::vector<double> damping;   // [njnt] on the damping of all degrees of freedom of the joint.
  std::vector<double> gain;      // [nu] on the force of the actuator: gain and bias parameters.
  // [ngeom] on the size of a geom without a mesh; its mass stays.
  std::vector<double> size;

  // All factors 1.
  static PhysicsFactors Nominal(const mjModel& model);
  bool operator==(const PhysicsFactors&) const = default;
  // The product: both, one after the other.
  PhysicsFactors operator*(const PhysicsFactors& other) const;
  // Equal tags are equal factors (SHA-256 of their bits, in hexadecimal).
  std::string Tag() const;
};

// Separate copies of the arrays that factors change, and of those that mj_setConst computes from
// them. They take some kilobytes, where a copy of a whole model takes megabytes. Not thread-safe.
class PhysicsArrays {
 public:
  explicit PhysicsArrays(const mjModel& nominal);
  ~PhysicsArrays();

  // Points `view`, otherwise a copy of `nominal`, to separate arrays with the factors in them.
  // mj_setConst must follow; it then writes to no array of `nominal`.
  void Apply(const mjModel& nominal, const PhysicsFactors& factors, mjModel* view);

 private:
  struct Arrays;
  const std::unique_ptr<Arrays> arrays_;
};

}  // namespace mentor::envs
