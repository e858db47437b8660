// The LSTM signal network along a recorded piece of lifetimes, forward, and by hand backward
// through time: the hottest loop of the outer update. A step costs one matrix product in each
// direction. Everything else runs on many rows at once: heads, loss and their backward pass
// together, and weight gradients in blocks. Not thread-safe; reuse one object, so that its memory
// (2000 numbers a step) stays warm.
#pragma once

#include <cstdint>

#include "kernels/lstm_weights.h"
#include "signals/loss_of_step.h"

namespace mentor::learner {

// Weights in the forms that both directions read. Immutable; threads may share.
template <typename T>
struct LstmTrainingWeights {
  LstmTrainingWeights(const LstmSizes& sizes, const T* flat)
      : forward(sizes, flat), backward(sizes, flat), flat(flat, flat + sizes.NumWeights()) {}
  LstmForwardWeights<T> forward;
  LstmBackwardWeights<T> backward;
  AlignedVector<T> flat;  // [P]
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
  void Encoders(const LstmForwardWeights<T>& weights, const LstmRecord<T>& record);
  void Cells(const LstmForwardWeights<T>& weights, const LstmRecord<T>& record);
  void Heads(const LstmTrainingWeights<T>& weights, const LstmRecord<T>& record, LossOfStep loss,
             LstmSlices<T>* gradient);
  void HeadsBackward(const LstmTrainingWeights<T>& weights, int64_t row, int64_t rows,
                     LstmSlices<T>* gradient);
  void CellsBackward(const LstmBackwardWeights<T>& packed);
  void InputsBackward(const LstmBackwardWeights<T>& packed, const T* features,
                      LstmSlices<T>* gradient);

  LstmSizes sizes_;
  int64_t lifetimes_ = 0, rows_ = 0;  // N, N t
  // Rows are step-major: row = step * N + lifetime.
  AlignedVector<T> code1_;   // [rows, code1]
  AlignedVector<T> joint_;   // [rows + N, joint]: z_t and h_{t-1}
  AlignedVector<T> gates_;   // [rows, 4 H]
  AlignedVector<T> c_;       // [rows + N, H]: c_{t-1}
  AlignedVector<T> tanh_c_;  // [rows, H]
  AlignedVector<T> dh_;      // [rows, H]
  AlignedVector<T> dcode_;   // [rows, enc2]
  // For one block of rows.
  AlignedVector<T> first_;                               // [block, first]: mean, logstd, critic
  AlignedVector<T> second_;                              // [block, M]
  AlignedVector<T> slopes_, log_stds_, values_;          // [block]
  AlignedVector<T> d_slopes_, d_deviations_, d_values_;  // [block]
  AlignedVector<T> scratch_, dc_, dgates_w_, dgates_b_;
  WeightGradient<T> weight_gradient_;
};

}  // namespace mentor::learner
