// Definitions that take the place of MKL's within LibTorch, so that every x86-64 processor with
// AVX2 computes the same bits (docs/decisions/0014-one-arithmetic.md). LibTorch calls them by name,
// and names of the program come before those of libraries, preloaded ones too. FixNumerics proves
// that they are used.
#include <cmath>
#include <cstdint>

#include "common/exact_math.h"

extern "C" {

// MKL asks this before it obeys MKL_CBWR=AVX2: on processors of other makers it would take another
// branch, with other bits.
int mkl_serv_intel_cpu_true() {
  return 1;
}

// MKL's AVX2 code of these functions starts from vrcpps or vrsqrtps, whose results each maker
// chooses. tests/gate/approximations_test.py finds more of them in a later LibTorch. NAME(n, x, y)
// writes f(x) to y; the mode is MKL's.
#define MENTOR_TAKES_PLACE_OF(NAME, REAL, FUNCTION)                    \
  void NAME(int n, const REAL* x, REAL* y, [[maybe_unused]] int64_t) { \
    for (int i = 0; i < n; ++i) y[i] = static_cast<REAL>(FUNCTION);    \
  }
MENTOR_TAKES_PLACE_OF(vmsSqrt, float, std::sqrt(x[i]))
MENTOR_TAKES_PLACE_OF(vmdSqrt, double, std::sqrt(x[i]))
MENTOR_TAKES_PLACE_OF(vmsAtan, float, mentor::exact::Atan(x[i]))
MENTOR_TAKES_PLACE_OF(vmdAtan, double, mentor::exact::Atan(x[i]))
MENTOR_TAKES_PLACE_OF(vmdLn, double, mentor::exact::Log(x[i]))
MENTOR_TAKES_PLACE_OF(vmsLog2, float, std::log2(x[i]))
MENTOR_TAKES_PLACE_OF(vmdLog2, double, std::log2(x[i]))
MENTOR_TAKES_PLACE_OF(vmsLog10, float, std::log10(x[i]))
MENTOR_TAKES_PLACE_OF(vmdLog10, double, std::log10(x[i]))
MENTOR_TAKES_PLACE_OF(vmsAsin, float, std::asin(x[i]))
MENTOR_TAKES_PLACE_OF(vmdAsin, double, std::asin(x[i]))
MENTOR_TAKES_PLACE_OF(vmsAcos, float, std::acos(x[i]))
MENTOR_TAKES_PLACE_OF(vmdAcos, double, std::acos(x[i]))
MENTOR_TAKES_PLACE_OF(vmsTan, float, std::tan(x[i]))
#undef MENTOR_TAKES_PLACE_OF

}  // extern "C"
