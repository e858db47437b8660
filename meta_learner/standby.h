// A meta-learner that stands by for the one that leads on the same PostgreSQL database: it answers
// reads, tells everybody else who leads, and takes the lease when it comes free. One thread of its
// own; the rest is for the main thread.
//
//   auto standby = std::make_unique<Standby>(options, metrics);
//   ...until standby->over()...
//   auto store = standby->Take();  // This one leads.
//   ...make the meta-learner...; standby.reset();  // Then listen at its address.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "common/mutex.h"
#include "common/rpc/server.h"
#include "meta_learner/control/bundle_service.h"
#include "meta_learner/control/experiment_service.h"
#include "meta_learner/store/lease.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

class Standby {
 public:
  struct Options {
    // With what the leader's store will be opened.
    StoreOptions store;
    ExperimentService::Options control;
    rpc::ServerOptions server;
    // Called when it listens, once.
    std::function<void(const std::string& address)> on_listening;
  };
  Standby(Options options, Metrics* metrics);
  ~Standby();  // Listens no more.

  // The lease is this process's now, or it never will be: Take.
  bool over() const { return over_; }
  // It sees the database, and would take over.
  bool available() const { return available_; }
  // After over, once: the store for writing, or why there will be none. It still listens, until it
  // goes: whoever calls meanwhile tries again.
  absl::StatusOr<std::unique_ptr<ExperimentStore>> Take();
  // Where it listens, or did; as the flag had it before.
  std::string address();

 private:
  class Refusal;

  void Run(const std::stop_token& stop);
  // One look at the lease. True: it is over.
  bool Look();
  // Reads can be answered from now on, if the database has what they need.
  absl::Status Serve();
  absl::Status WhoLeads();

  // Fixed after construction.
  const Options options_;
  Metrics* const metrics_;
  std::atomic<bool> over_ = false, available_ = false;
  // Of the thread until it is over.
  LeaseWatch watch_;
  absl::StatusOr<std::unique_ptr<ExperimentStore>> taken_;
  std::chrono::steady_clock::time_point not_before_;  // The next attempt to lead.
  std::unique_ptr<ExperimentStore> reading_;
  std::unique_ptr<ExperimentService> experiments_;
  std::unique_ptr<BundleService> bundles_;
  std::unique_ptr<Refusal> refusal_;
  std::unique_ptr<rpc::Server> server_;
  // Guarded by mutex_.
  Mutex mutex_;
  std::string leader_ ABSL_GUARDED_BY(mutex_);
  std::string listening_ ABSL_GUARDED_BY(mutex_);
  // Last, so that it stops first.
  std::jthread thread_;
};

}  // namespace mentor::meta_learner
