// The bundles that a spec names: values of the option `bundle` of its environments,
// wrappers and rule. Pure functions; threads may share.
#pragma once

#include <functional>
#include <set>
#include <string>

#include <absl/status/status.h>

#include "mentor/v1/spec.pb.h"

namespace mentor {

inline constexpr char kBundleOption[] = "bundle";

// Returns digests. Invalid names are left out, since the check of the spec refuses them.
std::set<std::string> BundlesOf(const v1::ExperimentSpec& spec);

// Passes each value of the option to `edit`, which may replace it. Stops at the first error.
absl::Status EditBundles(v1::ExperimentSpec* spec,
                         const std::function<absl::Status(std::string* value)>& edit);

}  // namespace mentor
