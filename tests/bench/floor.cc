#include <algorithm>

#include <immintrin.h>

#include "common/cpu_time.h"
#include "kernels/isa.h"
#include "kernels/lstm_weights.h"
#include "tests/bench/workload.h"

namespace mentor::bench {
namespace {

// Enough chains to hide the latency of one operation behind the others, and few enough for
// registers. They are single variables, because an array would lie in memory.
constexpr int kChains = 12;
constexpr int64_t kChainSteps = 4'000'000;
constexpr int kTries = 5;

// The compiler must neither optimise a step nor leave it out.
#define MENTOR_FMA_STEP(chain, fma) \
  chain = fma(chain, factor, term); \
  asm volatile("" : "+v"(chain))
#define MENTOR_FMA_CHAINS(Vector, set, fma)                                                     \
  const Vector factor = set(0.999f), term = set(0.001f);                                        \
  Vector a = term, b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a; \
  for (int64_t step = 0; step < kChainSteps; ++step) {                                          \
    MENTOR_FMA_STEP(a, fma);                                                                    \
    MENTOR_FMA_STEP(b, fma);                                                                    \
    MENTOR_FMA_STEP(c, fma);                                                                    \
    MENTOR_FMA_STEP(d, fma);                                                                    \
    MENTOR_FMA_STEP(e, fma);                                                                    \
    MENTOR_FMA_STEP(f, fma);                                                                    \
    MENTOR_FMA_STEP(g, fma);                                                                    \
    MENTOR_FMA_STEP(h, fma);                                                                    \
    MENTOR_FMA_STEP(i, fma);                                                                    \
    MENTOR_FMA_STEP(j, fma);                                                                    \
    MENTOR_FMA_STEP(k, fma);                                                                    \
    MENTOR_FMA_STEP(l, fma);                                                                    \
  }                                                                                             \
  return sizeof(Vector) / sizeof(float)

int64_t ChainsAvx2() {
  MENTOR_FMA_CHAINS(__m256, _mm256_set1_ps, _mm256_fmadd_ps);
}

#if MENTOR_HAVE_AVX512
MENTOR_AVX512_BEGIN
int64_t ChainsAvx512() {
  MENTOR_FMA_CHAINS(__m512, _mm512_set1_ps, _mm512_fmadd_ps);
}
MENTOR_AVX512_END
#else
int64_t ChainsAvx512() {
  return ChainsAvx2();
}
#endif

}  // namespace

double FmaPeak() {
  double peak = 0;
  for (int i = 0; i < kTries; ++i) {
    const double start = ThreadCpuSeconds();
    const int64_t lanes =
        kernels::CurrentIsa() == kernels::Isa::kAvx512 ? ChainsAvx512() : ChainsAvx2();
    const double seconds = ThreadCpuSeconds() - start;
    peak = std::max(peak, 2.0 * static_cast<double>(lanes * kChains * kChainSteps) / seconds);
  }
  return peak;
}

// A layer has a product forward, one for the gradient of its weights, and one for that of its
// inputs where something before it learns.
double PpoStepFlop() {
  constexpr double kD = kObservation, kA = kAction, kH = kHidden;
  constexpr double kPolicy = 2 * kD * kH + 3 * kH * kH + 3 * kH * kA;
  constexpr double kValue = 2 * kD * kH + 3 * kH * kH + 3 * kH;
  return 2 * kBatch * (kPolicy + kValue);
}

double SignalFlop(int64_t rows, bool backward) {
  const kernels::LstmSizes sizes;
  const auto product = [](int64_t inputs, int64_t outputs) {
    return static_cast<double>(inputs * outputs);
  };
  const int64_t gates = 4 * sizes.hidden;
  const double forward = product(kObservation + kAction + sizes.side, sizes.enc1) +
                         product(sizes.code1(), sizes.enc2) + product(sizes.joint(), gates) +
                         product(sizes.hidden, sizes.first()) + product(sizes.heads, sizes.heads);
  // The network's inputs and side inputs need no gradient.
  const double inputs = product(sizes.enc2, sizes.enc1) +
                        product(gates, sizes.enc2 + sizes.hidden) +
                        product(sizes.first(), sizes.hidden) + product(sizes.heads, sizes.heads);
  return 2.0 * static_cast<double>(rows) * (backward ? 2 * forward + inputs : forward);
}

}  // namespace mentor::bench
