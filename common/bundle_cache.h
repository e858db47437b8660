// Bundles on this machine's disk, by digest, within a bound: what was used longest ago goes, and
// what is in use stays. They are verified when they are opened, and written under another name
// first, so that a crash leaves none half. Processes may share a folder. Thread-safe.
//
//   CACHE/
//     HEX/...              a bundle; locked (shared) by whoever uses it
//     .HEX-XXXXXX/         one that is being written or removed; locked by who does
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

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
    uint64_t bytes_max = 2'000'000'000;  // Of the files of all bundles.
  };
  // Makes the folder, and removes what writers that ended left in it.
  static absl::StatusOr<std::unique_ptr<BundleCache>> Open(Options options);

  // NOT_FOUND when it is not there; also one that is damaged, which is removed.
  absl::StatusOr<std::shared_ptr<const HeldBundle>> Find(const std::string& digest);

  // What a bundle is made of, from elsewhere.
  struct Fetched {
    BundleManifest manifest;
    BundleSource source;
  };
  using Fetch = std::function<absl::StatusOr<Fetched>(const std::string& digest)>;
  // The same, and fetches it when it is not there; threads of this process that want the same one
  // wait for the first. RESOURCE_EXHAUSTED when it does not fit, with a delay for another try when
  // it is for what is in use; DATA_LOSS when what came is something else; else what `fetch` says.
  absl::StatusOr<std::shared_ptr<const HeldBundle>> FindOrFetch(const std::string& digest,
                                                                const Fetch& fetch);

  const Options& options() const { return options_; }

 private:
  explicit BundleCache(Options options) : options_(std::move(options)) {}

  // What one thread finds for all that wait for it.
  struct Search {
    bool done = false;
    absl::StatusOr<std::shared_ptr<const HeldBundle>> found;
  };
  absl::StatusOr<std::shared_ptr<const HeldBundle>> Look(const std::string& digest,
                                                         const Fetch& fetch) const;
  absl::StatusOr<std::shared_ptr<const HeldBundle>> OpenFolder(const std::string& digest) const;
  absl::Status Write(const std::string& digest, const Fetched& fetched) const;
  // Removes what was used longest ago until there is room for `bytes`.
  absl::Status MakeRoom(uint64_t bytes) const;

  const Options options_;
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, std::shared_ptr<Search>> searches_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::weak_ptr<const HeldBundle>> open_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor
