// A rotation as a quaternion in SciPy's convention x, y, z, w, made from the matrix, as
// Meta-World's observations have it (docs/metaworld.md#the-observation). Pure; threads may share.
#pragma once

#include <span>

namespace mentor::envs {

// matrix: 9 numbers, row by row, as in mjData.
void QuaternionOf(const double* matrix, std::span<double, 4> quaternion);

}  // namespace mentor::envs
