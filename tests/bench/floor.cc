#include "tests/bench/floor.h"

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

// The products of a layer. The backward pass has one for the gradient of the first `grad_inputs`
// inputs, and one for that of the weights.
class Layers {
 public:
  explicit Layers(bool backward) : backward_(backward) {}

  Layers& Add(int64_t rows, int64_t inputs, int64_t outputs, int64_t grad_inputs, int64_t times = 1,
              bool weights = true) {
    products_.push_back({rows, inputs, outputs, times});
    if (backward_ && grad_inputs > 0) products_.push_back({rows, outputs, grad_inputs, times});
    if (backward_ && weights) products_.push_back({outputs, rows, inputs, times});
    return *this;
  }
  std::vector<Product> products() const { return products_; }

 private:
  const bool backward_;
  std::vector<Product> products_;
};

std::vector<Product> NetworkProducts(int64_t lifetimes, int64_t steps, bool backward) {
  learner::LstmSizes sizes;
  sizes.features = kObservation + kAction + sizes.side;
  const int64_t rows = lifetimes * steps;
  // Side inputs need no gradient, and neither does the network's input.
  Layers layers(backward);
  layers.Add(rows, sizes.features, sizes.enc1, 0);
  layers.Add(rows, sizes.code1(), sizes.enc2, sizes.enc1);
  // The gradient of the recurrent weights is one product over all steps.
  layers.Add(lifetimes, sizes.joint(), 4 * sizes.hidden, sizes.enc2 + sizes.hidden, steps,
             /*weights=*/false);
  layers.Add(rows, sizes.hidden, sizes.first(), sizes.hidden);
  layers.Add(rows, sizes.heads, sizes.heads, sizes.heads);
  std::vector<Product> products = layers.products();
  if (backward) products.push_back({4 * sizes.hidden, rows, sizes.joint(), 1});
  return products;
}

}  // namespace

double FmaPeak() {
  double peak = 0;
  for (int i = 0; i < kTries; ++i) {
    const double start = ThreadCpuSeconds();
    const int64_t lanes =
        learner::CurrentIsa() == learner::Isa::kAvx512 ? ChainsAvx512() : ChainsAvx2();
    const double seconds = ThreadCpuSeconds() - start;
    peak = std::max(peak, 2.0 * static_cast<double>(lanes * kChains * kChainSteps) / seconds);
  }
  return peak;
}

double FlopOf(const std::vector<Product>& products) {
  double flop = 0;
  for (const Product& product : products) {
    flop += 2.0 * static_cast<double>(product.rows * product.inner * product.columns) *
            static_cast<double>(product.times);
  }
  return flop;
}

std::vector<Product> PpoStepProducts() {
  Layers layers(/*backward=*/true);
  for (const int64_t outputs : {kAction, int64_t{1}}) {
    layers.Add(kBatch, kObservation, kHidden, 0);
    layers.Add(kBatch, kHidden, kHidden, kHidden);
    layers.Add(kBatch, kHidden, outputs, kHidden);
  }
  return layers.products();
}

std::vector<Product> SignalProducts(int64_t lifetimes, int64_t steps) {
  return NetworkProducts(lifetimes, steps, /*backward=*/false);
}

std::vector<Product> OuterPieceProducts(int64_t lifetimes, int64_t steps) {
  return NetworkProducts(lifetimes, steps, /*backward=*/true);
}

}  // namespace mentor::bench
