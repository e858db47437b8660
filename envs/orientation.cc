#include "envs/orientation.h"

#include <algorithm>
#include <cmath>

namespace mentor::envs {

void QuaternionOf(const double* matrix, std::span<double, 4> quaternion) {
  const auto m = [matrix](int row, int column) { return matrix[3 * row + column]; };
  const double trace = m(0, 0) + m(1, 1) + m(2, 2);
  const double choices[4] = {m(0, 0), m(1, 1), m(2, 2), trace};
  const int c =
      static_cast<int>(std::max_element(choices, choices + 4) - choices);  // The first largest.
  double* q = quaternion.data();
  if (c == 3) {
    q[0] = m(2, 1) - m(1, 2);
    q[1] = m(0, 2) - m(2, 0);
    q[2] = m(1, 0) - m(0, 1);
    q[3] = 1 + trace;
  } else {
    const int i = c, j = (c + 1) % 3, k = (c + 2) % 3;
    q[i] = 1 - trace + 2 * m(i, i);
    q[j] = m(j, i) + m(i, j);
    q[k] = m(k, i) + m(i, k);
    q[3] = m(k, j) - m(j, k);
  }
  const double norm = std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  for (int i = 0; i < 4; ++i) q[i] /= norm;
}

}  // namespace mentor::envs
