// Normally distributed numbers as a tensor: the same ones for the same stream and number.
#pragma once

#include "agents/param_layout.h"
#include "common/rng.h"
#include "tests/torch_testing.h"

namespace mentor::testing {

inline torch::Tensor Normals(const RandomStream& stream, uint32_t number, at::IntArrayRef shape,
                             torch::ScalarType type = torch::kFloat32) {
  return agents::Normals(stream, number, shape).to(type);
}

}  // namespace mentor::testing
