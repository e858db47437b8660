// The networks of policies as an actor evaluates them: float32, fixed arithmetic, no LibTorch. One
// struct for each PolicyNetwork of rollout_service.proto; to add one, write a struct and name it in
// MakePolicyNetwork. Layers that feed a tanh are padded to whole vector registers with zero
// weights, so that every tanh takes the same code and the same numbers give the same bits on every
// machine with the build's instruction set. Owned by one thread: evaluation writes scratch space.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <Eigen/Core>
#include <absl/status/statusor.h>

#include "mentor/v1/rollout_service.pb.h"

namespace mentor::actor {

inline constexpr uint32_t kPolicySizeMax = 65536;  // Of an observation, a layer, an action.

// The distribution of one action.
struct PolicyOutput {
  Eigen::VectorXf mean;  // [A]; logits where actions are discrete
  // [A]; of size 0 where actions are discrete.
  Eigen::VectorXf log_std, std;
  // Where `mean` are values of discrete actions, of which the greatest is taken: the probability of
  // one that is drawn uniformly instead.
  std::optional<double> epsilon = {};
};

class PolicyNetwork {
 public:
  virtual ~PolicyNetwork() = default;
  // Fills *output for observation [D]. A recurrent network advances its state.
  virtual void Forward(std::span<const float> observation, PolicyOutput* output) = 0;

  // For recurrent networks; others have no memory.
  // The beginning of a lifetime.
  virtual void Begin() {}
  // What came of the last step: its action [A] as sampled, success signal, and whether it ended the
  // episode.
  virtual void Remember(std::span<const float> /*action*/, float /*success_signal*/,
                        bool /*done*/) {}
};

// Checks sizes, bytes and finiteness (INVALID_ARGUMENT). Numbers that never change are written to
// *output here.
absl::StatusOr<std::unique_ptr<PolicyNetwork>> MakePolicyNetwork(const v1::PolicyWeights& weights,
                                                                 PolicyOutput* output);

}  // namespace mentor::actor
