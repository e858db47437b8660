// Whether this process leads, stands by, or has lost the database and must stop. For the main
// thread, which owns it; the database is lost from any thread.
//
//   Leadership leadership({.store = ..., .standby = true, .control = ...}, metrics);
//   auto store = leadership.Open(process, &server_options);  // May take days.
//   ...make the meta-learner...; leadership.EndStandby();    // Then listen.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "common/process/process.h"
#include "common/rpc/server.h"
#include "meta_learner/control/experiment_service.h"
#include "meta_learner/standby.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

class Leadership {
 public:
  struct Options {
    StoreOptions store;  // Leadership sets on_lost and try_only.
    bool standby = false;
    ExperimentService::Options control = {};  // For the calls that a standby answers.
  };
  Leadership(Options options, Metrics* metrics);

  // Returns the store for writing, at once or after standing by; null if the process was stopped
  // meanwhile. After a standby, sets the server's address to that of the standby.
  absl::StatusOr<std::unique_ptr<Store>> Open(Process* process, rpc::ServerOptions* server);
  // Frees the port for the meta-learner. Call when the meta-learner is made, so that callers hardly
  // notice.
  void EndStandby() { standby_.reset(); }
  // Prints the listening address once, for scripts.
  void SayAddress(const std::string& address);
  // Returns true if this process leads now.
  bool Look(Store* store);
  // From now on, a lost database needs no stop request.
  void Stopping() { stopping_ = true; }
  bool lost() const { return lost_; }

 private:
  // Waits for an unavailable database, as a running process does. Returns the signal that stopped
  // it, or 0.
  int WaitForDatabase(Process* process, absl::StatusOr<std::unique_ptr<Store>>* store);

  Options options_;
  Metrics* const metrics_;
  prometheus::Gauge& leader_;
  prometheus::Counter& takeovers_;
  std::atomic<bool> lost_ = false, stopping_ = false;
  bool said_ = false;
  std::unique_ptr<Standby> standby_;  // Null when it leads at once.
};

}  // namespace mentor::meta_learner
