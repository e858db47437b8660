#include "common/exact_math.h"

#include <bit>
#include <cmath>
#include <limits>

#include "common/exact_math_inline.h"

namespace mentor::exact {
namespace {

// Polynomial by Horner's rule, for instance of Wichura's rational functions.
template <int n>
double Polynomial(const double (&coefficients)[n], double x) {
  double sum = coefficients[n - 1];
  for (int i = n - 2; i >= 0; --i) sum = sum * x + coefficients[i];
  return sum;
}

}  // namespace

double Exp(double x) {
  return inlined::Exp(x);
}

double Log(double x) {
  if (!(x > 0))
    return x == 0 ? -std::numeric_limits<double>::infinity()
                  : std::numeric_limits<double>::quiet_NaN();
  if (x == std::numeric_limits<double>::infinity()) return x;
  int64_t k = 0;
  if (x < std::numeric_limits<double>::min()) {
    x *= 0x1p54;
    k = -54;
  }
  // x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2).
  uint64_t bits = std::bit_cast<uint64_t>(x);
  constexpr uint64_t kMantissa = (uint64_t{1} << 52) - 1;
  constexpr uint64_t kSqrt2 = 0x6a09e667f3bcd;  // Mantissa of sqrt(2).
  k += static_cast<int64_t>(bits >> 52) - 1023;
  bits &= kMantissa;
  const bool upper = bits >= kSqrt2;
  k += upper;
  const double f =
      std::bit_cast<double>(bits | (upper ? uint64_t{1022} : uint64_t{1023}) << 52) - 1;
  // log(1 + f) = f - f^2/2 + s (f^2/2 + r), where s = f / (2 + f) and r = 2 sum_{n >= 1} s^(2n) /
  // (2n + 1). This is the series of 2 artanh(s) with its leading terms written in f, which is
  // exact.
  const double s = f / (2 + f);
  const double z = s * s;
  constexpr double kSeries[] = {2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11, 2.0 / 13,
                                2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21, 2.0 / 23};
  const double r = z * Polynomial(kSeries, z);
  const double half_square = 0.5 * f * f;
  const double n = static_cast<double>(k);
  return n * inlined::kLn2High -
         ((half_square - (s * (half_square + r) + n * inlined::kLn2Low)) - f);
}

double Tanh(double x) {
  return inlined::Tanh(x);
}

double Atan(double x) {
  return inlined::Atan(x);
}

double Power(double base, int64_t exponent) {
  return inlined::Power(base, exponent);
}

double NormalQuantile(double p) {
  constexpr double kA[] = {3.3871328727963666080e0,  1.3314166789178437745e+2,
                           1.9715909503065514427e+3, 1.3731693765509461125e+4,
                           4.5921953931549871457e+4, 6.7265770927008700853e+4,
                           3.3430575583588128105e+4, 2.5090809287301226727e+3};
  constexpr double kB[] = {1.0,
                           4.2313330701600911252e+1,
                           6.8718700749205790830e+2,
                           5.3941960214247511077e+3,
                           2.1213794301586595867e+4,
                           3.9307895800092710610e+4,
                           2.8729085735721942674e+4,
                           5.2264952788528545610e+3};
  constexpr double kC[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                           5.76949722146069140550e0,  3.64784832476320460504e0,
                           1.27045825245236838258e0,  2.41780725177450611770e-1,
                           2.27238449892691845833e-2, 7.74545014278341407640e-4};
  constexpr double kD[] = {1.0,
                           2.05319162663775882187e0,
                           1.67638483018380384940e0,
                           6.89767334985100004550e-1,
                           1.48103976427480074590e-1,
                           1.51986665636164571966e-2,
                           5.47593808499534494600e-4,
                           1.05075007164441684324e-9};
  constexpr double kE[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                           1.78482653991729133580e0,  2.96560571828504891230e-1,
                           2.65321895265761230930e-2, 1.24266094738807843860e-3,
                           2.71155556874348757815e-5, 2.01033439929228813265e-7};
  constexpr double kF[] = {1.0,
                           5.99832206555887937690e-1,
                           1.36929880922735805310e-1,
                           1.48753612908506148525e-2,
                           7.86869131145613259100e-4,
                           1.84631831751005468180e-5,
                           1.42151175831644588870e-7,
                           2.04426310338993978564e-15};
  if (!(p > 0 && p < 1)) return std::numeric_limits<double>::quiet_NaN();
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * Polynomial(kA, r) / Polynomial(kB, r);
  }
  const double r = std::sqrt(-Log(q < 0 ? p : 1 - p));
  const double tail = r <= 5 ? Polynomial(kC, r - 1.6) / Polynomial(kD, r - 1.6)
                             : Polynomial(kE, r - 5) / Polynomial(kF, r - 5);
  return q < 0 ? -tail : tail;
}

}  // namespace mentor::exact
