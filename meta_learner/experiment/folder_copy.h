// The files of an experiment besides checkpoints (description, arithmetic, evaluations), in its
// folder and in the bucket. Does nothing without a bucket. Not thread-safe.
#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <string>

#include <absl/status/status.h>

#include "meta_learner/store/experiment_objects.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

class FolderCopy {
 public:
  // The arguments outlive it; `objects` may be null.
  FolderCopy(RunFiles* files, std::string uid, ExperimentObjects* objects,
             const std::atomic<bool>* cancel);

  // Call it before the folder is used. Fetches files that only the bucket has, uploads evaluations
  // that only the folder has, and removes leftovers of interrupted uploads. The bucket's arithmetic
  // counts where it has results.
  absl::Status BringBack();
  // Uploads changed small files. Call it before results that depend on them are kept.
  absl::Status Keep();
  // Uploads a written file.
  absl::Status KeepResult(const std::filesystem::path& file);

 private:
  RunFiles* const files_;
  const std::string uid_;
  ExperimentObjects* const objects_;
  const std::atomic<bool>* const cancel_;
  const std::filesystem::path folder_;
  std::map<std::string, std::string> kept_;  // Contents in the bucket, by name.
};

}  // namespace mentor::meta_learner
