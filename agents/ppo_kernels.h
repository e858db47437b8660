// Loss and gradient of one agent's minibatch, written out for the CPU
// (methods/ppo/README.md#the-update). The mathematics of ppo_loss.h, which tests compare, without
// LibTorch. No library decides the bits, so every CPU of the instruction set makes the same. float
// for production, double for tests.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "agents/ppo_config.h"
#include "kernels/tanh_network.h"

namespace mentor::agents {

// Shifts and scales a minibatch's numbers to mean 0 and deviation 1, in double, and takes a
// gradient back. row_statistics.h does the same by LibTorch. One thread.
class Standardiser {
 public:
  // The deviation is over count - ddof; epsilon is added to it.
  Standardiser(int64_t ddof, double epsilon)
      : ddof_(static_cast<double>(ddof)), epsilon_(epsilon) {}

  // Two passes.
  void Apply(std::span<double> x) {
    const double n = static_cast<double>(x.size());
    double sum = 0, squares = 0;
    for (double e : x) sum += e;
    const double mean = sum / n;
    for (double e : x) squares += (e - mean) * (e - mean);
    deviation_ = std::sqrt(squares / (n - ddof_));
    scale_ = 1 / (deviation_ + epsilon_);
    for (double& e : x) e = (e - mean) * scale_;
  }

  // grad: by the numbers x that Apply left; becomes that by the numbers before. The derivative of a
  // deviation of 0 counts as 0.
  void Adjoint(std::span<const double> x, std::span<double> grad) const {
    const double n = static_cast<double>(x.size());
    double product = 0, sum = 0;
    for (size_t i = 0; i < x.size(); ++i) product += grad[i] * x[i];
    const double by_deviation = deviation_ > 0 ? product / ((n - ddof_) * deviation_ * scale_) : 0;
    for (size_t i = 0; i < x.size(); ++i) {
      grad[i] = scale_ * (grad[i] - by_deviation * x[i]);
      sum += grad[i];
    }
    for (double& g : grad) g -= sum / n;
  }

 private:
  const double ddof_, epsilon_;
  double deviation_ = 0, scale_ = 1;
};

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

// What other rules ask for.
struct KernelOptions {
  int64_t advantage_ddof = 1;       // Standard deviation over rows - ddof.
  bool advantage_gradient = false;  // For AdvantageGradient.
};

// Writes count half squared errors' gradient by the outputs of a value network, times `factor`, to
// x->dy, and returns the sum of the errors. Targets and old values are those of `rows`; a value may
// move by `clip` from the old one, or freely if `clip` is null.
template <typename T>
double ValueLoss(std::span<const int64_t> rows, const T* targets, const T* old, const double* clip,
                 double factor, kernels::TanhRows<T>* x, double* curvatures = nullptr);

// Parameters are in the order of AgentLayout (agent_shape.h). Holds scratch memory; each thread
// needs its own.
template <typename T>
class PpoKernels {
 public:
  PpoKernels(const KernelSizes& sizes, const PpoConfig& config, int64_t rows_max,
             const KernelOptions& options = {});
  ~PpoKernels();

  // Value of `rows` observations [rows, D].
  void Values(const T* theta, const T* observations, int64_t rows, T* values);

  // Writes the gradient [P] of the loss of these rows; at most rows_max.
  MinibatchLoss LossAndGradient(const T* theta, const AgentRows<T>& data,
                                std::span<const int64_t> rows, T* grad);

  // Writes the gradient of <direction, grad> by the rows' advantages, after LossAndGradient of the
  // same data and rows. Returns are advantages + values.
  void AdvantageGradient(const AgentRows<T>& data, std::span<const int64_t> rows,
                         const T* direction, std::span<double> by_advantage);

 private:
  struct Network;
  kernels::Matrix<const T> Inputs() const { return {inputs_.data(), inputs_stride_}; }
  // Terms of the loss, and its gradient by the outputs of the networks.
  void PolicyLoss(const T* theta, const AgentRows<T>& data, std::span<const int64_t> rows,
                  MinibatchLoss* result);

  // Fixed after construction.
  const KernelSizes sizes_;
  const PpoConfig config_;
  const int64_t rows_max_;
  // Scratch.
  std::unique_ptr<Network> policy_, value_;
  std::vector<T> inputs_;
  int64_t inputs_stride_ = 0;
  Standardiser standardiser_;
  std::vector<double> advantages_;              // [rows]
  std::vector<double> inverse_std_, dlog_std_;  // [A]
  // [rows]: derivatives of the loss's slopes, of the policy by the advantage and of the value.
  std::vector<double> mixed_, curvatures_;
};

}  // namespace mentor::agents
