// Builds the report of an experiment from its store, evaluation files and checkpoints. Functions
// without state.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "cli/report/report.h"
#include "envs/benchmark.h"
#include "mentor/v1/evaluation.pb.h"
#include "meta_learner/store/store.h"

namespace mentor {

// In a run's folder; grows while the run is at work.
inline constexpr char kMetricsFile[] = "metrics.csv";

// Returns the report data of an experiment so far.
absl::StatusOr<report::ReportData> ReportDataOf(meta_learner::Store* store,
                                                const v1::Experiment& experiment);

// Returns the store's points of an experiment by outer update.
std::vector<report::TrainingPoint> TrainingPoints(
    const std::map<std::string, meta_learner::Series>& points);

// Returns an evaluated lifetime as a row for reports. The seed of its goal is the goal_seed of the
// benchmark's lists or, for goals drawn afresh, the seed of its agents. Without a benchmark, equal
// numbers count as equal goals.
report::EvaluationRow RowOf(const v1::EvaluationShard& shard, const v1::EvaluatedLifetime& lifetime,
                            const envs::Benchmark* benchmark, uint32_t goal_seed);

// As ReportDataOf, for a path that FindRunState takes. The store of a run at work is opened for
// reading only.
absl::StatusOr<report::ReportData> ReportOf(const std::filesystem::path& folder);

// Writes the records of a run into its folder, or into `otherwise` where that cannot be written;
// empty: nowhere else. Returns where they lie. Takes paths as ReportOf does.
absl::StatusOr<std::filesystem::path> WriteRecordsOf(const std::filesystem::path& run,
                                                     const std::filesystem::path& otherwise);

// Returns "a" for "runs/a" and "runs/a/", without following links.
std::string NameOfFolder(const std::filesystem::path& folder);

// The folder of results of `mentor evaluate` in an experiment's folder: evaluations/NAME/SEED/ with
// the files of meta_learner/experiment/evaluation.h, and evaluations/maps.binpb.
std::filesystem::path EvaluationsFolder(const std::filesystem::path& experiment);
std::filesystem::path MapsFile(const std::filesystem::path& experiment);
// Returns all evaluations/NAME/SEED in order.
std::vector<std::filesystem::path> EvaluationFolders(const std::filesystem::path& experiment);

// A state folder with one experiment, or the folder of an experiment (STATE/experiments/UID).
struct RunFolder {
  std::filesystem::path state;
  std::filesystem::path experiment;
};
// The NOT_FOUND message describes a run folder.
absl::StatusOr<RunFolder> FindRun(const std::filesystem::path& folder);

// Names a state of a run: a run folder for its newest intact checkpoint, RUN/20 for the checkpoint
// after outer update 20, or a checkpoint file.
struct RunState {
  std::filesystem::path run;  // As the user named it.
  RunFolder folder;
  std::filesystem::path checkpoint;  // Empty: the newest checkpoint.
};
// NOT_FOUND lists the existing checkpoints.
absl::StatusOr<RunState> FindRunState(const std::filesystem::path& path);

}  // namespace mentor
