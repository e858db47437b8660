// One experiment at work in this process: the loop of its outer updates, then its evaluation. Made
// for one Run; not thread-safe.
#pragma once

#include <torch/types.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "mentor/v1/experiment.pb.h"
#include "meta_learner/experiment/checkpoint_keeper.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/experiment/experiment_runner.h"
#include "meta_learner/experiment/experiment_state.h"
#include "meta_learner/experiment/folder_copy.h"
#include "meta_learner/experiment/parts.h"
#include "meta_learner/experiment/progress.h"
#include "meta_learner/experiment/round.h"
#include "meta_learner/experiment/trained_episodes.h"

namespace mentor::meta_learner {

// Metrics of all experiments. What a rule adds is counted under its name.
struct ExperimentMetrics {
  explicit ExperimentMetrics(Metrics* metrics);

  CheckpointMetrics checkpoints;
  std::map<std::string, prometheus::Counter*> outer_updates;
  std::map<std::string, prometheus::Histogram*> outer_update_seconds;
};

class Session {
 public:
  // All outlive the session.
  Session(const ExperimentRunner::Options& options, ExperimentMetrics* metrics,
          learner::WorkerPool* pool, const v1::Experiment& experiment,
          const std::atomic<bool>& cancel);
  ~Session();

  // See ExperimentRunner::Run.
  absl::Status Run();

 private:
  absl::Status MakeAllParts();
  absl::Status Resume();

  // An outer update: lifetimes, what the rule learns of them, and the books.
  absl::Status OuterUpdate();
  absl::Status RunRound(OuterStep* step);
  absl::Status RunPlannedRounds(OuterStep* step);
  // Of the lifetimes of a round, as the curriculum has them.
  absl::StatusOr<std::vector<SampledTask>> Tasks(const Round& round) const;
  // Adds times and steps.
  absl::StatusOr<std::vector<ShardResult>> Collect(std::vector<v1::Shard> shards, size_t lifetimes,
                                                   OuterStep* step);
  // Adds to *step what the rule reports. The update takes turns with those of other experiments.
  absl::Status Learn(const std::vector<ShardResult>& results, const std::vector<SampledTask>& tasks,
                     OuterStep* step);
  // Tells the curriculum, if there is one, of lives that have ended; adds to *step what it reports.
  absl::Status ObserveLives(const Round& round, const std::vector<Achievement>& lifetimes,
                            OuterStep* step);
  // Into the checkpoint, when one is due, and the store.
  absl::Status Record(ProgressReporter::Clock::time_point start, OuterStep* step);
  // Of meta-training before the outer update that comes next.
  absl::Status ReadEpisodesBefore();
  // What the rule says for people, and the agents' episodes, as artifacts.
  absl::Status KeepTables();
  void TellOfUpdate(const OuterStep& step);
  // The series begins with the first value: a 0 before it would look like a return.
  void ShowReturn(double mean);

  absl::Status Evaluate();

  ShardOwner Owner() const { return {name_, spec_, *parts_.benchmark}; }

  // Fixed after construction.
  const ExperimentRunner::Options& options_;
  ExperimentMetrics* const metrics_;
  learner::WorkerPool* const pool_;
  const std::string name_;
  const std::string uid_;
  const v1::ExperimentSpec spec_;  // With defaults.
  const std::atomic<bool>& cancel_;
  // Fixed after Resume, but for the states of rule and curriculum.
  ExperimentParts parts_;
  torch::Tensor initial_parameters_;  // Of the rule before its first update.
  // Between outer updates, beside the rule's own.
  ExperimentState state_;
  v1::TrainedLifetimes episodes_;               // Of rules that decide inside a lifetime.
  std::unique_ptr<ExperimentObjects> objects_;  // Null: there is no bucket.
  FolderCopy files_;
  CheckpointKeeper checkpoints_;
  ProgressReporter progress_;
  // For the history.
  const ProgressReporter::Clock::time_point began_ = ProgressReporter::Clock::now();
  ProgressReporter::Clock::time_point next_told_ = began_;
  uint32_t told_checkpoint_ = 0;  // The newest; 0: none since the session began.
  prometheus::Gauge* outer_return_ = nullptr;
};

}  // namespace mentor::meta_learner
