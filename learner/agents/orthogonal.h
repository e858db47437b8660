// Orthogonal initial weights from keyed normals (ppo.md section 2): the same bits on every machine.
// Pure; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "common/rng.h"

namespace mentor::learner {

// [out, in] float32 with W W^T = gain^2 I (out <= in) or W^T W = gain^2 I. The normals are those of
// stream.Normals(tensor_number, ...), a row-major matrix of max(out, in) x min(out, in).
torch::Tensor Orthogonal(int64_t out, int64_t in, double gain, const RandomStream& stream,
                         uint32_t tensor_number);

}  // namespace mentor::learner
