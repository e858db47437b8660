#include "envs/metaworld/reward_functions.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/exact_math.h"

namespace mentor::envs::metaworld {
namespace {

constexpr double kValueAtMargin = 0.1;

// The share of the margin by which x lies outside [low, high], through `sigmoid`.
template <typename Sigmoid>
double Tolerance(double x, double low, double high, double margin, Sigmoid sigmoid) {
  if (!(margin >= 0)) return std::numeric_limits<double>::quiet_NaN();
  if (low <= x && x <= high) return 1;
  if (margin == 0) return 0;
  return sigmoid((x < low ? low - x : x - high) / margin);
}

}  // namespace

double ToleranceLongTail(double x, double low, double high, double margin) {
  return Tolerance(x, low, high, margin, [](double s) {
    static const double k = std::sqrt(1 / kValueAtMargin - 1);
    return 1 / ((s * k) * (s * k) + 1);
  });
}

double ToleranceGaussian(double x, double low, double high, double margin) {
  return Tolerance(x, low, high, margin, [](double s) {
    static const double k = std::sqrt(-2 * exact::Log(kValueAtMargin));
    return exact::Exp(-0.5 * (s * k) * (s * k));
  });
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
