// Elementary functions with the same last bit on every machine: fixed-order arithmetic without libm
// and without contraction (the build sets -ffp-contract=off). Accuracy is a few units in the last
// place of a double, which is tested against libm. Pure; threads may share.
#pragma once

namespace mentor::exact {

double Exp(double x);
double Log(double x);  // x > 0
double Tanh(double x);
// Quantile of the standard normal distribution, 0 < p < 1 (Wichura 1988, algorithm AS 241, PPND16).
double NormalQuantile(double p);

}  // namespace mentor::exact
