// Whether this process leads, stands by, or has lost the database and must stop. For the main
// thread, which owns it; the database is lost from any thread.
//
//   Leadership leadership({.store = ..., .standby = true, .control = ...}, metrics);
//   auto store = leadership.Open(process, &server_options);  // May take days.
//   ...make the meta-learner...; leadership.EndStandby();    // Then listen.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "common/mutex.h"
#include "common/process/process.h"
#include "common/rpc/server.h"
#include "meta_learner/control/bundle_service.h"
#include "meta_learner/control/experiment_service.h"
#include "meta_learner/store/lease.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// A standby for the leading meta-learner on the same PostgreSQL database. It answers reads, refuses
// other calls with the leader's address, and takes the lease when the lease is free. Has its own
// thread; only the main thread may call the public functions.
//
//   auto standby = std::make_unique<Standby>(options, metrics);
//   ...until standby->over()...
//   auto store = standby->Take();  // This process leads.
//   ...make the meta-learner...; standby.reset();  // Then listen at its address.
class Standby {
 public:
  struct Options {
    // Options to open the leader's store.
    StoreOptions store;
    ExperimentService::Options control;
    rpc::ServerOptions server;
    // Called once, when the server listens.
    std::function<void(const std::string& address)> on_listening;
  };
  Standby(Options options, Metrics* metrics);
  ~Standby();  // Stops listening.

  // True once this process has the lease, or can never have it. Then call Take.
  bool over() const { return over_; }
  // True if it can read the database and would take over.
  bool available() const { return available_; }
  // Must be called once, after over(). Returns the store for writing, or the error. The standby
  // still listens until its destruction; callers in the meantime retry.
  absl::StatusOr<std::unique_ptr<Store>> Take();
  // Returns the listening address; before listening, the address of the options.
  std::string address();

 private:
  class Refusal;

  void Run(const std::stop_token& stop);
  // Checks the lease once. Returns true if the standby is over.
  bool Look();
  // Starts to answer reads, if the database has a readable schema.
  absl::Status Serve();
  absl::Status WhoLeads();

  // Fixed after construction.
  const Options options_;
  Metrics* const metrics_;
  std::atomic<bool> over_ = false, available_ = false;
  // Used only by the thread until over_.
  LeaseWatch watch_;
  absl::StatusOr<std::unique_ptr<Store>> taken_;
  std::chrono::steady_clock::time_point not_before_;  // Time of the next attempt to lead.
  std::unique_ptr<Store> reading_;
  std::unique_ptr<ExperimentService> experiments_;
  std::unique_ptr<BundleService> bundles_;
  std::unique_ptr<Refusal> refusal_;
  std::unique_ptr<rpc::Server> server_;
  // Guarded by mutex_.
  Mutex mutex_;
  std::string leader_ ABSL_GUARDED_BY(mutex_);
  std::string listening_ ABSL_GUARDED_BY(mutex_);
  // Last member, so that it stops first.
  std::jthread thread_;
};

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
