#include "meta_learner/experiment/checkpoint_keeper.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <set>
#include <system_error>
#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/cpu_time.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status.h"

namespace mentor::meta_learner {

CheckpointMetrics::CheckpointMetrics(Metrics* metrics)
    : write_seconds(metrics->Histogram("mentor_checkpoint_write_seconds",
                                       "Writing and syncing a checkpoint.", WriteBuckets())),
      upload_seconds(metrics->Histogram("mentor_checkpoint_upload_seconds",
                                        "Bringing a checkpoint into the bucket.", WriteBuckets())),
      bytes(metrics->Gauge("mentor_checkpoint_bytes", "Size of the last checkpoint.")),
      last(metrics->Gauge("mentor_checkpoint_last_timestamp_seconds",
                          "When the last checkpoint was written.")),
      corrupt(metrics->Counter("mentor_checkpoint_corrupt_total",
                               "Checkpoints that were not whole when read.")) {}

CheckpointKeeper::CheckpointKeeper(Options options) : options_(std::move(options)) {}

absl::Status CheckpointKeeper::GoBackToRecorded(const std::vector<CheckpointRow>& known,
                                                CheckpointScan* scan) const {
  const uint32_t newest = scan->newest->outer_step;
  if (std::any_of(known.begin(), known.end(),
                  [&](const CheckpointRow& row) { return row.outer_step == newest; }))
    return absl::OkStatus();
  if (known.empty()) {
    // A clone's first checkpoint was not made here, and an experiment brought back without its
    // database has no rows.
    MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment,
                            options_.store->records.Get(options_.experiment));
    if (!experiment.source_checkpoint().empty() || newest > options_.every) return absl::OkStatus();
    scan->newest.reset();
  } else {
    // On a fresh machine only the bucket has it.
    const absl::Status there =
        options_.store->files.OpenCheckpoint(options_.uid, known.back().outer_step, options_.cancel)
            .status();
    if (absl::IsUnavailable(there)) return there;
    MENTOR_ASSIGN_OR_RETURN(
        CheckpointScan older,
        FindNewestWhole(options_.store->files.CheckpointFolder(options_.uid), options_.uid,
                        options_.spec_hash, known.back().outer_step));
    // Losing the newest results costs less than beginning again.
    if (!older.newest) return absl::OkStatus();
    scan->newest = std::move(older.newest);
    scan->newest_info = std::move(older.newest_info);
    std::move(older.corrupt.begin(), older.corrupt.end(), std::back_inserter(scan->corrupt));
  }
  MENTOR_LOG(kInfo, "an outer update is repeated, because its results were not recorded",
             {{"experiment", options_.experiment}, {"outer_step", newest}});
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Checkpoint>> CheckpointKeeper::FindNewest() {
  const auto folder = options_.store->files.CheckpointFolder(options_.uid);
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder));
  MENTOR_ASSIGN_OR_RETURN(CheckpointScan scan,
                          FindNewestWhole(folder, options_.uid, options_.spec_hash));
  if (options_.objects != nullptr) MENTOR_RETURN_IF_ERROR(ScanBucket(folder, &scan));
  MENTOR_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> known,
                          options_.store->results.Checkpoints(options_.uid));
  if (scan.newest) MENTOR_RETURN_IF_ERROR(GoBackToRecorded(known, &scan));
  const bool older =
      scan.newest && !known.empty() && known.back().outer_step > scan.newest->outer_step;
  if (scan.corrupt.empty() && !known.empty() && (!scan.newest || older)) {
    MENTOR_LOG(kWarning, "written checkpoints are gone; their updates are computed again",
               {{"experiment", options_.experiment},
                {"folder", folder.string()},
                {"newest_known", known.back().outer_step},
                {"newest_there", scan.newest ? absl::StrCat(scan.newest->outer_step) : "none"}});
  }
  for (const CorruptCheckpoint& corrupt : scan.corrupt) {
    options_.metrics->corrupt.Increment();
    MENTOR_LOG(kWarning, "a checkpoint is not whole; it was moved away and another one is used",
               {{"experiment", options_.experiment},
                {"file", corrupt.path.string()},
                {"outer_step_used", scan.newest ? absl::StrCat(scan.newest->outer_step) : "none"},
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
              {"event", "resumed"},
              {"outer_step", absl::StrCat(scan.newest->outer_step)},
              {"state_hash", scan.newest_info.state_hash}});
  if (options_.objects != nullptr) MENTOR_RETURN_IF_ERROR(Upload(folder, known));
  MENTOR_ASSIGN_OR_RETURN(std::vector<CheckpointInfo> infos,
                          WithoutRow(folder, scan.newest->outer_step, known));
  infos.push_back(scan.newest_info);
  MENTOR_RETURN_IF_ERROR(UpdateIndex(infos));
  return std::move(scan.newest);
}

absl::StatusOr<std::vector<CheckpointInfo>> CheckpointKeeper::WithoutRow(
    const std::filesystem::path& folder, uint32_t newest,
    const std::vector<CheckpointRow>& known) const {
  std::set<uint32_t> indexed;
  for (const CheckpointRow& row : known) indexed.insert(row.outer_step);
  std::vector<CheckpointInfo> infos;
  MENTOR_ASSIGN_OR_RETURN(const std::vector<uint32_t> steps, ListCheckpoints(folder));
  for (const uint32_t step : steps) {
    CheckpointInfo info;
    if (step < newest && !indexed.contains(step) &&
        ReadCheckpointOf(folder / CheckpointFileName(step), {.spec_hash = options_.spec_hash},
                         &info)
            .ok())
      infos.push_back(std::move(info));
  }
  return infos;
}

absl::Status CheckpointKeeper::ScanBucket(const std::filesystem::path& folder,
                                          CheckpointScan* scan) {
  const std::vector<uint32_t> steps = options_.objects->Steps();
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if (scan->newest && *step < scan->newest->outer_step) break;
    if (scan->newest && *step == scan->newest->outer_step) {
      const auto manifest = options_.objects->Manifest(*step);
      if (absl::IsDataLoss(manifest.status())) {
        // This one is whole, so it is uploaded again.
        MENTOR_RETURN_IF_ERROR(AsStorage(options_.objects->PutAside(*step)));
      } else if (!manifest.ok()) {
        return AsStorage(manifest.status());
      } else if (manifest->state_hash() != scan->newest_info.state_hash) {
        return MakeError(
            Reason::kDataLoss,
            absl::StrCat("two computations of outer update ", *step, " differ: the bucket has ",
                         "state ", manifest->state_hash(), ", the folder ",
                         scan->newest_info.state_hash, ": exactness is broken"));
      }
      break;
    }
    const auto fetched =
        options_.store->files.OpenCheckpoint(options_.uid, *step, options_.cancel).status();
    if (absl::IsNotFound(fetched)) continue;  // Another process's retention removed it first.
    if (absl::IsDataLoss(fetched)) {
      scan->corrupt.push_back({folder / CheckpointFileName(*step), std::string(fetched.message())});
      MENTOR_RETURN_IF_ERROR(AsStorage(options_.objects->PutAside(*step)));
      continue;
    }
    MENTOR_RETURN_IF_ERROR(fetched);
    MENTOR_ASSIGN_OR_RETURN(CheckpointScan again,
                            FindNewestWhole(folder, options_.uid, options_.spec_hash));
    scan->newest = std::move(again.newest);
    scan->newest_info = again.newest_info;
    for (CorruptCheckpoint& corrupt : again.corrupt) scan->corrupt.push_back(std::move(corrupt));
    break;
  }
  return absl::OkStatus();
}

absl::Status CheckpointKeeper::Upload(const std::filesystem::path& folder,
                                      const std::vector<CheckpointRow>& known) {
  const std::vector<uint32_t> there = options_.objects->Steps();
  std::set<uint32_t> wanted;
  for (const CheckpointRow& row : known) wanted.insert(row.outer_step);
  MENTOR_ASSIGN_OR_RETURN(const std::vector<uint32_t> here, ListCheckpoints(folder));
  for (const uint32_t step : here) {
    if (std::binary_search(there.begin(), there.end(), step)) continue;
    // An older one without a row was dropped while another process led.
    if (!there.empty() && step < there.back() && !wanted.contains(step)) continue;
    CheckpointInfo info;
    const auto whole = ReadCheckpointOf(folder / CheckpointFileName(step),
                                        {.spec_hash = options_.spec_hash}, &info);
    if (!whole.ok()) continue;
    MENTOR_RETURN_IF_ERROR(Upload(info).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<CheckpointInfo> CheckpointKeeper::Upload(const CheckpointInfo& local) {
  const auto start = std::chrono::steady_clock::now();
  auto info = options_.objects->PutCheckpoint(local);
  if (!info.ok()) return AsStorage(info.status());
  options_.metrics->upload_seconds.Observe(SecondsSince(start));
  return info;
}

absl::StatusOr<CheckpointInfo> CheckpointKeeper::Write(
    uint32_t outer_step, std::map<std::string, std::string> sections) {
  // A leader that was stopped for a while must leave the files to the next one.
  MENTOR_RETURN_IF_ERROR(options_.store->Leads());
  const auto start = std::chrono::steady_clock::now();
  auto info = WriteCheckpoint(options_.store->files.CheckpointFolder(options_.uid),
                              {.experiment_uid = options_.uid,
                               .outer_step = outer_step,
                               .spec_hash = options_.spec_hash,
                               .build = options_.build,
                               .sections = std::move(sections)});
  if (info.ok()) {
    options_.metrics->write_seconds.Observe(SecondsSince(start));
    options_.metrics->bytes.Set(static_cast<double>(info->size_bytes));
    options_.metrics->last.SetToCurrentTime();
  }
  if (info.ok() && options_.objects != nullptr) return Upload(*info);
  return info;
}

absl::StatusOr<std::vector<std::filesystem::path>> CheckpointKeeper::Last(
    uint32_t outer_step) const {
  const uint32_t every = std::max(1U, options_.every);
  std::vector<std::filesystem::path> files;
  for (uint32_t step = outer_step; step > 0 && files.size() < options_.averaged;
       step = (step - 1) / every * every) {
    auto file = options_.store->files.OpenCheckpoint(options_.uid, step, options_.cancel);
    std::error_code error;
    if (absl::IsNotFound(file.status()) ||
        (file.ok() && !std::filesystem::exists(*file, error) && !error)) {
      MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment,
                              options_.store->records.Get(options_.experiment));
      // A clone has the checkpoint that it began from, and what it made itself.
      const std::filesystem::path source = experiment.source_checkpoint();
      uint32_t first = 0;
      if (absl::SimpleAtoi(source.stem().string(), &first) && step < first) break;
      return absl::DataLossError(
          absl::StrCat("the checkpoint after outer update ", step, " is gone, and ",
                       "evaluation.averaged_checkpoints needs it; leave that setting out, or run ",
                       "the experiment again"));
    }
    MENTOR_RETURN_IF_ERROR(file.status());
    files.push_back(*std::move(file));
  }
  return files;
}

absl::Status CheckpointKeeper::Retain() {
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment,
                          options_.store->records.Get(options_.experiment));
  const v1::Retention& wanted = experiment.retention();
  CheckpointRetention retention{
      .keep_last = wanted.keep_last() > 0 ? wanted.keep_last() : options_.keep_last,
      .keep_every = wanted.keep_every()};
  if (retention.keep_last == 0) return absl::OkStatus();
  retention.keep_last = std::max(retention.keep_last, options_.averaged);
  const std::filesystem::path folder = options_.store->files.CheckpointFolder(options_.uid);
  MENTOR_RETURN_IF_ERROR(options_.store->Leads());
  MENTOR_ASSIGN_OR_RETURN(const std::vector<uint32_t> here, ListCheckpoints(folder));
  std::set<uint32_t> all(here.begin(), here.end());
  if (options_.objects != nullptr) {
    // The folder holds some of the bucket's checkpoints, and maybe one more.
    const std::vector<uint32_t> there = options_.objects->Steps();
    all.insert(there.begin(), there.end());
  }
  std::vector<uint32_t> dropped = DroppedCheckpoints({all.begin(), all.end()}, retention);
  if (!dropped.empty()) {
    // The rows go first, unless a user pinned them: a later pin finds no row.
    MENTOR_ASSIGN_OR_RETURN(dropped,
                            options_.store->results.ReleaseCheckpoints(options_.uid, dropped));
  }
  for (const uint32_t step : dropped) {
    if (options_.objects != nullptr) {
      if (const absl::Status gone = options_.objects->DropCheckpoint(step); !gone.ok()) {
        // The next retention tries again; nothing waits for it.
        MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning,
                         "a checkpoint could not be removed from the bucket yet",
                         {{"experiment", options_.experiment}, {"step", step}, {"why", gone}});
      }
    }
    MENTOR_RETURN_IF_ERROR(RemoveCheckpoint(folder, step));
  }
  return UpdateIndex({});
}

absl::Status CheckpointKeeper::UpdateIndex(const std::vector<CheckpointInfo>& infos) {
  std::vector<uint32_t> steps;
  if (options_.objects != nullptr) {
    steps = options_.objects->Steps();
  } else {
    MENTOR_ASSIGN_OR_RETURN(steps,
                            ListCheckpoints(options_.store->files.CheckpointFolder(options_.uid)));
  }
  return options_.store->results.ReconcileCheckpoints(options_.uid, steps, infos);
}

}  // namespace mentor::meta_learner
