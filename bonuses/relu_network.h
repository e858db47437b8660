// Networks with one hidden ReLU layer, their gradient and their training by Adam, in double and
// with fixed bits. For bonuses, whose agents compute alone. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "common/rng.h"
#include "kernels/adam_step.h"
#include "kernels/dense.h"

namespace mentor::bonuses {

// y = W2 relu(W1 x + b1) + b2.
struct ReluShape {
  int64_t in = 0, hidden = 0, out = 0;

  // W1 [hidden, in], b1, W2 [out, hidden], b2, in this order.
  int64_t parameters() const { return hidden * (in + 1) + out * (hidden + 1); }
};

// What a forward pass leaves for the way back.
struct ReluTape {
  int64_t rows = 0;
  std::vector<double> x = {}, h = {}, y = {};  // [rows, in], [rows, hidden], [rows, out]
};

class ReluNetwork {
 public:
  explicit ReluNetwork(const ReluShape& shape) : shape_(shape) {}

  // Orthogonal weights with gain sqrt(2), biases 0. Takes two tensor numbers.
  void Draw(const RandomStream& stream, uint32_t first_tensor, std::span<double> theta) const;
  // Call it after each change of theta, before Forward and Backward.
  void Pack(std::span<const double> theta);
  // tape->x and rows are given.
  void Forward(ReluTape* tape) const;
  // dy [rows, out]. Adds to the gradient, and sets dx [rows, in] unless it is null.
  void Backward(const ReluTape& tape, std::span<const double> dy, std::span<double> gradient,
                std::vector<double>* dx);

  const ReluShape& shape() const { return shape_; }

 private:
  const ReluShape shape_;
  std::vector<double> b1_, b2_;
  kernels::PackedMatrix<double> first_, second_;            // Transposed, for the way there,
  kernels::PackedMatrix<double> first_back_, second_back_;  // as they are, for the way back.
  kernels::WeightGradient<double> sums_;
};

// How the networks of a bonus are made and trained.
struct Training {
  int64_t hidden = 256, latent = 128, epochs = 1, minibatch = 256;
  double proportion = 1;
  kernels::AdamConfig adam = {.learning_rate = 1e-3, .epsilon = 1e-8};
};

// Weights with the moments of Adam.
struct Trained {
  explicit Trained(int64_t size) : theta(size), m(size), v(size) {}

  void Step(const kernels::AdamConfig& adam, std::span<const double> gradient);

  std::vector<double> theta, m, v;
  int64_t steps = 0;
};

// Calls `step` for each minibatch with the numbers of its rows, out of `rows`, and those of them
// that are learned from. The order of an epoch sorts rows by keyed bits; the stream's iteration
// counts segments.
void ForEachMinibatch(const Training& training, const RandomStream& stream,
                      std::span<const int64_t> rows,
                      const std::function<void(std::span<const int64_t>)>& step);

}  // namespace mentor::bonuses
