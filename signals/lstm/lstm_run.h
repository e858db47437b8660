// The LSTM signal network along a segment, lock-step over lifetimes, without gradients
// (methods/black_box/README.md#when-the-network-runs). Pure; threads may share.
#pragma once

#include <cstdint>

#include "kernels/lstm_weights.h"

namespace mentor::signals {

template <typename T>
struct LstmRun {
  int64_t lifetimes = 0;  // S
  int64_t steps = 0;      // T
  double log_initial_std = 0;
  const T* features = nullptr;  // [S, T, features]; the last feature, the previous signal, is 0
  const T* noise = nullptr;     // [S, T], or null: the signals are means, without density and value
  // With sizes.both: features of the LSTM that runs backward, in the reverse order of the steps.
  const T* later_features = nullptr;  // [S, T, features]
  // Advanced.
  T* h = nullptr;         // [S, H]
  T* c = nullptr;         // [S, H]
  T* previous = nullptr;  // [S]
  // Filled.
  T* signals = nullptr;    // [S, T]
  T* log_probs = nullptr;  // [S, T]
  T* values = nullptr;     // [S, T]
  // Scratch, with sizes.both: S T H numbers, h of the LSTM that runs backward.
  T* later = nullptr;
};

template <typename T>
void RunLstm(const kernels::LstmForwardWeights<T>& weights, const LstmRun<T>& run);

}  // namespace mentor::signals
