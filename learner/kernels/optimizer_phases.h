// Sums of gradients, their norm, and Adam as phases: the bits of optimizer.h. Pure; threads may
// share.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/device_code.h"
#include "learner/kernels/adam_step.h"
#include "learner/kernels/phases.h"
#include "learner/kernels/scalar.h"

namespace mentor::learner {

// For ForEachKernel: sum = groups[0] + groups[1] + ... in this order.
template <typename T>
struct SumGroups {
  const T* groups;  // [count, size]
  int64_t count, size;
  T* sum;

  MENTOR_HD void operator()(int64_t i) const {
    T x = groups[i];
    for (int64_t g = 1; g < count; ++g) x += groups[g * size + i];
    sum[i] = x;
  }
};

// *norm = the square root of SquaredNorm(x), by one cluster.
template <typename T>
struct NormKernel {
  static constexpr int kThreads = kNormChains<T>, kRanks = 1;
  struct Shared {
    T chains[kThreads];
  };
  struct Registers {};

  const T* x;
  int64_t size;
  double* norm;

  int64_t Clusters() const { return 1; }

  template <class Run>
  MENTOR_HD void Phases(int64_t, const Run& run) const {
    const int64_t whole = size / kThreads * kThreads;
    run.Block([&](const auto& thread) {
      T sum = 0;
      for (int64_t i = thread.tid; i < whole; i += kThreads) sum = scalar::Fma(x[i], x[i], sum);
      thread.shared().chains[thread.tid] = sum;
    });
    run.Block([&](const auto& thread) {
      if (thread.tid > 0) return;
      double total = SumOfNormChains(thread.shared().chains);
      for (int64_t i = whole; i < size; ++i) total += static_cast<double>(x[i]) * x[i];
      *norm = sqrt(total);
    });
  }
};

// For ForEachKernel: one step of Adam with the gradient clipped to a norm.
template <typename T>
struct ClippedAdam {
  AdamStep<T> adam;    // Without a scale.
  const double* norm;  // Of the gradient; null: it is not clipped.
  double norm_max;
  const T* gradient;
  T *theta, *m, *v;

  MENTOR_HD void operator()(int64_t i) const {
    AdamStep<T> step = adam;
    step.scale = static_cast<T>(norm ? ClipScale(*norm, norm_max) : 1.0);
    step(gradient[i], theta + i, m + i, v + i);
  }
};

}  // namespace mentor::learner
