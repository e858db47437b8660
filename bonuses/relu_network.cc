#include "bonuses/relu_network.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/optimizer.h"

namespace mentor::bonuses {

void ReluNetwork::Draw(const RandomStream& stream, uint32_t first_tensor,
                       std::span<double> theta) const {
  const auto& [in, hidden, out] = shape_;
  const double gain = std::sqrt(2.0);
  std::fill(theta.begin(), theta.end(), 0.0);
  const std::vector<double> first = OrthogonalMatrix(hidden, in, gain, stream, first_tensor);
  const std::vector<double> second = OrthogonalMatrix(out, hidden, gain, stream, first_tensor + 1);
  std::copy(first.begin(), first.end(), theta.begin());
  std::copy(second.begin(), second.end(), theta.begin() + hidden * (in + 1));
}

void ReluNetwork::Pack(std::span<const double> theta) {
  const auto& [in, hidden, out] = shape_;
  const double* w1 = theta.data();
  const double* b1 = w1 + hidden * in;
  const double* w2 = b1 + hidden;
  const double* b2 = w2 + out * hidden;
  b1_.assign(b1, b1 + hidden);
  b2_.assign(b2, b2 + out);
  first_.Resize(in, hidden);
  first_.SetTransposed(0, w1, in, hidden);
  second_.Resize(hidden, out);
  second_.SetTransposed(0, w2, hidden, out);
  first_back_.Resize(hidden, in);
  for (int64_t row = 0; row < hidden; ++row) first_back_.SetRow(row, 0, w1 + row * in, in);
  second_back_.Resize(out, hidden);
  for (int64_t row = 0; row < out; ++row) second_back_.SetRow(row, 0, w2 + row * hidden, hidden);
}

void ReluNetwork::Forward(ReluTape* tape) const {
  const auto& [in, hidden, out] = shape_;
  tape->h.resize(tape->rows * hidden);
  tape->y.resize(tape->rows * out);
  kernels::Multiply(tape->x.data(), in, tape->rows, first_, b1_.data(), tape->h.data(), hidden);
  for (double& h : tape->h) h = h > 0 ? h : 0;
  kernels::Multiply(tape->h.data(), hidden, tape->rows, second_, b2_.data(), tape->y.data(), out);
}

void ReluNetwork::Backward(const ReluTape& tape, std::span<const double> dy,
                           std::span<double> gradient, std::vector<double>* dx) {
  const auto& [in, hidden, out] = shape_;
  double* w1 = gradient.data();
  double* b1 = w1 + hidden * in;
  double* w2 = b1 + hidden;
  double* b2 = w2 + out * hidden;
  sums_.Add(dy.data(), out, out, tape.h.data(), hidden, hidden, tape.rows, w2, hidden, b2);
  std::vector<double> dh(tape.rows * hidden);
  kernels::Multiply<double>(dy.data(), out, tape.rows, second_back_, nullptr, dh.data(), hidden);
  for (size_t i = 0; i < dh.size(); ++i) dh[i] = tape.h[i] > 0 ? dh[i] : 0;
  sums_.Add(dh.data(), hidden, hidden, tape.x.data(), in, in, tape.rows, w1, in, b1);
  if (dx == nullptr) return;
  dx->resize(tape.rows * in);
  kernels::Multiply<double>(dh.data(), hidden, tape.rows, first_back_, nullptr, dx->data(), in);
}

void Trained::Step(const kernels::AdamConfig& adam, std::span<const double> gradient) {
  kernels::AdamStepInPlace(adam, ++steps, /*scale=*/1, gradient, theta.data(), m.data(), v.data());
}

void ForEachMinibatch(const Training& training, const RandomStream& stream,
                      std::span<const int64_t> rows,
                      const std::function<void(std::span<const int64_t>)>& step) {
  std::vector<std::pair<uint64_t, int64_t>> order(rows.size());
  std::vector<int64_t> minibatch;
  for (int64_t epoch = 0; epoch < training.epochs; ++epoch) {
    // Even steps of the stream draw orders, odd ones who is learned from.
    const auto drawn = static_cast<uint32_t>(2 * epoch);
    for (size_t i = 0; i < rows.size(); ++i)
      order[i] = {stream.Bits(drawn, static_cast<uint32_t>(i)), rows[i]};
    std::sort(order.begin(), order.end());
    for (size_t begin = 0; begin < order.size(); begin += training.minibatch) {
      const size_t end = std::min<size_t>(begin + training.minibatch, order.size());
      minibatch.clear();
      for (size_t i = begin; i < end; ++i) {
        if (training.proportion < 1 &&
            stream.Uniform(drawn + 1, static_cast<uint32_t>(i)) >= training.proportion)
          continue;
        minibatch.push_back(order[i].second);
      }
      if (!minibatch.empty()) step(minibatch);
    }
  }
}

}  // namespace mentor::bonuses
