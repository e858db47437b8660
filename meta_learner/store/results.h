// What experiments produce: points by outer update, and the index of checkpoints. Part of a Store
// (store.h). Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/experiment.pb.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/run_files.h"

namespace mentor::meta_learner {

// Results of one outer update.
struct OuterStep {
  // Outer updates done.
  uint32_t step = 0;
  // Equal in every replay; a difference is counted and logged.
  std::map<std::string, double> results = {};
  // Seconds and rates; may differ in a replay.
  std::map<std::string, double> timings = {};
  // Must be written and synced already.
  std::optional<CheckpointInfo> checkpoint = {};
  v1::Progress progress = {};
  uint64_t served_env_steps = 0;  // Computed since the last step.
};

using Series = std::vector<std::pair<uint32_t, double>>;  // (step, value) by step.

struct CheckpointRow : CheckpointInfo {
  int64_t create_time_ns = 0;  // Unix time.
  bool pinned = false;
};

class Results {
 public:
  Results(StoreDatabase* database, const RunFiles* files) : database_(database), files_(files) {}

  // Writes points, checkpoint row and progress in one transaction. Only for experiments at work
  // (RUNNING, PAUSING or CANCELLING).
  absl::Status RecordOuterStep(std::string_view uid, const OuterStep& step);
  // Writes points outside of outer updates, for instance of an evaluation. The rules of replay
  // apply.
  absl::Status RecordPoints(std::string_view uid, uint32_t step,
                            const std::map<std::string, double>& results,
                            const std::map<std::string, double>& timings);
  // Returns the points of steps in [step_min, step_max], by metric name. No names: all metrics.
  // With more than points_max of a metric, only the first steps, each with all its points.
  absl::StatusOr<std::map<std::string, Series>> Points(std::string_view uid,
                                                       const std::set<std::string>& metrics = {},
                                                       uint32_t step_min = 0,
                                                       uint32_t step_max = UINT32_MAX,
                                                       uint32_t points_max = UINT32_MAX);
  // Returns the last point of each metric.
  absl::StatusOr<std::map<std::string, Series>> LastPoints(std::string_view uid);

  // Returns the rows of checkpoints, by step. Paths are in this state folder.
  absl::StatusOr<std::vector<CheckpointRow>> Checkpoints(std::string_view uid);
  absl::StatusOr<CheckpointRow> PinCheckpoint(std::string_view uid, uint32_t step, bool pinned);
  // Removes the rows of unpinned checkpoints among `steps`, and returns their steps. Checks the
  // pins in the same transaction, so that none can be pinned later and the files may be removed.
  absl::StatusOr<std::vector<uint32_t>> ReleaseCheckpoints(std::string_view uid,
                                                           const std::vector<uint32_t>& steps);
  // Updates the index after a scan or retention: removes rows of other steps, and adds `infos`.
  absl::Status ReconcileCheckpoints(std::string_view uid,
                                    const std::vector<uint32_t>& steps_present,
                                    const std::vector<CheckpointInfo>& infos);
  // Returns the number of results that a replay computed differently. Not 0: exactness is broken.
  uint64_t replay_mismatches() const;

 private:
  StoreDatabase* const database_;
  const RunFiles* const files_;
};

}  // namespace mentor::meta_learner
