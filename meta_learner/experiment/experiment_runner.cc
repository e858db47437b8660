#include "meta_learner/experiment/experiment_runner.h"

#include <algorithm>
#include <utility>

#include "common/asker.h"
#include "meta_learner/experiment/session.h"

namespace mentor::meta_learner {

ExperimentRunner::ExperimentRunner(Options options)
    : options_(std::move(options)),
      metrics_(std::make_unique<ExperimentMetrics>(options_.metrics)),
      pool_(std::max(1, options_.num_threads)) {}

ExperimentRunner::~ExperimentRunner() = default;

absl::Status ExperimentRunner::Run(const v1::Experiment& experiment,
                                   const std::atomic<bool>& cancel) {
  const AskerScope asker({.owner = experiment.owner()});
  return Session(options_, metrics_.get(), &pool_, experiment, cancel).Run();
}

}  // namespace mentor::meta_learner
