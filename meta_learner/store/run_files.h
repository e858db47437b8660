// The files of experiments in the state folder, and the bucket with their durable copies where
// there is one (experiment_objects.h). Its files are copied into the folder when needed. Part of a
// Store (store.h). Thread-safe.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/mutex.h"
#include "meta_learner/objects/object_store.h"

namespace mentor::meta_learner {

struct StoreDatabase;

class RunFiles {
 public:
  RunFiles(StoreDatabase* database, std::filesystem::path folder,
           std::shared_ptr<ObjectStore> objects)
      : database_(database), folder_(std::move(folder)), objects_(std::move(objects)) {}

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path ExperimentFolder(std::string_view uid) const {
    return folder_ / "experiments" / std::string(uid);
  }
  std::filesystem::path CheckpointFolder(std::string_view uid) const {
    return ExperimentFolder(uid) / "checkpoints";
  }
  // Makes the folders and writes the specs of an experiment that is about to run.
  absl::Status PrepareFolder(std::string_view uid);
  // See Store::Leads. Check before a change of files; transactions check on their own.
  absl::Status Leads();

  // Returns null if there is no bucket and all files are in the folder.
  ObjectStore* objects() const { return objects_.get(); }
  // Returns the path of a checkpoint's file; fetches it if the folder lacks it. Returns NOT_FOUND,
  // or DATA_LOSS when the checkpoint is not whole.
  absl::StatusOr<std::filesystem::path> OpenCheckpoint(std::string_view uid, uint32_t step,
                                                       const std::atomic<bool>* cancel = nullptr);
  // The same for another file, by its path in the experiment's folder. `again`: fetches the
  // bucket's file even if the folder has one.
  absl::StatusOr<std::filesystem::path> OpenFile(std::string_view uid, const std::string& name,
                                                 const std::atomic<bool>* cancel = nullptr,
                                                 bool again = false);

 private:
  // Fetches a file unless it exists; waits for a running fetch of the same file.
  absl::StatusOr<std::filesystem::path> FetchOnce(const std::filesystem::path& path, bool again,
                                                  const std::atomic<bool>* cancel,
                                                  const std::function<absl::Status()>& fetch);

  StoreDatabase* const database_;
  const std::filesystem::path folder_;
  const std::shared_ptr<ObjectStore> objects_;
  Mutex fetch_mutex_;
  CondVar fetched_;
  std::set<std::filesystem::path> fetching_ ABSL_GUARDED_BY(fetch_mutex_);
};

}  // namespace mentor::meta_learner
