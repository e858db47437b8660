// Evaluates a policy for an actor. Runs one of the networks of policy_network.h, samples its
// output, and computes log-densities (methods/ppo/README.md#acting). One object per thread.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <absl/status/status.h>

#include "actor/policy_network.h"
#include "common/rng.h"
#include "mentor/v1/rollout_service.pb.h"

namespace mentor::actor {

class Policy {
 public:
  // Replaces the weights and begins a lifetime. INVALID_ARGUMENT if sizes and bytes do not match or
  // a weight is not finite.
  absl::Status Load(const v1::PolicyWeights& weights);

  int observation_size() const { return observation_size_; }
  int action_size() const { return action_size_; }

  // True if actions are one of A choices, one-hot.
  bool discrete() const { return discrete_; }

  // True if the network outputs action values. Use only TakeGreatest then.
  bool is_greedy() const { return output_.epsilon.has_value(); }

  // Each of the following functions evaluates the network once, which advances the state of a
  // recurrent network.
  // Writes mean [A] for observation [D]; logits if discrete.
  void Mean(std::span<const float> observation, std::span<float> mean);
  // Writes action [A] = mean + std * noise, unclipped, and its log-density. Continuous policies
  // only.
  void Sample(std::span<const float> observation, std::span<const double> noise,
              std::span<float> action, float* log_prob);
  // Takes the choice at which the cumulative probability passes `uniform` in (0, 1), and its
  // log-probability. Discrete policies only.
  void Choose(std::span<const float> observation, double uniform, std::span<float> action,
              float* log_prob);
  // Writes action [A] = mean, or the likeliest choice (the first of equals), and its log-density.
  void Deterministic(std::span<const float> observation, std::span<float> action, float* log_prob);
  // Takes the choice of greatest value, or with probability epsilon a uniform choice. Writes its
  // log-probability too. See methods/episodic_control/README.md#acting for the policy. Draws of
  // `exploration` at `step`: 0 whether to explore, 1 which choice, 2 which of equal choices.
  // Without `explore` always takes a greatest value.
  void TakeGreatest(std::span<const float> observation, const RandomStream& exploration,
                    uint32_t step, bool explore, std::span<float> action, float* log_prob);

  // Tells a recurrent policy the outcome of its last action: the action as sampled, the step's
  // success signal, and whether the step ended the episode.
  void Remember(std::span<const float> action, float success_signal, bool done) {
    network_->Remember(action, success_signal, done);
  }

 private:
  float LogProb(std::span<const float> action, std::span<const float> mean) const;
  // Writes the choice as a one-hot action. Returns its log-probability, from the logits.
  float WriteChoice(int choice, std::span<float> action) const;
  double LogOfSumOfExp() const;

  int observation_size_ = 0;
  int action_size_ = 0;
  bool discrete_ = false;
  PolicyOutput output_;
  std::vector<int> greatest_;  // Choices of equal value; scratch space.
  std::unique_ptr<PolicyNetwork> network_;
};

}  // namespace mentor::actor
