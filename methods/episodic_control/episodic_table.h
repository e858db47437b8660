// The memory of episodic control (methods/episodic_control/README.md): one table for each action.
// Beside it: the returns that are written, and the value of neighbours as a differentiable
// function. float32 in agents, float64 where tests compare with references.
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <vector>

#include "common/episodic_lookup.h"

namespace mentor::methods {

// Rows of key, value and time of the last write. The bits of its name identify a row: its
// observation where names are kept, else its key. Not thread-safe.
template <typename T>
class EpisodicTable {
 public:
  // The new value of a row that is written again.
  using Rewrite = std::function<T(T stored, T written)>;
  struct Written {
    bool hit = false;      // The row was there.
    bool evicted = false;  // It replaced another row.
  };

  // name_size 0: keys are names.
  EpisodicTable(int64_t capacity, int64_t key_size, int64_t name_size)
      : capacity_(capacity),
        key_size_(static_cast<size_t>(key_size)),
        name_size_(static_cast<size_t>(name_size)) {}

  int64_t size() const { return static_cast<int64_t>(values_.size()); }
  StoredRows<T> rows() const { return {keys_, values_}; }
  std::span<const T> names() const { return names_; }  // [n, name_size]
  std::span<const int64_t> times() const { return times_; }

  // Writes a value. A row of this name gets the key and a rewritten value. Otherwise a new row gets
  // both; at full capacity it replaces the row written longest ago (the first of equals). `time` is
  // the write's number, growing.
  Written Write(std::span<const T> name, std::span<const T> key, T value, int64_t time,
                const Rewrite& rewrite) {
    Written written;
    const uint64_t hash = HashOf(name_size_ > 0 ? name : key);
    size_t row = Find(hash, name_size_ > 0 ? name : key);
    written.hit = row < values_.size();
    if (written.hit) {
      value = rewrite(values_[row], value);
    } else if (size() == capacity_) {
      written.evicted = true;
      row = static_cast<size_t>(std::min_element(times_.begin(), times_.end()) - times_.begin());
    } else {
      Resize(values_.size() + 1);
    }
    Put(row, name, key, value, time, hash);
    return written;
  }

  // Takes saved rows, at most `capacity`: names [n, name_size], keys [n, K], values [n], times [n].
  void Load(std::span<const T> names, std::span<const T> keys, std::span<const T> values,
            std::span<const int64_t> times) {
    Resize(values.size());
    for (size_t row = 0; row < values.size(); ++row) {
      const auto name = names.subspan(row * name_size_, name_size_);
      const auto key = keys.subspan(row * key_size_, key_size_);
      Put(row, name, key, values[row], times[row], HashOf(name_size_ > 0 ? name : key));
    }
  }

  // Replaces each key by the key of the row's name.
  void RefreshKeys(const std::function<void(std::span<const T> name, std::span<T> key)>& encode) {
    for (size_t row = 0; row < values_.size(); ++row) {
      encode(std::span<const T>(names_).subspan(row * name_size_, name_size_),
             std::span<T>(keys_).subspan(row * key_size_, key_size_));
    }
  }

 private:
  // FNV-1a over words. It only says where to look first, so no result depends on it.
  static uint64_t HashOf(std::span<const T> name) {
    uint64_t hash = 0xcbf29ce484222325;
    for (const T& number : name) {
      uint64_t word = 0;
      std::memcpy(&word, &number, sizeof(number));
      hash = (hash ^ word) * 0x100000001b3;
    }
    return hash;
  }

  // Returns size() when there is no such row.
  size_t Find(uint64_t hash, std::span<const T> name) const {
    const std::vector<T>& all = name_size_ > 0 ? names_ : keys_;
    for (size_t row = 0; row < hashes_.size(); ++row) {
      if (hashes_[row] == hash &&
          std::memcmp(all.data() + row * name.size(), name.data(), name.size_bytes()) == 0)
        return row;
    }
    return hashes_.size();
  }

  void Resize(size_t rows) {
    names_.resize(rows * name_size_);
    keys_.resize(rows * key_size_);
    values_.resize(rows);
    times_.resize(rows);
    hashes_.resize(rows);
  }

  void Put(size_t row, std::span<const T> name, std::span<const T> key, T value, int64_t time,
           uint64_t hash) {
    if (name_size_ > 0)
      std::copy(name.begin(), name.end(), names_.begin() + Offset(row, name_size_));
    std::copy(key.begin(), key.end(), keys_.begin() + Offset(row, key_size_));
    values_[row] = value;
    times_[row] = time;
    hashes_[row] = hash;
  }
  static std::ptrdiff_t Offset(size_t row, size_t width) {
    return static_cast<std::ptrdiff_t>(row * width);
  }

  const int64_t capacity_;
  const size_t key_size_, name_size_;
  std::vector<T> names_, keys_, values_;
  std::vector<int64_t> times_;
  std::vector<uint64_t> hashes_;
};

// G_t = r_t + gamma G_{t+1} of an episode.
std::vector<double> EpisodeReturns(std::span<const double> rewards, double gamma);

// Targets sum_{j<m} gamma^j r_{t+j} + gamma^m greatest_{t+m}, m = min(n, L - t). An episode has L
// steps. greatest [L]: the greatest value of each step when it was acted on. `last` follows the
// end: 0 where the task itself ended.
std::vector<double> NStepTargets(std::span<const double> rewards, std::span<const double> greatest,
                                 double last, int64_t n, double gamma);

// [B]: sum_i w_i v_i / sum_i w_i, w_i = present_i / (|key - keys_i|^2 + delta). Differentiable. key
// [B, K], keys [B, p, K], values [B, p], present [B, p]: 1, or 0 where there is no neighbour.
torch::Tensor NeighbourValues(const torch::Tensor& key, const torch::Tensor& keys,
                              const torch::Tensor& values, const torch::Tensor& present,
                              double delta);

// Keys [B, K] of observations [B, D] by these weights [P]. Differentiable for a network with hidden
// units; otherwise the KeyEncoder computes them.
torch::Tensor EncodeKeys(const KeyNetwork& network, const torch::Tensor& weights,
                         const torch::Tensor& observations);

}  // namespace mentor::methods
