#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>

#include <absl/strings/str_format.h>

#include "common/spec/spec.h"
#include "common/status.h"
#include "meta_learner/store/experiment_objects.h"
#include "meta_learner/store/schema.h"
#include "meta_learner/store/sql_rows.h"
#include "meta_learner/store/state_folder.h"
#include "meta_learner/store/store.h"
#include "meta_learner/store/store_database.h"

namespace mentor::meta_learner {

absl::Status RunFiles::Leads() {
  return database_->Leads();
}

absl::Status RunFiles::PrepareFolder(std::string_view uid) {
  // A former leader that wakes up still reads the new leader's experiments. It must not touch their
  // files.
  MENTOR_RETURN_IF_ERROR(Leads());
  sql::RowSpecs specs;
  {
    const MutexLock lock(database_->reader_mutex);
    auto row = database_->reader->Query(sql::Select("experiments", "WHERE uid = ?"), uid);
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return sql::NoSuchExperiment(uid);
    MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, sql::ExperimentOf(row));
    specs = sql::SpecsOf(row);
    if (const std::string hash = SpecHash(experiment.spec()); hash != specs.hash) {
      return MakeError(
          Reason::kDataLoss,
          absl::StrFormat("%s: its spec has the hash %s here, and had %s when it was created; "
                          "go on with the build that created it, or clone it",
                          experiment.name(), hash, specs.hash));
    }
  }
  return PrepareExperimentFolder(ExperimentFolder(uid), specs.submitted, specs.merged);
}

absl::StatusOr<std::filesystem::path> RunFiles::FetchOnce(
    const std::filesystem::path& path, bool again, const std::atomic<bool>* cancel,
    const std::function<absl::Status()>& fetch) {
  // How often a call that waits for another call's fetch checks its cancel flag.
  constexpr auto kLookEvery = std::chrono::milliseconds(100);
  {
    MutexLock lock(fetch_mutex_);
    while (fetching_.contains(path)) {
      if (cancel != nullptr && *cancel) return absl::CancelledError("interrupted");
      fetched_.WaitFor(lock, kLookEvery);
    }
    std::error_code error;
    if (!again && std::filesystem::exists(path, error)) return path;
    fetching_.insert(path);
  }
  const absl::Status status = fetch();
  {
    const MutexLock lock(fetch_mutex_);
    fetching_.erase(path);
    fetched_.NotifyAll();
  }
  if (!status.ok()) return status;
  return path;
}

absl::StatusOr<std::filesystem::path> RunFiles::OpenCheckpoint(std::string_view uid, uint32_t step,
                                                               const std::atomic<bool>* cancel) {
  const std::filesystem::path folder = CheckpointFolder(uid);
  const std::filesystem::path path = folder / CheckpointFileName(step);
  if (objects_ == nullptr) return path;
  return FetchOnce(path, /*again=*/false, cancel, [&] {
    return AsStorage(
        ExperimentObjects(objects_.get(), uid, cancel).FetchCheckpoint(step, folder).status());
  });
}

absl::StatusOr<std::filesystem::path> RunFiles::OpenFile(std::string_view uid,
                                                         const std::string& name,
                                                         const std::atomic<bool>* cancel,
                                                         bool again) {
  const std::filesystem::path folder = ExperimentFolder(uid);
  if (objects_ == nullptr) return folder / name;
  return FetchOnce(folder / name, again, cancel, [&] {
    return AsStorage(ExperimentObjects(objects_.get(), uid, cancel).FetchFile(name, folder));
  });
}

}  // namespace mentor::meta_learner
