// Columns of an update's trace: one row an optimizer step. Host and device.
#pragma once

#include <cstdint>

namespace mentor::agents {

enum TraceColumn : int64_t {
  kLoss,
  kPolicyLoss,
  kValueLoss,
  kEntropy,
  kApproxKl,
  kClipFraction,
  kGradNorm,  // Before clipping.
  kNumTraceColumns
};

}  // namespace mentor::agents
