// Turns the constants of an update into those of its kernels. Pure; threads may share.
#pragma once

#include <limits>

#include "agents/ppo_config.h"
#include "agents/ppo_step.h"

namespace mentor::agents {

inline PpoConstants ConstantsOf(const PpoConfig& config) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  return {.adam = config.Adam(),
          .surrogate = config.Surrogate(),
          .value_coef = config.value_coef,
          .entropy_coef = config.entropy_coef,
          .advantage_epsilon = config.advantage_epsilon,
          .max_grad_norm = config.max_grad_norm.value_or(kInfinity),
          .target_kl = config.target_kl.value_or(kInfinity),
          .normalize_advantage = config.normalize_advantage,
          .clip_value_loss = config.clip_value_loss};
}

}  // namespace mentor::agents
