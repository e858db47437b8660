// Which vector instructions the kernels use. All make the same bits: lanes are independent chains,
// and where lanes are summed, their number is fixed by the code.
//
// What is compiled for several sets lies in a .inc file, which a source includes once for each, in
// a namespace of its own; code for AVX-512 stands between MENTOR_AVX512_BEGIN and MENTOR_AVX512_END
// and is called only where CurrentIsa() says so.
#pragma once

#include <absl/status/status.h>

namespace mentor::learner {

enum class Isa { kAvx2, kAvx512 };

// The best of this CPU, unless MENTOR_ISA in the environment, avx2 or avx512, says which.
// Thread-safe.
Isa CurrentIsa();
// INVALID_ARGUMENT for a MENTOR_ISA that says something else, or what this CPU or build lacks.
absl::Status CheckIsa();
// For tests and benchmarks, while no kernel runs. False, and nothing changes, where the CPU or the
// build lacks it.
bool SetIsa(Isa isa);

}  // namespace mentor::learner

// GCC alone compiles functions for another set within a file; others do without it.
#if defined(__GNUC__) && !defined(__clang__)
#define MENTOR_HAVE_AVX512 1
#define MENTOR_AVX512_BEGIN \
  _Pragma("GCC push_options") _Pragma("GCC target(\"avx512f,avx512vl,avx512dq,avx512bw\")")
#define MENTOR_AVX512_END _Pragma("GCC pop_options")
#else
#define MENTOR_HAVE_AVX512 0
#endif
