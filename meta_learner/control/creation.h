// Creates experiments from a spec, or from a checkpoint of another experiment. Changes of existing
// experiments are in methods.h. Owned by the service. Thread-safe: one mutex is held from the check
// of quotas until the new row is written.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/mutex.h"
#include "common/spec/spec.h"
#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/control/service_options.h"
#include "meta_learner/store/bundle_shelf.h"

namespace mentor::meta_learner {

class ExperimentCreation {
 public:
  // `options` must outlive this object.
  explicit ExperimentCreation(const ServiceOptions* options) : options_(*options) {}

  // `owner` is the caller's name.
  absl::StatusOr<v1::Experiment> Create(const v1::CreateExperimentRequest& request,
                                        const std::string& owner);
  // `cancel` interrupts the fetch of the checkpoint.
  absl::StatusOr<v1::Experiment> Clone(const v1::CloneExperimentRequest& request,
                                       const std::string& owner, const std::atomic<bool>* cancel);

 private:
  // Returns RESOURCE_EXHAUSTED when queue, quota or disk have no room for one more experiment.
  absl::Status CheckRoom(const std::string& owner);

  // Returns INVALID_ARGUMENT when no connected learner could hold a shard of the spec, which
  // has its defaults. `prefix` goes before the names of fields.
  absl::Status CheckFleet(const v1::ExperimentSpec& spec, const std::string& prefix);
  // Returns null for a spec without bundles, and FAILED_PRECONDITION when a bundle is missing.
  absl::StatusOr<std::unique_ptr<BundleShelf::Turn>> HoldBundles(const v1::ExperimentSpec& spec);
  // Returns the new row, or the earlier answer to its request_id. `fits` is the error to return if
  // no learner can hold the experiment.
  absl::StatusOr<v1::Experiment> Submit(const NewExperiment& submitted, const absl::Status& fits);

  const ServiceOptions& options_;
  const PartsCheck check_parts_ = [this](const v1::ExperimentSpec& spec, Violations* violations) {
    options_.specs->Check(spec, violations);
  };
  Mutex mutex_;  // Held from the check of quotas until the row is written.
};

}  // namespace mentor::meta_learner
