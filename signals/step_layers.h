// Signal networks of two tanh layers on numbers of each step, without memory. Rules that have
// kernels for such networks ask for the layers. A network implements StepLayersSource beside
// SignalGradient.
#pragma once

#include <torch/types.h>

#include "agents/segment.h"
#include "kernels/tanh_sizes.h"
#include "signals/signal_network.h"

namespace mentor::signals {

struct StepLayers {
  kernels::TanhSizes sizes;  // The first weights are the parameters of these layers.
  torch::Tensor inputs;      // [S, T, F]
};

class StepLayersSource {
 public:
  virtual ~StepLayersSource() = default;
  // The layers whose outputs are the mean signals of the segment. Advances *state.
  virtual StepLayers Layers(const agents::Segment& segment, SignalState* state) const = 0;
};

}  // namespace mentor::signals
