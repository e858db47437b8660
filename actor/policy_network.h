// Policy networks for actors: float32, fixed arithmetic, no LibTorch. One struct for each
// PolicyNetwork of rollout_service.proto; a new network needs a struct and a case in
// MakePolicyNetwork. Layers before a tanh are padded to whole vector registers with zero weights,
// so that every tanh runs the same code. The same numbers thus give the same bits on every machine
// with the build's instruction set. Owned by one thread: evaluation writes scratch space.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <Eigen/Core>
#include <absl/status/statusor.h>

#include "mentor/v1/rollout_service.pb.h"

namespace mentor::actor {

inline constexpr uint32_t kPolicySizeMax = 65536;  // Limit for observations, layers and actions.

// The distribution of one action.
struct PolicyOutput {
  Eigen::VectorXf mean;  // [A]; logits if actions are discrete
  // [A]; empty if actions are discrete.
  Eigen::VectorXf log_std, std;
  // For action values in `mean`, of which the greatest is taken: the probability of a uniformly
  // random action instead.
  std::optional<double> epsilon = {};
};

class PolicyNetwork {
 public:
  virtual ~PolicyNetwork() = default;
  // Fills *output for observation [D]. A recurrent network advances its state.
  virtual void Forward(std::span<const float> observation, PolicyOutput* output) = 0;

  // For recurrent networks; others keep no state.
  // Begins a lifetime.
  virtual void Begin() {}
  // Records the last step: its action [A] as sampled, its success signal, and whether it ended the
  // episode.
  virtual void Remember(std::span<const float> /*action*/, float /*success_signal*/,
                        bool /*done*/) {}
};

// Checks sizes, bytes and finiteness (INVALID_ARGUMENT). Writes constant outputs to *output.
absl::StatusOr<std::unique_ptr<PolicyNetwork>> MakePolicyNetwork(const v1::PolicyWeights& weights,
                                                                 PolicyOutput* output);

}  // namespace mentor::actor
