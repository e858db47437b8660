#include "signals/lstm/lstm_trunk.h"

#include <algorithm>

#include "kernels/lstm_layers.h"

namespace mentor::signals {

template <typename T>
void LstmTrunk<T>::Run(const kernels::LstmTrunkWeights<T>& weights, const Steps& steps) {
  sizes_ = weights.sizes;
  lifetimes_ = steps.lifetimes;
  rows_ = steps.lifetimes * steps.steps;
  begins_anew_ = steps.begins_anew;
  dh_.resize(rows_ * sizes_.hidden);
  Encoders(weights, steps.features);
  Cells(weights, steps);
}

// The previous signals are known.
template <typename T>
void LstmTrunk<T>::Encoders(const kernels::LstmTrunkWeights<T>& weights, const T* features) {
  code1_.resize(rows_ * sizes_.code1());
  joint_.resize((rows_ + lifetimes_) * sizes_.joint());
  scratch_.resize(kBlock * sizes_.enc1);
  for (int64_t row = 0; row < rows_; row += kBlock) {
    const int64_t rows = std::min(kBlock, rows_ - row);
    const T* x = features + row * sizes_.features;
    kernels::Multiply(x, sizes_.features, rows, weights.enc1, weights.enc1_b.data(),
                      scratch_.data(), sizes_.enc1);
    for (int64_t r = 0; r < rows; ++r) {
      T* code1 = code1_.data() + (row + r) * sizes_.code1();
      const T* enc1 = scratch_.data() + r * sizes_.enc1;
      kernels::ForLanes<T>(sizes_.enc1, [&](int64_t j, auto at) {
        at.Store(code1 + j, kernels::MaxWithZero(at.Load(enc1 + j)));
      });
      std::copy_n(x + (r + 1) * sizes_.features - sizes_.side, sizes_.side, code1 + sizes_.enc1);
    }
    kernels::SecondEncoder(weights, code1_.data() + row * sizes_.code1(), rows,
                           joint_.data() + row * sizes_.joint());
  }
}

// Step by step.
template <typename T>
void LstmTrunk<T>::Cells(const kernels::LstmTrunkWeights<T>& weights, const Steps& steps) {
  const int64_t hidden = sizes_.hidden, joint = sizes_.joint();
  gates_.resize(rows_ * 4 * hidden);
  c_.resize((rows_ + lifetimes_) * hidden);
  tanh_c_.resize(rows_ * hidden);
  if (begins_anew_) h_after_.resize(rows_ * hidden);
  const auto h_before = [&](int64_t row) { return joint_.data() + row * joint + sizes_.code2(); };
  const auto set = [hidden](const T* from, T* to) {
    if (from != nullptr) {
      std::copy_n(from, hidden, to);
    } else {
      std::fill_n(to, hidden, T(0));
    }
  };
  for (int64_t l = 0; l < lifetimes_; ++l) {
    set(steps.h == nullptr ? nullptr : steps.h + l * hidden, h_before(l));
    set(steps.c == nullptr ? nullptr : steps.c + l * hidden, c_.data() + l * hidden);
  }
  for (int64_t row = 0; row < rows_; row += lifetimes_) {
    for (int64_t r = row; r < row + lifetimes_; ++r) {
      if (!BeginsAnew(steps.features, r)) continue;
      set(nullptr, h_before(r));
      set(nullptr, c_.data() + r * hidden);
    }
    kernels::Multiply(joint_.data() + row * joint, joint, lifetimes_, weights.gates,
                      weights.gates_b.data(), gates_.data() + row * 4 * hidden, 4 * hidden);
    for (int64_t r = row; r < row + lifetimes_; ++r) {
      kernels::CellForward(hidden, gates_.data() + r * 4 * hidden, c_.data() + r * hidden,
                           c_.data() + (r + lifetimes_) * hidden, tanh_c_.data() + r * hidden,
                           h_before(r + lifetimes_));
      // The next step may set it to 0.
      if (begins_anew_) set(h_before(r + lifetimes_), h_after_.data() + r * hidden);
    }
  }
}

template <typename T>
const T* LstmTrunk<T>::h() const {
  return begins_anew_ ? h_after_.data()
                      : joint_.data() + lifetimes_ * sizes_.joint() + sizes_.code2();
}

template <typename T>
void LstmTrunk<T>::CopyFinalState(T* h, T* c) const {
  for (int64_t l = 0; l < lifetimes_; ++l) {
    std::copy_n(joint_.data() + (rows_ + l) * sizes_.joint() + sizes_.code2(), sizes_.hidden,
                h + l * sizes_.hidden);
  }
  std::copy_n(c_.data() + rows_ * sizes_.hidden, lifetimes_ * sizes_.hidden, c);
}

template <typename T>
void LstmTrunk<T>::CellsBackward(const kernels::LstmTrunkBackwardWeights<T>& packed,
                                 const T* features) {
  const int64_t hidden = sizes_.hidden, enc2 = sizes_.enc2, width = enc2 + hidden;
  dcode_.resize(rows_ * enc2);
  dc_.assign(lifetimes_ * hidden, T(0));
  scratch_.resize(lifetimes_ * width);
  for (int64_t row = rows_ - lifetimes_; row >= 0; row -= lifetimes_) {
    T* dgates = gates_.data() + row * 4 * hidden;
    for (int64_t l = 0; l < lifetimes_; ++l) {
      const int64_t r = row + l;
      kernels::CellBackward(hidden, dgates + l * 4 * hidden, c_.data() + r * hidden,
                            tanh_c_.data() + r * hidden, dh_.data() + r * hidden,
                            dc_.data() + l * hidden);
    }
    // Derivatives of z_t and h_{t-1} side by side.
    kernels::Multiply<T>(dgates, 4 * hidden, lifetimes_, packed.gates, nullptr, scratch_.data(),
                         width);
    for (int64_t l = 0; l < lifetimes_; ++l) {
      const T* dz = scratch_.data() + l * width;
      const T* z = joint_.data() + (row + l) * sizes_.joint();
      T* dcode = dcode_.data() + (row + l) * enc2;
      kernels::ForLanes<T>(enc2, [&](int64_t j, auto at) {
        at.Store(dcode + j, kernels::WherePositive(at.Load(z + j), at.Load(dz + j)));
      });
      if (row == 0) continue;
      if (BeginsAnew(features, row + l)) {
        std::fill_n(dc_.data() + l * hidden, hidden, T(0));
        continue;
      }
      T* dh = dh_.data() + (row - lifetimes_ + l) * hidden;
      kernels::ForLanes<T>(hidden, [&](int64_t j, auto at) {
        at.Store(dh + j, at.Load(dh + j) + at.Load(dz + enc2 + j));
      });
    }
  }
}

template <typename T>
void LstmTrunk<T>::Backward(const kernels::LstmTrunkBackwardWeights<T>& packed, const T* features,
                            kernels::WeightGradient<T>* weight_gradient,
                            kernels::LstmTrunkSlices<T>* gradient) {
  CellsBackward(packed, features);
  const int64_t hidden = sizes_.hidden, joint = sizes_.joint(), code2 = sizes_.code2(),
                enc1 = sizes_.enc1;
  dgates_w_.assign(4 * hidden * joint, T(0));
  dgates_b_.assign(4 * hidden, T(0));
  scratch_.resize(kBlock * enc1);
  for (int64_t row = 0; row < rows_; row += kBlock) {
    const int64_t rows = std::min(kBlock, rows_ - row);
    weight_gradient->Add(gates_.data() + row * 4 * hidden, 4 * hidden, 4 * hidden,
                         joint_.data() + row * joint, joint, joint, rows, dgates_w_.data(), joint,
                         dgates_b_.data());
    const T* dcode = dcode_.data() + row * sizes_.enc2;
    const T* code1 = code1_.data() + row * sizes_.code1();
    weight_gradient->Add(dcode, sizes_.enc2, sizes_.enc2, code1, sizes_.code1(), sizes_.code1(),
                         rows, gradient->enc2_w, sizes_.code1(), gradient->enc2_b);
    kernels::Multiply<T>(dcode, sizes_.enc2, rows, packed.enc2, nullptr, scratch_.data(), enc1);
    for (int64_t r = 0; r < rows; ++r) {
      T* denc1 = scratch_.data() + r * enc1;
      const T* active = code1 + r * sizes_.code1();
      kernels::ForLanes<T>(enc1, [&](int64_t j, auto at) {
        at.Store(denc1 + j, kernels::WherePositive(at.Load(active + j), at.Load(denc1 + j)));
      });
    }
    weight_gradient->Add(scratch_.data(), enc1, enc1, features + row * sizes_.features,
                         sizes_.features, sizes_.features, rows, gradient->enc1_w, sizes_.features,
                         gradient->enc1_b);
  }
  // Both biases enter together, so they share one sum.
  for (int64_t i = 0; i < 4 * hidden; ++i) {
    for (int64_t j = 0; j < code2; ++j) gradient->w_ih[i * code2 + j] += dgates_w_[i * joint + j];
    for (int64_t j = 0; j < hidden; ++j)
      gradient->w_hh[i * hidden + j] += dgates_w_[i * joint + code2 + j];
    gradient->b_ih[i] += dgates_b_[i];
    gradient->b_hh[i] += dgates_b_[i];
  }
}

template class LstmTrunk<float>;
template class LstmTrunk<double>;

}  // namespace mentor::signals
