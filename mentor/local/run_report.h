// Turns what an experiment left behind (store, evaluation files, checkpoints) into its report.
// Functions without state.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "envs/benchmark.h"
#include "mentor/report/report.h"
#include "mentor/v1/evaluation.pb.h"
#include "meta_learner/store/store.h"

namespace mentor {

// Of a run's folder: grows while the run is at work.
inline constexpr char kMetricsFile[] = "metrics.csv";

// The numbers of an experiment so far.
absl::StatusOr<report::ReportData> ReportDataOf(meta_learner::ExperimentStore* store,
                                                const v1::Experiment& experiment);

// What a store has of an experiment's outer updates, by update.
std::vector<report::TrainingPoint> TrainingPoints(
    const std::map<std::string, meta_learner::Series>& points);

// One lifetime of an evaluation, for reports. What drew its goal is the goal_seed of the
// benchmark's lists or, where goals are drawn afresh, the seed of its agents. Without a benchmark
// equal numbers count as equal goals.
report::EvaluationRow RowOf(const v1::EvaluationShard& shard, const v1::EvaluatedLifetime& lifetime,
                            const envs::Benchmark* benchmark, uint32_t goal_seed);

// The same of a run's folder, or of what FindRunPlace takes. FAILED_PRECONDITION while the run is
// at work: one process owns its store.
absl::StatusOr<report::ReportData> ReportOf(const std::filesystem::path& folder);

// "a" of "runs/a" and "runs/a/", whatever links lead there.
std::string NameOfFolder(const std::filesystem::path& folder);

// What `mentor evaluate` leaves in an experiment's folder: evaluations/NAME/SEED/ with the files of
// meta_learner/experiment/evaluation.h, and evaluations/maps.binpb.
std::filesystem::path EvaluationsFolder(const std::filesystem::path& experiment);
std::filesystem::path MapsFile(const std::filesystem::path& experiment);
// All evaluations/NAME/SEED, in their order.
std::vector<std::filesystem::path> EvaluationFolders(const std::filesystem::path& experiment);

// A state folder with one experiment, or the folder of an experiment (STATE/experiments/UID).
struct RunFolder {
  std::filesystem::path state;
  std::filesystem::path experiment;
};
// NOT_FOUND says what a run folder looks like.
absl::StatusOr<RunFolder> FindRun(const std::filesystem::path& folder);

// What names a state of a run: the folder of one, for its newest whole checkpoint; RUN/20, for that
// after outer update 20; or a checkpoint's file.
struct RunPlace {
  std::filesystem::path run;  // As it was named.
  RunFolder folder;
  std::filesystem::path checkpoint;  // Empty: the newest.
};
// NOT_FOUND names the checkpoints that there are.
absl::StatusOr<RunPlace> FindRunPlace(const std::filesystem::path& path);

// The hash of `mentor hash`: the newest whole checkpoint's state (signal network, optimizer,
// normalisers, best weights). Reads only: nothing is moved or removed.
struct RunHash {
  std::string state_hash;
  uint32_t outer_step = 0;
  std::filesystem::path checkpoint;
  std::string damaged;  // What is wrong with the newer ones, a line each.
};
absl::StatusOr<RunHash> HashRun(const std::filesystem::path& folder);
// Says on stderr that the hash is not that of the newest checkpoint, and why, where it is not.
void WarnOfDamage(const RunHash& hash);

}  // namespace mentor
