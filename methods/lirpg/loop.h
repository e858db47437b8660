// Options of the agents of rule lirpg, which the rule reads too.
#pragma once

#include "agents/ppo_config.h"
#include "common/options.h"
#include "mentor/v1/spec.pb.h"
#include "methods/lirpg/step.h"
#include "methods/lirpg/task_reward.h"

namespace mentor::learner {

struct LirpgSettings {
  bool success = false;  // r_ex is the sparse success signal.
  double c_ex = 0, c_in = 1;
  bool tensorflow = false;  // Forms of Adam, clipping and deviations.
  PpoConfig outer = {};     // Adam's settings of the reward network and the task's critics.
  TaskRewardConfig reward = {};

  // False if no weight of the reward network could move.
  bool teaches() const { return c_in > 0 && outer.learning_rate > 0; }
};

LirpgSettings ReadLirpg(const v1::AgentSpec& agent, const OptionValues& options);

}  // namespace mentor::learner
