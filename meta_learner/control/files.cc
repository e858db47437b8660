#include "meta_learner/control/files.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <memory>
#include <string>
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
#include "meta_learner/control/request_checks.h"
#include "meta_learner/store/experiment_objects.h"
#include "meta_learner/store/paging.h"
#include "meta_learner/store/state_folder.h"

namespace mentor::meta_learner {
namespace {

constexpr size_t kPieceBytes = 1 << 20;
constexpr size_t kArtifactsMax = 10'000;

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

// Evaluations have a folder of their own, "artifacts/", which the resource's name says already.
constexpr std::string_view kOwnFolder = "artifacts/";

std::string ShownName(const std::string& relative) {
  return relative.starts_with(kOwnFolder) ? relative.substr(kOwnFolder.size()) : relative;
}

// An open file that is read and hashed from its beginning; the part before the offset is hashed
// too, so that the last message vouches for the whole.
class Reader {
 public:
  Reader(int descriptor, uint64_t offset) : descriptor_(descriptor), offset_(offset) {}
  ~Reader() { close(descriptor_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  absl::StatusOr<Produced> Next(v1::DownloadResponse* response) {
    while (true) {
      std::string data(kPieceBytes, '\0');
      ssize_t got;
      do {
        got = pread(descriptor_, data.data(), data.size(), static_cast<off_t>(at_));
      } while (got < 0 && errno == EINTR);
      if (got < 0) return FileError("cannot read", "the file", errno);
      if (got == 0) {
        response->set_offset(at_);
        response->set_size_bytes(at_);
        response->set_sha256(ToHex(hash_.Finish()));
        return Produced::kLast;
      }
      data.resize(static_cast<size_t>(got));
      hash_.Update(data);
      const uint64_t begin = at_;
      at_ += data.size();
      if (at_ <= offset_) continue;  // Asked for is what comes later.
      if (begin < offset_) data.erase(0, offset_ - begin);
      response->set_offset(std::max(begin, offset_));
      response->set_crc32c(Crc32c(data));
      response->set_data(std::move(data));
      return Produced::kMessage;
    }
  }

 private:
  const int descriptor_;
  const uint64_t offset_;
  uint64_t at_ = 0;
  Sha256 hash_;
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

// Files that are in the bucket, by their path in the folder; none without a bucket.
absl::StatusOr<std::map<std::string, ObjectInfo>> FilesInBucket(ExperimentStore* store,
                                                                const std::string& uid) {
  if (store->objects() == nullptr) return std::map<std::string, ObjectInfo>();
  ExperimentObjects objects(store->objects(), uid, /*cancel=*/nullptr);
  MENTOR_RETURN_IF_ERROR(AsStorage(objects.Look()));
  return objects.files();
}

// Of the folder, and of the bucket what is not here.
absl::StatusOr<std::vector<v1::Artifact>> ArtifactsIn(
    const std::filesystem::path& folder, const std::string& experiment,
    const std::map<std::string, ObjectInfo>& in_bucket) {
  std::map<std::string, v1::Artifact> artifacts;
  std::error_code error;
  auto entry = std::filesystem::recursive_directory_iterator(folder, error);
  for (; !error && entry != std::filesystem::recursive_directory_iterator();
       entry.increment(error)) {
    const std::string name = entry->path().lexically_relative(folder);
    if (name == "checkpoints") {
      entry.disable_recursion_pending();
      continue;
    }
    struct stat info {};
    // The store's own: what it says is the resource.
    if (name == kAboutFile || IsTemporaryName(entry->path().filename().string()) ||
        lstat(entry->path().c_str(), &info) != 0 || !S_ISREG(info.st_mode))
      continue;
    artifacts[ShownName(name)] =
        ArtifactOf(experiment, name, static_cast<uint64_t>(info.st_size), info.st_mtime);
    if (artifacts.size() >= kArtifactsMax) break;
  }
  if (error && error != std::errc::no_such_file_or_directory)
    return FileError("cannot list", folder, error.value());
  for (const auto& [name, object] : in_bucket) {
    if (name == kAboutFile || artifacts.size() >= kArtifactsMax) continue;
    artifacts.try_emplace(ShownName(name), ArtifactOf(experiment, name, object.size_bytes,
                                                      time(nullptr) - object.age_s));
  }
  std::vector<v1::Artifact> list;
  list.reserve(artifacts.size());
  for (auto& [name, artifact] : artifacts) list.push_back(std::move(artifact));
  return list;
}

// Where a listed artifact lies.
std::filesystem::path ArtifactPath(const std::filesystem::path& folder, const std::string& name) {
  const std::filesystem::path own = folder / kOwnFolder / name;
  std::error_code error;
  return std::filesystem::exists(own, error) ? own : folder / name;
}

}  // namespace

absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> Download(
    const std::filesystem::path& file, uint64_t offset) {
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0 && errno == ENOENT) {
    return MakeError(
        absl::StatusCode::kNotFound, Reason::kNotFound,
        absl::StrFormat("there is no file %s any more; list again", file.filename().string()));
  }
  if (descriptor < 0) return FileError("cannot open", file.filename(), errno);
  auto reader = std::make_shared<Reader>(descriptor, offset);
  struct stat info {};
  if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    return MakeError(absl::StatusCode::kNotFound, Reason::kNotFound,
                     absl::StrFormat("%s is not a file", file.filename().string()));
  }
  if (offset > static_cast<uint64_t>(info.st_size)) {
    Violations violations;
    violations.Add("offset", absl::StrFormat("is %d, but the file has %d bytes; begin again at 0",
                                             offset, info.st_size));
    return ToStatus(violations);
  }
  return [reader](v1::DownloadResponse* response) { return reader->Next(response); };
}

absl::StatusOr<v1::ListArtifactsResponse> ListArtifacts(ExperimentStore* store,
                                                        const v1::ListArtifactsRequest& request) {
  Violations violations;
  PageRoom room(PageSizeOrAll(request.page_size(), &violations));
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  const std::string query = "artifacts " + request.parent();
  MENTOR_ASSIGN_OR_RETURN(const std::string after, ReadPageToken(request.page_token(), query));
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, store->Get(request.parent()));
  MENTOR_ASSIGN_OR_RETURN(const auto in_bucket, FilesInBucket(store, experiment.uid()));
  MENTOR_ASSIGN_OR_RETURN(
      std::vector<v1::Artifact> artifacts,
      ArtifactsIn(store->ExperimentFolder(experiment.uid()), experiment.name(), in_bucket));
  v1::ListArtifactsResponse response;
  for (v1::Artifact& artifact : artifacts) {
    if (!after.empty() && artifact.name() <= after) continue;
    if (!room.Take(artifact.ByteSizeLong())) {
      response.set_next_page_token(MakePageToken(query, response.artifacts().rbegin()->name()));
      break;
    }
    *response.add_artifacts() = std::move(artifact);
  }
  return response;
}

absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> DownloadArtifact(
    ExperimentStore* store, const v1::DownloadRequest& request) {
  const auto parsed = ParseArtifactName(request.name());
  if (!parsed) return BadName("name", request.name(), "experiments/{experiment}/artifacts/{path}");
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, store->Get(parsed->first));
  const std::filesystem::path folder = store->ExperimentFolder(experiment.uid());
  // Only what ListArtifacts names: links lead nowhere.
  MENTOR_ASSIGN_OR_RETURN(const auto in_bucket, FilesInBucket(store, experiment.uid()));
  MENTOR_ASSIGN_OR_RETURN(const std::vector<v1::Artifact> artifacts,
                          ArtifactsIn(folder, experiment.name(), in_bucket));
  const bool known =
      std::any_of(artifacts.begin(), artifacts.end(),
                  [&](const v1::Artifact& artifact) { return artifact.name() == request.name(); });
  if (!known) {
    return MakeError(absl::StatusCode::kNotFound, Reason::kNotFound,
                     absl::StrFormat("there is no %s", request.name().substr(0, 200)),
                     {{"name", request.name().substr(0, 200)}});
  }
  std::filesystem::path path = ArtifactPath(folder, parsed->second);
  std::error_code error;
  if (store->objects() != nullptr && !std::filesystem::exists(path, error)) {
    const std::string own = std::string(kOwnFolder) + parsed->second;
    MENTOR_ASSIGN_OR_RETURN(
        path, store->OpenFile(experiment.uid(), in_bucket.contains(own) ? own : parsed->second));
  }
  return Download(path, request.offset());
}

}  // namespace mentor::meta_learner
