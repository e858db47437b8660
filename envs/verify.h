// Replays recorded episodes of the Python originals in our environments, twice each. The first
// replay begins with a reset: Meta-World's to the task's vector, Gymnasium's to the recorded
// positions and velocities. The second begins at the recorded simulator state. The format is that
// of the parity folders:
//
//   manifest.json  {"tasks": [{"task", "file", "bytes", "sha256", "info_keys",
//                              "episodes": [{"fields": {NAME: {"offset", "shape"}},
//                                            "partially_observable", "noise", "steps"}]}],
//                   "check_every"}
//                  "noise" is true where a reset is more than the task's vector: it then begins at
//                  the recorded positions and velocities
//   FILE           little-endian float64, offsets counted in numbers
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "envs/environment.h"

namespace mentor::envs {

// Greatest absolute errors of one task over all its episodes and both replays.
struct TaskVerification {
  std::string task;
  int episodes = 0;
  int steps = 0;
  double state = 0;  // Simulator state after the reset; positions and velocities along the way.
  double observation = 0;
  double reward = 0;
  double info = 0;
  int flags = 0;           // Steps where success, terminated or truncated differ.
  std::string error = {};  // Why the replay failed or ended early; empty: it ended.
  bool passed = false;     // No error, and all errors above within the tolerance.
};

struct Verification {
  std::vector<TaskVerification> tasks;
  std::vector<std::string> skipped;  // Recorded tasks whose environments this build does not have.
  bool passed = false;               // Every task passed, and there was one.
  std::string text;                  // A table for people.
};

// The environment of a recorded task; null when this build lacks it.
using RecordedEnvironment =
    std::function<absl::StatusOr<std::unique_ptr<Environment>>(const std::string& task)>;

// Tolerances (the folder's README): states and observations 1e-12, rewards and info 1e-10, flags
// equal. only_tasks: the tasks to verify; empty: all. An error when the manifest cannot be read or
// lacks a task of only_tasks.
absl::StatusOr<Verification> Verify(const std::string& folder,
                                    const std::vector<std::string>& only_tasks = {});
// The same for environments that are not registered under the tasks' names.
absl::StatusOr<Verification> Verify(const std::string& folder,
                                    const std::vector<std::string>& only_tasks,
                                    const RecordedEnvironment& make);

}  // namespace mentor::envs
