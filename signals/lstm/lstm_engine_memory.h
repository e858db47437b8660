// The memory of LstmEngine (lstm_engine_phases.h): arrays of one block.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/product_phases.h"
#include "signals/lstm/lstm_engine.h"
#include "signals/lstm/lstm_piece_phases.h"
#include "signals/lstm/lstm_run_phases.h"

namespace mentor::signals {

// Hands out arrays of a block of memory; without a block it only counts.
class Arena {
 public:
  explicit Arena(void* memory) : memory_(static_cast<char*>(memory)) {}

  template <typename T>
  T* Take(int64_t count) {
    const int64_t at = bytes_;
    bytes_ += kernels::CeilDiv(count * static_cast<int64_t>(sizeof(T)), kAlignment) * kAlignment;
    return memory_ ? reinterpret_cast<T*>(memory_ + at) : nullptr;
  }
  int64_t bytes() const { return bytes_; }

 private:
  static constexpr int64_t kAlignment = 256;
  char* memory_;
  int64_t bytes_ = 0;
};

template <typename T>
struct LstmActMemory {
  // Steps that run in one kernel; between kernels, products of many rows.
  static constexpr int64_t kSteps = 256;

  LstmActMemory(const LstmEngineShape& shape, Arena* arena)
      : enc1(arena->Take<T>(shape.lifetimes * kSteps * shape.sizes.enc1)),
        states(arena->Take<T>(shape.lifetimes * kSteps * shape.sizes.hidden)),
        critic(arena->Take<T>(shape.lifetimes * kSteps * shape.sizes.critic)),
        scratch(arena->Take<T>(shape.lifetimes *
                               LstmRunLayout<T, kernels::LstmSizes>(shape.sizes).all.end)) {
    if (shape.sizes.both) first = arena->Take<T>(shape.lifetimes * kSteps * 2 * shape.sizes.heads);
  }

  T *enc1, *states, *critic, *scratch;
  T* first = nullptr;
};

// Encoders and LSTM along a piece, as in LstmTrunk.
template <typename T>
struct LstmTrunkMemory {
  void Take(const kernels::LstmSizes& s, int64_t lifetimes, int64_t steps, Arena* arena) {
    const int64_t rows = lifetimes * steps, states = rows + lifetimes;
    features = arena->Take<T>(rows * s.features);
    code1 = arena->Take<T>(rows * s.code1());
    z = arena->Take<T>(rows * s.code2());
    gates = arena->Take<T>(rows * 4 * s.hidden);
    h = arena->Take<T>(states * s.hidden);
    c = arena->Take<T>(states * s.hidden);
    tanh_c = arena->Take<T>(rows * s.hidden);
    scratch =
        arena->Take<T>(lifetimes * std::max(CellsForwardLayout<T, kernels::LstmSizes>(s).all.end,
                                            CellsBackwardLayout<T, kernels::LstmSizes>(s).all.end));
  }
  void TakeDerivatives(const kernels::LstmSizes& s, int64_t rows, Arena* arena) {
    dh = arena->Take<T>(rows * s.hidden);
    dcode = arena->Take<T>(rows * s.enc2);
    denc1 = arena->Take<T>(rows * s.enc1);
  }
  // The LSTM that runs backward has these, too.
  void TakeLater(const kernels::LstmSizes& s, int64_t lifetimes, int64_t steps, Arena* arena) {
    heads_rows = arena->Take<T>(lifetimes * steps * s.hidden);
    h_now = arena->Take<T>(lifetimes * s.hidden);
    c_now = arena->Take<T>(lifetimes * s.hidden);
    order = {.features = features, .width = s.features};
  }

  T *features = nullptr, *code1 = nullptr, *z = nullptr, *gates = nullptr;
  T *h = nullptr, *c = nullptr, *tanh_c = nullptr;  // h and c: one more row for each lifetime.
  T* scratch = nullptr;
  T *dh = nullptr, *dcode = nullptr, *denc1 = nullptr;
  T* heads_rows = nullptr;               // [rows, H]: h as the heads read it; null: in h
  T *h_now = nullptr, *c_now = nullptr;  // [N, H]: between pieces
  StepOrder<T> order;
};

template <typename T>
struct LstmPieceMemory {
  LstmPieceMemory(const LstmEngineShape& shape, Arena* arena) {
    const kernels::LstmSizes& s = shape.sizes;
    const int64_t rows = shape.lifetimes * shape.piece_steps;
    if (s.both) {
      later.Take(s, shape.lifetimes, LaterSteps(shape), arena);
      later.TakeLater(s, shape.lifetimes, LaterSteps(shape), arena);
    }
    if (shape.piece_steps == 0) return;
    const int64_t groups = kernels::CeilDiv(shape.lifetimes, shape.group_lifetimes);
    trunk.Take(s, shape.lifetimes, shape.piece_steps, arena);
    trunk.TakeDerivatives(s, rows, arena);
    if (s.both) later.TakeDerivatives(s, rows, arena);
    first = arena->Take<T>(rows * s.first());
    second = arena->Take<T>(rows * s.heads);
    for (T** scalars : {&slopes, &s_outputs, &values, &log_probs, &d_slopes, &d_s, &d_values})
      *scalars = arena->Take<T>(rows);
    terms = arena->Take<double>(rows * SumTerms::kTerms);
    group_gradients = arena->Take<T>(groups * s.NumWeights());
    gradient = arena->Take<T>(s.NumWeights());
    sum = arena->Take<T>(s.NumWeights());
    norm = arena->Take<double>(1);
  }
  // Steps of the LSTM that runs backward which are in memory at once.
  static int64_t LaterSteps(const LstmEngineShape& shape) {
    return std::max(shape.piece_steps, LstmActMemory<T>::kSteps);
  }

  LstmTrunkMemory<T> trunk, later;
  T *first = nullptr, *second = nullptr;       // As in LstmPiece.
  T *slopes, *s_outputs, *values, *log_probs;  // [rows]
  T *d_slopes, *d_s, *d_values;                // [rows]
  double* terms;
  T* group_gradients;  // [groups, P]
  T *gradient, *sum;   // [P]: of this piece; of the pieces since the last optimizer step
  double* norm;
};

template <typename T>
int64_t LstmEngineBytes(const LstmEngineShape& shape) {
  Arena arena(nullptr);
  LstmActMemory<T>(shape, &arena);
  LstmPieceMemory<T>(shape, &arena);
  return arena.bytes();
}

}  // namespace mentor::signals
