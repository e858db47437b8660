// Tensors on the wire and in LibTorch. Only this file sees both headers. Pure functions; threads
// may share.
#pragma once

#include <torch/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/tensor.pb.h"

namespace mentor::shards {

// Elements of a tensor of this foreign shape. Nothing where LibTorch could not make it: an axis is
// negative, or the product of its nonzero axes exceeds 2^32, which no tensor of ours has.
std::optional<int64_t> ElementsOf(at::IntArrayRef shape);

// The dtypes of tensors that travel or are kept: nothing, or DTYPE_UNSPECIFIED, for others.
std::optional<torch::Dtype> DtypeOf(v1::Tensor::DType dtype);
v1::Tensor::DType ProtoDtypeOf(torch::Dtype dtype);

// Copies a CPU or GPU tensor of a supported dtype (float32, float64, int64, uint8).
v1::Tensor ToProto(const torch::Tensor& tensor);

// Checks dtype, sizes and length before it allocates anything. `what` names the tensor in the
// error.
absl::StatusOr<torch::Tensor> FromProto(const v1::Tensor& tensor, std::string_view what);

// The same with the dtype and shape that the caller needs; -1 allows any size of an axis.
// Floating-point elements must be finite.
absl::StatusOr<torch::Tensor> FromProto(const v1::Tensor& tensor, std::string_view what,
                                        torch::Dtype dtype, const std::vector<int64_t>& shape);

}  // namespace mentor::shards
