// Values of actions from the entries nearest to an observation's key
// (methods/episodic_control/README.md#acting). Actors and learners use the same code, so they get
// the same bits. Processes use float32; tests use float64 to compare with references. Sums have a
// fixed order; nothing is allocated once the scratch space has grown.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "common/exact_math.h"
#include "mentor/v1/rollout_service.pb.h"

namespace mentor {

// Maps an observation [D] to a key [K]. Weights, in this order: W1 [H, D], b1 [H], W2 [K, H], b2
// [K], with tanh between the layers. Without hidden units: W [K, D] only. If also K = D, no
// weights: the observation is its own key.
struct KeyNetwork {
  int64_t observation = 0;  // D
  int64_t hidden = 0;       // H
  int64_t key = 0;          // K

  bool is_identity() const { return hidden == 0 && key == observation; }
  int64_t num_weights() const {
    if (is_identity()) return 0;
    if (hidden == 0) return key * observation;
    return hidden * observation + hidden + key * hidden + key;
  }
};

namespace episodic {

// sum_i term(a[i], b[i]): one partial sum for each lane of a vector register, then the remaining
// elements.
template <typename T, typename Term>
T SumOver(const T* a, const T* b, size_t size, const Term& term) {
  constexpr size_t kLanes = 32 / sizeof(T);
  typedef T Lanes __attribute__((vector_size(32)));
  T sum = 0;
  size_t i = 0;
  if (size >= kLanes) {
    Lanes sums = {};
    for (; i + kLanes <= size; i += kLanes) {
      Lanes x, y;
      std::memcpy(&x, a + i, sizeof(x));
      std::memcpy(&y, b + i, sizeof(y));
      sums += term(x, y);
    }
    for (size_t lane = 0; lane < kLanes; ++lane) sum += sums[lane];
  }
  for (; i < size; ++i) sum += term(a[i], b[i]);
  return sum;
}

template <typename T>
T Dot(const T* a, const T* b, size_t size) {
  return SumOver(a, b, size, [](const auto& x, const auto& y) { return x * y; });
}

template <typename T>
T SquaredDistance(const T* a, const T* b, size_t size) {
  return SumOver(a, b, size, [](const auto& x, const auto& y) {
    const auto difference = x - y;
    return difference * difference;
  });
}

// out = matrix in + bias; without bias if with_bias is false. Returns the end of the weights.
template <typename T>
const T* Layer(const T* weights, bool with_bias, std::span<const T> in, std::span<T> out) {
  const T* bias = weights + in.size() * out.size();
  for (size_t o = 0; o < out.size(); ++o) {
    out[o] = Dot(weights + o * in.size(), in.data(), in.size());
    if (with_bias) out[o] += bias[o];
  }
  return with_bias ? bias + out.size() : bias;
}

}  // namespace episodic

// Computes keys of observations. Holds scratch space: one thread.
template <typename T>
class KeyEncoder {
 public:
  explicit KeyEncoder(const KeyNetwork& network)
      : network_(network), hidden_(static_cast<size_t>(network.hidden)) {}

  void Encode(const T* weights, std::span<const T> observation, std::span<T> key) {
    if (network_.is_identity()) {
      std::copy(observation.begin(), observation.end(), key.begin());
    } else if (network_.hidden == 0) {
      episodic::Layer<T>(weights, /*with_bias=*/false, observation, key);
    } else {
      const T* second = episodic::Layer<T>(weights, /*with_bias=*/true, observation, hidden_);
      for (T& x : hidden_) x = static_cast<T>(exact::Tanh(static_cast<double>(x)));
      episodic::Layer<T>(second, /*with_bias=*/true, hidden_, key);
    }
    // Turns -0 into 0, so that equal keys have equal bits.
    for (T& x : key) x += T{0};
  }

 private:
  const KeyNetwork network_;
  std::vector<T> hidden_;
};

// Stored entries of one action: keys [n, K] by rows, values [n].
template <typename T>
struct StoredRows {
  std::span<const T> keys, values;
};

template <typename T>
struct Neighbour {
  T distance = 0;  // Squared.
  int64_t row = 0;
  bool operator<(const Neighbour& other) const {
    return distance != other.distance ? distance < other.distance : row < other.row;
  }
};

// Finds neighbours and averages their values. Holds scratch space: one thread.
template <typename T>
class Lookup {
 public:
  // `sizes`: neighbours, kernel and delta of a checked policy.
  explicit Lookup(const v1::EpisodicSizes& sizes) : sizes_(sizes) {}

  // Returns the nearest rows, the nearest first; the lower row wins ties. Valid until the next
  // call.
  std::span<const Neighbour<T>> Nearest(const StoredRows<T>& rows, std::span<const T> key) {
    nearest_.clear();
    for (size_t row = 0; row < rows.values.size(); ++row) {
      const Neighbour<T> next{
          episodic::SquaredDistance(rows.keys.data() + row * key.size(), key.data(), key.size()),
          static_cast<int64_t>(row)};
      // A heap with the farthest row at the front.
      if (nearest_.size() < sizes_.neighbours()) {
        nearest_.push_back(next);
        std::push_heap(nearest_.begin(), nearest_.end());
      } else if (next < nearest_.front()) {
        std::pop_heap(nearest_.begin(), nearest_.end());
        nearest_.back() = next;
        std::push_heap(nearest_.begin(), nearest_.end());
      }
    }
    std::sort_heap(nearest_.begin(), nearest_.end());
    return nearest_;
  }

  // Returns 0 for an empty table.
  double Value(const StoredRows<T>& rows, std::span<const T> key) {
    const std::span<const Neighbour<T>> nearest = Nearest(rows, key);
    if (nearest.empty()) return 0;
    const bool inverse = sizes_.kernel() == v1::LOOKUP_KERNEL_INVERSE;
    double sum = 0, weights = 0;
    for (const auto& [distance, row] : nearest) {
      const double value = static_cast<double>(rows.values[static_cast<size_t>(row)]);
      // A small difference may be 0 when squared, so the keys are compared too.
      if (!inverse && distance == 0 &&
          std::equal(key.begin(), key.end(),
                     rows.keys.data() + static_cast<size_t>(row) * key.size()))
        return value;
      const double weight = inverse ? 1 / (static_cast<double>(distance) + sizes_.delta()) : 1;
      sum += weight * value;
      weights += weight;
    }
    return sum / weights;
  }

 private:
  const v1::EpisodicSizes sizes_;
  std::vector<Neighbour<T>> nearest_;
};

}  // namespace mentor
