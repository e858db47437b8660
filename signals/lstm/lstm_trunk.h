// Encoders and LSTM of the signal network along a piece of lifetimes, forward, and by hand backward
// through time. The LSTM that runs backward is the same on steps in the reverse order: it begins
// anew before each step whose last feature is not 0. Not thread-safe; reuse one object, so that its
// memory stays warm.
#pragma once

#include <cstdint>

#include "kernels/dense.h"
#include "kernels/lstm_weights.h"

namespace mentor::signals {

// Rows whose layers are computed one after another while they stay in the cache.
inline constexpr int64_t kBlock = kernels::WeightGradient<float>::kRows;

template <typename T>
class LstmTrunk {
 public:
  // Steps with known previous signals: features [t, N, features], h and c [N, H].
  struct Steps {
    int64_t lifetimes = 0, steps = 0;
    const T* features = nullptr;
    // Entering; null: zeros.
    const T* h = nullptr;
    const T* c = nullptr;
    bool begins_anew = false;  // Where the last feature is not 0.
  };

  void Run(const kernels::LstmTrunkWeights<T>& weights, const Steps& steps);
  // h after each step: rows, h_stride() apart, step-major.
  const T* h() const;
  int64_t h_stride() const { return begins_anew_ ? sizes_.hidden : sizes_.joint(); }
  // h and c after the last step, [N, H].
  void CopyFinalState(T* h, T* c) const;

  // The caller fills [rows, H] before Backward: the loss's derivatives by h().
  T* dh() { return dh_.data(); }
  // Adds the gradients of the weights. `features` are those of Run.
  void Backward(const kernels::LstmTrunkBackwardWeights<T>& packed, const T* features,
                kernels::WeightGradient<T>* weight_gradient, kernels::LstmTrunkSlices<T>* gradient);

 private:
  void Encoders(const kernels::LstmTrunkWeights<T>& weights, const T* features);
  void Cells(const kernels::LstmTrunkWeights<T>& weights, const Steps& steps);
  void CellsBackward(const kernels::LstmTrunkBackwardWeights<T>& packed, const T* features);
  bool BeginsAnew(const T* features, int64_t row) const {
    return begins_anew_ && features[(row + 1) * sizes_.features - 1] != 0;
  }

  kernels::LstmSizes sizes_;
  int64_t lifetimes_ = 0, rows_ = 0;  // N, N t
  bool begins_anew_ = false;
  // Rows are step-major: row = step * N + lifetime.
  kernels::AlignedVector<T> code1_;    // [rows, code1]
  kernels::AlignedVector<T> joint_;    // [rows + N, joint]: z_t and h_{t-1}
  kernels::AlignedVector<T> gates_;    // [rows, 4 H]
  kernels::AlignedVector<T> c_;        // [rows + N, H]: c_{t-1}
  kernels::AlignedVector<T> tanh_c_;   // [rows, H]
  kernels::AlignedVector<T> h_after_;  // [rows, H], where the LSTM begins anew; else in joint_
  kernels::AlignedVector<T> dh_;       // [rows, H]
  kernels::AlignedVector<T> dcode_;    // [rows, enc2]
  kernels::AlignedVector<T> scratch_, dc_, dgates_w_, dgates_b_;
};

}  // namespace mentor::signals
