// The LSTM signal network along a recorded piece of lifetimes, forward, and by hand backward
// through time: the hottest loop of the outer update. A step costs one matrix product in each
// direction. Everything else runs on many rows at once: heads, loss and their backward pass
// together, and weight gradients in blocks. Not thread-safe; reuse one object, so that its memory
// (2000 numbers a step) stays warm.
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/lstm_weights.h"
#include "signals/loss_of_step.h"
#include "signals/lstm/lstm_trunk.h"

namespace mentor::signals {

// Weights in the forms that both directions read. Immutable; threads may share.
template <typename T>
struct LstmTrainingWeights {
  LstmTrainingWeights(const kernels::LstmSizes& sizes, const T* flat)
      : forward(sizes, flat), backward(sizes, flat), flat(flat, flat + sizes.NumWeights()) {}
  kernels::LstmForwardWeights<T> forward;
  kernels::LstmBackwardWeights<T> backward;
  kernels::AlignedVector<T> flat;  // [P]
};

// A recorded piece of N lifetimes x t steps, step-major.
template <typename T>
struct LstmRecord {
  int64_t lifetimes = 0, steps = 0;
  double log_initial_std = 0;
  const T* features = nullptr;  // [t, N, features]
  const T* signals = nullptr;   // [t, N]
  // With sizes.both: features of the LSTM that runs backward, in the reverse order of the steps
  // [later_steps + t, N, features]. It reads the first ones, which follow the piece, without a
  // gradient.
  int64_t later_steps = 0;
  const T* later_features = nullptr;
  // Entering the piece, [N, H].
  const T* h = nullptr;
  const T* c = nullptr;
};

template <typename T>
class LstmPiece {
 public:
  // Adds the gradient of the loss to `gradient` [P]; null: forward only. The loss gets each step
  // once.
  void Run(const LstmTrainingWeights<T>& weights, const LstmRecord<T>& record, LossOfStep loss,
           T* gradient);
  // h and c after the last step, [N, H].
  void CopyFinalState(T* h, T* c) const { trunk_.CopyFinalState(h, c); }

 private:
  const T* LaterSteps(const kernels::LstmTrunkWeights<T>& weights, const LstmRecord<T>& record);
  // The row of the same step in the reverse order.
  int64_t Reversed(int64_t row) const {
    return rows_ - lifetimes_ - row / lifetimes_ * lifetimes_ + row % lifetimes_;
  }
  std::pair<const T*, int64_t> Seen(int64_t row, int64_t rows);
  void Heads(const LstmTrainingWeights<T>& weights, const LstmRecord<T>& record, LossOfStep loss,
             kernels::LstmSlices<T>* gradient);
  void HeadsBackward(const LstmTrainingWeights<T>& weights, int64_t row, int64_t rows,
                     const T* seen, int64_t stride, kernels::LstmSlices<T>* gradient);

  kernels::LstmSizes sizes_;
  int64_t lifetimes_ = 0, rows_ = 0;  // N, N t
  LstmTrunk<T> trunk_;
  LstmTrunk<T> later_;                           // The LSTM that runs backward.
  kernels::AlignedVector<T> later_h_, later_c_;  // [N, H]: what enters it.
  // For one block of rows, which are step-major.
  kernels::AlignedVector<T> first_;                       // [block, first]: mean, logstd, critic
  kernels::AlignedVector<T> second_;                      // [block, M]
  kernels::AlignedVector<T> seen_;                        // [block, seen], with both LSTMs
  kernels::AlignedVector<T> slopes_, log_stds_, values_;  // [block]
  kernels::AlignedVector<T> d_slopes_, d_deviations_, d_values_;  // [block]
  kernels::AlignedVector<T> scratch_;
  kernels::WeightGradient<T> weight_gradient_;
};

}  // namespace mentor::signals
