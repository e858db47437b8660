// The LSTM signal network along a recorded piece of lifetimes, forward, and by hand backward
// through time: the hottest loop of the outer update. A step costs one matrix product in each
// direction. Everything else runs on many rows at once: heads, loss and their backward pass
// together, and weight gradients in blocks. Not thread-safe; reuse one object, so that its memory
// (2000 numbers a step) stays warm.
#pragma once

#include <cstdint>

#include "kernels/lstm_weights.h"
#include "signals/loss_of_step.h"

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
  void CopyFinalState(T* h, T* c) const;

 private:
  void Encoders(const kernels::LstmForwardWeights<T>& weights, const LstmRecord<T>& record);
  void Cells(const kernels::LstmForwardWeights<T>& weights, const LstmRecord<T>& record);
  void Heads(const LstmTrainingWeights<T>& weights, const LstmRecord<T>& record, LossOfStep loss,
             kernels::LstmSlices<T>* gradient);
  void HeadsBackward(const LstmTrainingWeights<T>& weights, int64_t row, int64_t rows,
                     kernels::LstmSlices<T>* gradient);
  void CellsBackward(const kernels::LstmBackwardWeights<T>& packed);
  void InputsBackward(const kernels::LstmBackwardWeights<T>& packed, const T* features,
                      kernels::LstmSlices<T>* gradient);

  kernels::LstmSizes sizes_;
  int64_t lifetimes_ = 0, rows_ = 0;  // N, N t
  // Rows are step-major: row = step * N + lifetime.
  kernels::AlignedVector<T> code1_;   // [rows, code1]
  kernels::AlignedVector<T> joint_;   // [rows + N, joint]: z_t and h_{t-1}
  kernels::AlignedVector<T> gates_;   // [rows, 4 H]
  kernels::AlignedVector<T> c_;       // [rows + N, H]: c_{t-1}
  kernels::AlignedVector<T> tanh_c_;  // [rows, H]
  kernels::AlignedVector<T> dh_;      // [rows, H]
  kernels::AlignedVector<T> dcode_;   // [rows, enc2]
  // For one block of rows.
  kernels::AlignedVector<T> first_;                       // [block, first]: mean, logstd, critic
  kernels::AlignedVector<T> second_;                      // [block, M]
  kernels::AlignedVector<T> slopes_, log_stds_, values_;  // [block]
  kernels::AlignedVector<T> d_slopes_, d_deviations_, d_values_;  // [block]
  kernels::AlignedVector<T> scratch_, dc_, dgates_w_, dgates_b_;
  kernels::WeightGradient<T> weight_gradient_;
};

}  // namespace mentor::signals
