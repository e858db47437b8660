// The bundles of a run: folders of the command line become names in its spec, and what it names is
// kept in its folder, so that it goes on, and is evaluated, without them.
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

// Puts the names of the folders (--bundle) where environments lack one, and names in the place of
// paths that stand in the option (beside the spec's file, else from the working folder). From then
// on FindBundle finds all of them; what a folder has that no bundle holds is said on stderr. False:
// the spec names none. INVALID_ARGUMENT for a folder that
// is no bundle, or that no environment takes.
absl::StatusOr<bool> NameBundles(const std::vector<std::string>& folders,
                                 const std::filesystem::path& spec_file, v1::ExperimentSpec* spec);

// What a run has kept is found from now on.
void OfferRunBundles(const std::filesystem::path& state);

// Copies what the spec names, and FindBundle finds, into the run's folder, from where it is found
// from now on. Nothing when it names none.
absl::Status KeepRunBundles(const v1::ExperimentSpec& spec, const std::filesystem::path& state);

}  // namespace mentor
