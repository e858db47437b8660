#include "meta_learner/experiment/experiment_runner.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/bundle.h"
#include "common/bundle_finder.h"
#include "common/check.h"
#include "common/pause_point.h"
#include "common/spec/named_bundles.h"
#include "common/spec/spec.h"
#include "envs/mjcf/plan.h"
#include "meta_learner/experiment/session.h"

namespace mentor::meta_learner {
namespace {

// Compiles the spec's bundles. The plans stay in memory as long as the caller holds them.
// UNAVAILABLE where a later try may succeed: a bucket that does not answer, damaged or missing
// files, no time or memory for the compiler. Bundles with mistakes are left out; making the parts
// finds them.
absl::StatusOr<std::vector<std::shared_ptr<const envs::mjcf::Plan>>> HoldBundles(
    const v1::ExperimentSpec& spec) {
  std::vector<std::shared_ptr<const envs::mjcf::Plan>> held;
  for (const std::string& digest : BundlesOf(spec)) {
    const auto bundle = FindBundle(BundleName(digest));
    if (absl::IsNotFound(bundle.status()) || absl::IsDataLoss(bundle.status()))
      return absl::UnavailableError(bundle.status().message());
    MENTOR_RETURN_IF_ERROR(bundle.status());
    auto plan = envs::mjcf::FindPlan(BundleName(digest));
    if (absl::IsUnavailable(plan.status())) return plan.status();
    if (plan.ok()) held.push_back(*std::move(plan));
  }
  return held;
}

}  // namespace

ExperimentRunner::ExperimentRunner(Options options)
    : options_(std::move(options)),
      metrics_(std::make_unique<ExperimentMetrics>(options_.metrics)),
      pool_(std::max(1, options_.num_threads)) {}

ExperimentRunner::~ExperimentRunner() = default;

absl::Status ExperimentRunner::Run(const v1::Experiment& experiment,
                                   const std::atomic<bool>& cancel) {
  const AskerScope asker({.owner = experiment.owner()});
  MENTOR_RETURN_IF_ERROR(options_.store->files.PrepareFolder(experiment.uid()));
  MENTOR_ASSIGN_OR_RETURN(const auto plans, HoldBundles(WithDefaults(experiment.spec())));
  return Session(options_, metrics_.get(), &pool_, experiment, cancel).Run();
}

}  // namespace mentor::meta_learner
