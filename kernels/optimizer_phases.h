// Sums of gradients, their norm, and Adam as phases: the bits of optimizer.h. Pure; threads may
// share.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/device_code.h"
#include "kernels/adam_step.h"
#include "kernels/phases.h"
#include "kernels/scalar.h"

namespace mentor::kernels {

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

// For ForEachKernel: sum += x.
template <typename T>
struct AddTo {
  const T* x;
  T* sum;
  MENTOR_HD void operator()(int64_t i) const { sum[i] += x[i]; }
};

// *norm = the square root of SquaredNorm(x), by one cluster. A warp sums its chains in one half of
// shared memory while the other threads fill the other half.
template <typename T>
struct NormKernel {
  static constexpr int kChains = kNormChains<T>, kFirstReader = 32, kReaders = 512;
  static constexpr int kThreads = kFirstReader + kReaders, kRanks = 1;
  static constexpr int64_t kTile = 8 * kReaders;
  struct Shared {
    T x[2][kTile];
    T chains[kChains];
  };
  struct Registers {};

  const T* x;
  int64_t size;
  double* norm;

  int64_t Clusters() const { return 1; }

  template <class Run>
  MENTOR_HD void Phases(int64_t, const Run& run) const {
    const int64_t whole = size / kChains * kChains;
    // Numbers of a tile that belong to chains.
    const auto count = [&](int64_t tile) {
      return tile * kTile + kTile < whole ? kTile : whole - tile * kTile;
    };
    run.Block([&](const auto& thread) {
      if (thread.tid < kChains) thread.shared().chains[thread.tid] = 0;
    });
    for (int64_t tile = -1; tile * kTile < whole; ++tile) {
      run.Block([&](const auto& thread) {
        if (thread.tid >= kFirstReader) {
          T* to = thread.shared().x[(tile + 1) % 2];
          MENTOR_UNROLL_BY(8)
          for (int64_t i = thread.tid - kFirstReader; i < count(tile + 1); i += kReaders)
            to[i] = x[(tile + 1) * kTile + i];
        } else if (thread.tid < kChains && tile >= 0) {
          const T* from = thread.shared().x[tile % 2];
          T sum = thread.shared().chains[thread.tid];
          MENTOR_UNROLL_BY(8)
          for (int64_t i = thread.tid; i < count(tile); i += kChains)
            sum = scalar::Fma(from[i], from[i], sum);
          thread.shared().chains[thread.tid] = sum;
        }
      });
    }
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
  const double* norm;  // The gradient's; null: no clipping.
  double norm_max;
  const T* gradient;
  T *theta, *m, *v;

  MENTOR_HD void operator()(int64_t i) const {
    AdamStep<T> step = adam;
    step.scale = static_cast<T>(norm ? ClipScale(*norm, norm_max) : 1.0);
    step(gradient[i], theta + i, m + i, v + i);
  }
};

}  // namespace mentor::kernels
