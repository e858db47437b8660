#include "signals/lstm/lstm_piece.h"

#include "kernels/lstm_layers.h"

namespace mentor::signals {
namespace {

// Rows whose layers are computed one after another while they stay in the cache.
constexpr int64_t kBlock = kernels::WeightGradient<float>::kRows;

// A layer of tanh units x that feeds one linear output y = w . x + b. Adds to dw and db, and turns
// x into the derivative before the activation, in place.
template <typename T>
void OutputBackward(T dy, const T* w, int64_t n, T* x, T* dw, T* db) {
  const kernels::Lanes<T> one = kernels::Fill(T(1)), d = kernels::Fill(dy);
  kernels::ForLanes<T>(n, [&](int64_t j, auto at) {
    const kernels::Lanes<T> value = at.Load(x + j);
    at.Store(dw + j, kernels::Fma(d, value, at.Load(dw + j)));
    at.Store(x + j, d * at.Load(w + j) * (one - value * value));
  });
  *db += dy;
}

}  // namespace

template <typename T>
void LstmPiece<T>::Run(const LstmTrainingWeights<T>& weights, const LstmRecord<T>& record,
                       LossOfStep loss, T* gradient) {
  sizes_ = weights.forward.sizes;
  lifetimes_ = record.lifetimes;
  rows_ = record.lifetimes * record.steps;
  Encoders(weights.forward, record);
  Cells(weights.forward, record);
  if (gradient == nullptr) return Heads(weights, record, loss, nullptr);
  kernels::LstmSlices<T> slices(sizes_, gradient);
  Heads(weights, record, loss, &slices);
  CellsBackward(weights.backward);
  InputsBackward(weights.backward, record.features, &slices);
}

// The previous signals are known.
template <typename T>
void LstmPiece<T>::Encoders(const kernels::LstmForwardWeights<T>& weights,
                            const LstmRecord<T>& record) {
  code1_.resize(rows_ * sizes_.code1());
  joint_.resize((rows_ + lifetimes_) * sizes_.joint());
  scratch_.resize(kBlock * sizes_.enc1);
  for (int64_t row = 0; row < rows_; row += kBlock) {
    const int64_t rows = std::min(kBlock, rows_ - row);
    const T* x = record.features + row * sizes_.features;
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
void LstmPiece<T>::Cells(const kernels::LstmForwardWeights<T>& weights,
                         const LstmRecord<T>& record) {
  const int64_t hidden = sizes_.hidden, joint = sizes_.joint();
  gates_.resize(rows_ * 4 * hidden);
  c_.resize((rows_ + lifetimes_) * hidden);
  tanh_c_.resize(rows_ * hidden);
  for (int64_t l = 0; l < lifetimes_; ++l)
    std::copy_n(record.h + l * hidden, hidden, joint_.data() + l * joint + sizes_.code2());
  std::copy_n(record.c, lifetimes_ * hidden, c_.data());
  for (int64_t row = 0; row < rows_; row += lifetimes_) {
    kernels::Multiply(joint_.data() + row * joint, joint, lifetimes_, weights.gates,
                      weights.gates_b.data(), gates_.data() + row * 4 * hidden, 4 * hidden);
    for (int64_t r = row; r < row + lifetimes_; ++r) {
      kernels::CellForward(hidden, gates_.data() + r * 4 * hidden, c_.data() + r * hidden,
                           c_.data() + (r + lifetimes_) * hidden, tanh_c_.data() + r * hidden,
                           joint_.data() + (r + lifetimes_) * joint + sizes_.code2());
    }
  }
}

template <typename T>
void LstmPiece<T>::Heads(const LstmTrainingWeights<T>& weights, const LstmRecord<T>& record,
                         LossOfStep loss, kernels::LstmSlices<T>* gradient) {
  const int64_t heads = sizes_.heads, first = sizes_.first(), joint = sizes_.joint();
  first_.resize(kBlock * first);
  second_.resize(kBlock * heads);
  for (auto* scalars : {&slopes_, &log_stds_, &values_, &d_slopes_, &d_deviations_, &d_values_})
    scalars->resize(kBlock);
  dh_.resize(rows_ * sizes_.hidden);
  scratch_.resize(kBlock * heads);
  for (int64_t row = 0; row < rows_; row += kBlock) {
    const int64_t rows = std::min(kBlock, rows_ - row);
    const T* h = joint_.data() + (row + lifetimes_) * joint + sizes_.code2();
    kernels::PolicyHeads(weights.forward, h, joint, rows, first_.data(), first, second_.data(),
                         slopes_.data(), log_stds_.data());
    kernels::Critic(weights.forward, h, joint, rows, first_.data() + 2 * heads, first,
                    values_.data());
    for (int64_t r = 0; r < rows; ++r) {
      const T signal = record.signals[row + r];
      const kernels::SignalDistribution distribution(slopes_[r], log_stds_[r],
                                                     record.log_initial_std);
      const kernels::StepTerms d =
          loss((row + r) % lifetimes_, (row + r) / lifetimes_,
               {.log_prob = T(distribution.LogDensity(signal)),
                .entropy = T(distribution.log_std) + kernels::kEntropyOfUnitNormal,
                .value = values_[r]});
      // ln N(y; mean, std) with mean = arctan(slope), ln std = s + constant.
      const T u = T((signal - distribution.mean) / distribution.std), d_log_prob = T(d.log_prob);
      d_slopes_[r] = d_log_prob * u / T(distribution.std) / (T(1) + slopes_[r] * slopes_[r]);
      d_deviations_[r] = d_log_prob * (u * u - T(1)) + T(d.entropy);
      d_values_[r] = T(d.value);
    }
    if (gradient != nullptr) HeadsBackward(weights, row, rows, gradient);
  }
}

template <typename T>
void LstmPiece<T>::CopyFinalState(T* h, T* c) const {
  for (int64_t l = 0; l < lifetimes_; ++l) {
    std::copy_n(joint_.data() + (rows_ + l) * sizes_.joint() + sizes_.code2(), sizes_.hidden,
                h + l * sizes_.hidden);
  }
  std::copy_n(c_.data() + rows_ * sizes_.hidden, lifetimes_ * sizes_.hidden, c);
}

// Turns what Heads left of the rows into their derivatives, in place.
template <typename T>
void LstmPiece<T>::HeadsBackward(const LstmTrainingWeights<T>& weights, int64_t row, int64_t rows,
                                 kernels::LstmSlices<T>* gradient) {
  const int64_t heads = sizes_.heads, hidden = sizes_.hidden, joint = sizes_.joint(),
                first = sizes_.first();
  const kernels::LstmSlices<const T> flat(sizes_, weights.flat.data());
  const kernels::Lanes<T> one = kernels::Fill(T(1));
  T* const dfirst = first_.data();
  T* const dsecond = second_.data();
  for (int64_t r = 0; r < rows; ++r) {
    T* x = dfirst + r * first;
    OutputBackward(d_slopes_[r], flat.mean_w3, heads, dsecond + r * heads, gradient->mean_w3,
                   gradient->mean_b3);
    OutputBackward(d_deviations_[r], flat.logstd_w2, heads, x + heads, gradient->logstd_w2,
                   gradient->logstd_b2);
    OutputBackward(d_values_[r], flat.critic_w2, sizes_.critic, x + 2 * heads, gradient->critic_w2,
                   gradient->critic_b2);
  }
  weight_gradient_.Add(dsecond, heads, heads, dfirst, first, heads, rows, gradient->mean_w2, heads,
                       gradient->mean_b2);
  kernels::Multiply<T>(dsecond, heads, rows, weights.backward.mean2, nullptr, scratch_.data(),
                       heads);
  for (int64_t r = 0; r < rows; ++r) {
    T* x = dfirst + r * first;
    kernels::ForLanes<T>(heads, [&](int64_t j, auto at) {
      const kernels::Lanes<T> value = at.Load(x + j);
      at.Store(x + j, at.Load(scratch_.data() + r * heads + j) * (one - value * value));
    });
  }
  const T* h = joint_.data() + (row + lifetimes_) * joint + sizes_.code2();
  weight_gradient_.Add(dfirst, first, heads, h, joint, hidden, rows, gradient->mean_w1, hidden,
                       gradient->mean_b1);
  weight_gradient_.Add(dfirst + heads, first, heads, h, joint, hidden, rows, gradient->logstd_w1,
                       hidden, gradient->logstd_b1);
  weight_gradient_.Add(dfirst + 2 * heads, first, sizes_.critic, h, joint, hidden, rows,
                       gradient->critic_w1, hidden, gradient->critic_b1);
  kernels::Multiply<T>(dfirst, first, rows, weights.backward.first, nullptr,
                       dh_.data() + row * hidden, hidden);
}

template <typename T>
void LstmPiece<T>::CellsBackward(const kernels::LstmBackwardWeights<T>& packed) {
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
      T* dh = dh_.data() + (row - lifetimes_ + l) * hidden;
      kernels::ForLanes<T>(hidden, [&](int64_t j, auto at) {
        at.Store(dh + j, at.Load(dh + j) + at.Load(dz + enc2 + j));
      });
    }
  }
}

template <typename T>
void LstmPiece<T>::InputsBackward(const kernels::LstmBackwardWeights<T>& packed, const T* features,
                                  kernels::LstmSlices<T>* gradient) {
  const int64_t hidden = sizes_.hidden, joint = sizes_.joint(), code2 = sizes_.code2(),
                enc1 = sizes_.enc1;
  dgates_w_.assign(4 * hidden * joint, T(0));
  dgates_b_.assign(4 * hidden, T(0));
  scratch_.resize(kBlock * enc1);
  for (int64_t row = 0; row < rows_; row += kBlock) {
    const int64_t rows = std::min(kBlock, rows_ - row);
    weight_gradient_.Add(gates_.data() + row * 4 * hidden, 4 * hidden, 4 * hidden,
                         joint_.data() + row * joint, joint, joint, rows, dgates_w_.data(), joint,
                         dgates_b_.data());
    const T* dcode = dcode_.data() + row * sizes_.enc2;
    const T* code1 = code1_.data() + row * sizes_.code1();
    weight_gradient_.Add(dcode, sizes_.enc2, sizes_.enc2, code1, sizes_.code1(), sizes_.code1(),
                         rows, gradient->enc2_w, sizes_.code1(), gradient->enc2_b);
    kernels::Multiply<T>(dcode, sizes_.enc2, rows, packed.enc2, nullptr, scratch_.data(), enc1);
    for (int64_t r = 0; r < rows; ++r) {
      T* denc1 = scratch_.data() + r * enc1;
      const T* active = code1 + r * sizes_.code1();
      kernels::ForLanes<T>(enc1, [&](int64_t j, auto at) {
        at.Store(denc1 + j, kernels::WherePositive(at.Load(active + j), at.Load(denc1 + j)));
      });
    }
    weight_gradient_.Add(scratch_.data(), enc1, enc1, features + row * sizes_.features,
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

template class LstmPiece<float>;
template class LstmPiece<double>;

}  // namespace mentor::signals
