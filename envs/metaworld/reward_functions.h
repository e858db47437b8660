// The shaping functions of Meta-World's rewards, under their names in the task statements. Pure;
// threads may share. A negative margin, which only vectors from outside a task's box can give,
// makes the result NaN.
#pragma once

#include "envs/metaworld/vec3.h"

namespace mentor::envs::metaworld {

// 1 inside [low, high]; outside it falls with the distance, to 0.1 at `margin`, as 1 / ((3 x)^2 +
// 1).
double ToleranceLongTail(double x, double low, double high, double margin);
// The same with exp(-(k x)^2 / 2).
double ToleranceGaussian(double x, double low, double high, double margin);

// T, T2 and G of the task statements.
inline double T(double x, double bound, double margin) {
  return ToleranceLongTail(x, 0, bound, margin);
}
inline double T2(double x, double low, double high, double margin) {
  return ToleranceLongTail(x, low, high, margin);
}
inline double G(double x, double bound, double margin) {
  return ToleranceGaussian(x, 0, bound, margin);
}

// Hamacher product of a and b in [0, 1].
double H(double a, double b);

// 1 outside the box between two corners; inside, the product over axes of (x - zero) / (one -
// zero).
double RectangularPrism(const Vec3& x, const Vec3& zero, const Vec3& one);

double Clip(double x, double low, double high);

}  // namespace mentor::envs::metaworld
