// Recorded lifetimes that train the LSTM signal network (signals/lstm/lstm_engine.h). Plain
// data.
#pragma once

#include <cstdint>

namespace mentor::signals {

template <typename T>
struct LstmBatch {
  int64_t lifetimes = 0, steps = 0;  // N, n
  const T* features = nullptr;       // [N, n, features], with the previous signals
  const T* cut_features = nullptr;   // The same for first steps of pieces; null: no difference.
  // The LSTM that runs backward, if there is one, has them in the reverse order of the steps.
  const T* later_features = nullptr;
  const T* signals = nullptr;          // [N, n]
  const T* log_probs = nullptr;        // [N, n]: when the signals were made
  const double* advantages = nullptr;  // [N, n], standardised
  const double* targets = nullptr;     // [N, n]: targets of the value head
};

}  // namespace mentor::signals
