// A policy as an actor evaluates it: float32, fixed arithmetic, no LibTorch (ppo.md sections 2 and 3). The same numbers give
// the same bits on every machine with the build's instruction set. Immutable after Load but for its scratch space: one
// object for each thread.
#pragma once

#include <span>

#include <Eigen/Core>
#include <absl/status/status.h>

#include "mentor/v1/rollout_service.pb.h"

namespace mentor::actor {

class Policy {
 public:
  // Replaces the weights. INVALID_ARGUMENT when sizes and bytes do not fit or a weight is not finite.
  absl::Status Load(const v1::PolicyWeights& weights);

  int observation_size() const { return observation_size_; }
  int action_size() const { return action_size_; }

  // Actions are one of A choices, one-hot.
  bool discrete() const { return discrete_; }

  // mean [A] = W3 tanh(W2 tanh(W1 o + b1) + b2) + b3 for observation [D]; logits where discrete.
  void Mean(std::span<const float> observation, std::span<float> mean);
  // action [A] = mean + std * noise, unclipped, and its log-density. Continuous policies only.
  void Sample(std::span<const float> observation, std::span<const double> noise, std::span<float> action, float* log_prob);
  // The choice at which the cumulated probabilities pass `uniform` in (0, 1), and its log-probability. Discrete ones only.
  void Choose(std::span<const float> observation, double uniform, std::span<float> action, float* log_prob);
  // action [A] = mean, or the likeliest choice (the first of equals), and its log-density.
  void Deterministic(std::span<const float> observation, std::span<float> action, float* log_prob);

 private:
  float LogProb(std::span<const float> action, std::span<const float> mean) const;
  // Writes the choice as a one-hot action; returns its log-probability among the logits in mean_.
  float WriteChoice(int choice, std::span<float> action) const;
  double LogOfSumOfExp() const;

  int observation_size_ = 0;
  int action_size_ = 0;
  bool discrete_ = false;
  // Hidden units are padded to whole vector registers with zero weights, so that every tanh takes the same code.
  Eigen::MatrixXf w1_, w2_, w3_;
  Eigen::VectorXf b1_, b2_, b3_;
  Eigen::VectorXf log_std_, std_;
  // Scratch.
  Eigen::VectorXf hidden1_, hidden2_, mean_;
};

}  // namespace mentor::actor
