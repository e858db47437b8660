// Orthogonal initial weights from keyed normals (methods/ppo/README.md#initial-weights): the same
// bits on every machine. Pure; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "agents/param_layout.h"
#include "common/rng.h"

namespace mentor::learner {

// [out, in] float32 with W W^T = gain^2 I (out <= in) or W^T W = gain^2 I. From the normals
// stream.Normals(tensor_number, ...), a row-major matrix of max(out, in) x min(out, in).
torch::Tensor Orthogonal(int64_t out, int64_t in, double gain, const RandomStream& stream,
                         uint32_t tensor_number);

// Fills every matrix of the layout with an orthogonal one, with the gain of its name. The tensor's
// number is its place in the layout. `flat` is [P] float32; other slices stay as they are.
void FillMatrices(const ParamLayout& layout, const RandomStream& stream,
                  const std::function<double(const std::string& name)>& gain, torch::Tensor flat);

}  // namespace mentor::learner
