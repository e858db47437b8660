// Common reward terms of tasks in which the gripper comes from above, takes a handle or a lid and
// carries it. They say where to grip, how high to stay, and how well the object lies. Pure; threads
// may share.
#pragma once

#include <algorithm>

#include "common/exact_math.h"
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {

// Where to grip a handle along x: where the hand is, if that is less than `reach` from its centre.
inline Vec3 GripAlongX(const StepView& s, double reach) {
  return {{std::abs(s.o[0] - s.hand[0]) < reach ? s.hand[0] : s.o[0], s.o[1], s.o[2]}};
}

// 1 when the object lies as it should, 0 from a difference of `tolerance` on.
inline double Aligned(const Quat& q, const Quat& ideal, double tolerance) {
  double squares = 0;
  for (int i = 0; i < 4; ++i) squares += (q[i] - ideal[i]) * (q[i] - ideal[i]);
  return std::max(1 - std::sqrt(squares) / tolerance, 0.0);
}

// Height that rises with the distance rho from an axis and has no lower end at `radius`.
inline double Funnel(double rho, double radius, double slope, double height) {
  return rho > radius ? slope * exact::Log(rho - radius) + height : 0;
}

// 1 at or above a height; below it falls, to 0.1 at `margin`.
inline double HandAbove(const StepView& s, double height, double margin) {
  return s.hand[2] >= height ? 1 : T(height - s.hand[2], 0.01, margin);
}

}  // namespace mentor::envs::metaworld
