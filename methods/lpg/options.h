// The options of rule lpg, which its loop and its outer rule read.
#pragma once

#include "agents/ppo_config.h"
#include "methods/base/inner_loop.h"
#include "methods/lpg/update.h"

namespace mentor::methods {

struct LpgOptions {
  bool success = false;  // The task's reward is the sparse success signal.
  double gamma_out = 0.99, lambda_out = 0.95;
  LpgConfig lpg;
  agents::PpoConfig critic;  // Adam's settings of the critic of the task's reward.
};

OptionTable LpgOptionTable();
LpgOptions ReadLpg(const OptionValues& options, const v1::AgentSpec& agent);
// The policy network; predictions have one of the same shape.
agents::AgentShape LpgAgentShape(const InnerLoopContext& context);
void CheckLpg(const InnerLoopContext& context, Violations* violations);

}  // namespace mentor::methods
