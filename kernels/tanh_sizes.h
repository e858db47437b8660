// Sizes of a network of two tanh layers and a plain one (tanh_network.h).
#pragma once

#include <cstdint>

namespace mentor::kernels {

struct TanhSizes {
  int64_t in = 0, hidden = 0, out = 0;
  bool bounded = false;  // A tanh bounds the outputs, too.

  int64_t num_params() const { return hidden * (in + 1 + hidden + 1) + out * (hidden + 1); }
};

}  // namespace mentor::kernels
