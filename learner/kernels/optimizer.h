// Adam with fixed bits, for agents and for outer rules: no library decides them, so they are the
// same on every CPU of the instruction set. float for production, double for tests. Pure; threads
// may share.
#pragma once

#include <cstdint>
#include <span>

namespace mentor::learner {

struct AdamConfig {
  double learning_rate = 3e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-5;  // Added after bias correction.
};

// Sum of squares, in a fixed order.
template <typename T>
double SquaredNorm(std::span<const T> x);

// What a gradient of this norm is multiplied by so that its norm is at most `norm_max`.
double ClipScale(double norm, double norm_max);

// One step of Adam (Kingma and Ba 2015, algorithm 1), number `step` counted from 1, with the
// gradient times `scale`.
template <typename T>
void AdamStepInPlace(const AdamConfig& config, int64_t step, double scale, std::span<const T> grad,
                     T* theta, T* m, T* v);

}  // namespace mentor::learner
