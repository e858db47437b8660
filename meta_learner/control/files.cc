#include <algorithm>
#include <cerrno>
#include <ctime>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <google/protobuf/util/time_util.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/resources/names.h"
#include "common/status.h"
#include "meta_learner/control/methods.h"
#include "meta_learner/control/request_checks.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/experiment_objects.h"
#include "meta_learner/store/paging.h"
#include "meta_learner/store/state_folder.h"

namespace mentor::meta_learner {
namespace {

constexpr size_t kPieceBytes = 1 << 20;
// Most names held in memory for one page of a list.
constexpr size_t kPageNamesMax = 10'000;

std::string MediaType(const std::filesystem::path& path) {
  static const std::map<std::string, std::string> types = {{".txtpb", "text/plain"},
                                                           {".txt", "text/plain"},
                                                           {".csv", "text/csv"},
                                                           {".json", "application/json"},
                                                           {".html", "text/html"},
                                                           {".svg", "image/svg+xml"},
                                                           {".jsonl", "application/jsonl"},
                                                           {".png", "image/png"},
                                                           {".mp4", "video/mp4"},
                                                           {".gif", "image/gif"}};
  const auto type = types.find(path.extension());
  return type == types.end() ? "application/octet-stream" : type->second;
}

// Folder of evaluations. The resource's name already contains it, so it is not shown twice.
constexpr std::string_view kOwnFolder = "artifacts/";

std::string ShownName(const std::string& relative) {
  return relative.starts_with(kOwnFolder) ? relative.substr(kOwnFolder.size()) : relative;
}

// Reads and hashes an open file from its beginning. The part before the offset is hashed too, so
// that the last message holds the hash of the whole file.
class Reader {
 public:
  Reader(OpenedFile file, uint64_t offset, std::string name, const CheckpointInfo* row)
      : file_(std::move(file)), offset_(offset), name_(std::move(name)) {
    if (row != nullptr) proof_.emplace(*row);
  }

  absl::StatusOr<Produced> Next(v1::DownloadResponse* response) {
    MENTOR_ASSIGN_OR_RETURN(std::string data, ReadAt(file_, at_, kPieceBytes, "the file"));
    if (data.empty() && proof_ && !proof_->Holds()) {
      return MakeError(Reason::kDataLoss,
                       absl::StrFormat("%s is damaged, or of another experiment or outer update: "
                                       "its bytes are not those that were recorded; download "
                                       "another checkpoint, or restore the state from a backup",
                                       name_));
    }
    if (data.empty()) {
      response->set_offset(at_);
      response->set_size_bytes(at_);
      response->set_sha256(ToHex(hash_.Finish()));
      return Produced::kLast;
    }
    hash_.Update(data);
    if (proof_) proof_->Update(data);
    const uint64_t begin = at_;
    at_ += data.size();
    if (at_ <= offset_) return Produced::kAgain;  // Still before the offset.
    if (begin < offset_) data.erase(0, offset_ - begin);
    response->set_offset(std::max(begin, offset_));
    response->set_crc32c(Crc32c(data));
    response->set_data(std::move(data));
    return Produced::kMessage;
  }

 private:
  const OpenedFile file_;
  const uint64_t offset_;
  const std::string name_;
  uint64_t at_ = 0;
  Sha256 hash_;
  std::optional<CheckpointProof> proof_;  // Checkpoints alone have one.
};

v1::Artifact ArtifactOf(const std::string& experiment, const std::string& name, uint64_t bytes,
                        time_t update_time) {
  v1::Artifact artifact;
  artifact.set_name(ArtifactName(experiment, ShownName(name)));
  artifact.set_media_type(MediaType(name));
  artifact.set_size_bytes(bytes);
  *artifact.mutable_update_time() = google::protobuf::util::TimeUtil::TimeTToTimestamp(update_time);
  return artifact;
}

// True if users see this file of the experiment's folder or bucket. The store's own file is hidden,
// since the resource says the same.
bool IsShown(const std::string& relative) {
  return relative != kAboutFile && !relative.starts_with("checkpoints/") &&
         !IsTemporaryName(std::filesystem::path(relative).filename().string());
}

// True for a regular file whose path contains no symbolic link: links may lead outside.
bool IsOwnFile(const std::filesystem::path& folder, const std::string& relative) {
  std::filesystem::path path = folder;
  std::filesystem::file_type type = std::filesystem::file_type::none;
  for (const std::filesystem::path& part : std::filesystem::path(relative)) {
    path /= part;
    std::error_code error;
    type = std::filesystem::symlink_status(path, error).type();
    if (type == std::filesystem::file_type::symlink) return false;
  }
  return type == std::filesystem::file_type::regular;
}

// The first files of a list after `after`, ordered by resource name.
class NextNames {
 public:
  NextNames(std::string experiment, std::string after)
      : experiment_(std::move(experiment)), after_(std::move(after)) {}

  void Add(const std::string& relative) {
    if (!IsShown(relative)) return;
    std::string name = ArtifactName(experiment_, ShownName(relative));
    if (name <= after_) return;
    // If two files have one name, the evaluation's file is shown and downloaded.
    if (relative.starts_with(kOwnFolder)) {
      names_[std::move(name)] = relative;
    } else {
      names_.try_emplace(std::move(name), relative);
    }
    if (names_.size() <= kPageNamesMax) return;
    names_.erase(std::prev(names_.end()));
    more_ = true;
  }
  // Relative paths by resource name.
  const std::map<std::string, std::string>& names() const { return names_; }
  bool more() const { return more_; }

 private:
  const std::string experiment_, after_;
  std::map<std::string, std::string> names_;
  bool more_ = false;  // More names follow the last one.
};

absl::Status AddNamesIn(const std::filesystem::path& folder, NextNames* names) {
  std::error_code error;
  auto entry = std::filesystem::recursive_directory_iterator(folder, error);
  for (; !error && entry != std::filesystem::recursive_directory_iterator();
       entry.increment(error)) {
    const std::string relative = entry->path().lexically_relative(folder);
    std::error_code gone;
    if (relative == "checkpoints") {
      entry.disable_recursion_pending();
    } else if (!entry->is_directory(gone)) {
      names->Add(relative);
    }
  }
  if (error && error != std::errc::no_such_file_or_directory)
    return FileError("cannot list", folder, error.value());
  return absl::OkStatus();
}

absl::Status NoSuchArtifact(const std::string& name) {
  return MakeError(Reason::kNotFound, absl::StrFormat("there is no %s", name.substr(0, 200)),
                   {{"name", name.substr(0, 200)}});
}

}  // namespace

absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> Download(
    const std::filesystem::path& file, uint64_t offset, const CheckpointInfo* row) {
  OpenedFile opened = OpenFile(file, O_RDONLY | O_NOFOLLOW);
  if (opened.get() < 0 && errno == ENOENT) {
    return MakeError(Reason::kNotFound, absl::StrFormat("there is no file %s any more; list again",
                                                        file.filename().string()));
  }
  if (opened.get() < 0) return FileError("cannot open", file.filename(), errno);
  struct stat info {};
  if (fstat(opened.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return MakeError(Reason::kNotFound,
                     absl::StrFormat("%s is not a file", file.filename().string()));
  }
  if (offset > static_cast<uint64_t>(info.st_size)) {
    return BadField("offset", absl::StrFormat("is %d, but the file has %d bytes; begin again at 0",
                                              offset, info.st_size));
  }
  return
      [reader = std::make_shared<Reader>(std::move(opened), offset, file.filename().string(), row)](
          v1::DownloadResponse* response) { return reader->Next(response); };
}

absl::StatusOr<v1::ListArtifactsResponse> ListArtifacts(Records* records, RunFiles* files,
                                                        const v1::ListArtifactsRequest& request,
                                                        const std::atomic<bool>* cancel) {
  Violations violations;
  PageRoom room(PageSizeOrAll(request.page_size(), &violations));
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  const std::string query = "artifacts " + request.parent();
  MENTOR_ASSIGN_OR_RETURN(const std::string after, ReadPageToken(request.page_token(), query));
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, records->Get(request.parent()));
  const std::filesystem::path folder = files->ExperimentFolder(experiment.uid());
  ExperimentObjects objects(files->objects(), experiment.uid(), cancel);
  if (files->objects() != nullptr) MENTOR_RETURN_IF_ERROR(AsStorage(objects.Look()));
  NextNames next(experiment.name(), after);
  MENTOR_RETURN_IF_ERROR(AddNamesIn(folder, &next));
  for (const auto& [relative, object] : objects.files()) next.Add(relative);
  v1::ListArtifactsResponse response;
  std::string last;
  for (const auto& [name, relative] : next.names()) {
    v1::Artifact artifact;
    struct stat info {};
    if (lstat((folder / relative).c_str(), &info) == 0) {
      if (!S_ISREG(info.st_mode)) continue;
      artifact = ArtifactOf(experiment.name(), relative, static_cast<uint64_t>(info.st_size),
                            info.st_mtime);
    } else if (const auto object = objects.files().find(relative);
               object != objects.files().end()) {
      artifact = ArtifactOf(experiment.name(), relative, object->second.size_bytes,
                            time(nullptr) - object->second.age_s);
    } else {
      continue;
    }
    if (!room.Take(artifact.ByteSizeLong())) {
      response.set_next_page_token(MakePageToken(query, last));
      return response;
    }
    *response.add_artifacts() = std::move(artifact);
    last = name;
  }
  if (next.more()) response.set_next_page_token(MakePageToken(query, next.names().rbegin()->first));
  return response;
}

absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> DownloadArtifact(
    Records* records, RunFiles* files, const v1::DownloadRequest& request,
    const std::atomic<bool>* cancel) {
  const auto parsed = ParseArtifactName(request.name());
  if (!parsed) return BadName("name", request.name(), "experiments/{experiment}/artifacts/{path}");
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, records->Get(parsed->first));
  // Only files that ListArtifacts names.
  std::vector<std::string> places = {std::string(kOwnFolder) + parsed->second};
  if (!parsed->second.starts_with(kOwnFolder)) places.push_back(parsed->second);
  std::erase_if(places, [](const std::string& place) { return !IsShown(place); });
  const std::filesystem::path folder = files->ExperimentFolder(experiment.uid());
  for (const std::string& place : places) {
    if (IsOwnFile(folder, place)) return Download(folder / place, request.offset());
  }
  if (files->objects() == nullptr) return NoSuchArtifact(request.name());
  ExperimentObjects objects(files->objects(), experiment.uid(), cancel);
  for (const std::string& place : places) {
    MENTOR_RETURN_IF_ERROR(AsStorage(objects.Look(place)));
    if (!objects.files().contains(place)) continue;
    MENTOR_ASSIGN_OR_RETURN(const std::filesystem::path path,
                            files->OpenFile(experiment.uid(), place, cancel));
    return Download(path, request.offset());
  }
  return NoSuchArtifact(request.name());
}

}  // namespace mentor::meta_learner
