// Tests without LibTorch include this instead of Catch2.
#pragma once

#include <cstdlib>
#include <string>

#include <catch2/catch.hpp>

namespace mentor::testing {

// |got - want| <= abs + rel * |want|, scaled by MENTOR_TOL_SCALE (0 shows residuals).
struct Tolerance {
  double rel = 0;
  double abs = 0;
};

inline double ToleranceScale() {
  const char* scale = std::getenv("MENTOR_TOL_SCALE");
  return scale ? std::atof(scale) : 1.0;
}

inline bool Near(double got, double want, Tolerance tolerance) {
  return got == want || std::abs(got - want) <=
                            ToleranceScale() * (tolerance.abs + tolerance.rel * std::abs(want));
}

}  // namespace mentor::testing
