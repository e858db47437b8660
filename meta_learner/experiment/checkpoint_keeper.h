// Finds, writes and retains the checkpoints of one experiment. They lie in the folder, and in the
// bucket where there is one; then the bucket's copies count. Keeps the store's index in step. Not
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
    Store* store = nullptr;
    CheckpointMetrics* metrics = nullptr;
    // The experiment's objects in the bucket, after Look; null without a bucket.
    ExperimentObjects* objects = nullptr;
    const std::atomic<bool>* cancel = nullptr;  // Interrupts transfers to the bucket.
    std::string experiment;                     // Its name.
    std::string uid;
    std::string spec_hash;
    std::string build;       // The program that writes.
    uint32_t keep_last = 0;  // Unless the user sets another number; 0: all.
    uint32_t averaged = 0;   // The newest that stay whatever the user sets, for Last.
    uint32_t every = 1;      // Outer updates between two checkpoints.
  };
  explicit CheckpointKeeper(Options options);

  // The newest whole checkpoint of folder and bucket; nothing when there is none. Damaged ones are
  // moved away. A checkpoint whose outer update the store has not recorded is skipped when there is
  // an older one: its update is then made again, with its results. Afterwards the bucket has what
  // the folder has.
  absl::StatusOr<std::optional<Checkpoint>> FindNewest();
  // When it returns OK, the bucket has the checkpoint too.
  absl::StatusOr<CheckpointInfo> Write(uint32_t outer_step,
                                       std::map<std::string, std::string> sections);
  // The files of the `averaged` newest checkpoints up to this outer update, newest first; fewer
  // where the experiment has made fewer. DATA_LOSS where one is gone.
  absl::StatusOr<std::vector<std::filesystem::path>> Last(uint32_t outer_step) const;
  // Removes checkpoints that the user does not want to keep. Retention and pins may change while
  // the experiment runs.
  absl::Status Retain();

 private:
  // If the newest file has no row among `known`, goes back to one that has, or to none.
  absl::Status GoBackToRecorded(const std::vector<CheckpointRow>& known,
                                CheckpointScan* scan) const;
  // Makes *scan find the bucket's newest checkpoint too: fetches a newer one, and compares an equal
  // one.
  absl::Status ScanBucket(const std::filesystem::path& folder, CheckpointScan* scan);
  // Returns this run's whole files before `newest` that no readable row names.
  absl::StatusOr<std::vector<CheckpointInfo>> WithoutRow(
      const std::filesystem::path& folder, uint32_t newest,
      const std::vector<CheckpointRow>& known) const;
  // Uploads files of the folder that the bucket lacks.
  absl::Status Upload(const std::filesystem::path& folder, const std::vector<CheckpointRow>& known);
  absl::StatusOr<CheckpointInfo> Upload(const CheckpointInfo& local);
  // Indexes the folder's files (the bucket's, where there is one) and these new ones.
  absl::Status UpdateIndex(const std::vector<CheckpointInfo>& infos);

  const Options options_;
};

}  // namespace mentor::meta_learner
