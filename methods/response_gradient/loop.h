// The options of the agents of rule response_gradient, which the rule reads too.
#pragma once

#include <cstdint>

#include "agents/ppo_config.h"
#include "common/options.h"
#include "mentor/v1/spec.pb.h"
#include "methods/response_gradient/conditioned_policy.h"
#include "methods/response_gradient/response_terms.h"

namespace mentor::methods {

struct ResponseGradientConfig {
  double c_in = 1, c_ex = 1;
  double w11 = 1, w12 = 0, w13 = 0;
  bool shaped_objective = true;
  bool round_k = true;  // Denominator of the validation round.
  Clipping clipping = {};
  Conditioning conditioning = {};
  double map_std = 0.3;
  int64_t warmup = 0;
  double perturbation = 0;
  int64_t parts = 1;  // E
  bool antithetic = true;
  bool local = true;  // The learner makes the steps of eta and reports the result.
  int64_t epochs = 4, minibatches = 8;
  agents::PpoConfig outer = {}, value = {};

  bool through_round() const { return w12 != 0 || w13 != 0; }
};

ResponseGradientConfig ReadResponseGradient(const v1::AgentSpec& agent,
                                            const OptionValues& options);

}  // namespace mentor::methods
