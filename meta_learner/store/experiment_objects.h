// Uploads and downloads the files of one experiment in a bucket. The bucket has the durable copies,
// the folder the working copies. Not thread-safe: each thread uses its own object. Two processes
// may look at one experiment at the same time.
//
//   experiments/UID/
//     experiment.txtpb, fingerprint, artifacts/...   the folder's files, unchanged
//     parts/00000042-SHA-0000                        a checkpoint's file in runs of 64 MiB
//     checkpoints/00000042   the manifest: mentor.v1.CheckpointManifest, as text
//     corrupt/00000042       the manifest of a checkpoint that was found damaged
//
// Parts are uploaded first and the manifest last, only if there is none. So a checkpoint without a
// manifest does not exist, and no process overwrites another's. Removal is in the reverse order.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/checkpoint_manifest.pb.h"
#include "meta_learner/objects/object_store.h"
#include "meta_learner/store/checkpoint.h"

namespace mentor::meta_learner {

inline constexpr char kExperimentsPrefix[] = "experiments/";

// Converts an error of the bucket to UNAVAILABLE: experiments wait until the bucket works again,
// even if its keys are wrong. Lost data and interruptions keep their codes.
absl::Status AsStorage(const absl::Status& status);

class ExperimentObjects {
 public:
  using Cancel = ObjectStore::Cancel;
  // The arguments must outlive this object. `cancel` (null: never) interrupts its calls.
  ExperimentObjects(ObjectStore* store, std::string_view uid, const Cancel* cancel);

  // Lists the objects of the experiment, or those whose path begins with `path`. Changes through
  // this object are known without another Look.
  absl::Status Look(const std::string& path = "");
  // Returns the steps with a manifest, in increasing order.
  std::vector<uint32_t> Steps() const;
  // Returns files by their path in the experiment's folder.
  const std::map<std::string, ObjectInfo>& files() const { return files_; }

  // Uploads a whole checkpoint file. If the bucket already has a checkpoint with the same state,
  // returns that one; its file may differ in the build that wrote it. Returns DATA_LOSS if the
  // states differ: then two computations of one outer update differ.
  absl::StatusOr<CheckpointInfo> PutCheckpoint(const CheckpointInfo& local);
  absl::StatusOr<v1::CheckpointManifest> Manifest(uint32_t step);
  // Downloads a checkpoint to DIR/00000042.ckpt and verifies it. Returns NOT_FOUND without a
  // manifest, DATA_LOSS when the checkpoint is not whole.
  absl::StatusOr<CheckpointInfo> FetchCheckpoint(uint32_t step, const std::filesystem::path& dir);
  // Moves the manifest of a damaged checkpoint out of the way.
  absl::Status PutAside(uint32_t step);
  absl::Status DropCheckpoint(uint32_t step);
  // Removes parts without a manifest that are older than any upload may take: leftovers of
  // interrupted uploads. Returns the number of removed parts.
  absl::StatusOr<int> Sweep(std::chrono::seconds older_than);

  // Copies one file between FOLDER/NAME and the bucket.
  absl::Status PutFile(const std::string& name, const std::filesystem::path& folder);
  absl::Status FetchFile(const std::string& name, const std::filesystem::path& folder);

  // Deletes everything, manifests first.
  absl::Status DeleteAll();

 private:
  std::string Key(std::string_view kind, std::string_view name) const;
  absl::StatusOr<std::string> GetManifestText(uint32_t step);
  // Moves the damaged checkpoint out of the way. Returns UNAVAILABLE, so that the next try uploads
  // a whole one.
  absl::Status PutAgain(uint32_t step, const absl::Status& damage);

  ObjectStore* const store_;
  const std::string prefix_;  // "experiments/UID/".
  const std::string uid_;
  const Cancel* const cancel_;
  std::set<uint32_t> steps_;
  std::map<uint32_t, std::map<std::string, ObjectInfo>> parts_;  // By step and name.
  std::map<std::string, ObjectInfo> files_;
};

}  // namespace mentor::meta_learner
