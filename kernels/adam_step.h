// Adam on one number at a time, the chains of its gradient's norm, and clipping. optimizer.h does
// the same a register at a time. Host and device. Pure; threads may share.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/device_code.h"
#include "common/exact_math_inline.h"

namespace mentor::kernels {

struct AdamConfig {
  double learning_rate = 3e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-5;  // Added after bias correction.
};

// One step of Adam (Kingma and Ba 2015, algorithm 1).
template <typename T>
struct AdamStep {
  T beta1, beta2, fresh1, fresh2, rate, root, epsilon, scale;

  AdamStep() = default;  // Uninitialised.
  // Steps count from 1. The gradient is multiplied by `scale` first.
  MENTOR_HD AdamStep(const AdamConfig& config, int64_t step, double gradient_scale)
      : beta1(static_cast<T>(config.beta1)),
        beta2(static_cast<T>(config.beta2)),
        fresh1(static_cast<T>(1 - config.beta1)),
        fresh2(static_cast<T>(1 - config.beta2)),
        rate(
            static_cast<T>(config.learning_rate / (1 - exact::inlined::Power(config.beta1, step)))),
        root(static_cast<T>(1 / std::sqrt(1 - exact::inlined::Power(config.beta2, step)))),
        epsilon(static_cast<T>(config.epsilon)),
        scale(static_cast<T>(gradient_scale)) {}

  MENTOR_HD void operator()(T grad, T* theta, T* m, T* v) const {
    const T g = grad * scale;
    const T m1 = beta1 * *m + fresh1 * g;
    const T v1 = beta2 * *v + fresh2 * (g * g);
    *m = m1;
    *v = v1;
    *theta -= rate * m1 / (std::sqrt(v1) * root + epsilon);
  }
};

// The factor for a gradient of this norm that brings the norm down to `norm_max`.
MENTOR_HD double ClipScale(double norm, double norm_max) {
  const double divisor = norm + 1e-6;
  return divisor > norm_max ? norm_max / divisor : 1.0;
}

// A squared norm is summed in this many chains, each over the elements with equal index modulo it.
// The rest of the array is added to the sum of the chains, element by element.
template <typename T>
inline constexpr int kNormChains = 4 * 32 / static_cast<int>(sizeof(T));

template <typename T>
MENTOR_HD double SumOfNormChains(const T* chains) {
  constexpr int w = kNormChains<T> / 4;
  double total = 0;
  for (int j = 0; j < w; ++j)
    total += (chains[j] + chains[w + j]) + (chains[2 * w + j] + chains[3 * w + j]);
  return total;
}

}  // namespace mentor::kernels
