// `mentor run`: meta-learner, learner and actors in one process over gRPC's in-process transport:
// the same services and the same code as separate processes.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "learner/kernels/device.h"
#include "mentor/local/branch.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

struct LocalRunOptions {
  v1::ExperimentSpec spec;    // Checked.
  std::filesystem::path out;  // State folder; one experiment.
  int actors = 1;
  int threads_per_actor = 1;
  int learner_threads = 1;
  learner::Device device = {};
  std::string metrics_address = {};  // HOST:PORT; empty: none
  // The folder in which TensorBoard finds this run's folder; empty: none.
  std::filesystem::path tensorboard = {};
  // What a new run begins with; checked. None: nothing.
  std::optional<BranchSource> branch = {};
  bool quiet = false;   // No progress bar.
  bool summary = true;  // At the end, on stdout: what was learned, and where it is.
};

// Where `mentor run` keeps its files when --out is not given: runs/STEM-HASH. `origin`: the file of
// the spec, or the folder of the run that it goes on from.
std::filesystem::path DefaultRunFolder(const std::filesystem::path& origin,
                                       const v1::ExperimentSpec& spec);

// Runs, or goes on with, the experiment in options.out until it is complete (exit code 0), fails
// (1) or a signal comes (130: the same call goes on later). metrics.csv grows meanwhile; the report
// is written at the end (1: it could not be). An error: it could not begin.
absl::StatusOr<int> RunLocally(const LocalRunOptions& options);

}  // namespace mentor
