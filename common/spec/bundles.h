// The bundles that a spec names: values of the option `bundle` of its environments. Pure functions;
// threads may share.
#pragma once

#include <functional>
#include <set>
#include <string>

#include <absl/status/status.h>

#include "mentor/v1/spec.pb.h"

namespace mentor {

inline constexpr char kBundleOption[] = "bundle";

// Digests. What is no bundle's name is left out: the check of the spec refuses it.
std::set<std::string> BundlesOf(const v1::ExperimentSpec& spec);

// Gives every value of the option to `edit`, which may put another one in its place; the first
// error ends it.
absl::Status EditBundles(v1::ExperimentSpec* spec,
                         const std::function<absl::Status(std::string* value)>& edit);

}  // namespace mentor
