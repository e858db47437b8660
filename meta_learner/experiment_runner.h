// Runs one experiment from where its newest whole checkpoint stands to its end: meta-training, then
// evaluation. Everything it computes is a function of the spec; what it writes survives kill -9 at
// any point. One call at a time per experiment.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "common/violations.h"
#include "envs/benchmark.h"
#include "learner/signals/signal_network.h"
#include "mentor/v1/evaluation.pb.h"
#include "mentor/v1/experiment.pb.h"
#include "meta_learner/rules/outer_rule.h"
#include "meta_learner/shard_broker.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// The registered parts that a spec names.
struct ExperimentParts {
  std::unique_ptr<envs::Benchmark> benchmark;
  std::shared_ptr<const learner::SignalNetwork> network;
  std::unique_ptr<OuterRule> rule;
};

// Null members and violations where the spec does not fit. num_threads: for the outer update.
ExperimentParts MakeParts(const v1::ExperimentSpec& spec, int num_threads, Violations* violations);

// The check of a spec beyond ranges: registered parts and what they demand of each other.
void CheckParts(const v1::ExperimentSpec& spec, Violations* violations);

// The check of a spec that is to go on from a checkpoint of an experiment with another spec: what
// the checkpoint holds must fit.
void CheckCheckpoint(const v1::ExperimentSpec& source, const v1::ExperimentSpec& spec,
                     const Checkpoint& checkpoint, Violations* violations);

// The first process that runs an experiment writes its fingerprint down; a later one must have the
// same, else FAILED_PRECONDITION NUMERIC_MISMATCH and nothing changes.
absl::Status KeepFingerprint(const std::filesystem::path& experiment_folder,
                             const std::string& fingerprint);

class ExperimentRunner {
 public:
  struct Options {
    ExperimentStore* store = nullptr;
    ShardBroker* broker = nullptr;
    std::string build;
    std::string fingerprint;  // Of this machine's arithmetic; an experiment keeps to one.
    int num_threads = 1;
    Metrics* metrics = nullptr;
  };
  explicit ExperimentRunner(Options options);
  ~ExperimentRunner();

  // OK when the experiment is complete, CANCELLED when *cancel became true; other codes are for the
  // user to read.
  absl::Status Run(const v1::Experiment& experiment, const std::atomic<bool>& cancel);

  // What a rule adds of its own is counted under its name.
  struct Instruments;

 private:
  const Options options_;
  const std::unique_ptr<Instruments> instruments_;
};

// Evaluations of an experiment so far, in a fixed order: by method, split and shard.
absl::StatusOr<std::vector<v1::EvaluationShard>> ReadEvaluation(
    const std::filesystem::path& experiment_folder);

}  // namespace mentor::meta_learner
