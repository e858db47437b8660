// `mentor evaluate`: tests what runs have learned by teaching new agents, under one protocol for
// all runs. The services run in this process. Finished results survive an interruption.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "kernels/device.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

struct EvaluateOptions {
  std::vector<std::filesystem::path> runs = {};     // In the form that ReadRun takes.
  std::vector<std::filesystem::path> signals = {};  // In the form that ReadExportedSignal takes.
  // Where the results of `signals` go: into a folder of each signal's name.
  std::filesystem::path results = {};
  // "test" or "train": the run's own goals. "": "test" if the run has test goals, else "train".
  // Otherwise a benchmark: NAME or NAME:ENVIRONMENT, each with "/train" for its training goals, or
  // a file with a BenchmarkSpec in text format.
  std::string tasks = {};
  // Seeds for the agents' randomness (first weights, actions, minibatches, resets) and for goals
  // that are drawn. For a given seed all runs teach the same new agents.
  std::vector<uint64_t> seeds = {1, 2, 3};
  int lifetimes = 0;  // Per goal; 0: as in the run's spec.
  int goals = 0;      // Per environment; 0: as in the run's spec.
  // Inner iterations of a lifetime, one more than its updates; 0: as in the run's spec.
  int iterations = 0;
  // Other settings of the agents than the run's, "agent.KEY=VALUE"; tasks are labelled with them.
  std::vector<std::string> settings = {};
  // "last", "best", "both", or "average:N", the mean of the run's N last checkpoints; "": as in the
  // run's spec.
  std::string weights = {};
  bool check = false;  // Evaluate nothing.
  std::vector<v1::Baseline> baselines = {v1::PPO_SPARSE, v1::PPO_SHAPED, v1::RANDOM_SIGNAL};
  std::string name = {};  // Name of the evaluation; empty: derived from tasks and outer updates.
  int actors = 1;
  int threads = 1;  // Per actor, and for the learner.
  kernels::Device device = {};
  bool quiet = false;
};

// Parses "1,4,7", "3-5", or a number N for 1 to N.
absl::StatusOr<std::vector<uint64_t>> ParseSeeds(const std::string& text);
// Parses "none", or names like "ppo_sparse,random_signal".
absl::StatusOr<std::vector<v1::Baseline>> ParseBaselines(const std::string& text);

// Returns the name of an evaluation as one folder's. Returns INVALID_ARGUMENT when it would be
// another place or unreadable: it is empty, "." or "..", or has control characters.
absl::StatusOr<std::string> EvaluationFolderName(const std::string& name);

// The benchmark that `tasks` names. `train` is true for its training goals.
struct NamedTasks {
  v1::BenchmarkSpec benchmark;
  std::string label;
  bool train = false;
};
absl::StatusOr<NamedTasks> ParseTasks(const std::string& tasks);

// Runs the evaluation and prints tables. Returns exit code 0, or 130 after a signal: the same call
// then resumes. INVALID_ARGUMENT and FAILED_PRECONDITION report errors before any simulation.
absl::StatusOr<int> Evaluate(const EvaluateOptions& options);

}  // namespace mentor
