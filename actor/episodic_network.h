// The policy that looks up action values in tables (methods/episodic_control/README.md#acting).
#pragma once

#include <memory>

#include <absl/status/statusor.h>

#include "actor/policy_network.h"
#include "mentor/v1/rollout_service.pb.h"

namespace mentor::actor {

// Like MakePolicyNetwork, which calls it. Every size is compared with the bytes received before
// memory is allocated.
absl::StatusOr<std::unique_ptr<PolicyNetwork>> MakeEpisodicNetwork(const v1::PolicyWeights& weights,
                                                                   PolicyOutput* output);

}  // namespace mentor::actor
