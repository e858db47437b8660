// `mentor evaluate`: agents that begin from scratch are taught by what runs have learned, all under
// one protocol, through the services in this process. What is done stays when it is interrupted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "learner/kernels/device.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

struct EvaluateOptions {
  std::vector<std::filesystem::path> runs = {};     // As ReadRun takes them.
  std::vector<std::filesystem::path> signals = {};  // As ReadExportedSignal takes them,
  std::filesystem::path results = {};  // and where their results go, in a folder of their name.
  // "test" or "train": the run's own goals; "": the first of these that the run has. Otherwise a
  // benchmark: NAME, NAME:ENVIRONMENT, each with "/train" for its training goals, or a file with a
  // BenchmarkSpec in text format.
  std::string tasks = {};
  // Seeds of the agents' randomness and of goals that are drawn: first weights, actions,
  // minibatches, resets. Under one seed all runs teach the same newborn agents.
  std::vector<uint64_t> seeds = {1, 2, 3};
  int lifetimes = 0;  // On each goal; 0: as the run's spec says.
  int goals = 0;      // For each environment; 0: as the run's spec says.
  // "last", "best" or "both"; "": as the run's spec says (evaluation.best_weights).
  std::string weights = {};
  std::vector<v1::Baseline> baselines = {v1::PPO_SPARSE, v1::PPO_SHAPED, v1::RANDOM_SIGNAL};
  std::string name = {};  // Name of the evaluation; empty: made from tasks and outer updates.
  int actors = 1;
  int threads = 1;  // For each actor, and for the learner.
  learner::Device device = {};
  bool quiet = false;
};

// "1,4,7", "3-5", or a number N for 1 to N.
absl::StatusOr<std::vector<uint64_t>> ParseSeeds(const std::string& text);
// "none", or names like "ppo_sparse,random_signal".
absl::StatusOr<std::vector<v1::Baseline>> ParseBaselines(const std::string& text);

// The benchmark that `tasks` names, and "train" where it asks for its training goals.
struct NamedTasks {
  v1::BenchmarkSpec benchmark;
  std::string label;
  bool train = false;
};
absl::StatusOr<NamedTasks> ParseTasks(const std::string& tasks);

// Exit code 0, or 130 when a signal came: the same call goes on. Prints tables. INVALID_ARGUMENT
// and FAILED_PRECONDITION say what does not fit before anything is simulated.
absl::StatusOr<int> Evaluate(const EvaluateOptions& options);

}  // namespace mentor
