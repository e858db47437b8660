#include "shards/tensor_proto.h"

#include <bit>
#include <cstring>
#include <utility>

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"

namespace mentor::shards {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensors travel as raw little-endian bytes");

// More than any of our tensors has; times 8 bytes it stays far from overflow.
constexpr int64_t kElementsMax = int64_t{1} << 32;
constexpr int kAxesMax = 8;

constexpr std::pair<v1::Tensor::DType, torch::Dtype> kTypes[] = {
    {v1::Tensor::DTYPE_FLOAT32, torch::kFloat32},
    {v1::Tensor::DTYPE_FLOAT64, torch::kFloat64},
    {v1::Tensor::DTYPE_INT64, torch::kInt64},
    {v1::Tensor::DTYPE_UINT8, torch::kUInt8}};

std::string Text(std::string_view view) {
  return std::string(view);
}

}  // namespace

std::optional<torch::Dtype> DtypeOf(v1::Tensor::DType dtype) {
  for (const auto& [proto, type] : kTypes) {
    if (proto == dtype) return type;
  }
  return std::nullopt;
}

v1::Tensor::DType ProtoDtypeOf(torch::Dtype dtype) {
  for (const auto& [proto, type] : kTypes) {
    if (type == dtype) return proto;
  }
  return v1::Tensor::DTYPE_UNSPECIFIED;
}

std::optional<int64_t> ElementsOf(at::IntArrayRef shape) {
  int64_t product = 1;
  bool empty = false;
  for (const int64_t axis : shape) {
    empty = empty || axis == 0;
    const int64_t length = axis == 0 ? 1 : axis;
    if (length < 0 || product > kElementsMax / length) return std::nullopt;
    product *= length;
  }
  return empty ? 0 : product;
}

v1::Tensor ToProto(const torch::Tensor& tensor) {
  const torch::Tensor dense = tensor.detach().to(torch::kCPU).contiguous();
  v1::Tensor proto;
  proto.set_dtype(ProtoDtypeOf(dense.scalar_type()));
  MENTOR_CHECK(proto.dtype() != v1::Tensor::DTYPE_UNSPECIFIED);
  for (int64_t axis : dense.sizes()) proto.add_shape(axis);
  proto.set_data(dense.data_ptr(), dense.nbytes());
  return proto;
}

absl::StatusOr<torch::Tensor> FromProto(const v1::Tensor& tensor, std::string_view what) {
  const std::optional<torch::Dtype> dtype = DtypeOf(tensor.dtype());
  if (!dtype)
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: unknown dtype %d", Text(what), tensor.dtype()));
  if (tensor.shape_size() > kAxesMax) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: %d axes, at most %d are allowed",
                                                      Text(what), tensor.shape_size(), kAxesMax));
  }
  const std::vector<int64_t> shape(tensor.shape().begin(), tensor.shape().end());
  const std::optional<int64_t> elements = ElementsOf(shape);
  if (!elements) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: shape [%s] is not allowed", Text(what),
                                                      absl::StrJoin(tensor.shape(), ", ")));
  }
  const size_t bytes = static_cast<size_t>(*elements) * torch::elementSize(*dtype);
  if (bytes != tensor.data().size()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: shape [%s] needs %d bytes, got %d", Text(what),
                        absl::StrJoin(tensor.shape(), ", "), bytes, tensor.data().size()));
  }
  torch::Tensor result = torch::empty(shape, torch::dtype(*dtype));
  if (bytes > 0) std::memcpy(result.data_ptr(), tensor.data().data(), bytes);
  return result;
}

absl::StatusOr<torch::Tensor> FromProto(const v1::Tensor& tensor, std::string_view what,
                                        torch::Dtype dtype, const std::vector<int64_t>& shape) {
  bool fits = tensor.dtype() == ProtoDtypeOf(dtype) &&
              tensor.shape_size() == static_cast<int>(shape.size());
  for (size_t axis = 0; fits && axis < shape.size(); ++axis) {
    fits = shape[axis] < 0 || shape[axis] == tensor.shape(static_cast<int>(axis));
  }
  if (!fits) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: got %s [%s], expected %s [%s]", Text(what),
                        v1::Tensor::DType_Name(tensor.dtype()), absl::StrJoin(tensor.shape(), ", "),
                        v1::Tensor::DType_Name(ProtoDtypeOf(dtype)), absl::StrJoin(shape, ", ")));
  }
  MENTOR_ASSIGN_OR_RETURN(torch::Tensor result, FromProto(tensor, what));
  if (torch::isFloatingType(dtype) && !result.isfinite().all().item<bool>()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: not every element is finite", Text(what)));
  }
  return result;
}

}  // namespace mentor::shards
