// Engines of the PPO update: each takes all agents of a shard through the optimizer steps. ppo.cc,
// around the steps, is common to them. One thread uses a trainer.
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <absl/status/statusor.h>

#include "agents/agent_shape.h"
#include "agents/gae.h"
#include "agents/minibatch_order.h"
#include "agents/ppo_config.h"
#include "agents/ppo_loss.h"
#include "agents/segment.h"
#include "agents/worker_pool.h"
#include "common/check.h"
#include "common/pause_point.h"
#include "kernels/device_work.h"

namespace mentor::agents {

// The input of a trainer. References outlive it.
struct TrainerSetup {
  const AgentShape& shape;
  const PpoConfig& config;
  const MinibatchOrder& order;
  WorkerPool* pool;
  kernels::DeviceWork* work;      // Trainers take and return tensors of the host.
  const PolicyLoss& policy_loss;  // PPO's if null. Only NewAutogradTrainer takes another.
};

// The data of all minibatches; contiguous, dtype of theta.
struct TrainingData {
  torch::Tensor observations, actions, log_probs;  // [S, T, D], [S, T, A], [S, T]
  torch::Tensor advantages, returns, values;       // [S, T]; the last two with a critic only
};

struct TrainedAgents {
  AgentBatch agents;            // Agents with a number that is not finite stay as they were.
  torch::Tensor trace;          // UpdateResult::trace
  std::vector<char> nonfinite;  // [S]: loss or gradient was not finite
};

class AgentTrainer {
 public:
  explicit AgentTrainer(const TrainerSetup& setup) : setup_(setup) {}
  virtual ~AgentTrainer() = default;

  // Values [S, R] of contiguous observations [S, R, D].
  virtual absl::StatusOr<torch::Tensor> Values(const torch::Tensor& theta,
                                               const torch::Tensor& observations) = 0;
  // Tensors of `agents` are contiguous, with the dtype of theta; Train does not change them.
  virtual absl::StatusOr<TrainedAgents> Train(const AgentBatch& agents,
                                              const TrainingData& data) = 0;

 protected:
  const TrainerSetup setup_;
};

std::unique_ptr<AgentTrainer> NewKernelTrainer(const TrainerSetup& setup, torch::Dtype dtype);
std::unique_ptr<AgentTrainer> NewEmulatedTrainer(const TrainerSetup& setup, torch::Dtype dtype);
// In float.
std::unique_ptr<AgentTrainer> NewCudaTrainer(const TrainerSetup& setup);
std::unique_ptr<AgentTrainer> NewAutogradTrainer(const TrainerSetup& setup);

// Upper bound of the device memory of an update by its kernels, with all transfers. Nothing where
// the kernels cannot count that far (phase_trainer.h).
std::optional<int64_t> PpoDeviceBytes(const AgentShape& shape, const PpoConfig& config,
                                      int64_t num_agents, int64_t steps);

inline int64_t MinibatchRows(const PpoConfig& config, int64_t steps) {
  return MinibatchSteps(steps, config.minibatches);
}
inline int64_t StepsOfEpoch(const PpoConfig& config, int64_t steps) {
  const int64_t rows = MinibatchRows(config, steps);
  return (steps + rows - 1) / rows;
}

// [S, optimizer steps, columns], NaN everywhere.
torch::Tensor EmptyTrace(const PpoConfig& config, const TrainingData& data);

// The steps of an update (methods/ppo/README.md#the-update). Agents has
//   void BeginEpoch(int64_t epoch);
//   // On elements [begin, begin + count) of the epoch's order; fills row `step` of the trace.
//   void Step(int64_t step, int64_t begin, int64_t count);
//   bool EndEpoch();  // False when no agent continues.
// An error comes from a pause point: the update is cancelled.
template <class Agents>
absl::Status RunEpochs(const PpoConfig& config, int64_t steps, Agents* agents) {
  const int64_t rows = MinibatchRows(config, steps);
  int64_t step = 0;
  for (int64_t epoch = 0; epoch < config.epochs; ++epoch) {
    agents->BeginEpoch(epoch);
    for (int64_t begin = 0; begin < steps; begin += rows) {
      MENTOR_RETURN_IF_ERROR(PausePoint());
      agents->Step(step++, begin, std::min(rows, steps - begin));
    }
    if (!agents->EndEpoch()) break;
  }
  return absl::OkStatus();
}

}  // namespace mentor::agents
