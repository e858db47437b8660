// What users do to experiments that are there: settings, pause, resume, cancel, delete. The arrows
// between states are those of store/state.h; whoever runs the experiment is told to look and makes
// it so. Not for new experiments (creation.h). Threads may share: each change is one transaction of
// the store.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/control/service_options.h"

namespace mentor::meta_learner {

absl::StatusOr<v1::Experiment> UpdateExperiment(const ServiceOptions& options,
                                                const v1::UpdateExperimentRequest& request);
absl::StatusOr<v1::Experiment> PauseExperiment(const ServiceOptions& options,
                                               const v1::PauseExperimentRequest& request);
absl::StatusOr<v1::Experiment> ResumeExperiment(const ServiceOptions& options,
                                                const v1::ResumeExperimentRequest& request);
absl::StatusOr<v1::Experiment> CancelExperiment(const ServiceOptions& options,
                                                const v1::CancelExperimentRequest& request);
// OK: gone. UNAVAILABLE without a reason: on its way.
absl::Status DeleteExperiment(const ServiceOptions& options,
                              const v1::DeleteExperimentRequest& request);

}  // namespace mentor::meta_learner
