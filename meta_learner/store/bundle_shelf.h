// The bundles of a meta-learner's state, by digest: pushes that may break off and go on, what is
// whole, and where FindBundle finds it. With a bucket, that has the durable copies, as of
// checkpoints. Who works at one bundle has its turn; others wait for that bundle alone, since a
// bucket may take long. Not for who may push or remove what (control/bundle_service.h).
// Thread-safe; the folder belongs to one process.
//
//   STATE/bundles/
//     HEX/...             the files
//     HEX.txtpb           v1.Bundle: files, owner, time; written last: without it there is none
//     uploads/HEX.OWNER.txtpb   what is being pushed: files, owner; OWNER is a hash of the name
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
#include "meta_learner/objects/object_store.h"

namespace mentor::meta_learner {

// In the state folder.
inline constexpr std::string_view kBundlesFolder = "bundles";

class BundleShelf {
 public:
  struct Options {
    std::filesystem::path folder;    // STATE/bundles.
    ObjectStore* objects = nullptr;  // Outlives it; null: the folder has the only copies.
    // BundleManifest::disk_bytes of one owner's bundles, what is being pushed among them; 0: no
    // limit.
    uint64_t owner_bytes_max = 0;
  };
  // Becomes true when nobody waits for the answer any more: the work ends with CANCELLED. Null:
  // never.
  using Cancel = std::atomic<bool>;
  // Removes what was left by a crash, and pushes that nobody went on with for a day.
  static absl::StatusOr<std::unique_ptr<BundleShelf>> Open(Options options);

  // The right to some bundles: nobody else pushes, mends or removes them while it lives, so it is
  // held from a look at who names a bundle, or at whether it is there, to the change that relies on
  // it. Waits; who has one must not wait for another. Before any lock.
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
    // Of no bundle when somebody has it.
    Turn(BundleShelf* shelf, const std::string& digest, IfFree);

    BundleShelf* const shelf_;
    std::set<std::string> digests_;
  };

  // How far a push is.
  struct Standing {
    uint64_t next_offset = 0;
    uint64_t size_bytes = 0;
    bool complete = false;
  };
  // INVALID_ARGUMENT for a list that is no bundle, RESOURCE_EXHAUSTED QUOTA_EXCEEDED beyond the
  // owner's limit. Complete only when its files can be had: one that is damaged is pushed again.
  // Each owner's push has bytes of its own: the first that is whole ends the others.
  absl::StatusOr<Standing> Begin(const BundleManifest& manifest, const std::string& owner,
                                 const Cancel* cancel = nullptr);
  // Bytes that are there stay as they are. FAILED_PRECONDITION when the owner did not begin,
  // OUT_OF_RANGE when bytes before the offset are missing, INVALID_ARGUMENT for more bytes than the
  // files have, DATA_LOSS when the last one is there and they are not what the list says: then it
  // begins anew.
  absl::StatusOr<Standing> Add(const std::string& digest, const std::string& owner, uint64_t offset,
                               std::string_view data, const Cancel* cancel = nullptr);
  // All of it, from a folder of this machine.
  absl::StatusOr<BundleManifest> AddFolder(const std::filesystem::path& folder,
                                           const std::string& owner);
  // The same from elsewhere.
  absl::Status AddAll(const BundleManifest& manifest, const BundleSource& source,
                      const std::string& owner);

  // NOT_FOUND.
  absl::StatusOr<v1::Bundle> Get(const std::string& digest);
  // The same of a turn's only one.
  absl::StatusOr<v1::Bundle> Get(const Turn& turn);
  // Who pushes a turn's only one and is not at its end.
  absl::StatusOr<std::vector<std::string>> Pushers(const Turn& turn);
  void EndPush(const Turn& turn, const std::string& owner);
  // By name, without their files.
  absl::StatusOr<std::vector<v1::Bundle>> List();
  // A turn's only one. OK also when there is none. Pushes of it go on; whoever holds it loses the
  // files.
  absl::Status Delete(const Turn& turn);

  // Verified. NOT_FOUND; DATA_LOSS when the files are not what was pushed.
  absl::StatusOr<std::shared_ptr<const HeldBundle>> Find(const std::string& digest);
  // FAILED_PRECONDITION BUNDLE_MISSING names those that are not here, and the remedy.
  absl::Status Check(const Turn& turn);

  // From now on nobody waits for the bucket: what needs it is UNAVAILABLE, also what is under way.
  void Stop();

 private:
  // What lists and quotas ask of a bundle.
  struct Known {
    v1::Bundle bundle;  // Without its files.
    uint64_t disk_bytes = 0;
  };

  explicit BundleShelf(Options options) : options_(std::move(options)) {}

  std::filesystem::path FolderOf(const std::string& digest) const;
  std::filesystem::path AboutOf(const std::string& digest) const;
  // Of an upload HEX.OWNER.
  std::filesystem::path UploadOf(const std::string& upload, std::string_view kind) const;
  // What is known without waiting for who has its turn.
  absl::StatusOr<Known> Look(const std::string& digest);
  // Null: nobody holds it.
  std::shared_ptr<const HeldBundle> Held(const std::string& digest);
  // Of a request to the bucket, as callers get it.
  absl::Status OfBucket(const absl::Status& status) const;
  bool IsDurable(const std::string& digest);
  // Whether the bucket was away a moment ago.
  bool IsBucketAway();
  void SetBucketAway();
  void SetDurable(const std::string& digest);
  // What was known of it is so no more.
  void Forget(const std::string& digest);
  // An error when this process stops, or nobody waits any more.
  absl::Status GoesOn(const Cancel* cancel) const;
  // Old pushes.
  absl::Status RemoveOldUploads();
  absl::StatusOr<std::vector<std::string>> Digests();

  // What follows is of a bundle whose turn the caller has; of CheckQuota, of an owner.
  absl::Status CheckQuota(const BundleManifest& manifest, const std::string& owner);
  Standing StandingOf(const v1::Bundle& bundle, const std::string& upload) const;
  absl::StatusOr<Standing> Finish(v1::Bundle bundle, const std::string& digest,
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
  // With a turn: digests, and owners of whom somebody looks what they have.
  std::set<std::string> busy_ ABSL_GUARDED_BY(mutex_);
  // Known to be in the bucket.
  std::set<std::string> durable_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point bucket_away_until_ ABSL_GUARDED_BY(mutex_);
  // What cannot change behind our back.
  std::map<std::string, Known> known_ ABSL_GUARDED_BY(mutex_);
  // Verified before, and in use.
  std::map<std::string, std::weak_ptr<const HeldBundle>> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::meta_learner
