// Calls that delete an experiment with force while it is at work: the answer follows when it is
// gone. Not for the deletion itself (changes.h, and the scheduler). Owned by the service.
// Thread-safe.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <grpcpp/support/server_callback.h>

#include "common/mutex.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

class PendingDeletes {
 public:
  explicit PendingDeletes(ExperimentStore* store) : store_(store) {}

  // Takes the call over. False after Stop: the caller answers it.
  bool Add(grpc::ServerUnaryReactor* reactor, const v1::Experiment& experiment);
  // Answers those whose experiment is gone. After each change of the store.
  void Look();
  // Answers all others with this.
  void Stop(const absl::Status& status);

 private:
  struct Pending {
    grpc::ServerUnaryReactor* reactor;
    std::string name, uid;
  };

  ExperimentStore* const store_;
  // Guarded by mutex_.
  Mutex mutex_;
  std::vector<Pending> pending_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace mentor::meta_learner
