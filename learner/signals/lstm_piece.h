// The LSTM signal network along a recorded piece of lifetimes, forward and by hand backward through
// time: the hottest loop of the outer update. A step costs one matrix product in each direction;
// everything else is done for many rows at once, and weight gradients in blocks. Not thread-safe;
// reuse one object so that its memory (2000 numbers a step) stays warm.
#pragma once

#include <cstdint>

#include "learner/kernels/lstm_weights.h"

namespace mentor::learner {

template <typename T>
class LstmPiece {
 public:
  // features [t, N, features], signals [t, N], h and c [N, H] entering the piece; step-major.
  void Forward(const LstmForwardWeights<T>& weights, double log_initial_std, int64_t lifetimes,
               int64_t steps, const T* features, const T* signals, const T* h, const T* c);

  // [t, N], of the last Forward.
  const T* log_probs() const { return log_probs_.data(); }
  const T* log_stds() const { return log_stds_.data(); }
  const T* values() const { return values_.data(); }
  // h and c after the last step, [N, H].
  void CopyFinalState(T* h, T* c) const;

  // Adds to `gradient` [P] the gradient of sum(d_log_probs log_probs + d_log_stds log_stds +
  // d_values values), each [t, N]. Once for each Forward: what Forward has kept is used up.
  void Backward(const T* weights, const T* d_log_probs, const T* d_log_stds, const T* d_values,
                T* gradient);

 private:
  void HeadsBackward(const LstmBackwardWeights<T>& packed, const LstmSlices<const T>& weights,
                     const T* d_log_probs, const T* d_log_stds, const T* d_values,
                     LstmSlices<T>* gradient);
  void CellsBackward(const LstmBackwardWeights<T>& packed);
  void InputsBackward(const LstmBackwardWeights<T>& packed, LstmSlices<T>* gradient);

  LstmSizes sizes_;
  int64_t lifetimes_ = 0, steps_ = 0, rows_ = 0;  // N, t, N t
  // Rows are step-major: row = step * N + lifetime.
  AlignedVector<T> features_;                       // [rows, features]
  AlignedVector<T> code1_;                          // [rows, code1]
  AlignedVector<T> joint_;                          // [rows + N, joint]: z_t and h_{t-1}
  AlignedVector<T> gates_;                          // [rows, 4 H]
  AlignedVector<T> c_;                              // [rows + N, H]: c_{t-1}
  AlignedVector<T> tanh_c_;                         // [rows, H]
  AlignedVector<T> first_;                          // [rows, first]: mean, logstd, critic
  AlignedVector<T> second_;                         // [rows, M]
  AlignedVector<T> slopes_, deviations_;            // [rows]: tangent of the mean; (y - mean) / std
  AlignedVector<T> stds_;                           // [rows]
  AlignedVector<T> log_probs_, log_stds_, values_;  // [rows]
  AlignedVector<T> dh_;                             // [rows, H]
  AlignedVector<T> dcode_;                          // [rows, enc2]
  AlignedVector<T> scratch_, dc_, dgates_w_, dgates_b_;
  WeightGradient<T> weight_gradient_;
};

}  // namespace mentor::learner
