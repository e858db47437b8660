// The vector instructions of the kernels. All sets make the same bits: lanes are independent
// chains, and the code fixes how many lanes are summed.
//
// Code for several sets lies in a .inc file, which a source includes once for each set, in a
// namespace of its own. Code for AVX-512 stands between MENTOR_AVX512_BEGIN and MENTOR_AVX512_END.
// It runs only where CurrentIsa() says so.
#pragma once

#include <absl/status/status.h>

namespace mentor::kernels {

enum class Isa { kAvx2, kAvx512 };

// The best set of this CPU, unless the environment's MENTOR_ISA names one: avx2 or avx512.
// Thread-safe.
Isa CurrentIsa();
// INVALID_ARGUMENT when MENTOR_ISA names something else, or a set that this CPU or build lacks.
absl::Status CheckIsa();
// For tests and benchmarks, while no kernel runs. Returns false and changes nothing where the CPU
// or the build lacks the set.
bool SetIsa(Isa isa);

}  // namespace mentor::kernels

// Only GCC compiles functions for another set within a file; other compilers do without.
#if defined(__GNUC__) && !defined(__clang__)
#define MENTOR_HAVE_AVX512 1
#define MENTOR_AVX512_BEGIN \
  _Pragma("GCC push_options") _Pragma("GCC target(\"avx512f,avx512vl,avx512dq,avx512bw\")")
#define MENTOR_AVX512_END _Pragma("GCC pop_options")
#else
#define MENTOR_HAVE_AVX512 0
#endif
