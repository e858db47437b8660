// The files of an experiment besides checkpoints (what it is, which arithmetic it keeps to, what
// was evaluated), in its folder and in the bucket. Without a bucket there is nothing to do. Not
// thread-safe.
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
  // They outlive it; `objects` may be null.
  FolderCopy(ExperimentStore* store, std::string uid, ExperimentObjects* objects,
             const std::atomic<bool>* cancel);

  // Before anything in the folder is used: looks at the bucket, brings what only it has, gives it
  // the evaluations that only the folder has, and removes leftovers of interrupted uploads. The
  // arithmetic is the bucket's where it has results.
  absl::Status BringBack();
  // What changed in the small files: before results that depend on them are kept.
  absl::Status Keep();
  // A file that was written, by its path.
  absl::Status KeepResult(const std::filesystem::path& file);

 private:
  ExperimentStore* const store_;
  const std::string uid_;
  ExperimentObjects* const objects_;
  const std::atomic<bool>* const cancel_;
  const std::filesystem::path folder_;
  std::map<std::string, std::string> kept_;  // Contents in the bucket, by name.
};

}  // namespace mentor::meta_learner
