// Orthogonal matrices from keyed normals (methods/ppo/README.md#initial-weights): the same bits on
// every machine. Pure; threads may share.
#pragma once

#include <cstdint>
#include <vector>

#include "common/rng.h"

namespace mentor {

// Returns [out, in], row-major, with W W^T = gain^2 I (out <= in) or W^T W = gain^2 I. The normals
// are stream.Normals(tensor_number, ...), as a row-major matrix of max(out, in) x min(out, in).
std::vector<double> OrthogonalMatrix(int64_t out, int64_t in, double gain,
                                     const RandomStream& stream, uint32_t tensor_number);

}  // namespace mentor
