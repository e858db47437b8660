#include "meta_learner/store/experiment_objects.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/strip.h>
#include <google/protobuf/text_format.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/status.h"

namespace mentor::meta_learner {
namespace {

constexpr uint32_t kManifestFormat = 1;
constexpr size_t kPartBytes = 64 << 20;
constexpr uint64_t kManifestBytesMax = 1 << 20;
constexpr uint64_t kArtifactBytesMax = uint64_t{1} << 30;
constexpr char kManifests[] = "checkpoints/", kParts[] = "parts/", kCorrupt[] = "corrupt/";

std::string StepName(uint32_t step) {
  return absl::StrFormat("%08d", step);
}

absl::Status Lost(const std::string& what, const std::string& why) {
  return MakeError(Reason::kDataLoss,
                   absl::StrFormat("%s is not a whole checkpoint: %s", what, why));
}

}  // namespace

absl::Status AsStorage(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kInvalidArgument:
      return absl::UnavailableError(status.message());
    default:
      return status;
  }
}

ExperimentObjects::ExperimentObjects(ObjectStore* store, std::string_view uid, const Cancel* cancel)
    : store_(store),
      prefix_(kExperimentsPrefix + std::string(uid) + "/"),
      uid_(uid),
      cancel_(cancel) {}

std::string ExperimentObjects::Key(std::string_view kind, std::string_view name) const {
  return prefix_ + std::string(kind) + std::string(name);
}

absl::Status ExperimentObjects::Look(const std::string& path) {
  MENTOR_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> objects,
                          store_->List(prefix_ + path, cancel_));
  steps_.clear();
  parts_.clear();
  files_.clear();
  for (const ObjectInfo& object : objects) {
    absl::string_view name(object.key);
    // Skip foreign objects.
    if (!absl::ConsumePrefix(&name, prefix_) || !IsObjectKey(std::string(name))) continue;
    if (absl::ConsumePrefix(&name, kManifests)) {
      const auto step = StepOf({name.data(), name.size()});
      if (step && name.size() == 8) steps_.insert(*step);
    } else if (absl::ConsumePrefix(&name, kParts)) {
      if (const auto step = StepOf({name.data(), name.size()}))
        parts_[*step][std::string(name)] = object;
    } else if (!absl::StartsWith(name, kCorrupt) && !IsTemporaryName(object.key)) {
      files_[std::string(name)] = object;
    }
  }
  return absl::OkStatus();
}

std::vector<uint32_t> ExperimentObjects::Steps() const {
  return {steps_.begin(), steps_.end()};
}

absl::StatusOr<std::string> ExperimentObjects::GetManifestText(uint32_t step) {
  return store_->Get(Key(kManifests, StepName(step)), kManifestBytesMax, cancel_);
}

absl::StatusOr<v1::CheckpointManifest> ExperimentObjects::Manifest(uint32_t step) {
  const std::string what = store_->name() + "/" + Key(kManifests, StepName(step));
  MENTOR_ASSIGN_OR_RETURN(const std::string text, GetManifestText(step));
  v1::CheckpointManifest manifest;
  if (!google::protobuf::TextFormat::ParseFromString(text, &manifest))
    return Lost(what, "its manifest cannot be read");
  if (manifest.format() != kManifestFormat || manifest.experiment_uid() != uid_ ||
      manifest.outer_step() != step || manifest.size_bytes() > kCheckpointBytesMax)
    return Lost(what, "its manifest is of something else");
  uint64_t bytes = 0;
  for (const auto& part : manifest.parts()) {
    if (part.size_bytes() > kPartBytes || !IsObjectKey(part.name()))
      return Lost(what, "its manifest names no part of ours");
    bytes += part.size_bytes();
  }
  if (bytes != manifest.size_bytes()) return Lost(what, "its parts do not make its size");
  return manifest;
}

absl::StatusOr<CheckpointInfo> ExperimentObjects::PutCheckpoint(const CheckpointInfo& local) {
  const uint32_t step = local.outer_step;
  MENTOR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(local.path, kCheckpointBytesMax));
  v1::CheckpointManifest manifest;
  manifest.set_format(kManifestFormat);
  manifest.set_experiment_uid(uid_);
  manifest.set_outer_step(step);
  manifest.set_size_bytes(bytes.size());
  manifest.set_sha256(local.sha256);
  manifest.set_state_hash(local.state_hash);
  for (size_t begin = 0; begin < bytes.size(); begin += kPartBytes) {
    const std::string_view piece = std::string_view(bytes).substr(begin, kPartBytes);
    auto* part = manifest.add_parts();
    // The name has the file's hash, so that a different file of this step has different parts.
    part->set_name(absl::StrFormat("%s-%s-%04d", StepName(step), local.sha256.substr(0, 16),
                                   begin / kPartBytes));
    part->set_size_bytes(piece.size());
    part->set_sha256(Sha256Hex(piece));
    MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("objects.upload.part")));
    // Upload even if the part is listed: a damaged part may be the reason for this upload.
    MENTOR_RETURN_IF_ERROR(store_->Put(Key(kParts, part->name()), piece, cancel_));
    parts_[step][part->name()] = {.key = Key(kParts, part->name()), .size_bytes = piece.size()};
  }
  std::string text;
  MENTOR_CHECK(google::protobuf::TextFormat::PrintToString(manifest, &text));
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("objects.upload.manifest")));
  const absl::Status put = store_->PutIfAbsent(Key(kManifests, StepName(step)), text, cancel_);
  if (put.ok()) steps_.insert(step);
  if (!absl::IsAlreadyExists(put)) {
    MENTOR_RETURN_IF_ERROR(put);
    return local;
  }
  // A manifest exists. It is this upload's after a lost answer or a kill, or another process's.
  const auto found = Manifest(step);
  if (absl::IsDataLoss(found.status())) return PutAgain(step, found.status());
  if (absl::IsNotFound(found.status())) {
    return absl::UnavailableError(absl::StrFormat("%s says that there is a %s, and has none",
                                                  store_->name(), Key(kManifests, StepName(step))));
  }
  MENTOR_ASSIGN_OR_RETURN(const v1::CheckpointManifest there, found);
  steps_.insert(step);
  if (there.state_hash() != local.state_hash) {
    return MakeError(
        Reason::kDataLoss,
        absl::StrFormat("two computations of outer update %d differ: %s/%s says state %s, here it "
                        "is %s: exactness is broken, or another service uses this bucket",
                        step, store_->name(), Key(kManifests, StepName(step)), there.state_hash(),
                        local.state_hash));
  }
  if (there.sha256() == local.sha256) return local;
  auto fetched = FetchCheckpoint(step, local.path.parent_path());
  if (absl::IsDataLoss(fetched.status())) return PutAgain(step, fetched.status());
  return fetched;
}

absl::Status ExperimentObjects::PutAgain(uint32_t step, const absl::Status& damage) {
  MENTOR_RETURN_IF_ERROR(PutAside(step));
  return absl::UnavailableError(
      absl::StrCat("a damaged checkpoint was in the way and is put again: ", damage.message()));
}

absl::StatusOr<CheckpointInfo> ExperimentObjects::FetchCheckpoint(
    uint32_t step, const std::filesystem::path& dir) {
  MENTOR_ASSIGN_OR_RETURN(const v1::CheckpointManifest manifest, Manifest(step));
  const std::string what = store_->name() + "/" + Key(kManifests, StepName(step));
  std::string bytes;
  for (const auto& part : manifest.parts()) {
    const auto got = store_->Get(Key(kParts, part.name()), part.size_bytes(), cancel_);
    if (absl::IsNotFound(got.status())) return Lost(what, "there is no " + part.name());
    MENTOR_RETURN_IF_ERROR(got.status());
    if (got->size() != part.size_bytes() || Sha256Hex(*got) != part.sha256())
      return Lost(what, "the SHA-256 of " + part.name() + " differs from the manifest");
    bytes += *got;
  }
  MENTOR_RETURN_IF_ERROR(MakeFolders(dir));
  const std::filesystem::path path = dir / CheckpointFileName(step);
  MENTOR_RETURN_IF_ERROR(WriteFileAtomically(path, bytes));
  CheckpointInfo info;
  MENTOR_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ReadCheckpoint(path, &info));
  if (checkpoint.experiment_uid != uid_ || info.outer_step != step ||
      info.state_hash != manifest.state_hash())
    return Lost(what, "the file is of something else than its manifest says");
  return info;
}

absl::Status ExperimentObjects::PutAside(uint32_t step) {
  const auto text = GetManifestText(step);
  if (text.ok()) MENTOR_RETURN_IF_ERROR(store_->Put(Key(kCorrupt, StepName(step)), *text, cancel_));
  if (!text.ok() && !absl::IsDataLoss(text.status()) && !absl::IsNotFound(text.status()))
    return text.status();
  MENTOR_RETURN_IF_ERROR(store_->Delete(Key(kManifests, StepName(step)), cancel_));
  steps_.erase(step);
  return absl::OkStatus();
}

absl::Status ExperimentObjects::DropCheckpoint(uint32_t step) {
  MENTOR_RETURN_IF_ERROR(store_->Delete(Key(kManifests, StepName(step)), cancel_));
  steps_.erase(step);
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("objects.retention.parts")));
  for (const auto& [name, object] : parts_[step])
    MENTOR_RETURN_IF_ERROR(store_->Delete(Key(kParts, name), cancel_));
  parts_.erase(step);
  return absl::OkStatus();
}

absl::StatusOr<int> ExperimentObjects::Sweep(std::chrono::seconds older_than) {
  int swept = 0;
  for (auto step = parts_.begin(); step != parts_.end();) {
    auto& parts = step->second;
    for (auto part = parts.begin(); part != parts.end();) {
      if (steps_.contains(step->first) || part->second.age_s < older_than.count()) {
        ++part;
        continue;
      }
      MENTOR_RETURN_IF_ERROR(store_->Delete(Key(kParts, part->first), cancel_));
      part = parts.erase(part);
      ++swept;
    }
    step = parts.empty() ? parts_.erase(step) : std::next(step);
  }
  return swept;
}

absl::Status ExperimentObjects::PutFile(const std::string& name,
                                        const std::filesystem::path& folder) {
  MENTOR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(folder / name, kArtifactBytesMax));
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("objects.upload.file")));
  MENTOR_RETURN_IF_ERROR(store_->Put(prefix_ + name, bytes, cancel_));
  files_[name] = {.key = prefix_ + name, .size_bytes = bytes.size()};
  return absl::OkStatus();
}

absl::Status ExperimentObjects::FetchFile(const std::string& name,
                                          const std::filesystem::path& folder) {
  MENTOR_CHECK(IsObjectKey(name));
  MENTOR_ASSIGN_OR_RETURN(const std::string bytes,
                          store_->Get(prefix_ + name, kArtifactBytesMax, cancel_));
  const std::filesystem::path path = folder / name;
  MENTOR_RETURN_IF_ERROR(MakeFolders(path.parent_path()));
  return WriteFileAtomically(path, bytes);
}

absl::Status ExperimentObjects::DeleteAll() {
  MENTOR_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> objects, store_->List(prefix_, cancel_));
  // Manifests first: a half-removed checkpoint then has no manifest.
  for (const bool manifests : {true, false}) {
    for (const ObjectInfo& object : objects) {
      if (IsObjectKey(object.key) &&
          absl::StartsWith(object.key, prefix_ + kManifests) == manifests)
        MENTOR_RETURN_IF_ERROR(store_->Delete(object.key, cancel_));
    }
  }
  return absl::OkStatus();
}

}  // namespace mentor::meta_learner
