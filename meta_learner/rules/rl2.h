// The policy of RL^2 as outer PPO trains it (docs/algorithms/recurrent_policy.md#the-network).
// Pure.
#pragma once

#include "learner/agents/recurrent_policy.h"
#include "meta_learner/rules/outer_ppo.h"

namespace mentor::meta_learner {

TrainedNetwork TrainedPolicy(const learner::RecurrentPolicy& policy);
// Its mean, regressed on labels: the recorded outputs are labels, what it gives as log_prob is
// minus the squared distance from them (OuterPpoConfig::regression).
TrainedNetwork RegressedPolicy(const learner::RecurrentPolicy& policy);

}  // namespace mentor::meta_learner
