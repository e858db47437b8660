#include "meta_learner/experiment/folder_copy.h"

#include <chrono>
#include <system_error>
#include <utility>

#include <absl/strings/match.h>

#include "common/check.h"
#include "common/file.h"
#include "common/log.h"
#include "common/spec/spec.h"
#include "meta_learner/experiment/trained_episodes.h"
#include "meta_learner/store/state_folder.h"

namespace mentor::meta_learner {
namespace {

constexpr char kResults[] = "artifacts/";
constexpr const char* kArithmetic[] = {"fingerprint", "learner_fingerprint"};
// No upload takes so long. A younger leftover may be another process's upload under way.
constexpr std::chrono::hours kLeftover{1};

}  // namespace

FolderCopy::FolderCopy(RunFiles* files, std::string uid, ExperimentObjects* objects,
                       const std::atomic<bool>* cancel)
    : files_(files),
      uid_(std::move(uid)),
      objects_(objects),
      cancel_(cancel),
      folder_(files->ExperimentFolder(uid_)) {}

absl::Status FolderCopy::BringBack() {
  if (objects_ == nullptr) return absl::OkStatus();
  MENTOR_RETURN_IF_ERROR(AsStorage(objects_->Look()));
  if (const auto swept = objects_->Sweep(kLeftover); !swept.ok()) {
    MENTOR_LOG(kWarning, "leftovers of uploads could not be removed from the bucket",
               {{"uid", uid_}, {"why", swept.status()}});
  }
  bool results = !objects_->Steps().empty();
  std::error_code error;
  for (const auto& [name, object] : objects_->files()) {
    const bool result = absl::StartsWith(name, kResults);
    results = results || result;
    // This file grows, and reaches the bucket before its checkpoint.
    const bool again = name == kEpisodesFile;
    if ((!result && name != kAboutFile) ||
        (!again && std::filesystem::exists(folder_ / name, error)))
      continue;
    const auto fetched = files_->OpenFile(uid_, name, cancel_, again).status();
    if (absl::IsDataLoss(fetched) || absl::IsNotFound(fetched)) {
      MENTOR_LOG(kWarning, "a result in the bucket is lost; it is computed again",
                 {{"uid", uid_}, {"file", name}, {"why", fetched}});
      continue;
    }
    MENTOR_RETURN_IF_ERROR(fetched);
  }
  // The folder may hold the arithmetic of an older start without results.
  for (const char* name : kArithmetic) {
    if (results && objects_->files().contains(name))
      MENTOR_RETURN_IF_ERROR(files_->OpenFile(uid_, name, cancel_, /*again=*/true).status());
  }
  auto entry = std::filesystem::recursive_directory_iterator(folder_ / kResults, error);
  for (; !error && entry != std::filesystem::recursive_directory_iterator();
       entry.increment(error)) {
    if (!entry->is_regular_file(error) || IsTemporaryName(entry->path().filename().string()))
      continue;
    if (objects_->files().contains(entry->path().lexically_relative(folder_))) continue;
    MENTOR_RETURN_IF_ERROR(KeepResult(entry->path()));
  }
  return absl::OkStatus();
}

absl::Status FolderCopy::Keep() {
  if (objects_ == nullptr) return absl::OkStatus();
  for (const std::string& name :
       {std::string(kAboutFile), std::string("spec.txtpb"), std::string("merged.txtpb"),
        std::string(kArithmetic[0]), std::string(kArithmetic[1])}) {
    const auto bytes = ReadFile(folder_ / name, kSpecBytesMax * 8);
    if (absl::IsNotFound(bytes.status())) continue;
    MENTOR_RETURN_IF_ERROR(bytes.status());
    if (const auto kept = kept_.find(name); kept != kept_.end() && kept->second == *bytes) continue;
    MENTOR_RETURN_IF_ERROR(AsStorage(objects_->PutFile(name, folder_)));
    kept_[name] = *bytes;
  }
  return absl::OkStatus();
}

absl::Status FolderCopy::KeepResult(const std::filesystem::path& file) {
  if (objects_ == nullptr) return absl::OkStatus();
  MENTOR_RETURN_IF_ERROR(Keep());
  return AsStorage(objects_->PutFile(file.lexically_relative(folder_), folder_));
}

}  // namespace mentor::meta_learner
