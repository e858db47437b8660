// The functions of exact_math.h as inline code, for callers that also run on a device.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/device_code.h"

namespace mentor::exact::inlined {

// ln 2 in two parts: the high part has 21 trailing zero bits, so its product with an exponent is
// exact.
constexpr double kLn2High = 0x1.62e42fefp-1;
constexpr double kLn2Low = 0x1.473de6af278edp-34;
constexpr double kInvLn2 = 0x1.71547652b82fep+0;
// Adding and subtracting kRound rounds a double of small magnitude to an integer, half to even.
constexpr double kRound = 0x1.8p52;

// 2^k for -1022 <= k <= 1023.
MENTOR_HD double PowerOfTwo(int64_t k) {
  return DoubleOfBits(static_cast<uint64_t>(k + 1023) << 52);
}

// x = k ln 2 + high - low with |high - low| <= ln 2 / 2, for |x| < 1100.
struct Reduced {
  int64_t k;
  double high, low;
};
MENTOR_HD Reduced ReduceByLn2(double x) {
  const double k = (x * kInvLn2 + kRound) - kRound;
  return {static_cast<int64_t>(k), x - k * kLn2High, k * kLn2Low};
}

// (e^r - 1 - r) / r^2 for |r| <= 0.35: Taylor series to r^12 (remainder below 2^-58), summed by
// Estrin's scheme.
MENTOR_HD double ExpTail(double r) {
  const double r2 = r * r;
  const double r4 = r2 * r2;
  const double r8 = r4 * r4;
  const double p0 = 1.0 / 2 + r * (1.0 / 6);
  const double p1 = 1.0 / 24 + r * (1.0 / 120);
  const double p2 = 1.0 / 720 + r * (1.0 / 5040);
  const double p3 = 1.0 / 40320 + r * (1.0 / 362880);
  const double p4 = 1.0 / 3628800 + r * (1.0 / 39916800);
  const double p5 = 1.0 / 479001600 + r * (1.0 / 6227020800);
  return (p0 + r2 * p1) + r4 * (p2 + r2 * p3) + r8 * (p4 + r2 * p5);
}

// e^(high - low) - 1.
MENTOR_HD double Expm1Reduced(double high, double low) {
  const double r = high - low;
  // Rounding error of r, to first order.
  const double lost = (high - r) - low;
  return r + (lost + r * r * ExpTail(r));
}

MENTOR_HD double Exp(double x) {
  if (!(x < 709.79)) {
    if (x != x) return x;
    if (x > 709.782712893384) return DoubleOfBits(0x7ff0000000000000);
  }
  if (x < -745.2) return 0;
  const Reduced reduced = ReduceByLn2(x);
  const double y = 1 + Expm1Reduced(reduced.high, reduced.low);
  // Two factors, since 2^k alone may overflow or be subnormal.
  const int64_t half = reduced.k / 2;
  return y * PowerOfTwo(half) * PowerOfTwo(reduced.k - half);
}

MENTOR_HD double Tanh(double x) {
  if (x != x) return x;
  const double magnitude = fabs(x);
  if (magnitude >= 20) return copysign(1.0, x);
  // tanh = m / (m + 2) with m = e^(2|x|) - 1 = 2^k m' + 2^k - 1.
  const Reduced reduced = ReduceByLn2(2 * magnitude);
  const double power = PowerOfTwo(reduced.k);
  const double m = power * Expm1Reduced(reduced.high, reduced.low) + (power - 1);
  return copysign(m / (m + 2), x);
}

MENTOR_HD double Power(double base, int64_t exponent) {
  double power = 1;
  for (; exponent > 0; exponent /= 2, base *= base) {
    if (exponent % 2 != 0) power *= base;
  }
  return power;
}

// Arc tangent. Minimax fit made for this file, for |x| <= tan(pi/8): relative error 1.3e-18 before
// rounding.
MENTOR_HD double Atan(double x) {
  const double magnitude = x < 0 ? -x : x;
  double offset = 0, z = magnitude;
  if (magnitude > 2.414213562373095) {  // tan(3 pi / 8)
    offset = 1.5707963267948966;
    z = -1 / magnitude;
  } else if (magnitude > 0.41421356237309503) {
    offset = 0.7853981633974483;
    z = (magnitude - 1) / (magnitude + 1);
  }
  constexpr double kCoefficients[] = {
      -0.017905907621254525719, 0.03806307530639146497,   -0.050392323510122192961,
      0.058478695795709548301,  -0.066631007387841565344, 0.076920598615027574535,
      -0.090908977338371816452, 0.11111110782474426989,   -0.1428571428017363018,
      0.1999999999995332928,    -0.3333333333333319648};
  const double y = z * z;
  double p = kCoefficients[0];
  for (int i = 1; i < 11; ++i) p = p * y + kCoefficients[i];
  const double result = offset + (z + z * y * p);
  return x < 0 ? -result : result;
}

}  // namespace mentor::exact::inlined
