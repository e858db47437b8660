// The checkpoints of one experiment: finds, writes and retains them, and keeps the store's index
// of them true. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// Metrics of all experiments.
struct CheckpointMetrics {
  explicit CheckpointMetrics(Metrics* metrics);

  prometheus::Histogram& write_seconds;
  prometheus::Gauge& bytes;
  prometheus::Gauge& last;
  prometheus::Counter& corrupt;
};

class CheckpointKeeper {
 public:
  struct Options {
    // These outlive the keeper.
    ExperimentStore* store = nullptr;
    CheckpointMetrics* metrics = nullptr;
    std::string experiment;  // Its name,
    std::string uid;
    std::string spec_hash;
    std::string build;       // Program that writes.
    uint32_t keep_last = 0;  // Unless the user wants another number; 0: all.
  };
  explicit CheckpointKeeper(Options options);

  // The newest whole one; nothing when there is none. Those that are not whole are moved away.
  absl::StatusOr<std::optional<Checkpoint>> FindNewest();
  absl::StatusOr<CheckpointInfo> Write(uint32_t outer_step,
                                       std::map<std::string, std::string> sections);
  // Removes what the user does not want to keep: retention and pins may change while the experiment
  // runs.
  absl::Status Retain();

 private:
  // Indexes the folder's files and these, which are new.
  absl::Status UpdateIndex(const std::vector<CheckpointInfo>& infos);

  const Options options_;
};

}  // namespace mentor::meta_learner
