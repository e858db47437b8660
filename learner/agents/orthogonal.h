// Orthogonal initial weights from keyed normals (docs/algorithms/ppo.md#initial-weights): the same
// bits on every machine. Pure; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "common/rng.h"
#include "learner/agents/param_layout.h"

namespace mentor::learner {

// [out, in] float32 with W W^T = gain^2 I (out <= in) or W^T W = gain^2 I. The normals are those of
// stream.Normals(tensor_number, ...), a row-major matrix of max(out, in) x min(out, in).
torch::Tensor Orthogonal(int64_t out, int64_t in, double gain, const RandomStream& stream,
                         uint32_t tensor_number);

// Every matrix of the layout, orthogonal with the gain of its name; the tensor's number is its
// place in the layout. `flat` is [P] float32; what is no matrix stays as it is.
void FillMatrices(const ParamLayout& layout, const RandomStream& stream,
                  const std::function<double(const std::string& name)>& gain, torch::Tensor flat);

}  // namespace mentor::learner
