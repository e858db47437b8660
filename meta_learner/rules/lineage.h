// What ever happened to the members of a population, as rows of numbers, the newest kRowsMax. A
// row never changes, so all who ask for them share the memory. Not thread-safe; moved, not copied.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <string>

#include <absl/status/statusor.h>

#include "learner/inner_loops/tensor_map.h"

namespace mentor::meta_learner {

class Lineage {
 public:
  // A checkpoint holds all of them, and a table for people too.
  static constexpr int64_t kRowsMax = 1 << 20;

  explicit Lineage(int64_t columns, int64_t rows_max = kRowsMax);
  // The tensor of this name, which must have so many columns of finite float64; of more rows than
  // `rows_max` the newest.
  static absl::StatusOr<Lineage> Read(const learner::TensorMap& state, const std::string& name,
                                      int64_t columns, int64_t rows_max = kRowsMax);
  Lineage(Lineage&&) = default;
  Lineage& operator=(Lineage&&) = default;

  // In constant time, but for a copy each time that the rows have doubled.
  void Append(std::span<const double> row);
  // [rows, columns] float64, the oldest first. What was appended later is not in it, and leaves it
  // as it is.
  torch::Tensor rows() const { return storage_.narrow(0, begin_, end_ - begin_); }

  // Bytes that so many rows take at most, here and in the making of a checkpoint with its table.
  static double BytesMax(double rows, int64_t columns);

 private:
  int64_t rows_max_;
  torch::Tensor storage_;  // [capacity, columns]; rows behind end_ are nobody's yet.
  int64_t begin_ = 0, end_ = 0;
};

}  // namespace mentor::meta_learner
