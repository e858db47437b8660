// Holds calls that delete a running experiment by force; each is answered when its experiment is
// gone. changes.h and the scheduler do the deletion itself. Owned by the service. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <grpcpp/support/server_callback.h>

#include "common/mutex.h"
#include "meta_learner/store/records.h"

namespace mentor::meta_learner {

class PendingDeletes {
 public:
  explicit PendingDeletes(Records* records) : records_(records) {}

  // Takes over the call. Returns false after Stop: the caller must answer it.
  bool Add(grpc::ServerUnaryReactor* reactor, const v1::Experiment& experiment);
  // Answers the calls whose experiment is gone. Must be called after each change of the store.
  void Look();
  // Answers all remaining calls with this status.
  void Stop(const absl::Status& status);

 private:
  struct Pending {
    grpc::ServerUnaryReactor* reactor;
    std::string name, uid;
  };

  Records* const records_;
  // Guarded by mutex_.
  Mutex mutex_;
  std::vector<Pending> pending_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace mentor::meta_learner
