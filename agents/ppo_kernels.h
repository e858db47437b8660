// Loss and gradient of one agent's minibatch, written out for the CPU
// (methods/ppo/README.md#the-update). The mathematics of ppo_loss.h, which tests compare, without
// LibTorch. No library decides the bits, so every CPU of the instruction set makes the same. float
// for production, double for tests.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "agents/ppo_config.h"

namespace mentor::learner {

struct KernelSizes {
  int64_t observation_size = 0;  // D
  int64_t action_size = 0;       // A
  int64_t hidden_units = 0;      // H
  bool critic = true;
};

// The data that one agent learns from; T rows each. returns and values are null without a critic.
template <typename T>
struct AgentRows {
  const T* observations = nullptr;  // [T, D]
  const T* actions = nullptr;       // [T, A]
  const T* log_probs = nullptr;     // [T]
  const T* advantages = nullptr;    // [T]
  const T* returns = nullptr;       // [T]
  const T* values = nullptr;        // [T]: before the update
};

// Means over one minibatch, summed in double.
struct MinibatchLoss {
  double loss = 0, policy_loss = 0, value_loss = 0, entropy = 0, approx_kl = 0, clip_fraction = 0;
};

// Parameters are in the order of AgentLayout (agent_shape.h). Holds scratch memory; each thread
// needs its own.
template <typename T>
class PpoKernels {
 public:
  PpoKernels(const KernelSizes& sizes, const PpoConfig& config, int64_t rows_max);
  ~PpoKernels();

  // Value of `rows` observations [rows, D].
  void Values(const T* theta, const T* observations, int64_t rows, T* values);

  // Writes the gradient [P] of the loss of these rows; at most rows_max.
  MinibatchLoss LossAndGradient(const T* theta, const AgentRows<T>& data,
                                std::span<const int64_t> rows, T* grad);

 private:
  struct Network;
  void Forward(const T* theta, Network* network, int64_t rows);
  void Backward(const T* theta, Network* network, int64_t rows, T* grad);

  // Fixed after construction.
  const KernelSizes sizes_;
  const PpoConfig config_;
  const int64_t rows_max_;
  // Scratch.
  std::unique_ptr<Network> policy_, value_;
  std::vector<T> inputs_;
  int64_t inputs_stride_ = 0;
  std::vector<double> advantages_;              // [rows]
  std::vector<double> inverse_std_, dlog_std_;  // [A]
};

}  // namespace mentor::learner
