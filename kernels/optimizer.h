// Adam with fixed bits, for agents and outer rules. No library decides them, so every CPU of the
// instruction set makes the same. float for production, double for tests. Pure; threads may share.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/adam_step.h"

namespace mentor::kernels {

// Sum of squares, in a fixed order.
template <typename T>
double SquaredNorm(std::span<const T> x);

// One step of Adam (Kingma and Ba 2015, algorithm 1) with the gradient times `scale`. Steps count
// from 1.
template <typename T>
void AdamStepInPlace(const AdamConfig& config, int64_t step, double scale, std::span<const T> grad,
                     T* theta, T* m, T* v);

}  // namespace mentor::kernels
