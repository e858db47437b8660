// Points and quaternions as the task statements of Meta-World write them: elementwise, in a fixed
// order of operations.
#pragma once

#include <cmath>
#include <span>

namespace mentor::envs::metaworld {

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

}  // namespace mentor::envs::metaworld
