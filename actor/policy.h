// A policy as an actor evaluates it: one of the networks of policy_network.h, and what is made of
// its output: samples, choices, densities (docs/algorithms/ppo.md#acting). One object for each
// thread.
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
  // Replaces the weights and begins a lifetime. INVALID_ARGUMENT when sizes and bytes do not fit or
  // a weight is not finite.
  absl::Status Load(const v1::PolicyWeights& weights);

  int observation_size() const { return observation_size_; }
  int action_size() const { return action_size_; }

  // Actions are one of A choices, one-hot.
  bool discrete() const { return discrete_; }

  // The network gives values of actions: TakeGreatest acts, and no other.
  bool is_greedy() const { return output_.epsilon.has_value(); }

  // Each of the following evaluates the network once, which moves the state of a recurrent one.
  // mean [A] for observation [D]; logits where discrete.
  void Mean(std::span<const float> observation, std::span<float> mean);
  // action [A] = mean + std * noise, unclipped, and its log-density. Continuous policies only.
  void Sample(std::span<const float> observation, std::span<const double> noise,
              std::span<float> action, float* log_prob);
  // The choice at which the cumulated probabilities pass `uniform` in (0, 1), and its
  // log-probability. Discrete ones only.
  void Choose(std::span<const float> observation, double uniform, std::span<float> action,
              float* log_prob);
  // action [A] = mean, or the likeliest choice (the first of equals), and its log-density.
  void Deterministic(std::span<const float> observation, std::span<float> action, float* log_prob);
  // The choice of greatest value, or with the network's epsilon any choice, and its log-probability
  // (docs/algorithms/episodic_control.md#acting). Draws of `exploration` at `step`: explore?, which
  // choice, which of equals. Without `explore` always the greatest.
  void TakeGreatest(std::span<const float> observation, const RandomStream& exploration,
                    uint32_t step, bool explore, std::span<float> action, float* log_prob);

  // Tells a recurrent policy what came of its last action: the action as sampled, the success
  // signal of the step, and whether the step ended the episode.
  void Remember(std::span<const float> action, float success_signal, bool done) {
    network_->Remember(action, success_signal, done);
  }

 private:
  float LogProb(std::span<const float> action, std::span<const float> mean) const;
  // Writes the choice as a one-hot action; returns its log-probability among the logits.
  float WriteChoice(int choice, std::span<float> action) const;
  double LogOfSumOfExp() const;

  int observation_size_ = 0;
  int action_size_ = 0;
  bool discrete_ = false;
  PolicyOutput output_;
  std::vector<int> greatest_;  // Choices of equal value; scratch.
  std::unique_ptr<PolicyNetwork> network_;
};

}  // namespace mentor::actor
