#include "signals/lstm/lstm_piece.h"

#include <algorithm>

#include "kernels/lstm_layers.h"

namespace mentor::signals {
namespace {

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
  trunk_.Run(weights.forward, {.lifetimes = record.lifetimes,
                               .steps = record.steps,
                               .features = record.features,
                               .h = record.h,
                               .c = record.c});
  const T* later_features = nullptr;
  if (sizes_.both) later_features = LaterSteps(*weights.forward.later, record);
  if (gradient == nullptr) return Heads(weights, record, loss, nullptr);
  kernels::LstmSlices<T> slices(sizes_, gradient);
  Heads(weights, record, loss, &slices);
  trunk_.Backward(weights.backward, record.features, &weight_gradient_, &slices);
  if (sizes_.both)
    later_.Backward(*weights.backward.later, later_features, &weight_gradient_, &slices.later);
}

// Brings the LSTM that runs backward to the piece's last step, without a gradient, and through the
// piece. Returns its features of the piece.
template <typename T>
const T* LstmPiece<T>::LaterSteps(const kernels::LstmTrunkWeights<T>& weights,
                                  const LstmRecord<T>& record) {
  constexpr int64_t kSteps = 32;  // At once. Changes no bit.
  later_h_.assign(lifetimes_ * sizes_.hidden, T(0));
  later_c_ = later_h_;
  const auto run = [&](int64_t begin, int64_t steps) {
    const T* features = record.later_features + begin * lifetimes_ * sizes_.features;
    later_.Run(weights, {.lifetimes = lifetimes_,
                         .steps = steps,
                         .features = features,
                         .h = later_h_.data(),
                         .c = later_c_.data(),
                         .begins_anew = true});
    return features;
  };
  for (int64_t begin = 0; begin < record.later_steps; begin += kSteps) {
    run(begin, std::min(kSteps, record.later_steps - begin));
    later_.CopyFinalState(later_h_.data(), later_c_.data());
  }
  return run(record.later_steps, record.steps);
}

// What the heads see of `rows` rows from `row` on, and the distance of its rows.
template <typename T>
std::pair<const T*, int64_t> LstmPiece<T>::Seen(int64_t row, int64_t rows) {
  const int64_t hidden = sizes_.hidden, stride = trunk_.h_stride();
  if (!sizes_.both) return {trunk_.h() + row * stride, stride};
  seen_.resize(kBlock * sizes_.seen());
  for (int64_t r = 0; r < rows; ++r) {
    T* seen = seen_.data() + r * sizes_.seen();
    std::copy_n(later_.h() + Reversed(row + r) * hidden, hidden, seen);
    std::copy_n(trunk_.h() + (row + r) * stride, hidden, seen + hidden);
  }
  return {seen_.data(), sizes_.seen()};
}

template <typename T>
void LstmPiece<T>::Heads(const LstmTrainingWeights<T>& weights, const LstmRecord<T>& record,
                         LossOfStep loss, kernels::LstmSlices<T>* gradient) {
  const int64_t heads = sizes_.heads, first = sizes_.first();
  first_.resize(kBlock * first);
  second_.resize(kBlock * heads);
  for (auto* scalars : {&slopes_, &log_stds_, &values_, &d_slopes_, &d_deviations_, &d_values_})
    scalars->resize(kBlock);
  scratch_.resize(kBlock * heads);
  for (int64_t row = 0; row < rows_; row += kBlock) {
    const int64_t rows = std::min(kBlock, rows_ - row);
    const auto [seen, stride] = Seen(row, rows);
    kernels::PolicyHeads(weights.forward, seen, stride, rows, first_.data(), first, second_.data(),
                         slopes_.data(), log_stds_.data());
    kernels::Critic(weights.forward, seen, stride, rows, first_.data() + 2 * heads, first,
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
    if (gradient != nullptr) HeadsBackward(weights, row, rows, seen, stride, gradient);
  }
}

// Turns what Heads left of the rows into their derivatives, in place.
template <typename T>
void LstmPiece<T>::HeadsBackward(const LstmTrainingWeights<T>& weights, int64_t row, int64_t rows,
                                 const T* seen, int64_t stride, kernels::LstmSlices<T>* gradient) {
  const int64_t heads = sizes_.heads, hidden = sizes_.hidden, width = sizes_.seen(),
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
  weight_gradient_.Add(dfirst, first, heads, seen, stride, width, rows, gradient->mean_w1, width,
                       gradient->mean_b1);
  weight_gradient_.Add(dfirst + heads, first, heads, seen, stride, width, rows, gradient->logstd_w1,
                       width, gradient->logstd_b1);
  weight_gradient_.Add(dfirst + 2 * heads, first, sizes_.critic, seen, stride, width, rows,
                       gradient->critic_w1, width, gradient->critic_b1);
  T* const dh = trunk_.dh() + row * hidden;
  kernels::Multiply<T>(dfirst, first, rows, weights.backward.first, nullptr,
                       sizes_.both ? seen_.data() : dh, width);
  if (!sizes_.both) return;
  for (int64_t r = 0; r < rows; ++r) {
    const T* d = seen_.data() + r * width;
    std::copy_n(d, hidden, later_.dh() + Reversed(row + r) * hidden);
    std::copy_n(d + hidden, hidden, dh + r * hidden);
  }
}

template class LstmPiece<float>;
template class LstmPiece<double>;

}  // namespace mentor::signals
