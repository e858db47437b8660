// One PPO update of all agents of a shard (docs/algorithms/ppo.md#the-update). A pure function: the
// same input gives the same bits on any number of threads, and on the CPU an agent's bits do not
// depend on which other agents share the batch.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>

#include "learner/agents/agent_batch.h"
#include "learner/agents/agent_shape.h"
#include "learner/agents/minibatch_order.h"
#include "learner/agents/ppo_config.h"
#include "learner/agents/segment.h"
#include "learner/agents/trace_column.h"
#include "learner/agents/worker_pool.h"
#include "learner/kernels/device.h"

struct CUstream_st;  // CUDA's cudaStream_t is a pointer to it.

namespace mentor::learner {

// What takes agents through the optimizer steps (agent_trainer.h). kDefault and kAutograd take
// anything; the others are for continuous actions and Adam, and have the same bits.
enum class PpoEngine {
  kDefault,   // kKernels where they can be used, kAutograd elsewhere.
  kKernels,   // Hand-written forward and backward (ppo_kernels.h). CPU.
  kCuda,      // Kernels of a device (ppo_step.h). CUDA, float.
  kEmulated,  // Those of kCuda on the CPU, slowly.
  kAutograd,  // PpoLoss of all agents at once through LibTorch. Any device.
};

struct CudaOptions {
  CUstream_st* stream = nullptr;  // LibTorch's for the device; null is the default stream of both.
  // The device has clusters of blocks, and 227 KiB of shared memory a block: compute capabilities
  // 9.0 and 10.0.
  bool has_clusters = true;
};

// Whether engines written by hand are for such agents: Gaussian policies and Adam.
bool HavePpoKernels(const AgentShape& shape, const PpoConfig& config);

struct PpoOptions {
  PpoEngine engine = PpoEngine::kDefault;
  CudaOptions cuda = {};       // kCuda only.
  WorkerPool* pool = nullptr;  // Null: everything on the calling thread.
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
  // Loss or gradient was not finite: the agent stays as it was before the update.
  bool nonfinite = false;
};

struct UpdateResult {
  AgentBatch agents;
  std::vector<AgentReport> reports;  // [S]
  int64_t nonfinite = 0;             // Agents whose update was skipped.
  torch::Tensor trace;  // [S, steps, kNumTraceColumns] float64; NaN after an early stop
  // What the update aimed at, with a critic: [S, T] and, for last_values, [S]; dtype of theta.
  torch::Tensor values, last_values, advantages, returns;
  torch::Tensor final_values;  // [S, T], with bootstrap_on_truncation.
};

// signal [S, T]: rewards when shape.critic, else advantages. Tensors of the segment and the signal
// may have any floating dtype on any device; the arithmetic is that of agents.theta. Errors name
// the tensor and the shape expected.
absl::StatusOr<UpdateResult> PpoUpdate(const AgentShape& shape, const AgentBatch& agents,
                                       const Segment& segment, const torch::Tensor& signal,
                                       const PpoConfig& config, const MinibatchOrder& order,
                                       const PpoOptions& options = {});

// The same by the device's kernels; agents that no kernel is for learn by LibTorch on the CPU. All
// tensors, but for the result's last five, are the host's.
absl::StatusOr<UpdateResult> UpdateOnDevice(const Device& device, const AgentShape& shape,
                                            const AgentBatch& agents, const Segment& segment,
                                            const torch::Tensor& signal, const PpoConfig& config,
                                            const MinibatchOrder& order, WorkerPool* pool);

}  // namespace mentor::learner
