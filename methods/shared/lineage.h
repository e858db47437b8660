// The history of a population's members as rows of numbers; the newest kRowsMax stay. A row never
// changes, so all callers share the memory. Not thread-safe; moved, not copied.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <string>

#include <absl/status/statusor.h>

#include "methods/base/state.h"

namespace mentor::methods {

class Lineage {
 public:
  // A checkpoint holds all rows; a table for people repeats them.
  static constexpr int64_t kRowsMax = 1 << 20;

  explicit Lineage(int64_t columns, int64_t rows_max = kRowsMax);
  // Reads the tensor of this name, which must have `columns` columns of finite float64. Keeps the
  // newest `rows_max` rows.
  static absl::StatusOr<Lineage> Read(const TensorMap& state, const std::string& name,
                                      int64_t columns, int64_t rows_max = kRowsMax);
  Lineage(Lineage&&) = default;
  Lineage& operator=(Lineage&&) = default;

  // Constant time, except for a copy when the rows have doubled.
  void Append(std::span<const double> row);
  // [rows, columns] float64, the oldest first. Later appends do not change it.
  torch::Tensor rows() const { return storage_.narrow(0, begin_, end_ - begin_); }

  // Upper bound of the bytes of so many rows, here and while a checkpoint and its table are made.
  static double BytesMax(double rows, int64_t columns);

 private:
  int64_t rows_max_;
  torch::Tensor storage_;  // [capacity, columns]; rows from end_ on are free.
  int64_t begin_ = 0, end_ = 0;
};

}  // namespace mentor::methods
