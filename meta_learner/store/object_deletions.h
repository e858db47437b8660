// Removes from the bucket what deleted experiments have there, in a thread of its own: a bucket
// that is away is tried again until all is gone. The database's list of deletions says what is left
// to do, also after a crash.
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
  // UIDs that are to go; and one that is gone. Called from the thread.
  using Pending = std::function<absl::StatusOr<std::vector<std::string>>()>;
  using Done = std::function<absl::Status(const std::string& uid)>;
  // `store` outlives it. Begins with what is pending.
  ObjectDeletions(ObjectStore* store, Pending pending, Done done);
  ~ObjectDeletions();

  // Something became pending.
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
