// Elementary functions with the same last bit on every machine: fixed-order arithmetic without libm
// and without contraction (the build sets -ffp-contract=off). Accuracy is a few units in the last
// place of a double, which is tested against libm. Pure; threads may share.
#pragma once

#include <cstdint>

namespace mentor::exact {

inline constexpr double kHalfLogTwoPi = 0.91893853320467274178;  // ln(2 pi) / 2

double Exp(double x);
double Log(double x);  // x > 0
double Tanh(double x);
double Atan(double x);
// base^exponent for exponent >= 0, by squaring.
double Power(double base, int64_t exponent);
// Quantile of the standard normal distribution, 0 < p < 1 (Wichura 1988, algorithm AS 241, PPND16).
double NormalQuantile(double p);

}  // namespace mentor::exact
