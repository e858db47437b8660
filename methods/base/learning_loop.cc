#include "methods/base/learning_loop.h"

#include <utility>

#include "agents/policy_weights.h"
#include "common/check.h"
#include "methods/base/loop_parts.h"

namespace mentor::learner {

LearningLoop::LearningLoop(InnerLoopContext context, const AgentShape& shape)
    : context_(std::move(context)), shape_(shape), normaliser_(NormaliserOf(context_)) {}

void LearningLoop::Begin() {
  agents_ = FreshAgents(context_, shape_);
}

std::vector<v1::PolicyWeights> LearningLoop::Policies() const {
  return ToPolicyWeights(shape_, normaliser_.Fold(shape_, agents_.theta));
}

void LearningLoop::State(StateFields* fields) {
  AddAgents("agents", &agents_, fields);
  AddNormaliser(&normaliser_, fields);
}

bool LearningLoop::LearnsAfter(uint32_t iteration) const {
  return iteration + 1 < context_.shard->spec().lifetime().iterations();
}

}  // namespace mentor::learner
