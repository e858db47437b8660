#include "meta_learner/experiment/held_bundles.h"

#include <string>

#include "common/bundle.h"
#include "common/bundle_finder.h"
#include "common/check.h"
#include "common/spec/bundles.h"

namespace mentor::meta_learner {

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

}  // namespace mentor::meta_learner
