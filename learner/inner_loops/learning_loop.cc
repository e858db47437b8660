#include "learner/inner_loops/learning_loop.h"

#include <utility>

#include "common/check.h"
#include "learner/agents/policy_weights.h"
#include "learner/inner_loops/shared.h"

namespace mentor::learner {

LearningLoop::LearningLoop(InnerLoopContext context, const AgentShape& shape)
    : context_(std::move(context)), shape_(shape), normaliser_(NormaliserOf(context_)) {}

void LearningLoop::Begin() {
  agents_ = FreshAgents(context_, shape_);
}

std::vector<v1::PolicyWeights> LearningLoop::Policies() const {
  return ToPolicyWeights(shape_, normaliser_.Fold(shape_, agents_.theta));
}

TensorMap LearningLoop::Save() const {
  TensorMap state;
  SaveAgents(agents_, &state);
  SaveNormaliser(normaliser_, &state);
  return state;
}

absl::Status LearningLoop::Load(const TensorMap& state) {
  Begin();
  MENTOR_RETURN_IF_ERROR(LoadAgents(state, &agents_));
  return LoadNormaliser(state, &normaliser_);
}

bool LearningLoop::LearnsAfter(uint32_t iteration) const {
  return iteration + 1 < context_.shard->spec().lifetime().iterations();
}

}  // namespace mentor::learner
