// How experiments come to be: from a spec, or from a checkpoint of another one. Not for what
// happens to those that are there (changes.h). Owned by the service. Thread-safe: one mutex is held
// from the look at quotas to the row that uses them.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/mutex.h"
#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/control/service_options.h"
#include "meta_learner/store/bundle_shelf.h"

namespace mentor::meta_learner {

class ExperimentCreation {
 public:
  // The options outlive it.
  explicit ExperimentCreation(const ServiceOptions* options) : options_(*options) {}

  // `owner` is the caller's name.
  absl::StatusOr<v1::Experiment> Create(const v1::CreateExperimentRequest& request,
                                        const std::string& owner);
  // `cancel` interrupts the fetching of the checkpoint.
  absl::StatusOr<v1::Experiment> Clone(const v1::CloneExperimentRequest& request,
                                       const std::string& owner, const std::atomic<bool>* cancel);

 private:
  // RESOURCE_EXHAUSTED when queue, quota or disk have no room for one more.
  absl::Status CheckRoom(const std::string& owner);

  // INVALID_ARGUMENT when no learner that is connected could hold a shard of it. Fields are named
  // behind `prefix`.
  absl::Status CheckFleet(const v1::ExperimentSpec& spec, const std::string& prefix);
  // Null for a spec without bundles. FAILED_PRECONDITION when it names one that is not here.
  absl::StatusOr<std::unique_ptr<BundleShelf::Turn>> HoldBundles(const v1::ExperimentSpec& spec);
  // Its row, or the answer that its request_id has had; where it does not fit: why.
  absl::StatusOr<v1::Experiment> Submit(const NewExperiment& submitted, const absl::Status& fits);

  const ServiceOptions& options_;
  Mutex mutex_;  // Held from a look at quotas to the row that uses them.
};

}  // namespace mentor::meta_learner
