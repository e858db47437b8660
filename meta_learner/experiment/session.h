// One experiment at work in this process: the loop of its outer updates, then its evaluation. Made
// for one Run; not thread-safe.
#pragma once

#include <torch/types.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
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

// Metrics of all experiments. Each rule has its own label.
struct ExperimentMetrics {
  explicit ExperimentMetrics(Metrics* metrics);

  CheckpointMetrics checkpoints;
  std::map<std::string, prometheus::Counter*> outer_updates;
  std::map<std::string, prometheus::Histogram*> outer_update_seconds;
};

class Session : private methods::Fleet {
 public:
  // The arguments outlive the session.
  Session(const ExperimentRunner::Options& options, ExperimentMetrics* metrics,
          agents::WorkerPool* pool, const v1::Experiment& experiment,
          const std::atomic<bool>& cancel);
  ~Session() override;

  // See ExperimentRunner::Run.
  absl::Status Run();

 private:
  absl::Status MakeAllParts();
  absl::Status Resume();

  // One outer update: lifetimes, the rule's learning, and the records.
  absl::Status OuterUpdate();
  // Fleet.
  absl::StatusOr<methods::LifetimeBatch> Collect() override;
  absl::StatusOr<methods::LifetimeBatch> Collect(const methods::RoundRequest& request) override;
  absl::Status GoOnAs(std::vector<uint32_t> parents) override;

  // Finishes an update of the benchmark's lifetimes, or of lifetimes that the rule named.
  absl::Status EndRound();
  void EndRequests();
  // The tasks of a round's lifetimes, as the curriculum changes them.
  absl::StatusOr<std::vector<SampledTask>> Tasks(const Round& round) const;
  // Runs shards to their end; adds their times and steps to the update.
  absl::StatusOr<std::vector<ShardResult>> RunShards(std::vector<v1::Shard> shards,
                                                     const torch::Tensor& meta_parameters,
                                                     size_t lifetimes);
  // The rule computes between the two, in turns with the updates of other experiments.
  absl::Status BeginLearning();
  absl::Status EndLearning();
  // Adds the rule's report to the step.
  absl::Status Report(const methods::RuleReport& report, OuterStep* step) const;
  // Tells the curriculum, if any, of finished lifetimes; adds its report to *step.
  absl::Status ObserveLives(const Round& round, const std::vector<Achievement>& lifetimes,
                            OuterStep* step);
  // What a checkpoint holds now.
  std::map<std::string, std::string> Sections() const;
  // Writes a checkpoint when one is due, and the store's row.
  absl::Status Record(ProgressReporter::Clock::time_point start, OuterStep* step);
  // Reads the episodes of meta-training before the next outer update.
  absl::Status ReadEpisodesBefore();
  // Keeps the rule's tables and the agents' episodes as artifacts.
  absl::Status KeepTables();
  void TellOfUpdate(const OuterStep& step, bool last);
  // The series begins with the first value: an earlier 0 would look like a return.
  void ShowReturn(double mean);

  absl::Status Evaluate();

  // The rule at work in this thread.
  struct Learning;
  // The outer update that is under way.
  struct Update {
    Round round;
    OuterStep step;
    // What Collect() gave: outcomes of the lifetimes, and the shards that they come from.
    std::vector<LifetimeOutcome> outcomes;
    std::vector<ShardResult> results;
    std::optional<std::vector<uint32_t>> parents;
    uint32_t requests = 0;  // Rounds that the rule named so far.
    std::unique_ptr<Learning> learning;
  };

  ShardOwner Owner() const { return {name_, spec_, *parts_.benchmark}; }

  const ExperimentRunner::Options& options_;
  ExperimentMetrics* const metrics_;
  agents::WorkerPool* const pool_;
  const std::string name_;
  const std::string uid_;
  const v1::ExperimentSpec spec_;  // With defaults.
  const std::atomic<bool>& cancel_;
  // Fixed after Resume, except the states of rule and curriculum.
  ExperimentParts parts_;
  torch::Tensor initial_parameters_;  // The rule's, before its first update.
  // State between outer updates, beside the rule's.
  ExperimentState state_;
  v1::TrainedLifetimes episodes_;               // For rules that decide inside a lifetime.
  std::unique_ptr<ExperimentObjects> objects_;  // Null: there is no bucket.
  std::unique_ptr<Update> update_;
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
