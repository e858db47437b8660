// What environments on MuJoCo offer beyond Environment. Recorded episodes are replayed against them
// (envs/verify.h), and their speed is compared with bare simulation (tests/bench).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "common/mutex.h"
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

// Settled resets of all environments of the process, keyed by everything they depend on. A
// Meta-World reset is 250 simulator steps, a function of (task, rand_vec, goal visible, physics). A
// later reset may take the saved state of an earlier one: the same bits in a thousandth of the
// time. Also keeps, under separate keys, the parts of resets that do not depend on the rand_vec
// (MetaWorldEnvironment::HandReset) or on chance (mjcf::MjcfEnvironment). Bounded; thread-safe.
class SettledResets {
 public:
  // About 3.5 KB each: 4096 are 14 MB, enough for 50 goals of each of 50 environments.
  explicit SettledResets(size_t entries_max = 4096) : entries_max_(entries_max) {}

  static SettledResets& Instance();

  std::shared_ptr<const std::string> Find(const std::string& key);
  void Add(const std::string& key, std::string state);
  size_t size() const;
  void Clear();

 private:
  struct Entry {
    std::shared_ptr<const std::string> state;
    uint64_t last_use = 0;
  };
  const size_t entries_max_;
  mutable Mutex mutex_;
  // Guarded by mutex_.
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, std::string> by_use_
      ABSL_GUARDED_BY(mutex_);  // The first is the one used longest ago.
  uint64_t uses_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace mentor::envs
