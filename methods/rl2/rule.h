// The policy of RL^2 as outer PPO trains it (methods/rl2/README.md#the-network).
// Pure.
#pragma once

#include "methods/rl2/recurrent_policy.h"
#include "methods/shared/outer_ppo.h"

namespace mentor::methods {

TrainedNetwork TrainedPolicy(const RecurrentPolicy& policy);
// The policy's mean, regressed on labels. The recorded outputs are labels; log_prob is minus the
// squared distance from them (OuterPpoConfig::regression).
TrainedNetwork RegressedPolicy(const RecurrentPolicy& policy);

}  // namespace mentor::methods
