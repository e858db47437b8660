// What environments on MuJoCo offer beyond Environment, so that recorded episodes can be replayed
// against them (envs/verify.h) and their speed compared with bare simulation (envs/bench.h).
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

  // mjSTATE_INTEGRATION of the simulator now.
  std::vector<double> SimulatorState();
  // Goes on from a recorded simulator state; everything else stays as Reset left it.
  // INVALID_ARGUMENT for a wrong size.
  absl::Status SetSimulatorState(std::span<const double> state);
  // qpos, then qvel.
  std::vector<double> PositionsAndVelocities();
};

}  // namespace mentor::envs
