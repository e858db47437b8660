// Options of the agents of rule meta_gradient, which the rule reads too, and their loop.
#pragma once

#include <memory>

#include "agents/differentiable_update.h"
#include "common/options.h"
#include "methods/base/inner_loop.h"
#include "methods/shared/outer_objective.h"

namespace mentor::methods {

struct MetaGradientConfig {
  bool success = false;  // The extrinsic reward is the sparse success signal.
  double reward_scale = 1;
  double c_ex = 1;
  double c_in = 0.5;
  double gamma_out = 0.99;
  double lambda_out = 0.95;
  OuterConfig outer;
  agents::UpdateConfig update;
  agents::UpdateImplementation implementation = agents::UpdateImplementation::kAuto;
  bool fresh = false;            // Outer data.
  bool separate_critic = false;  // The critic of the mixed reward is outside of theta and U.
  agents::PpoConfig critic;      // Adam settings of the critics outside U.
  int64_t bootstrap_steps = 0;   // L; 0: no target.

  bool value_error() const { return outer.form == OuterConfig::Form::kValueError; }
};

MetaGradientConfig ReadMetaGradient(const OptionValues& options, const v1::AgentSpec& agent);

// The loop (loop.cc), which options.cc registers.
std::unique_ptr<InnerLoop> MakeMetaGradient(const InnerLoopContext& context);

// True if the agents' gradients are differentiated with respect to their weights too.
bool IsSecondOrder(const OptionValues& options);

}  // namespace mentor::methods
