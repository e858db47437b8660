// Minibatches of LIRPG by hand-written kernels of the CPU
// (methods/lirpg/README.md#kernels-of-a-minibatch). The mathematics of step.h, which tests compare,
// without LibTorch: with one optimizer step and a constant second moment, the second derivative is
// one along a direction. One thread uses an instance; the pool's threads take an agent each, and
// their number does not matter.
#pragma once

#include <torch/types.h>

#include <memory>

#include <absl/status/statusor.h>

#include "agents/agent_shape.h"
#include "agents/worker_pool.h"
#include "methods/lirpg/step.h"
#include "signals/step_layers.h"

namespace mentor::methods {

class LirpgKernels {
 public:
  virtual ~LirpgKernels() = default;
  // LirpgStep (step.h). An error comes from a pause point.
  virtual absl::StatusOr<LirpgGradient> Step(const agents::AgentBatch& agents,
                                             const torch::Tensor& weights,
                                             const torch::Tensor& critics,
                                             const torch::Tensor& rows) = 0;
};

// True if the kernels make such agents' steps.
bool HaveLirpgKernels(const agents::AgentShape& shape, const LirpgConfig& config);

// For minibatches of one segment with at most rows_max steps. All tensors are float, or all double,
// as the segment's values are. The reward network has num_weights weights, and these layers.
std::unique_ptr<LirpgKernels> NewLirpgKernels(const agents::AgentShape& shape,
                                              const LirpgConfig& config,
                                              const LirpgSegment& segment,
                                              const signals::StepLayers& rewards,
                                              int64_t num_weights, int64_t rows_max,
                                              agents::WorkerPool* pool);

}  // namespace mentor::methods
