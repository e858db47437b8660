// The checkpoints of one experiment: finds, writes and retains them, in the folder and, where there
// is one, in the bucket, whose copies count; and keeps the store's index of them true. Not
// thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/experiment_objects.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// Metrics of all experiments.
struct CheckpointMetrics {
  explicit CheckpointMetrics(Metrics* metrics);

  prometheus::Histogram& write_seconds;
  prometheus::Histogram& upload_seconds;
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
    // What the bucket has of it, after Look; null: there is no bucket.
    ExperimentObjects* objects = nullptr;
    const std::atomic<bool>* cancel = nullptr;  // Interrupts what is under way to the bucket.
    std::string experiment;                     // Its name,
    std::string uid;
    std::string spec_hash;
    std::string build;       // Program that writes.
    uint32_t keep_last = 0;  // Unless the user wants another number; 0: all.
    uint32_t every = 1;      // Outer updates from one to the next.
  };
  explicit CheckpointKeeper(Options options);

  // The newest whole one of folder and bucket; nothing when there is none. Those that are not whole
  // are moved away. One whose outer update the store has not recorded is passed over where an older
  // one is there: what was between file and row when the process died is made again, with its
  // results. Afterwards the bucket has what the folder has.
  absl::StatusOr<std::optional<Checkpoint>> FindNewest();
  // When it is OK, the bucket has it too.
  absl::StatusOr<CheckpointInfo> Write(uint32_t outer_step,
                                       std::map<std::string, std::string> sections);
  // Removes what the user does not want to keep: retention and pins may change while the experiment
  // runs.
  absl::Status Retain();

 private:
  // From a newest file without a row, `known` being the rows, to one with a row, or to none.
  absl::Status GoBackToRecorded(const std::vector<CheckpointRow>& known,
                                CheckpointScan* scan) const;
  // Whether *scan has found the one that the bucket has, too: fetches a newer one, and holds an
  // equal one against it.
  absl::Status ScanBucket(const std::filesystem::path& folder, CheckpointScan* scan);
  // Files of the folder that the bucket ought to have.
  absl::Status Upload(const std::filesystem::path& folder, const std::vector<CheckpointRow>& known);
  absl::StatusOr<CheckpointInfo> Upload(const CheckpointInfo& local);
  // Indexes the folder's files (the bucket's, where there is one) and these, which are new.
  absl::Status UpdateIndex(const std::vector<CheckpointInfo>& infos);

  const Options options_;
};

}  // namespace mentor::meta_learner
