#include "meta_learner/experiment/checkpoint_keeper.h"

#include <chrono>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/file.h"
#include "common/log.h"

namespace mentor::meta_learner {

CheckpointMetrics::CheckpointMetrics(Metrics* metrics)
    : write_seconds(metrics->Histogram("mentor_checkpoint_write_seconds",
                                       "Writing and syncing a checkpoint.", WriteBuckets())),
      bytes(metrics->Gauge("mentor_checkpoint_bytes", "Size of the last checkpoint.")),
      last(metrics->Gauge("mentor_checkpoint_last_timestamp_seconds",
                          "When the last checkpoint was written.")),
      corrupt(metrics->Counter("mentor_checkpoint_corrupt_total",
                               "Checkpoints that were not whole when read.")) {}

CheckpointKeeper::CheckpointKeeper(Options options) : options_(std::move(options)) {}

absl::StatusOr<std::optional<Checkpoint>> CheckpointKeeper::FindNewest() {
  const auto folder = options_.store->CheckpointFolder(options_.uid);
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder));
  MENTOR_ASSIGN_OR_RETURN(CheckpointScan scan,
                          FindNewestWhole(folder, options_.uid, options_.spec_hash));
  MENTOR_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> known,
                          options_.store->Checkpoints(options_.uid));
  const bool older =
      scan.newest && !known.empty() && known.back().outer_step > scan.newest->outer_step;
  if (scan.corrupt.empty() && !known.empty() && (!scan.newest || older)) {
    MENTOR_LOG(kWarning, "checkpoints that were written are gone; what they held is computed again",
               {{"experiment", options_.experiment},
                {"folder", folder.string()},
                {"newest_known", known.back().outer_step},
                {"newest_there", scan.newest ? absl::StrCat(scan.newest->outer_step) : "none"}});
  }
  for (const CorruptCheckpoint& corrupt : scan.corrupt) {
    options_.metrics->corrupt.Increment();
    MENTOR_LOG(kWarning, "checkpoint is not whole; it was moved away and an older one is used",
               {{"experiment", options_.experiment},
                {"file", corrupt.path.string()},
                {"reason", corrupt.reason}});
  }
  if (!scan.newest) {
    if (!scan.corrupt.empty()) {
      MENTOR_LOG(kWarning, "no whole checkpoint is left; beginning again from the seed",
                 {{"experiment", options_.experiment}});
    }
    MENTOR_RETURN_IF_ERROR(UpdateIndex({}));
    return std::nullopt;
  }
  MENTOR_LOG(kInfo, "going on from a checkpoint",
             {{"experiment", options_.experiment},
              {"outer_step", absl::StrCat(scan.newest->outer_step)},
              {"state_hash", scan.newest_info.state_hash}});
  MENTOR_RETURN_IF_ERROR(UpdateIndex({scan.newest_info}));
  return std::move(scan.newest);
}

absl::StatusOr<CheckpointInfo> CheckpointKeeper::Write(
    uint32_t outer_step, std::map<std::string, std::string> sections) {
  const auto start = std::chrono::steady_clock::now();
  auto info = WriteCheckpoint(options_.store->CheckpointFolder(options_.uid),
                              {.experiment_uid = options_.uid,
                               .outer_step = outer_step,
                               .spec_hash = options_.spec_hash,
                               .build = options_.build,
                               .sections = std::move(sections)});
  if (info.ok()) {
    options_.metrics->write_seconds.Observe(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    options_.metrics->bytes.Set(static_cast<double>(info->size_bytes));
    options_.metrics->last.SetToCurrentTime();
  }
  return info;
}

absl::Status CheckpointKeeper::Retain() {
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment,
                          options_.store->Get(options_.experiment));
  const v1::Retention& wanted = experiment.retention();
  CheckpointRetention retention{
      .keep_last = wanted.keep_last() > 0 ? wanted.keep_last() : options_.keep_last,
      .keep_every = wanted.keep_every()};
  if (retention.keep_last == 0) return absl::OkStatus();
  MENTOR_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> rows,
                          options_.store->Checkpoints(options_.uid));
  for (const CheckpointRow& row : rows) {
    if (row.pinned) retention.pinned.insert(row.outer_step);
  }
  MENTOR_RETURN_IF_ERROR(
      RetainCheckpoints(options_.store->CheckpointFolder(options_.uid), retention).status());
  return UpdateIndex({});
}

absl::Status CheckpointKeeper::UpdateIndex(const std::vector<CheckpointInfo>& infos) {
  MENTOR_ASSIGN_OR_RETURN(std::vector<uint32_t> steps,
                          ListCheckpoints(options_.store->CheckpointFolder(options_.uid)));
  return options_.store->ReconcileCheckpoints(options_.uid, steps, infos);
}

}  // namespace mentor::meta_learner
