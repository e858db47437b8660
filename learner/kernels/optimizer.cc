#include "learner/kernels/optimizer.h"

#include <algorithm>
#include <cmath>

#include "common/exact_math.h"
#include "learner/kernels/simd.h"

namespace mentor::learner {

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
  alignas(32) T lanes[w];
  S::Store(lanes, S::Add(S::Add(sums[0], sums[1]), S::Add(sums[2], sums[3])));
  double total = 0;
  for (T lane : lanes) total += lane;
  for (; i < size; ++i) total += static_cast<double>(x[i]) * x[i];
  return total;
}

double ClipScale(double norm, double norm_max) {
  return std::min(1.0, norm_max / (norm + 1e-6));
}

template <typename T>
void AdamStepInPlace(const AdamConfig& config, int64_t step, double scale, std::span<const T> grad,
                     T* theta, T* m, T* v) {
  using S = Simd<T>;
  constexpr int64_t w = S::kWidth;
  const T beta1 = static_cast<T>(config.beta1), beta2 = static_cast<T>(config.beta2);
  const T fresh1 = static_cast<T>(1 - config.beta1), fresh2 = static_cast<T>(1 - config.beta2);
  const T rate = static_cast<T>(config.learning_rate / (1 - exact::Power(config.beta1, step)));
  const T root = static_cast<T>(1 / std::sqrt(1 - exact::Power(config.beta2, step)));
  const T epsilon = static_cast<T>(config.epsilon), factor = static_cast<T>(scale);
  const int64_t size = static_cast<int64_t>(grad.size());
  int64_t i = 0;
  for (; i + w <= size; i += w) {
    const auto g = S::Mul(S::Load(grad.data() + i), S::Fill(factor));
    const auto m1 = S::Add(S::Mul(S::Fill(beta1), S::Load(m + i)), S::Mul(S::Fill(fresh1), g));
    const auto v1 =
        S::Add(S::Mul(S::Fill(beta2), S::Load(v + i)), S::Mul(S::Fill(fresh2), S::Mul(g, g)));
    const auto denominator = S::Add(S::Mul(S::Sqrt(v1), S::Fill(root)), S::Fill(epsilon));
    S::Store(m + i, m1);
    S::Store(v + i, v1);
    S::Store(theta + i, S::Sub(S::Load(theta + i), S::Div(S::Mul(S::Fill(rate), m1), denominator)));
  }
  for (; i < size; ++i) {
    const T g = grad[i] * factor;
    m[i] = beta1 * m[i] + fresh1 * g;
    v[i] = beta2 * v[i] + fresh2 * (g * g);
    theta[i] -= rate * m[i] / (std::sqrt(v[i]) * root + epsilon);
  }
}

template double SquaredNorm<float>(std::span<const float>);
template double SquaredNorm<double>(std::span<const double>);
template void AdamStepInPlace<float>(const AdamConfig&, int64_t, double, std::span<const float>,
                                     float*, float*, float*);
template void AdamStepInPlace<double>(const AdamConfig&, int64_t, double, std::span<const double>,
                                      double*, double*, double*);

}  // namespace mentor::learner
