// An episode as it is shown: played once, every moment kept. Used by one thread.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/rng.h"
#include "envs/environment.h"

namespace mentor::envs {

struct Moment {
  std::vector<double> simulator;  // mjSTATE_INTEGRATION; empty where there is no MuJoCo.
  double seconds = 0;             // Since the reset.
  double reward = 0;              // Reward of the step that led here.
  bool success = false;           // Reported after it.
};

struct Episode {
  std::vector<Moment> moments;  // The reset, then one for each step.
  double reward_sum = 0;
  bool success = false;   // In any step.
  bool complete = false;  // The environment ended it, not the limit of steps.
};

// Chooses the action for what is observed now, within the bounds of EnvironmentInfo. action: [A].
using Act = std::function<absl::Status(std::span<const double> observation, std::span<float>)>;

// The hand-written policy of the environment, which outlives it. Acting is FAILED_PRECONDITION
// where there is none.
Act ScriptedPolicy(Environment& environment);
// Uniform within the bounds of actions.
Act RandomPolicy(const EnvironmentInfo& info, uint64_t seed);

// Called after each piece of work; false stops it (CANCELLED).
using Progress = std::function<bool(int done, int total)>;

// Plays episode number `number` for `steps` steps at most (0: to its end).
absl::StatusOr<Episode> PlayEpisode(Environment& environment, const RandomStream& reset,
                                    uint32_t number, const Act& act, int steps,
                                    const Progress& progress);

}  // namespace mentor::envs
