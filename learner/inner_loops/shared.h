// What inner loops share.
#pragma once

#include <torch/types.h>

#include <string>

#include <absl/status/status.h>

#include "learner/agents/agent_batch.h"
#include "learner/agents/agent_shape.h"
#include "learner/agents/observation_normaliser.h"
#include "learner/inner_loops/inner_loop.h"

namespace mentor::learner {

// CPU time of this thread, and of what pools did for it, since construction.
class CpuTimer {
 public:
  CpuTimer();
  double Seconds() const;

 private:
  const double start_;
};

// Networks of agents of this spec, with a critic.
AgentShape ShapeOfAgents(const v1::AgentSpec& spec, const v1::EnvironmentShape& environment);
// Networks of a shard's agents, with a critic unless the signal is their advantage.
AgentShape ShapeOfAgents(const v1::Shard& shard);
// New agents of the shard's lifetimes.
AgentBatch FreshAgents(const InnerLoopContext& context, const AgentShape& shape);
// The normaliser that the spec asks for.
ObservationNormaliser NormaliserOf(const InnerLoopContext& context);
// [S, T] float64: what a baseline's reward source gives.
torch::Tensor BaselineRewards(const Segment& segment, v1::RewardSource source);

// [S, T] float32: standard normals for the signals of one inner iteration, each keyed by its agent
// and step.
torch::Tensor SignalNoise(const InnerLoopContext& context, uint32_t iteration);

// One PPO update after inner iteration `iteration`, from these rewards or advantages [S, T]; an
// annealed learning rate falls over `num_updates` such updates.
absl::Status UpdateByPpo(const InnerLoopContext& context, const AgentShape& shape,
                         uint32_t iteration, int64_t num_updates, const Segment& segment,
                         const torch::Tensor& signal, AgentBatch* agents, LoopReport* report);

// What agents of the inner PPO hold.
LoopSizes SizesOfPpoAgents(const InnerLoopContext& context);
// Numbers of a forward pass through policy and value network with its graph, for one step.
int64_t GraphNumbersPerStep(const AgentShape& shape);

// Into and out of snapshots, under "agents.". Loading keeps shapes and dtypes.
void SaveAgents(const AgentBatch& agents, TensorMap* state);
absl::Status LoadAgents(const TensorMap& state, AgentBatch* agents);
// Saves nothing when it is disabled.
void SaveNormaliser(const ObservationNormaliser& normaliser, TensorMap* state);
absl::Status LoadNormaliser(const TensorMap& state, ObservationNormaliser* normaliser);
// Replaces *tensor by the tensor of this name, which must have its shape and dtype.
absl::Status LoadInto(const TensorMap& state, const std::string& name, torch::Tensor* tensor);

}  // namespace mentor::learner
