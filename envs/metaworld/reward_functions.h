// The shaping functions of Meta-World's rewards, under their names in the task statements. Pure;
// threads may share. A negative margin, which only vectors from outside a task's box can give,
// makes the result NaN.
#pragma once

#include <cmath>
#include <span>

namespace mentor::envs::metaworld {

// Points and quaternions as the task statements write them: elementwise, in a fixed order of
// operations.

struct Vec3 {
  double value[3] = {0, 0, 0};

  constexpr double operator[](int i) const { return value[i]; }
  constexpr double& operator[](int i) { return value[i]; }
  operator std::span<const double, 3>() const { return std::span<const double, 3>(value); }
};

constexpr Vec3 operator+(const Vec3& a, const Vec3& b) {
  return {{a[0] + b[0], a[1] + b[1], a[2] + b[2]}};
}
constexpr Vec3 operator-(const Vec3& a, const Vec3& b) {
  return {{a[0] - b[0], a[1] - b[1], a[2] - b[2]}};
}
constexpr Vec3 operator*(const Vec3& a, const Vec3& b) {
  return {{a[0] * b[0], a[1] * b[1], a[2] * b[2]}};
}

inline double Norm(const Vec3& a) {
  return std::sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]);
}
inline double Norm(double x, double y) {
  return std::sqrt(x * x + y * y);
}

// The point `height` above p.
constexpr Vec3 Above(const Vec3& p, double height) {
  return {{p[0], p[1], p[2] + height}};
}

struct Quat {
  double value[4] = {0, 0, 0, 0};
  constexpr double operator[](int i) const { return value[i]; }
};

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
