// Runs one experiment from its newest whole checkpoint to its end: meta-training, then evaluation.
// All results are a function of the spec; all files survive kill -9 at any point. One call at a
// time per experiment.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include <absl/status/status.h>

#include "agents/worker_pool.h"
#include "common/metrics.h"
#include "kernels/device.h"
#include "mentor/v1/experiment.pb.h"
#include "meta_learner/fleet/shard_board.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

struct ExperimentMetrics;

class ExperimentRunner {
 public:
  struct Options {
    Store* store = nullptr;
    ShardBoard* board = nullptr;
    std::string build;
    std::string fingerprint;  // The arithmetic of this process; an experiment keeps to one.
    int num_threads = 1;      // For the outer updates of all experiments.
    kernels::Device device = {};
    Metrics* metrics = nullptr;
  };
  explicit ExperimentRunner(Options options);
  ~ExperimentRunner();

  // OK when the experiment is complete, CANCELLED when *cancel became true; other errors are for
  // the user to read.
  absl::Status Run(const v1::Experiment& experiment, const std::atomic<bool>& cancel);

 private:
  const Options options_;
  const std::unique_ptr<ExperimentMetrics> metrics_;
  agents::WorkerPool pool_;
};

}  // namespace mentor::meta_learner
