#include "envs/metaworld/reward_functions.h"

#include <algorithm>

#include "envs/tolerance.h"

namespace mentor::envs::metaworld {

double ToleranceLongTail(double x, double low, double high, double margin) {
  static const Tolerance tolerance(Sigmoid::kLongTail);
  return tolerance(x, low, high, margin);
}

double ToleranceGaussian(double x, double low, double high, double margin) {
  static const Tolerance tolerance(Sigmoid::kGaussian);
  return tolerance(x, low, high, margin);
}

double H(double a, double b) {
  const double denominator = a + b - a * b;
  // Written so that NaN passes through.
  return denominator <= 0 ? 0 : a * b / denominator;
}

double RectangularPrism(const Vec3& x, const Vec3& zero, const Vec3& one) {
  double product = 1;
  for (int i = 0; i < 3; ++i) {
    if (x[i] < std::min(zero[i], one[i]) || x[i] > std::max(zero[i], one[i])) return 1;
    product *= (x[i] - zero[i]) / (one[i] - zero[i]);
  }
  return product;
}

double Clip(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;
}

}  // namespace mentor::envs::metaworld
