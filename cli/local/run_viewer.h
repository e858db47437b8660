// The control API over run folders, to look at them: `mentor web`. Every call that would change
// something is refused, and the folders stay as they are. One thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "common/rpc/server.h"
#include "common/temporary_folder.h"
#include "meta_learner/control/bundle_service.h"
#include "meta_learner/control/experiment_service.h"
#include "meta_learner/store/bundle_shelf.h"
#include "meta_learner/store/gathered_runs.h"
#include "meta_learner/store/store.h"

namespace mentor {

class RunViewer {
 public:
  // Each folder is a run, or holds runs; those that cannot be read are left out with a warning on
  // stderr if they were not named themselves. Listens on loopback, at a port of the system.
  static absl::StatusOr<std::unique_ptr<RunViewer>> Open(
      const std::vector<std::filesystem::path>& folders);
  ~RunViewer();

  const std::string& address() const { return server_->address(); }
  // Number of experiments.
  size_t size() const;
  // Takes over what other processes have written. Call it from time to time.
  absl::Status Look() { return runs_.Look(); }

 private:
  class Nothing;

  RunViewer(TemporaryFolder folder, std::unique_ptr<meta_learner::Store> store);
  absl::Status Add(const std::filesystem::path& folder);
  void KeepBundles();
  absl::Status Serve();

  // In order of dependency.
  const TemporaryFolder folder_;
  const std::unique_ptr<meta_learner::Store> store_;
  const std::unique_ptr<Metrics> metrics_ = Metrics::Create();
  meta_learner::GatheredRuns runs_;
  std::shared_ptr<meta_learner::BundleShelf> shelf_;  // Null without bundles.
  std::unique_ptr<Nothing> nothing_;
  std::unique_ptr<meta_learner::ExperimentService> experiments_;
  std::unique_ptr<meta_learner::BundleService> bundles_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace mentor
