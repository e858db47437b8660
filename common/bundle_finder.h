// Where the parts of this process that need a bundle find it on the disk: environments ask by its
// name, and whoever owns the process has said how it is found (a cache that fetches what it lacks,
// a shelf, a folder of the command line). Not for what a bundle is (bundle.h). Thread-safe.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include "common/bundle.h"

namespace mentor {

// A verified bundle whose files stay while somebody has it.
class HeldBundle {
 public:
  HeldBundle(std::filesystem::path folder, BundleManifest manifest)
      : folder_(std::move(folder)), manifest_(std::move(manifest)) {}
  virtual ~HeldBundle() = default;
  HeldBundle(const HeldBundle&) = delete;
  HeldBundle& operator=(const HeldBundle&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  const BundleManifest& manifest() const { return manifest_; }

 private:
  const std::filesystem::path folder_;
  const BundleManifest manifest_;
};

// Of a digest. May take as long as fetching does; called from several threads at a time.
using BundleFinder =
    std::function<absl::StatusOr<std::shared_ptr<const HeldBundle>>(const std::string& digest)>;

// Says how FindBundle finds from now on; none: it does not. The one before may be at work still.
void SetBundleFinder(BundleFinder finder);

// Of a name, "sha256:HEX". INVALID_ARGUMENT when it is none; FAILED_PRECONDITION in a process that
// has no bundles; else what the finder says.
absl::StatusOr<std::shared_ptr<const HeldBundle>> FindBundle(std::string_view name);

// Finds the bundle of one folder, as it is now; others by the finder before, if there is one.
// Nobody locks the folder: whoever changes it while it is in use changes what happens. `left_out`
// as of ReadBundle.
absl::StatusOr<BundleManifest> OfferFolder(const std::filesystem::path& folder,
                                           std::vector<std::string>* left_out = nullptr);

// Finds what lies in FOLDER/HEX, verified each time that nobody has it; others, and damaged ones,
// by the finder before.
void OfferBundlesIn(const std::filesystem::path& folder);

}  // namespace mentor
