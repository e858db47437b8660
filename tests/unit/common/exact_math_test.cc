#include "common/exact_math.h"

#include <cmath>
#include <limits>

#include "common/rng.h"
#include "tests/testing.h"

namespace mentor::exact::TEST_FILE {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Distance from the exact value (to the precision of long double) in units in the last place of a
// double.
double Ulps(double got, long double want) {
  const double rounded = static_cast<double>(want);
  const double next = std::nextafter(std::fabs(rounded), kInfinity);
  const double unit = next - std::fabs(rounded);
  return static_cast<double>(std::fabs(static_cast<long double>(got) - want) / unit);
}

// Greatest error of `ours` over points spread evenly in [low, high].
template <typename Ours, typename Theirs>
double WorstUlps(Ours ours, Theirs theirs, double low, double high, uint32_t step) {
  const RandomStream random{.seed = 1};
  double worst = 0;
  for (uint32_t i = 0; i < 200000; ++i) {
    const double x =
        low + (high - low) * (static_cast<double>(random.Bits(step, i) >> 11) * 0x1p-53);
    const double ulps = Ulps(ours(x), theirs(static_cast<long double>(x)));
    if (!(ulps <= worst)) worst = ulps;
  }
  return worst;
}

TEST_CASE("exact math: exp within 2 ulp of libm", "[unit]") {
  const auto libm = [](long double x) { return std::exp(x); };
  CHECK(WorstUlps(Exp, libm, -1, 1, 0) < 2);
  CHECK(WorstUlps(Exp, libm, -30, 30, 1) < 2);
  CHECK(WorstUlps(Exp, libm, -708, 709.7, 2) < 2);
  CHECK(WorstUlps(Exp, libm, -745, -708, 3) < 2);  // Subnormal results.
  CHECK(Exp(0) == 1);
  CHECK(Exp(-0.0) == 1);
  CHECK(Exp(710) == kInfinity);
  CHECK(Exp(kInfinity) == kInfinity);
  CHECK(Exp(-746) == 0);
  CHECK(Exp(-kInfinity) == 0);
  CHECK(std::isnan(Exp(NAN)));
}

TEST_CASE("exact math: log within 2 ulp of libm", "[unit]") {
  const auto libm = [](long double x) { return std::log(x); };
  CHECK(WorstUlps(Log, libm, 0.5, 2, 0) < 2);
  CHECK(WorstUlps(Log, libm, 0.999, 1.001, 1) < 2);
  CHECK(WorstUlps(Log, libm, 1e-12, 1, 2) < 2);
  CHECK(WorstUlps(Log, libm, 1, 1e6, 3) < 2);
  // All magnitudes: the argument is a power of ten.
  const auto ours = [](double e) { return Log(std::pow(10.0, e)); };
  const auto theirs = [](long double e) {
    return std::log(static_cast<long double>(std::pow(10.0, static_cast<double>(e))));
  };
  CHECK(WorstUlps(ours, theirs, -320, 308, 4) < 2);
  CHECK(Log(1) == 0);
  CHECK(Log(kInfinity) == kInfinity);
  CHECK(Log(0) == -kInfinity);
  CHECK(std::isnan(Log(-1)));
  CHECK(std::isnan(Log(NAN)));
}

TEST_CASE("exact math: tanh within 4 ulp of libm", "[unit]") {
  const auto libm = [](long double x) { return std::tanh(x); };
  CHECK(WorstUlps(Tanh, libm, -1, 1, 0) < 4);
  CHECK(WorstUlps(Tanh, libm, -1e-3, 1e-3, 1) < 4);
  CHECK(WorstUlps(Tanh, libm, -1e-9, 1e-9, 2) < 4);
  CHECK(WorstUlps(Tanh, libm, 0.1, 25, 3) < 4);
  CHECK(Tanh(0) == 0);
  CHECK(std::signbit(Tanh(-0.0)));
  CHECK(Tanh(19.9) == 1);
  CHECK(Tanh(kInfinity) == 1);
  CHECK(Tanh(-kInfinity) == -1);
  CHECK(std::isnan(Tanh(NAN)));
  for (double x : {1e-300, 0.3, 0.4, 2.0, 7.5}) CHECK(Tanh(-x) == -Tanh(x));
}

TEST_CASE("exact math: the normal quantile inverts the distribution function", "[unit]") {
  // The relative error of Phi(z) is z^2 times that of z in the tails; AS 241 promises about 1 part
  // in 10^16.
  for (double p : {1e-300, 1e-100, 1e-30, 1e-17, 1e-10, 1e-5, 0.01, 0.02425, 0.0749, 0.0751, 0.2,
                   0.4, 0.4999}) {
    const double z = NormalQuantile(p);
    const long double back = 0.5L * std::erfc(-static_cast<long double>(z) / std::sqrt(2.0L));
    INFO("p " << p << " z " << z);
    CHECK(std::fabs(static_cast<double>(back / p - 1)) < 1e-15 * (2 + z * z));
  }
  // Quantiles to 16 digits, from tables.
  CHECK(testing::Near(NormalQuantile(0.975), 1.959963984540054, {.rel = 1e-15}));
  CHECK(testing::Near(NormalQuantile(0.75), 0.6744897501960817, {.rel = 1e-15}));
  CHECK(testing::Near(NormalQuantile(0.999), 3.090232306167813, {.rel = 1e-15}));
  CHECK(NormalQuantile(0.5) == 0);
  // The extreme outputs of the generator are symmetric and finite.
  CHECK(NormalQuantile(0x1p-53) == -NormalQuantile(1 - 0x1p-53));
  CHECK(NormalQuantile(0x1p-53) > -8.3);
  CHECK(std::isnan(NormalQuantile(0)));
  CHECK(std::isnan(NormalQuantile(1)));
}

TEST_CASE("exact math: last bits are those recorded", "[unit]") {
  // These must never change, because seeds of old experiments mean these numbers.
  CHECK(Exp(0.3) == 0x1.599058c8c1a96p+0);
  CHECK(Log(0.3) == -0x1.34378fcbda721p+0);
  CHECK(Tanh(0.3) == 0x1.2a4dda7d914f9p-2);
  CHECK(NormalQuantile(0.3) == -0x1.0c7e39582c5fap-1);
}

}  // namespace mentor::exact::TEST_FILE
