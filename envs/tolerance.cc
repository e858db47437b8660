#include "envs/tolerance.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "common/exact_math.h"

namespace mentor::envs {
namespace {

double Steepness(Sigmoid sigmoid, double value) {
  switch (sigmoid) {
    case Sigmoid::kGaussian:
      return std::sqrt(-2 * exact::Log(value));
    case Sigmoid::kHyperbolic:
      return std::acosh(1 / value);
    case Sigmoid::kLongTail:
      return std::sqrt(1 / value - 1);
    case Sigmoid::kReciprocal:
      return 1 / value - 1;
    case Sigmoid::kLinear:
      return 1 - value;
    case Sigmoid::kQuadratic:
      return std::sqrt(1 - value);
    case Sigmoid::kCosine:
      return std::acos(2 * value - 1) / std::numbers::pi;
    case Sigmoid::kTanhSquared:
      return std::atanh(std::sqrt(1 - value));
  }
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

Tolerance::Tolerance(Sigmoid sigmoid, double value_at_margin)
    : sigmoid_(sigmoid), k_(Steepness(sigmoid, value_at_margin)) {}

double Tolerance::operator()(double x, double low, double high, double margin) const {
  if (!(margin >= 0)) return std::numeric_limits<double>::quiet_NaN();
  if (low <= x && x <= high) return 1;
  if (margin == 0) return 0;
  const double s = (x < low ? low - x : x - high) / margin;
  const double scaled = s * k_;
  switch (sigmoid_) {
    case Sigmoid::kGaussian:
      return exact::Exp(-0.5 * scaled * scaled);
    case Sigmoid::kHyperbolic:
      return 1 / std::cosh(scaled);
    case Sigmoid::kLongTail:
      return 1 / (scaled * scaled + 1);
    case Sigmoid::kReciprocal:
      return 1 / (std::abs(scaled) + 1);
    case Sigmoid::kLinear:
      return std::abs(scaled) < 1 ? 1 - scaled : 0;
    case Sigmoid::kQuadratic:
      return std::abs(scaled) < 1 ? 1 - scaled * scaled : 0;
    case Sigmoid::kCosine:
      return std::abs(scaled) < 1 ? (1 + std::cos(std::numbers::pi * scaled)) / 2 : 0;
    case Sigmoid::kTanhSquared: {
      const double tanh = std::tanh(scaled);
      return 1 - tanh * tanh;
    }
  }
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace mentor::envs
