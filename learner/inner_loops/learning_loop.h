// What loops share whose agents learn by the inner PPO, or beside it: how they begin, act, and go
// into and out of snapshots, with what they have seen of observations.
#pragma once

#include <torch/types.h>

#include <vector>

#include <absl/status/status.h>

#include "learner/agents/agent_batch.h"
#include "learner/agents/agent_shape.h"
#include "learner/agents/observation_normaliser.h"
#include "learner/inner_loops/inner_loop.h"

namespace mentor::learner {

class LearningLoop : public InnerLoop {
 public:
  LearningLoop(InnerLoopContext context, const AgentShape& shape);

  void Begin() override;
  std::vector<v1::PolicyWeights> Policies() const override;
  TensorMap Save() const override;
  // Begins, and replaces what `Save` saves.
  absl::Status Load(const TensorMap& state) override;

 protected:
  // Nobody learns from the last iteration of a lifetime.
  bool LearnsAfter(uint32_t iteration) const;

  const InnerLoopContext context_;
  const AgentShape shape_;
  ObservationNormaliser normaliser_;
  AgentBatch agents_;
};

}  // namespace mentor::learner
