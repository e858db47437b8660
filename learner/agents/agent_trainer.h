// Engines of the PPO update: each takes all agents of a shard through the optimizer steps. What
// surrounds the steps (ppo.cc) is the same for all of them. A trainer is one thread's.
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <absl/status/statusor.h>

#include "common/check.h"
#include "common/pause_point.h"
#include "learner/agents/agent_batch.h"
#include "learner/agents/agent_shape.h"
#include "learner/agents/gae.h"
#include "learner/agents/minibatch_order.h"
#include "learner/agents/ppo_config.h"
#include "learner/agents/segment.h"
#include "learner/agents/worker_pool.h"
#include "learner/kernels/device_work.h"

namespace mentor::learner {

// What a trainer is made for. References live longer than it.
struct TrainerSetup {
  const AgentShape& shape;
  const PpoConfig& config;
  const MinibatchOrder& order;
  WorkerPool* pool;
  DeviceWork* work;  // Whose device has all tensors that trainers take and give.
};

// What all minibatches are cut from; contiguous, dtype of theta.
struct TrainingData {
  torch::Tensor observations, actions, log_probs;  // [S, T, D], [S, T, A], [S, T]
  torch::Tensor advantages, returns, values;       // [S, T]; the last two with a critic only
};

struct TrainedAgents {
  AgentBatch agents;            // Those with something not finite as they were.
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
  // Advantages and returns [S, T] as Gae() of gae.h has them, rounded to the dtype of values.
  // Rewards, segment and truncations but for final values are the host's.
  virtual absl::StatusOr<Advantages> Targets(const torch::Tensor& rewards,
                                             const torch::Tensor& values, const Segment& segment,
                                             const torch::Tensor& last_values,
                                             const Truncations& truncations);
  // Tensors of `agents` are contiguous, with the dtype of theta; they are left alone.
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

// The memory that an update by a device's kernels takes there, with all that is sent: a bound.
// Nothing where the kernels cannot count so far (phase_trainer.h).
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
torch::Tensor EmptyTrace(const PpoConfig& config, const TrainingData& data, torch::Device device);

// The steps of an update (docs/algorithms/ppo.md#the-update). Agents has
//   void BeginEpoch(int64_t epoch);
//   // On elements [begin, begin + count) of the epoch's order; fills row `step` of the trace.
//   void Step(int64_t step, int64_t begin, int64_t count);
//   bool EndEpoch();  // False when none of them goes on.
// An error is that of a pause point: nobody wants the update any more.
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

}  // namespace mentor::learner
