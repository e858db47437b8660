// Optimizer steps of agents by the kernels of the CPU (ppo_kernels.h): Adam on PPO's loss, and the
// derivative of such a step. For the kernel trainer, and for rules that make single steps.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <absl/status/statusor.h>

#include "agents/differentiable_update.h"
#include "agents/ppo_kernels.h"
#include "agents/worker_pool.h"

namespace mentor::agents {

// True if kernels exist for such an update and, one step deep, for its gradient.
bool HaveKernelSteps(const AgentShape& shape, const UpdateConfig& config);

// Adam's settings at this step, which counts from 1, and the factor for a gradient of this norm; in
// either form (UpdateConfig).
kernels::AdamConfig AdamAt(const PpoConfig& config, bool tensorflow_epsilon, int64_t step);
double ClipFactor(const PpoConfig& config, bool tensorflow_clip, double norm);

KernelSizes SizesOf(const AgentShape& shape);

// In memory of their own, row after row.
AgentBatch CopyOf(const AgentBatch& agents);

// Places of one agent's numbers.
template <typename T>
struct AgentState {
  T *theta, *m, *v;
  int64_t* adam_steps;
};
template <typename T>
AgentState<T> StateOfAgent(const AgentBatch& agents, int64_t agent);

// `returns` may be null. Tensors of the inputs are contiguous and of dtype T.
template <typename T>
AgentRows<T> RowsOfAgent(const UpdateInputs& inputs, int64_t agent, const T* advantages,
                         const T* returns);

struct StepNumbers {
  MinibatchLoss loss;
  double grad_norm = 0;  // Before clipping.
  bool finite = false;   // Else the agent stays as it was.

  void WriteTo(double* trace_row) const;  // trace_column.h
};
// trace: [S, K, kNumTraceColumns].
UpdateTrace TraceOf(const torch::Tensor& trace);

// The steps of one agent. Holds scratch memory; one thread.
template <typename T>
class KernelSteps {
 public:
  // `differentiable`: Differentiate may be called.
  KernelSteps(const AgentShape& shape, const UpdateConfig& config, int64_t rows_max,
              bool differentiable);

  StepNumbers Step(const AgentRows<T>& data, std::span<const int64_t> rows,
                   const AgentState<T>& agent);

  // After a finite step: takes a gradient by the agent's theta, of its first parameters (others
  // have none), to that by the rows' advantages. These are not standardised; returns are advantages
  // + values. Other data is constant, and so is the second moment.
  void Differentiate(const AgentRows<T>& data, std::span<const int64_t> rows,
                     const AgentState<T>& after, std::span<const T> by_theta,
                     std::span<double> by_advantage);

 private:
  // Fixed after construction.
  const UpdateConfig config_;
  // Scratch.
  PpoKernels<T> kernels_;
  std::vector<T> grad_, direction_;  // [P]
  double norm_ = 0, scale_ = 1;      // The last gradient's norm and its factor.
};

// RunUpdate (differentiable_update.h) by the kernels. An agent with a number that is not finite
// stays as it was, and its trace ends with NaN. An error comes from a pause point.
absl::StatusOr<UpdateOutputs> RunUpdateByKernels(const AgentShape& shape,
                                                 const UpdateConfig& config,
                                                 const UpdateInputs& inputs, WorkerPool* pool);

}  // namespace mentor::agents
