// Locates bundles on the disk for the parts of this process that need them. Environments ask by
// name. The owner of the process chooses where bundles are found: in a cache that fetches missing
// ones, on a shelf, or in a folder from the command line. See bundle.h for the bundles themselves.
// Thread-safe.
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

// A verified bundle whose files stay while this object exists.
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

// Finds a bundle by digest. May take as long as a fetch; several threads may call it at a time.
using BundleFinder =
    std::function<absl::StatusOr<std::shared_ptr<const HeldBundle>>(const std::string& digest)>;

// Sets how FindBundle works from now on; with an empty finder it finds nothing. The previous finder
// may still be running.
void SetBundleFinder(BundleFinder finder);

// Adds a finder that is asked first; the previous one finds what it does not.
void AddBundleFinder(BundleFinder finder);

// Finds a bundle by name, "sha256:HEX". INVALID_ARGUMENT if that is not a bundle's name;
// FAILED_PRECONDITION in a process without bundles; else the finder's error.
absl::StatusOr<std::shared_ptr<const HeldBundle>> FindBundle(std::string_view name);

// Adds the bundle of one folder, as it is now; the previous finder, if any, finds the others. The
// folder is not locked: changing it while it is in use changes results. `left_out` is as in
// ReadBundle.
absl::StatusOr<BundleManifest> OfferFolder(const std::filesystem::path& folder,
                                           std::vector<std::string>* left_out = nullptr);

// Adds the bundles in FOLDER/HEX, verified each time one is opened anew. The previous finder finds
// the others, and replaces damaged ones.
void OfferBundlesIn(const std::filesystem::path& folder);

}  // namespace mentor
