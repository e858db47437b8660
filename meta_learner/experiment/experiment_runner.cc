#include "meta_learner/experiment/experiment_runner.h"

#include <utility>

#include "meta_learner/experiment/session.h"

namespace mentor::meta_learner {

ExperimentRunner::ExperimentRunner(Options options)
    : options_(std::move(options)),
      metrics_(std::make_unique<ExperimentMetrics>(options_.metrics)) {}

ExperimentRunner::~ExperimentRunner() = default;

absl::Status ExperimentRunner::Run(const v1::Experiment& experiment,
                                   const std::atomic<bool>& cancel) {
  return Session(options_, metrics_.get(), experiment, cancel).Run();
}

}  // namespace mentor::meta_learner
