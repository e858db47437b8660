// Removes the objects of deleted experiments from the bucket, in its own thread. Retries while the
// bucket is unavailable, until all objects are gone. The database's list of deletions holds the
// remaining work, even after a crash.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/mutex.h"
#include "meta_learner/objects/object_store.h"

namespace mentor::meta_learner {

class ObjectDeletions {
 public:
  // Pending returns the UIDs to delete; Done reports a deleted one. Called from the thread.
  using Pending = std::function<absl::StatusOr<std::vector<std::string>>()>;
  using Done = std::function<absl::Status(const std::string& uid)>;
  // `store` must outlive this object. The thread begins with what is pending.
  ObjectDeletions(ObjectStore* store, Pending pending, Done done);
  ~ObjectDeletions();

  // Must be called when a deletion became pending.
  void Wake();

 private:
  void Work();
  absl::Status DeleteAll();

  // Fixed after construction.
  ObjectStore* const store_;
  const Pending pending_;
  const Done done_;
  std::atomic<bool> stopping_ = false;
  Mutex mutex_;
  CondVar changed_;
  bool wanted_ ABSL_GUARDED_BY(mutex_) = true;
  std::thread thread_;
};

}  // namespace mentor::meta_learner
