// The bundles of a meta-learner's state, by digest: pushes that may break off and go on, what is
// whole, and where FindBundle finds it. With a bucket, that has the durable copies, as of
// checkpoints. Not for who may push or remove what (control/bundle_service.h). Thread-safe; the
// folder belongs to one process.
//
//   STATE/bundles/
//     HEX/...             the files
//     HEX.txtpb           v1.Bundle: files, owner, time; written last: without it there is none
//     uploads/HEX.txtpb   what is being pushed: files, owner
//     uploads/HEX.part    its bytes so far
//   BUCKET/bundles/
//     HEX/0000, HEX/0001  the bytes in runs of 64 MiB
//     HEX/about           as HEX.txtpb; written last
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/bundle.h"
#include "common/bundle_finder.h"
#include "common/mutex.h"
#include "mentor/v1/bundle.pb.h"
#include "meta_learner/objects/object_store.h"

namespace mentor::meta_learner {

// In the state folder.
inline constexpr std::string_view kBundlesFolder = "bundles";

class BundleShelf {
 public:
  struct Options {
    std::filesystem::path folder;    // STATE/bundles.
    ObjectStore* objects = nullptr;  // Outlives it; null: the folder has the only copies.
    // Bytes of one owner's bundles, what is being pushed among them; 0: no limit.
    uint64_t owner_bytes_max = 0;
  };
  // Removes what was left by a crash, and pushes that nobody went on with for a day.
  static absl::StatusOr<std::unique_ptr<BundleShelf>> Open(Options options);

  // How far a push is.
  struct Standing {
    uint64_t next_offset = 0;
    uint64_t size_bytes = 0;
    bool complete = false;
  };
  // INVALID_ARGUMENT for a list that is no bundle, RESOURCE_EXHAUSTED QUOTA_EXCEEDED beyond the
  // owner's limit. Complete only when its files can be had: one that is damaged is pushed again.
  absl::StatusOr<Standing> Begin(const BundleManifest& manifest, const std::string& owner);
  // FAILED_PRECONDITION when nobody began, OUT_OF_RANGE when bytes before the offset are missing,
  // INVALID_ARGUMENT for more bytes than the files have, DATA_LOSS when the last one is there and
  // they are not what the list says: then it begins anew.
  absl::StatusOr<Standing> Add(const std::string& digest, uint64_t offset, std::string_view data);
  // All of it, from a folder of this machine.
  absl::StatusOr<BundleManifest> AddFolder(const std::filesystem::path& folder,
                                           const std::string& owner);
  // The same from elsewhere.
  absl::Status AddAll(const BundleManifest& manifest, const BundleSource& source,
                      const std::string& owner);

  // NOT_FOUND.
  absl::StatusOr<v1::Bundle> Get(const std::string& digest);
  // Also one that is being pushed.
  absl::StatusOr<v1::Bundle> GetAny(const std::string& digest);
  // By name, without their files.
  absl::StatusOr<std::vector<v1::Bundle>> List();
  // OK also when there is none; ends a push of it. Whoever holds it loses the files.
  absl::Status Delete(const std::string& digest);

  // Verified. NOT_FOUND; DATA_LOSS when the files are not what was pushed.
  absl::StatusOr<std::shared_ptr<const HeldBundle>> Find(const std::string& digest);
  // FAILED_PRECONDITION BUNDLE_MISSING names those that are not here, and the remedy.
  absl::Status Check(const std::set<std::string>& digests);

  // Held from a look at who names a bundle, or at whether it is there, to the change that relies
  // on it. Before any other lock.
  Mutex& naming() { return naming_; }

 private:
  explicit BundleShelf(Options options) : options_(std::move(options)) {}

  std::filesystem::path FolderOf(const std::string& digest) const;
  std::filesystem::path AboutOf(const std::string& digest) const;
  std::filesystem::path UploadOf(const std::string& digest, std::string_view kind) const;
  // Removes what a crash left, and old pushes.
  absl::Status Sweep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckQuota(const BundleManifest& manifest, const std::string& owner)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Standing> StandingOf(const v1::Bundle& upload, const std::string& digest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Standing> Finish(v1::Bundle upload, const std::string& digest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveUpload(const std::string& digest) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status WriteFiles(const BundleManifest& manifest, const BundleSource& source)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status PutObjects(const BundleManifest& manifest, const std::string& about)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status FetchObjects(const BundleManifest& manifest) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<v1::Bundle> ReadAboutLocked(const std::string& digest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status MakeDurable(const v1::Bundle& about, const std::string& digest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::shared_ptr<const HeldBundle>> FindLocked(const std::string& digest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::vector<std::string>> DigestsLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  Mutex naming_;
  Mutex mutex_ ABSL_ACQUIRED_AFTER(naming_);
  // Known to be in the bucket.
  std::set<std::string> durable_ ABSL_GUARDED_BY(mutex_);
  // Verified before, and in use.
  std::map<std::string, std::weak_ptr<const HeldBundle>> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::meta_learner
