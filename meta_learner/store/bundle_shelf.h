// Stores the bundles of a meta-learner's state, by digest. Pushes may break off and resume. With a
// bucket, the bucket has the durable copies, as for checkpoints. Work on a bundle requires its
// turn. Others wait for that bundle only, since a bucket may be slow. control/bundle_service.h
// decides which caller may push and remove a bundle. Thread-safe; the folder belongs to one
// process.
//
//   STATE/bundles/
//     HEX/...             the files
//     HEX.txtpb           v1.Bundle: files, owner, time; written last: marks a bundle
//     uploads/HEX.OWNER.txtpb   an unfinished push: files, owner; OWNER is a hash of the name
//     uploads/HEX.OWNER.part    its bytes so far
//   BUCKET/bundles/
//     HEX/0000, HEX/0001  the bytes in runs of 64 MiB
//     HEX/about           as HEX.txtpb; written last
#pragma once

#include <atomic>
#include <chrono>
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
#include "mentor/v1/bundle_service.pb.h"
#include "meta_learner/objects/object_store.h"

namespace mentor::meta_learner {

// Folder in the state folder.
inline constexpr std::string_view kBundlesFolder = "bundles";

class BundleShelf {
 public:
  struct Options {
    std::filesystem::path folder;  // STATE/bundles.
    // Must outlive the shelf; null: the folder has the only copies.
    ObjectStore* objects = nullptr;
    // Limit of BundleManifest::disk_bytes for one owner's bundles, including unfinished pushes; 0:
    // no limit.
    uint64_t owner_bytes_max = 0;
  };
  // Becomes true when no caller waits for the answer; the work then ends with CANCELLED. Null:
  // never.
  using Cancel = std::atomic<bool>;
  // Opens the shelf. Removes leftovers of a crash, and pushes without progress for a day.
  static absl::StatusOr<std::unique_ptr<BundleShelf>> Open(Options options);

  // Exclusive right to some bundles: no other thread pushes, repairs or removes them while the turn
  // lives. Hold it from a check of a bundle or its users until the change that relies on the check.
  // The constructor blocks. A thread with a turn must not wait for another one. Acquired before any
  // lock.
  class Turn {
   public:
    Turn(BundleShelf* shelf, std::set<std::string> digests);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    const std::set<std::string>& digests() const { return digests_; }

   private:
    friend class BundleShelf;
    struct IfFree {};
    // Does not wait: has no bundle if the bundle is busy.
    Turn(BundleShelf* shelf, const std::string& digest, IfFree);

    BundleShelf* const shelf_;
    std::set<std::string> digests_;
  };

  // Begins or resumes a push. Returns INVALID_ARGUMENT for an invalid list of files, and
  // RESOURCE_EXHAUSTED QUOTA_EXCEEDED beyond the owner's limit. A push is complete only if the
  // files are available: a damaged bundle is pushed again. Each owner's push has its own bytes; the
  // first complete push ends the others.
  absl::StatusOr<v1::PushBundleResponse> Begin(const BundleManifest& manifest,
                                               const std::string& owner,
                                               const Cancel* cancel = nullptr);
  // Adds bytes at an offset. Bytes that are already there do not change. Returns
  // FAILED_PRECONDITION when the owner did not begin, and OUT_OF_RANGE when bytes before the offset
  // are missing. Returns INVALID_ARGUMENT for more bytes than the files have. Returns DATA_LOSS
  // when all bytes are there but differ from the list: then the push must begin again.
  absl::StatusOr<v1::PushBundleResponse> Add(const std::string& digest, const std::string& owner,
                                             uint64_t offset, std::string_view data,
                                             const Cancel* cancel = nullptr);
  // Pushes a whole bundle from a folder on this machine.
  absl::StatusOr<BundleManifest> AddFolder(const std::filesystem::path& folder,
                                           const std::string& owner);
  // Pushes a whole bundle from any source.
  absl::Status AddAll(const BundleManifest& manifest, const BundleSource& source,
                      const std::string& owner);

  // Returns NOT_FOUND when there is no such bundle.
  absl::StatusOr<v1::Bundle> Get(const std::string& digest);
  // The same for the only bundle of a turn.
  absl::StatusOr<v1::Bundle> Get(const Turn& turn);
  // Returns the owners with an unfinished push of the turn's only bundle.
  absl::StatusOr<std::vector<std::string>> Pushers(const Turn& turn);
  void EndPush(const Turn& turn, const std::string& owner);
  // Returns all bundles by name, without their files.
  absl::StatusOr<std::vector<v1::Bundle>> List();
  // Deletes the turn's only bundle. Returns OK even if there is none. Unfinished pushes of it
  // continue. A HeldBundle of it loses its files.
  absl::Status Delete(const Turn& turn);

  // Returns the verified bundle. Returns NOT_FOUND, or DATA_LOSS when the files differ from what
  // was pushed.
  absl::StatusOr<std::shared_ptr<const HeldBundle>> Find(const std::string& digest);
  // Returns FAILED_PRECONDITION BUNDLE_MISSING, with names and remedy, if bundles of the turn are
  // missing.
  absl::Status Check(const Turn& turn);

  // From now on, calls that need the bucket return UNAVAILABLE, including running ones.
  void Stop();

 private:
  // The facts about a bundle that lists and quotas need.
  struct Known {
    v1::Bundle bundle;  // Without its files.
    uint64_t disk_bytes = 0;
  };

  explicit BundleShelf(Options options) : options_(std::move(options)) {}

  std::filesystem::path FolderOf(const std::string& digest) const;
  std::filesystem::path AboutOf(const std::string& digest) const;
  // Path of a file of the upload HEX.OWNER.
  std::filesystem::path UploadOf(const std::string& upload, std::string_view kind) const;
  // Returns what is known without waiting for the bundle's turn.
  absl::StatusOr<Known> Look(const std::string& digest);
  // Returns null if the bundle is not in use.
  std::shared_ptr<const HeldBundle> Held(const std::string& digest);
  // Converts the status of a bucket request into the status for callers.
  absl::Status OfBucket(const absl::Status& status) const;
  bool IsDurable(const std::string& digest);
  // True if the bucket was unavailable a moment ago.
  bool IsBucketAway();
  void SetBucketAway();
  void SetDurable(const std::string& digest);
  // Drops what is cached about the bundle.
  void Forget(const std::string& digest);
  // Returns an error when this process stops, or no caller waits.
  absl::Status GoesOn(const Cancel* cancel) const;
  // Removes old unfinished pushes.
  absl::Status RemoveOldUploads();
  absl::StatusOr<std::vector<std::string>> Digests();

  // The caller must have the turn of the bundle; for CheckQuota, that of the owner.
  absl::Status CheckQuota(const BundleManifest& manifest, const std::string& owner);
  absl::StatusOr<v1::PushBundleResponse> Finish(v1::Bundle bundle, const std::string& digest,
                                                const std::string& upload, const Cancel* cancel);
  absl::StatusOr<std::vector<std::string>> UploadsOf(const std::string& digest) const;
  void RemoveUpload(const std::string& upload);
  absl::Status WriteFiles(const BundleManifest& manifest, const BundleSource& source,
                          const Cancel* cancel);
  absl::Status PutObjects(const BundleManifest& manifest, const std::string& about,
                          const Cancel* cancel);
  absl::Status FetchObjects(const BundleManifest& manifest);
  absl::StatusOr<v1::Bundle> ReadAbout(const std::string& digest);
  absl::Status MakeDurable(const v1::Bundle& about, const std::string& digest);
  absl::StatusOr<std::shared_ptr<const HeldBundle>> FindInTurn(const std::string& digest);

  const Options options_;
  std::atomic<bool> stopping_ = false;
  Mutex mutex_;
  CondVar turn_ends_;
  // Digests with a turn, and owners whose quota is being checked.
  std::set<std::string> busy_ ABSL_GUARDED_BY(mutex_);
  // Bundles that are known to be in the bucket.
  std::set<std::string> durable_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point bucket_away_until_ ABSL_GUARDED_BY(mutex_);
  // Facts that only this process can change.
  std::map<std::string, Known> known_ ABSL_GUARDED_BY(mutex_);
  // Verified bundles that are in use.
  std::map<std::string, std::weak_ptr<const HeldBundle>> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::meta_learner
