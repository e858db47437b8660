// The common part of loops whose agents learn by the inner PPO: how they begin, act, normalise
// observations, and enter and leave snapshots.
#pragma once

#include <torch/types.h>

#include <vector>

#include <absl/status/status.h>

#include "agents/agent_batch.h"
#include "agents/agent_shape.h"
#include "agents/observation_normaliser.h"
#include "methods/base/inner_loop.h"

namespace mentor::learner {

class LearningLoop : public InnerLoop {
 public:
  LearningLoop(InnerLoopContext context, const AgentShape& shape);

  void Begin() override;
  std::vector<v1::PolicyWeights> Policies() const override;
  void State(StateFields* fields) override;

 protected:
  // False after the last iteration of a lifetime, from which no agent learns.
  bool LearnsAfter(uint32_t iteration) const;

  const InnerLoopContext context_;
  const AgentShape shape_;
  ObservationNormaliser normaliser_;
  AgentBatch agents_;
};

}  // namespace mentor::learner
