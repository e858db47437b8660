#include "kernels/optimizer.h"

#include "kernels/simd.h"

namespace mentor::kernels {

template <typename T>
double SquaredNorm(std::span<const T> x) {
  using S = Simd<T>;
  constexpr int64_t w = S::kWidth;
  const int64_t size = static_cast<int64_t>(x.size());
  typename S::Vector sums[4] = {S::Zero(), S::Zero(), S::Zero(), S::Zero()};
  int64_t i = 0;
  for (; i + 4 * w <= size; i += 4 * w) {
    for (int64_t k = 0; k < 4; ++k) {
      const auto v = S::Load(x.data() + i + k * w);
      sums[k] = S::Fma(v, v, sums[k]);
    }
  }
  static_assert(kNormChains<T> == 4 * w);
  T chains[4 * w];
  for (int64_t k = 0; k < 4; ++k) S::Store(chains + k * w, sums[k]);
  double total = SumOfNormChains(chains);
  for (; i < size; ++i) total += static_cast<double>(x[i]) * x[i];
  return total;
}

template <typename T>
void AdamStepInPlace(const AdamConfig& config, int64_t step, double scale, std::span<const T> grad,
                     T* theta, T* m, T* v) {
  using S = Simd<T>;
  constexpr int64_t w = S::kWidth;
  const AdamStep<T> one(config, step, scale);
  const int64_t size = static_cast<int64_t>(grad.size());
  int64_t i = 0;
  for (; i + w <= size; i += w) {
    const auto g = S::Mul(S::Load(grad.data() + i), S::Fill(one.scale));
    const auto m1 =
        S::Add(S::Mul(S::Fill(one.beta1), S::Load(m + i)), S::Mul(S::Fill(one.fresh1), g));
    const auto v1 = S::Add(S::Mul(S::Fill(one.beta2), S::Load(v + i)),
                           S::Mul(S::Fill(one.fresh2), S::Mul(g, g)));
    const auto denominator = S::Add(S::Mul(S::Sqrt(v1), S::Fill(one.root)), S::Fill(one.epsilon));
    S::Store(m + i, m1);
    S::Store(v + i, v1);
    S::Store(theta + i,
             S::Sub(S::Load(theta + i), S::Div(S::Mul(S::Fill(one.rate), m1), denominator)));
  }
  for (; i < size; ++i) one(grad[i], theta + i, m + i, v + i);
}

template double SquaredNorm<float>(std::span<const float>);
template double SquaredNorm<double>(std::span<const double>);
template void AdamStepInPlace<float>(const AdamConfig&, int64_t, double, std::span<const float>,
                                     float*, float*, float*);
template void AdamStepInPlace<double>(const AdamConfig&, int64_t, double, std::span<const double>,
                                      double*, double*, double*);

}  // namespace mentor::kernels
