// Normally distributed numbers as a tensor: the same ones for the same stream and number.
#pragma once

#include "common/rng.h"
#include "tests/torch_testing.h"

namespace mentor::testing {

inline torch::Tensor Normals(const RandomStream& stream, uint32_t number, at::IntArrayRef shape,
                             torch::ScalarType type = torch::kFloat32) {
  torch::Tensor x = torch::empty(shape, torch::kFloat64);
  stream.Normals(number, {x.data_ptr<double>(), static_cast<size_t>(x.numel())});
  return x.to(type);
}

}  // namespace mentor::testing
