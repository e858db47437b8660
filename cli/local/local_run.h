// `mentor run`: meta-learner, learner and actors in one process over gRPC's in-process transport.
// They are the same services and the same code as separate processes.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "cli/local/branch.h"
#include "kernels/device.h"
#include "meta_learner/experiment/checked_spec.h"

namespace mentor {

struct LocalRunOptions {
  meta_learner::CheckedSpec checked;
  std::filesystem::path out;  // State folder; one experiment.
  int actors = 1;
  int threads = 1;  // Each actor, the learner and the meta-learner have as many.
  kernels::Device device = {};
  std::string metrics_address = {};  // HOST:PORT; empty: none
  // Folder in which TensorBoard finds this run's folder (tensorboard.h); empty: none.
  std::filesystem::path tensorboard = {};
  // The checked starting point of a new run; nullopt: from scratch.
  std::optional<BranchSource> branch = {};
  // HOST:PORT of the page that shows the run while it goes on (web_page.h); empty: none.
  std::string web = {};
  bool quiet = false;  // No progress bar.
  bool report = true;  // At the end, draw the report; it takes longer than a short run.
  std::string next_flags =
      {};               // Flags of the command that is named at the end: " --simulator ...".
  bool summary = true;  // At the end, print on stdout what was learned and where the files are.
};

// Returns the run folder used without --out: runs/STEM-HASH. `origin` is the file of the spec, or
// the folder of the run to continue.
std::filesystem::path DefaultRunFolder(const std::filesystem::path& origin,
                                       const v1::ExperimentSpec& spec);

// Runs or continues the experiment in options.out. Returns exit code 0 when it is complete, 1 when
// it fails, and 130 after a signal: the same call then resumes. metrics.csv grows during the run.
// The records and the report are written at the end; the code is 1 when that fails. Returns an
// error when the run could not begin.
absl::StatusOr<int> RunLocally(const LocalRunOptions& options);

}  // namespace mentor
