#include "methods/shared/lineage.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_format.h>

#include "common/check.h"

namespace mentor::methods {

using torch::Tensor;

namespace {

constexpr int64_t kLeastCapacity = 16;

// A quarter more than may stay, so that the oldest rows cost one copy in that many rows.
int64_t CapacityMax(int64_t rows_max) {
  return rows_max + rows_max / 4 + 1;
}

}  // namespace

Lineage::Lineage(int64_t columns, int64_t rows_max)
    : rows_max_(rows_max), storage_(torch::empty({0, columns}, torch::kFloat64)) {
  MENTOR_CHECK(columns > 0 && rows_max > 0);
}

absl::StatusOr<Lineage> Lineage::Read(const TensorMap& state, const std::string& name,
                                      int64_t columns, int64_t rows_max) {
  const auto found = state.find(name);
  const Tensor rows = found == state.end() ? Tensor() : found->second;
  if (!rows.defined() || rows.dim() != 2 || rows.scalar_type() != torch::kFloat64 ||
      rows.size(1) != columns || !rows.isfinite().all().item<bool>()) {
    return absl::DataLossError(absl::StrFormat(
        "the checkpoint's tensor '%s' of the rule is missing, has another size than %d columns, or "
        "is not finite",
        name, columns));
  }
  Lineage lineage(columns, rows_max);
  const int64_t kept = std::min(rows.size(0), rows_max);
  lineage.storage_ = rows.narrow(0, rows.size(0) - kept, kept).clone(at::MemoryFormat::Contiguous);
  lineage.end_ = kept;
  return lineage;
}

void Lineage::Append(std::span<const double> row) {
  const int64_t columns = storage_.size(1);
  MENTOR_CHECK(static_cast<int64_t>(row.size()) == columns);
  begin_ = std::max(begin_, end_ + 1 - rows_max_);
  if (end_ == storage_.size(0)) {
    // The rows are copied, never moved in place: callers may hold views of them.
    const Tensor kept = rows();
    end_ -= std::exchange(begin_, 0);
    storage_ = torch::empty({std::clamp(2 * end_, kLeastCapacity, CapacityMax(rows_max_)), columns},
                            torch::kFloat64);
    storage_.narrow(0, 0, end_).copy_(kept);
  }
  std::copy(row.begin(), row.end(), storage_.mutable_data_ptr<double>() + end_ * columns);
  ++end_;
}

double Lineage::BytesMax(double rows, int64_t columns) {
  // Rows exist twice while they are copied, once in the checkpoint's section, and as text in the
  // table.
  constexpr double kTextBytes = 20;
  return std::min(rows, static_cast<double>(kRowsMax)) * static_cast<double>(columns) *
         (3.25 * sizeof(double) + kTextBytes);
}

}  // namespace mentor::methods
