// Fetches files from the bucket when they are needed in the folder.
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>

#include <absl/strings/str_format.h>

#include "meta_learner/store/experiment_objects.h"
#include "meta_learner/store/sql_store.h"

namespace mentor::meta_learner {

absl::StatusOr<std::filesystem::path> SqlStore::FetchOnce(
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

absl::StatusOr<std::filesystem::path> SqlStore::OpenCheckpoint(std::string_view uid, uint32_t step,
                                                               const std::atomic<bool>* cancel) {
  const std::filesystem::path folder = CheckpointFolder(uid);
  const std::filesystem::path path = folder / CheckpointFileName(step);
  if (objects_ == nullptr) return path;
  return FetchOnce(path, /*again=*/false, cancel, [&] {
    return AsStorage(
        ExperimentObjects(objects_.get(), uid, cancel).FetchCheckpoint(step, folder).status());
  });
}

absl::StatusOr<std::filesystem::path> SqlStore::OpenFile(std::string_view uid,
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
