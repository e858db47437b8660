// The bundles of a run. Folders of the command line become bundle names in the spec. The run folder
// keeps copies, so that the run can resume and be evaluated without the original folders.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/spec.pb.h"
#include "meta_learner/store/bundle_shelf.h"

namespace mentor {

// Sets the bundle options of the spec. Environments without a bundle get the one of `folders`
// (--bundle). A path in an option becomes a name; it is relative to the spec's file, else to the
// working folder. FindBundle finds all these bundles from then on. Prints on stderr which files are
// left out. Returns false when the spec names no bundle. Returns INVALID_ARGUMENT for a folder that
// is no bundle, or that no environment takes.
absl::StatusOr<bool> NameBundles(const std::vector<std::string>& folders,
                                 const std::filesystem::path& spec_file, v1::ExperimentSpec* spec);

// Lets FindBundle find the bundles that a run has kept.
void OfferRunBundles(const std::filesystem::path& state);

// Copies the bundles of the spec into the run's folder, where FindBundle finds them from then on.
// Returns their shelf; null, and nothing is done, when the spec names none.
absl::StatusOr<std::shared_ptr<meta_learner::BundleShelf>> KeepRunBundles(
    const v1::ExperimentSpec& spec, const std::filesystem::path& state);

}  // namespace mentor
