// The policy that looks action values up in tables (docs/algorithms/episodic_control.md#acting).
#pragma once

#include <memory>

#include <absl/status/statusor.h>

#include "actor/policy_network.h"
#include "mentor/v1/rollout_service.pb.h"

namespace mentor::actor {

// As MakePolicyNetwork, which calls it. Every size is compared with the bytes that came before
// memory is taken for it.
absl::StatusOr<std::unique_ptr<PolicyNetwork>> MakeEpisodicNetwork(const v1::PolicyWeights& weights,
                                                                   PolicyOutput* output);

}  // namespace mentor::actor
