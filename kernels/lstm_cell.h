// One unit of an LSTM cell, forward and backward: lstm_layers.h one number at a time, with the same
// bits. Host and device. Pure; threads may share.
#pragma once

#include <cstdint>

#include "common/device_code.h"
#include "kernels/scalar.h"

namespace mentor::kernels {

// A row of the 4 H gates i, f, g, o.
template <typename T>
MENTOR_HD T ActivateGate(int64_t row, int64_t hidden, T x) {
  return row >= 2 * hidden && row < 3 * hidden ? scalar::Tanh(x) : scalar::Sigmoid(x);
}

template <typename T>
struct CellState {
  T c, tanh_c, h;
};

template <typename T>
MENTOR_HD CellState<T> NextCell(T i, T f, T g, T o, T c_previous) {
  const T c = scalar::Fma(f, c_previous, i * g), squashed = scalar::Tanh(c);
  return {c, squashed, o * squashed};
}

// The loss's derivatives by the gates before their activation, and by c_{t-1}.
template <typename T>
struct CellDerivatives {
  T gates[4], dc;
};

template <typename T>
MENTOR_HD CellDerivatives<T> CellBackward(T i, T f, T g, T o, T c_previous, T tanh_c, T dh, T dc) {
  const T one = 1, dnext = dc + dh * o * (one - tanh_c * tanh_c);
  return {{dnext * g * i * (one - i), dnext * c_previous * f * (one - f), dnext * i * (one - g * g),
           dh * tanh_c * o * (one - o)},
          dnext * f};
}

}  // namespace mentor::kernels
