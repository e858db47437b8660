#include "meta_learner/experiment/tensor_sections.h"

#include <ATen/Functions.h>

#include <cstring>
#include <optional>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "shards/tensor_proto.h"

namespace mentor::meta_learner {
namespace {

// A tensor as bytes, integers little-endian:
//
//   u32         dtype: v1.Tensor.DType
//   u32         rank
//   i64 x rank  shape, slowest axis first
//   bytes       elements, row-major
constexpr uint32_t kRankMax = 8;

}  // namespace

std::string EncodeTensor(const torch::Tensor& tensor) {
  MENTOR_CHECK(tensor.defined() && tensor.device().is_cpu() && tensor.dim() <= kRankMax);
  const auto code = static_cast<uint32_t>(shards::ProtoDtypeOf(tensor.scalar_type()));
  MENTOR_CHECK(code != 0);
  const torch::Tensor dense = tensor.detach().contiguous();
  const auto rank = static_cast<uint32_t>(dense.dim());
  std::string bytes;
  bytes.reserve(8 + 8 * rank + dense.nbytes());
  bytes.append(reinterpret_cast<const char*>(&code), 4);
  bytes.append(reinterpret_cast<const char*>(&rank), 4);
  for (const int64_t size : dense.sizes()) bytes.append(reinterpret_cast<const char*>(&size), 8);
  if (dense.numel() > 0)
    bytes.append(static_cast<const char*>(dense.const_data_ptr()), dense.nbytes());
  return bytes;
}

absl::StatusOr<torch::Tensor> DecodeTensor(std::string_view bytes) {
  const auto bad = [](const std::string& why) {
    return absl::DataLossError("not a tensor: " + why);
  };
  if (bytes.size() < 8) return bad(absl::StrFormat("%d bytes, fewer than any", bytes.size()));
  uint32_t code, rank;
  std::memcpy(&code, bytes.data(), 4);
  std::memcpy(&rank, bytes.data() + 4, 4);
  const auto type = shards::DtypeOf(static_cast<v1::Tensor::DType>(code));
  if (!type) return bad(absl::StrFormat("dtype %d", code));
  if (rank > kRankMax || bytes.size() < 8 + 8 * rank) return bad(absl::StrFormat("rank %d", rank));
  std::vector<int64_t> shape(rank);
  if (rank > 0) std::memcpy(shape.data(), bytes.data() + 8, 8 * rank);
  const std::optional<int64_t> elements = shards::ElementsOf(shape);
  if (!elements) return bad(absl::StrFormat("shape %s", c10::str(at::IntArrayRef(shape))));
  const std::string_view data = bytes.substr(8 + 8 * rank);
  const size_t data_bytes = static_cast<size_t>(*elements) * c10::elementSize(*type);
  if (data.size() != data_bytes)
    return bad(absl::StrFormat("%d bytes of elements, expected %d", data.size(), data_bytes));
  torch::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(*type));
  if (!data.empty()) std::memcpy(tensor.mutable_data_ptr(), data.data(), data.size());
  return tensor;
}

void AddTensorSections(const std::map<std::string, torch::Tensor>& tensors, std::string_view prefix,
                       std::map<std::string, std::string>* sections) {
  for (const auto& [name, tensor] : tensors) {
    MENTOR_CHECK(sections->emplace(std::string(prefix) + name, EncodeTensor(tensor)).second);
  }
}

absl::StatusOr<std::map<std::string, torch::Tensor>> TensorsOfSections(
    const std::map<std::string, std::string>& sections, std::string_view prefix) {
  std::map<std::string, torch::Tensor> tensors;
  for (auto section = sections.lower_bound(std::string(prefix)); section != sections.end();
       ++section) {
    if (!section->first.starts_with(prefix)) break;
    auto tensor = DecodeTensor(section->second);
    if (!tensor.ok()) {
      return absl::DataLossError(absl::StrFormat("section %s: %s", section->first,
                                                 std::string(tensor.status().message())));
    }
    tensors.emplace(section->first.substr(prefix.size()), *std::move(tensor));
  }
  return tensors;
}

}  // namespace mentor::meta_learner
