// Bundles on this machine's disk, by digest, up to a size limit. The least recently used bundle is
// removed first; bundles in use stay. Bundles are verified when they are opened, and written under
// another name first, so that a crash leaves no partial bundle. Processes may share a folder.
// Thread-safe.
//
//   CACHE/
//     HEX/...              a bundle; each user holds a shared lock
//     .HEX-XXXXXX/         a bundle being written or removed; locked exclusively
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/bundle.h"
#include "common/bundle_finder.h"
#include "common/mutex.h"

namespace mentor {

class BundleCache {
 public:
  struct Options {
    std::filesystem::path folder;
    uint64_t bytes_max = 2'000'000'000;  // Limit for the files of all bundles.
  };
  // Creates the folder, and removes the remains of interrupted writes.
  static absl::StatusOr<std::unique_ptr<BundleCache>> Open(Options options);

  // NOT_FOUND if the bundle is absent, or was damaged and has been removed.
  absl::StatusOr<std::shared_ptr<const HeldBundle>> Find(const std::string& digest);

  // A bundle's contents from elsewhere.
  struct Fetched {
    BundleManifest manifest;
    BundleSource source;
  };
  using Fetch = std::function<absl::StatusOr<Fetched>(const std::string& digest)>;
  // Like Find, but fetches a missing bundle; threads of this process that want the same bundle wait
  // for the first. RESOURCE_EXHAUSTED if the bundle does not fit, with a retry delay if bundles in
  // use take the space. DATA_LOSS if other contents arrive; else the error of `fetch`.
  absl::StatusOr<std::shared_ptr<const HeldBundle>> FindOrFetch(const std::string& digest,
                                                                const Fetch& fetch);

  const Options& options() const { return options_; }

 private:
  explicit BundleCache(Options options) : options_(std::move(options)) {}

  // A running search, shared by all threads that wait for its result.
  struct Search {
    bool done = false;
    absl::StatusOr<std::shared_ptr<const HeldBundle>> found;
  };
  absl::StatusOr<std::shared_ptr<const HeldBundle>> Look(const std::string& digest,
                                                         const Fetch& fetch) const;
  absl::StatusOr<std::shared_ptr<const HeldBundle>> OpenFolder(const std::string& digest) const;
  absl::Status Write(const std::string& digest, const Fetched& fetched) const;
  // Removes the least recently used bundles until there is room for `bytes`.
  absl::Status MakeRoom(uint64_t bytes) const;

  const Options options_;
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, std::shared_ptr<Search>> searches_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::weak_ptr<const HeldBundle>> open_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor
