// Settings of the agents of rule disco, which the rule reads too.
#pragma once

#include <cstdint>

#include "common/options.h"
#include "methods/disco/agent.h"

namespace mentor::methods {

struct DiscoConfig {
  DiscoSizes network;
  DiscoAgent agent;      // `policy` and `prediction` follow from the shard.
  int64_t rollout = 28;  // T: steps of a rollout
  int64_t replay = 0;    // Rollouts that are kept; 0: those of an iteration.
  int64_t batch = 0;     // B: rollouts of an update, when some are kept
  int64_t updates = 1;   // After each iteration.
  bool first_steps = true;
};

// The options must be within their ranges.
DiscoConfig ReadDiscoConfig(const OptionValues& options);

}  // namespace mentor::methods
