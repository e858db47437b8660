// Mean and variance of numbers that come in batches, by the pairwise update of Chan, Golub and
// LeVeque (bonuses/README.md#statistics). A plain value.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace mentor::bonuses {

struct RunningMoments {
  // A prior of mean 0 and variance 1 weighs as much as so many rows.
  static constexpr double kPrior = 1e-4;

  explicit RunningMoments(int64_t size) : mean(size, 0.0), variance(size, 1.0) {}

  // rows [count / size, size], row-major.
  void Add(std::span<const double> rows) {
    const size_t size = mean.size(), n = rows.size() / size;
    if (n == 0) return;
    const double both = count + static_cast<double>(n), own = static_cast<double>(n);
    for (size_t i = 0; i < size; ++i) {
      double sum = 0, squares = 0;
      for (size_t r = 0; r < n; ++r) sum += rows[r * size + i];
      const double of_batch = sum / own;
      for (size_t r = 0; r < n; ++r) {
        const double difference = rows[r * size + i] - of_batch;
        squares += difference * difference;
      }
      const double of_variance = n > 1 ? squares / (own - 1) : 0;
      const double delta = of_batch - mean[i];
      variance[i] =
          (variance[i] * count + of_variance * own + delta * delta * count * own / both) / both;
      mean[i] += delta * own / both;
    }
    count = both;
  }
  double Deviation(size_t i) const { return std::sqrt(variance[i]); }

  double count = kPrior;
  std::vector<double> mean, variance;
};

}  // namespace mentor::bonuses
