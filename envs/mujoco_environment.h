// What environments on MuJoCo offer beyond Environment. Recorded episodes are replayed against them
// (envs/verify.h), and their speed is compared with bare simulation (tests/bench).
#pragma once

#include <span>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "envs/environment.h"
#include "envs/simulation.h"

namespace mentor::envs {

class MuJoCoEnvironment : public Environment {
 public:
  virtual Simulation& simulation() = 0;
  // Simulator steps in one step of the environment.
  virtual int frame_skip() const = 0;
  // The part of Step before the simulation: writes the controls and mocap poses of an action.
  virtual void ApplyAction(std::span<const float> action) = 0;
  // Begins an episode at given positions and velocities. UNIMPLEMENTED where a reset is a function
  // of the task.
  virtual absl::Status ResetTo(std::span<const double> positions,
                               std::span<const double> velocities, std::span<double> observation);

  // mjSTATE_INTEGRATION of the simulator now.
  std::vector<double> SimulatorState();
  // Continues from a recorded simulator state; everything else stays as Reset left it.
  // INVALID_ARGUMENT for a wrong size.
  absl::Status SetSimulatorState(std::span<const double> state);
  // qpos, then qvel.
  std::vector<double> PositionsAndVelocities();
};

}  // namespace mentor::envs
