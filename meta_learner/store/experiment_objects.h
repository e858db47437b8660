// What one experiment has in a bucket, and the way there and back. The bucket is the durable copy,
// the folder the one that is worked with. Threads have objects of their own; two processes may look
// at one experiment at the same time.
//
//   experiments/UID/
//     experiment.txtpb, fingerprint, artifacts/...   the folder's files, as they are
//     parts/00000042-SHA-0000                        a checkpoint's file in runs of 64 MiB
//     checkpoints/00000042                           its manifest: mentor.v1.CheckpointManifest,
//     text corrupt/00000042                               manifest of one that was not whole when
//     read
//
// Parts are put first and the manifest last, only if there is none: a checkpoint without a manifest
// is not there, and nobody overwrites another's. They are removed in the other order.
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

// An error of the bucket as storage that is away (UNAVAILABLE): whatever is wrong with it, keys
// among that, experiments wait until it is mended. Lost data and an interruption stay what they
// are.
absl::Status AsStorage(const absl::Status& status);

class ExperimentObjects {
 public:
  using Cancel = ObjectStore::Cancel;
  // All outlive it. `cancel` (null: never) interrupts its calls.
  ExperimentObjects(ObjectStore* store, std::string_view uid, const Cancel* cancel);

  // Lists what is there, or what of it begins with a path; what is put and removed through this
  // object is known without.
  absl::Status Look(const std::string& path = "");
  // Steps with a manifest, in increasing order.
  std::vector<uint32_t> Steps() const;
  // Files, by their path in the experiment's folder.
  const std::map<std::string, ObjectInfo>& files() const { return files_; }

  // A whole file of the folder. One that is there with the same state is as good, and is the
  // answer: its file may differ in the build that wrote it. With another state: DATA_LOSS, since
  // two computations of one outer update differ.
  absl::StatusOr<CheckpointInfo> PutCheckpoint(const CheckpointInfo& local);
  absl::StatusOr<v1::CheckpointManifest> Manifest(uint32_t step);
  // Into DIR/00000042.ckpt, verified. NOT_FOUND without a manifest, DATA_LOSS when it is not whole.
  absl::StatusOr<CheckpointInfo> FetchCheckpoint(uint32_t step, const std::filesystem::path& dir);
  // The manifest of one that is not whole, out of the way.
  absl::Status PutAside(uint32_t step);
  absl::Status DropCheckpoint(uint32_t step);
  // Parts without a manifest, older than what an upload may take: leftovers of interrupted ones.
  // The answer is how many went.
  absl::StatusOr<int> Sweep(std::chrono::seconds older_than);

  // Copies one file between FOLDER/NAME and the bucket.
  absl::Status PutFile(const std::string& name, const std::filesystem::path& folder);
  absl::Status FetchFile(const std::string& name, const std::filesystem::path& folder);

  // Everything, manifests first.
  absl::Status DeleteAll();

 private:
  std::string Key(std::string_view kind, std::string_view name) const;
  absl::StatusOr<std::string> GetManifestText(uint32_t step);
  // UNAVAILABLE: with the damaged one out of the way, the next try puts a whole one.
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
