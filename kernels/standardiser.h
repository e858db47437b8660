// Shifts and scales a minibatch's numbers to mean 0 and deviation 1, in double, and takes a
// gradient back. agents/row_statistics.h does the same by LibTorch. One thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

namespace mentor::learner {

class Standardiser {
 public:
  // The deviation is over count - ddof; epsilon is added to it.
  Standardiser(int64_t ddof, double epsilon)
      : ddof_(static_cast<double>(ddof)), epsilon_(epsilon) {}

  // Two passes.
  void Apply(std::span<double> x) {
    const double n = static_cast<double>(x.size());
    double sum = 0, squares = 0;
    for (double e : x) sum += e;
    const double mean = sum / n;
    for (double e : x) squares += (e - mean) * (e - mean);
    deviation_ = std::sqrt(squares / (n - ddof_));
    scale_ = 1 / (deviation_ + epsilon_);
    for (double& e : x) e = (e - mean) * scale_;
  }

  // grad: by the numbers x that Apply left; becomes that by the numbers before. The derivative of a
  // deviation of 0 counts as 0.
  void Adjoint(std::span<const double> x, std::span<double> grad) const {
    const double n = static_cast<double>(x.size());
    double product = 0, sum = 0;
    for (size_t i = 0; i < x.size(); ++i) product += grad[i] * x[i];
    const double by_deviation = deviation_ > 0 ? product / ((n - ddof_) * deviation_ * scale_) : 0;
    for (size_t i = 0; i < x.size(); ++i) {
      grad[i] = scale_ * (grad[i] - by_deviation * x[i]);
      sum += grad[i];
    }
    for (double& g : grad) g -= sum / n;
  }

 private:
  const double ddof_, epsilon_;
  double deviation_ = 0, scale_ = 1;
};

}  // namespace mentor::learner
