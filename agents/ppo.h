// One PPO update of all agents of a shard (methods/ppo/README.md#the-update). A pure function: the
// same input gives the same bits on any number of threads. On the CPU an agent's bits do not depend
// on the other agents of the batch.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>

#include "agents/agent_shape.h"
#include "agents/minibatch_order.h"
#include "agents/ppo_config.h"
#include "agents/ppo_loss.h"
#include "agents/segment.h"
#include "agents/trace_column.h"
#include "agents/worker_pool.h"
#include "kernels/device.h"

namespace mentor::agents {

// The engine that takes agents through the optimizer steps (agent_trainer.h). kDefault and
// kAutograd take anything. The others need continuous actions and Adam, and have the same bits.
enum class PpoEngine {
  kDefault,   // Kernels of the device, or kKernels, where they can be used; kAutograd elsewhere.
  kKernels,   // Hand-written forward and backward (ppo_kernels.h). CPU.
  kEmulated,  // Kernels of a device (ppo_step.h) on the CPU, slowly.
  kAutograd,  // PpoLoss of all agents at once through LibTorch. CPU.
};

// True if hand-written engines exist for such agents: Gaussian policies and Adam.
bool HavePpoKernels(const AgentShape& shape, const PpoConfig& config);

struct PpoOptions {
  PpoEngine engine = PpoEngine::kDefault;
  kernels::Device device = {};  // For kDefault; in float.
  WorkerPool* pool = nullptr;   // Null: everything on the calling thread.
  // PPO's if null. Another one is for kDefault and kAutograd, which then takes all agents.
  PolicyLoss policy_loss = nullptr;
};

// Means over the optimizer steps of one update. value_loss is 0 without a critic.
struct AgentReport {
  double loss = 0;
  double policy_loss = 0;
  double value_loss = 0;
  double entropy = 0;
  double approx_kl = 0;
  double clip_fraction = 0;
  double grad_norm = 0;  // Before clipping.
  int64_t optimizer_steps = 0;
  // Loss or gradient was not finite, so the agent stays as before the update.
  bool nonfinite = false;
};

struct UpdateResult {
  AgentBatch agents;
  std::vector<AgentReport> reports;  // [S]
  int64_t nonfinite = 0;             // Agents whose update was skipped.
  torch::Tensor trace;  // [S, steps, kNumTraceColumns] float64; NaN after an early stop
  // Targets of the update, with a critic: [S, T] and, for last_values, [S]; dtype of theta.
  torch::Tensor values, last_values, advantages, returns;
  torch::Tensor final_values;  // [S, T], with bootstrap_on_truncation.
};

// signal [S, T]: rewards when shape.critic, else advantages. Tensors of the segment and the signal
// may have any floating dtype; the arithmetic is that of agents.theta. All tensors lie on the host.
// Errors name the tensor and the expected shape, or the device's memory (RESOURCE_EXHAUSTED).
absl::StatusOr<UpdateResult> PpoUpdate(const AgentShape& shape, const AgentBatch& agents,
                                       const Segment& segment, const torch::Tensor& signal,
                                       const PpoConfig& config, const MinibatchOrder& order,
                                       const PpoOptions& options = {});

}  // namespace mentor::agents
