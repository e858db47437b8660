// What environments on MuJoCo offer beyond Environment, so that recorded episodes can be replayed against them
// (envs/verify.h).
#pragma once

#include <span>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "envs/environment.h"

namespace mentor::envs {

class MuJoCoEnvironment : public Environment {
 public:
  // mjSTATE_INTEGRATION of the simulator now.
  virtual std::vector<double> SimulatorState() const = 0;
  // Goes on from a recorded simulator state; everything else stays as Reset left it.
  virtual absl::Status SetSimulatorState(std::span<const double> state) = 0;
  // qpos, then qvel.
  virtual std::vector<double> PositionsAndVelocities() const = 0;
  // Further values of the last step, in a fixed order.
  virtual const std::vector<std::string>& InfoKeys() const = 0;
  virtual std::vector<double> Info() const = 0;
};

}  // namespace mentor::envs
