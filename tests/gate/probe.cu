// Small kernels for tests/gate/ alone: what every kernel includes, compiled for every generation.
#include "kernels/ppo_terms.h"
#include "kernels/run_phases.cuh"
#include "kernels/scalar.h"
#include "kernels/signal_distribution.h"

namespace mentor::kernels {

// Blocks of a cluster take turns in a recurrence: each thread keeps a row of weights.
template <int ranks>
struct Probe {
  static constexpr int kThreads = 64, kRanks = ranks, kWidth = 16;
  struct Shared {
    alignas(16) float x[2][kWidth];
    double terms[kThreads];
  };
  struct Registers {
    float w[kWidth];
    float sum;
  };

  const float* weights;  // [clusters, kRanks, kThreads, kWidth]
  double* densities;     // [clusters, kRanks, kThreads]
  int steps;

  template <class Run>
  MENTOR_HD void Phases(int64_t cluster, const Run& run) const {
    using Thread = PhaseThread<Probe>;
    run.Cluster([&](const Thread& thread) {
      const float* row = weights + Index(cluster, thread) * kWidth;
      MENTOR_UNROLL for (int k = 0; k < kWidth; ++k) {
        thread.own.w[k] = row[k];
      }
      if (thread.tid < kWidth) thread.shared().x[0][thread.tid] = row[thread.tid];
    });
    for (int step = 0; step < steps; ++step) {
      run.Block([&](const Thread& thread) {
        float sum = 0;
        MENTOR_UNROLL for (int k = 0; k < kWidth; k += 4) {
          const Four<float> x = Load4(thread.shared().x[step % 2] + k);
          MENTOR_UNROLL for (int l = 0; l < 4; ++l) {
            sum = scalar::Fma(x.x[l], thread.own.w[k + l], sum);
          }
        }
        thread.own.sum = thread.tid % 2 == 0 ? scalar::Tanh(sum) : scalar::Sigmoid(sum);
        const SignalDistribution signal(sum, thread.own.sum, 0.1);
        thread.shared().terms[thread.tid] =
            ClippedSurrogate(signal.LogDensity(sum), sum, sqrtf(thread.own.sum), 0.2, kThreads)
                .d_log_prob;
      });
      run.Cluster([&](const Thread& thread) {
        if (thread.tid >= kWidth) return;
        thread.of[(thread.rank + 1) % kRanks]->x[(step + 1) % 2][thread.tid] = thread.own.sum;
      });
    }
    run.Block([&](const Thread& thread) {
      densities[Index(cluster, thread)] = thread.shared().terms[thread.tid];
    });
  }

  MENTOR_HD static int64_t Index(int64_t cluster, const PhaseThread<Probe>& thread) {
    return (cluster * kRanks + thread.rank) * kThreads + thread.tid;
  }
};

template DeviceKernel DeviceKernelOf<Probe<1>>();
template DeviceKernel DeviceKernelOf<Probe<2>>();

}  // namespace mentor::kernels
