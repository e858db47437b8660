#include "common/bundle.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/printable.h"
#include "common/status.h"

namespace mentor {
namespace {

namespace fs = std::filesystem;

constexpr char kWhole[] = "bundle";         // Field of complaints about the whole bundle.
constexpr uint64_t kDiskBlockBytes = 4096;  // Disk space of the smallest file or folder.
constexpr size_t kLeftOutShown = 5;
constexpr size_t kDigestDigits = 64;

// Returns what is wrong with the path of a file; empty if a bundle may hold it.
std::string PathComplaint(const std::string& path) {
  if (path.empty()) return "is empty; give it a name";
  if (path.size() > kBundlePathBytesMax) {
    return absl::StrFormat("has %d bytes; at most %d are allowed: give it a shorter name",
                           path.size(), kBundlePathBytesMax);
  }
  // Names are displayed, are lines of the digest, and become files on other systems.
  if (Printable(path) != path || path.find('\\') != path.npos) {
    return "has characters that cannot be shown, or '\\'; rename it";
  }
  for (const absl::string_view name : absl::StrSplit(path, '/')) {
    if (name.empty() || name == "." || name == "..")
      return "is not a path within the bundle; leave out '.', '..', '//' and a leading '/'";
  }
  return "";
}

void CheckTotals(size_t files, uint64_t bytes, Violations* violations) {
  if (files == 0) violations->Add(kWhole, "has no file; give a folder with at least one");
  if (files > kBundleFilesMax) {
    violations->Add(kWhole, absl::StrFormat("has more than %d files; leave some out, or pack them",
                                            kBundleFilesMax));
  }
  if (bytes > kBundleBytesMax) {
    violations->Add(
        kWhole, absl::StrFormat("has %d bytes; at most %d (256 MB) are allowed: leave files out",
                                bytes, kBundleBytesMax));
  }
}

constexpr char kManyFolders[] = "has more than %d folders; give the folder of one model";

// Returns how many folders begin with `path`, which follows `before` in the sorted list. Sorting
// puts the files of one folder and of its subfolders together.
size_t NewFolders(const std::string& path, const std::string& before) {
  const size_t common =
      std::mismatch(path.begin(), path.end(), before.begin(), before.end()).first - path.begin();
  return std::count(path.begin() + common, path.end(), '/');
}

struct FoundFile {
  fs::path real;  // For a link, its target.
  uint64_t bytes = 0;
};

class FolderWalk {
 public:
  // If left_out is null, nothing is left out.
  FolderWalk(fs::path root, std::vector<std::string>* left_out, Violations* violations)
      : root_(std::move(root)), left_out_(left_out), violations_(*violations) {}

  // Returns files by path. Stops early if there are too many.
  absl::StatusOr<std::map<std::string, FoundFile>> Run() {
    std::error_code error;
    fs::recursive_directory_iterator entry(root_, error);
    size_t folders = 0, refused = 0;
    while (!error && entry != fs::recursive_directory_iterator()) {
      const std::string path = entry->path().lexically_relative(root_).generic_string();
      const bool is_folder =
          fs::symlink_status(entry->path(), error).type() == fs::file_type::directory;
      if (left_out_ != nullptr && IsLeftOutOfBundles(entry->path().filename().native())) {
        left_out_->push_back(path + (is_folder ? "/" : ""));
        if (is_folder) entry.disable_recursion_pending();
      } else if (is_folder) {
        if (++folders > kBundleFoldersMax) {
          violations_.Add(kWhole, absl::StrFormat(kManyFolders, kBundleFoldersMax));
          break;
        }
      } else {
        if (std::string complaint = Take(path, entry->path()); !complaint.empty()) {
          violations_.Add(Printable(path), std::move(complaint));
          ++refused;
        }
        if (files_.size() + refused > kBundleFilesMax) break;
      }
      if (!error) entry.increment(error);
    }
    if (error) return FileError("cannot list", root_, error.value());
    uint64_t bytes = 0;
    for (const auto& [path, file] : files_) bytes += file.bytes;
    CheckTotals(files_.size() + refused, bytes, &violations_);
    return std::move(files_);
  }

 private:
  std::string Take(const std::string& path, const fs::path& entry) {
    if (std::string complaint = PathComplaint(path); !complaint.empty()) return complaint;
    fs::path real = entry;
    struct stat info {};
    if (lstat(entry.c_str(), &info) != 0) return "cannot be read; grant the right to read it";
    if (S_ISLNK(info.st_mode)) {
      std::error_code error;
      real = fs::canonical(entry, error);
      if (error) return "is a symbolic link to nothing; remove it";
      const auto [root_end, unused] =
          std::mismatch(root_.begin(), root_.end(), real.begin(), real.end());
      if (root_end != root_.end())
        return "is a symbolic link that leaves the folder; put a copy in its place";
      if (lstat(real.c_str(), &info) != 0) return "is a symbolic link to nothing; remove it";
      if (S_ISDIR(info.st_mode)) return "is a symbolic link to a folder; put a copy in its place";
    }
    if (!S_ISREG(info.st_mode)) return "is not a regular file; remove it";
    files_[path] = {.real = real, .bytes = static_cast<uint64_t>(info.st_size)};
    return "";
  }

  const fs::path root_;  // Canonical.
  std::vector<std::string>* const left_out_;
  Violations& violations_;
  std::map<std::string, FoundFile> files_;
};

// Returns the hex digest of a file's contents. DATA_LOSS if its size is not `bytes` any more.
absl::StatusOr<std::string> HashFile(const fs::path& path, uint64_t bytes) {
  // Non-blocking and without following links: the file may have been replaced since it was
  // examined.
  const OpenedFile file = OpenFile(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  if (file.get() < 0) return FileError("cannot open", path, errno);
  Sha256 hash;
  uint64_t read_bytes = 0;
  while (read_bytes <= bytes) {
    MENTOR_ASSIGN_OR_RETURN(const std::string block, ReadAt(file, read_bytes, 256 << 10, path));
    if (block.empty()) break;
    hash.Update(block);
    read_bytes += block.size();
  }
  if (read_bytes != bytes) {
    return MakeError(
        Reason::kDataLoss,
        absl::StrFormat("%s changed during reading; try again when no program writes to it",
                        path.string()));
  }
  return ToHex(hash.Finish());
}

// Splits a stream of bytes into the files of a folder.
class FolderWriter {
 public:
  FolderWriter(const BundleManifest& manifest, const fs::path& folder,
               const std::function<absl::Status()>& goes_on)
      : manifest_(manifest), folder_(folder), goes_on_(goes_on) {}

  // Makes the folder together with that of the first file.
  absl::Status Begin() { return OpenNext(); }
  absl::Status Append(std::string_view bytes) {
    MENTOR_RETURN_IF_ERROR(GoesOn());
    while (!bytes.empty()) {
      if (file_ == manifest_.files.size()) {
        return absl::DataLossError(
            absl::StrFormat("%s has more bytes than its manifest says; send it again",
                            BundleName(manifest_.digest)));
      }
      const uint64_t room = manifest_.files[file_].bytes - written_;
      const std::string_view part = bytes.substr(0, room);
      hash_->Update(part);
      MENTOR_RETURN_IF_ERROR(WriteAt(open_, written_, part, Path()));
      written_ += part.size();
      bytes.remove_prefix(part.size());
      if (written_ < manifest_.files[file_].bytes) continue;
      MENTOR_RETURN_IF_ERROR(CloseFile());
      MENTOR_RETURN_IF_ERROR(OpenNext());
    }
    return absl::OkStatus();
  }
  absl::Status Finish() {
    MENTOR_CHECK(file_ == manifest_.files.size());
    for (const fs::path& made : folders_) {
      MENTOR_RETURN_IF_ERROR(GoesOn());
      MENTOR_RETURN_IF_ERROR(SyncFolder(made));
    }
    return SyncFolder(folder_);
  }

 private:
  fs::path Path() const { return folder_ / manifest_.files[file_].path; }
  absl::Status GoesOn() const { return goes_on_ ? goes_on_() : absl::OkStatus(); }

  // Opens the next file; closes empty files at once.
  absl::Status OpenNext() {
    while (file_ < manifest_.files.size()) {
      MENTOR_RETURN_IF_ERROR(GoesOn());
      const fs::path path = Path();
      MENTOR_RETURN_IF_ERROR(MakeFolders(path.parent_path()));
      if (folders_.empty() || folders_.back() != path.parent_path())
        folders_.push_back(path.parent_path());
      open_ = OpenFile(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
      if (open_.get() < 0) return FileError("cannot create", path, errno);
      hash_.emplace();
      written_ = 0;
      if (manifest_.files[file_].bytes > 0) return absl::OkStatus();
      MENTOR_RETURN_IF_ERROR(CloseFile());
    }
    return absl::OkStatus();
  }
  absl::Status CloseFile() {
    if (fsync(open_.get()) != 0) return FileError("cannot sync", Path(), errno);
    open_.Close();
    const BundleFile& file = manifest_.files[file_];
    if (const std::string got = ToHex(hash_->Finish()); got != file.sha256) {
      return MakeError(
          Reason::kDataLoss,
          absl::StrFormat("%s of %s arrived with SHA-256 %s in place of %s; send the bundle again",
                          file.path, BundleName(manifest_.digest), got, file.sha256));
    }
    ++file_;
    return absl::OkStatus();
  }

  const BundleManifest& manifest_;
  const fs::path& folder_;
  const std::function<absl::Status()>& goes_on_;
  std::vector<fs::path> folders_;  // Folders that hold files, in order.
  size_t file_ = 0;                // Index of the current file.
  uint64_t written_ = 0;           // Bytes of the current file.
  OpenedFile open_;                // The current file.
  std::optional<Sha256> hash_;
};

absl::Status WriteInto(const BundleManifest& manifest, const BundleSource& source,
                       const fs::path& folder, const std::function<absl::Status()>& goes_on) {
  FolderWriter writer(manifest, folder, goes_on);
  MENTOR_RETURN_IF_ERROR(writer.Begin());
  const uint64_t total = manifest.bytes();
  for (uint64_t offset = 0; offset < total;) {
    MENTOR_ASSIGN_OR_RETURN(const std::string piece, source(offset));
    if (piece.empty()) {
      return absl::DataLossError(absl::StrFormat("%s ended after %d of its %d bytes; send it again",
                                                 BundleName(manifest.digest), offset, total));
    }
    MENTOR_RETURN_IF_ERROR(writer.Append(piece));
    offset += piece.size();
  }
  return writer.Finish();
}

}  // namespace

uint64_t BundleManifest::bytes() const {
  uint64_t sum = 0;
  for (const BundleFile& file : files) sum += file.bytes;
  return sum;
}

uint64_t BundleManifest::disk_bytes() const {
  uint64_t entries = files.size() + 1;  // Including the root folder.
  for (size_t i = 0; i < files.size(); ++i)
    entries += NewFolders(files[i].path, i > 0 ? files[i - 1].path : "");
  return bytes() + entries * kDiskBlockBytes;
}

void FilesToProto(const BundleManifest& manifest,
                  google::protobuf::RepeatedPtrField<v1::BundleFile>* files) {
  for (const BundleFile& file : manifest.files) {
    v1::BundleFile& added = *files->Add();
    added.set_path(file.path);
    added.set_size_bytes(file.bytes);
    added.set_sha256(file.sha256);
  }
}

BundleManifest ManifestFromProto(const std::string& digest,
                                 const google::protobuf::RepeatedPtrField<v1::BundleFile>& files) {
  BundleManifest manifest;
  for (const v1::BundleFile& file : files)
    manifest.files.push_back(
        {.path = file.path(), .bytes = file.size_bytes(), .sha256 = file.sha256()});
  manifest.digest = digest;
  return manifest;
}

bool IsBundleDigest(std::string_view digest) {
  return digest.size() == kDigestDigits && IsHex(digest);
}

std::string BundleName(std::string_view digest) {
  return "sha256:" + std::string(digest);
}

std::string BundleTitle(const BundleManifest& manifest) {
  constexpr size_t kDigitsShown = 12;
  for (const BundleFile& file : manifest.files) {
    if (!file.path.ends_with(".xml") || file.path.find('/') != file.path.npos) continue;
    return absl::StrCat(Printable(file.path), " (",
                        BundleName(std::string_view(manifest.digest).substr(0, kDigitsShown)), ")");
  }
  return BundleName(manifest.digest);
}

absl::StatusOr<std::string> ParseBundleName(std::string_view name) {
  constexpr std::string_view kPrefix = "sha256:";
  if (name.starts_with(kPrefix) && IsBundleDigest(name.substr(kPrefix.size())))
    return std::string(name.substr(kPrefix.size()));
  return absl::InvalidArgumentError(absl::StrFormat(
      "'%s' is not the name of a bundle; give sha256: and 64 digits of lower case, as `mentorctl "
      "bundles push` prints them",
      Printable(name.substr(0, 100))));
}

std::string BundleDigest(const std::vector<BundleFile>& files) {
  Sha256 hash;
  for (const BundleFile& file : files)
    hash.Update(absl::StrCat(file.sha256, " ", file.bytes, " ", file.path, "\n"));
  return ToHex(hash.Finish());
}

Violations CheckManifest(const BundleManifest& manifest) {
  Violations violations;
  uint64_t bytes = 0;
  size_t folders = 0;
  const std::string* before = nullptr;
  for (size_t i = 0; i < std::min(manifest.files.size(), kBundleFilesMax); ++i) {
    const BundleFile& file = manifest.files[i];
    const std::string field = absl::StrFormat("files[%d]", i);
    if (std::string complaint = PathComplaint(file.path); !complaint.empty())
      violations.Add(field + ".path", std::move(complaint));
    if (before != nullptr && file.path <= *before) {
      violations.Add(field + ".path",
                     absl::StrFormat("'%s' stands after '%s'; sort the files by path, each once",
                                     Printable(file.path), Printable(*before)));
    }
    folders += NewFolders(file.path, before != nullptr ? *before : "");
    before = &file.path;
    if (!IsBundleDigest(file.sha256))
      violations.Add(field + ".sha256", "is not 64 digits of lower case; give the file's SHA-256");
    // The limit keeps the sum from overflowing.
    bytes += std::min(file.bytes, kBundleBytesMax + 1);
  }
  CheckTotals(manifest.files.size(), bytes, &violations);
  if (folders > kBundleFoldersMax)
    violations.Add(kWhole, absl::StrFormat(kManyFolders, kBundleFoldersMax));
  if (!violations.empty()) return violations;
  // A path such as "a/b" below a file "a". Sorted neighbours are not enough: "a", "a-b", "a/b".
  for (const BundleFile& file : manifest.files) {
    for (size_t slash = file.path.find('/'); slash != file.path.npos;
         slash = file.path.find('/', slash + 1)) {
      const std::string folder = file.path.substr(0, slash);
      const auto found = std::lower_bound(
          manifest.files.begin(), manifest.files.end(), folder,
          [](const BundleFile& each, const std::string& path) { return each.path < path; });
      if (found != manifest.files.end() && found->path == folder)
        violations.Add(file.path,
                       absl::StrFormat("lies in '%s', which is a file; remove one", folder));
    }
  }
  if (const std::string digest = BundleDigest(manifest.files); digest != manifest.digest) {
    violations.Add("digest", absl::StrFormat("is '%s', but these files are %s; give that one",
                                             Printable(manifest.digest), digest));
  }
  return violations;
}

namespace {

absl::StatusOr<BundleManifest> ReadFolder(const fs::path& folder,
                                          std::vector<std::string>* left_out) {
  std::error_code error;
  const fs::path root = fs::canonical(folder, error);
  if (error) return FileError("cannot read bundle", folder, error.value());
  if (!fs::is_directory(root, error)) return FileError("cannot read bundle", folder, ENOTDIR);
  Violations violations;
  MENTOR_ASSIGN_OR_RETURN(const auto found, FolderWalk(root, left_out, &violations).Run());
  if (!violations.empty()) return ToStatus(violations);
  BundleManifest manifest;
  for (const auto& [path, file] : found) {
    MENTOR_ASSIGN_OR_RETURN(std::string sha256, HashFile(file.real, file.bytes));
    manifest.files.push_back({.path = path, .bytes = file.bytes, .sha256 = std::move(sha256)});
  }
  manifest.digest = BundleDigest(manifest.files);
  return manifest;
}

}  // namespace

bool IsLeftOutOfBundles(std::string_view name) {
  static constexpr std::string_view kNames[] = {".git", ".hg", ".svn", ".DS_Store"};
  if (std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames)) return true;
  // Emacs and others: robot.xml~, .#robot.xml, #robot.xml#. Vim: .robot.xml.swp, .swo and so on.
  if (name.ends_with('~') || name.ends_with(".bak") || name.starts_with(".#")) return true;
  if (name.size() > 1 && name.front() == '#' && name.back() == '#') return true;
  return name.size() > 5 && name.front() == '.' && name.substr(name.size() - 4, 3) == ".sw" &&
         name.back() >= 'a' && name.back() <= 'p';
}

absl::StatusOr<BundleManifest> ReadBundle(const fs::path& folder,
                                          std::vector<std::string>* left_out) {
  std::vector<std::string> ignored;
  auto manifest = ReadFolder(folder, left_out != nullptr ? left_out : &ignored);
  if (left_out != nullptr) std::sort(left_out->begin(), left_out->end());
  return manifest;
}

std::string LeftOutText(const fs::path& folder, const std::vector<std::string>& left_out) {
  if (left_out.empty()) return "";
  std::string text = absl::StrCat(folder.string(), ": left out of the bundle: ");
  const size_t shown = std::min(left_out.size(), kLeftOutShown);
  for (size_t i = 0; i < shown; ++i)
    absl::StrAppend(&text, i > 0 ? ", " : "", Printable(left_out[i]));
  if (shown < left_out.size()) absl::StrAppend(&text, " and ", left_out.size() - shown, " more");
  return text;
}

absl::StatusOr<BundleManifest> VerifyBundle(const fs::path& folder, std::string_view digest) {
  std::vector<std::string> left_out;
  auto manifest = ReadFolder(folder, &left_out);
  // A bundle that was made elsewhere may contain files of such names.
  if (!left_out.empty() && !(manifest.ok() && manifest->digest == digest))
    manifest = ReadFolder(folder, /*left_out=*/nullptr);
  if (manifest.ok() && manifest->digest == digest) return manifest;
  const auto code = manifest.status().code();
  if (!manifest.ok() && code != absl::StatusCode::kInvalidArgument) return manifest.status();
  return MakeError(
      Reason::kDataLoss,
      absl::StrFormat(
          "%s is not %s any more (%s); remove the folder: a cache fetches it again, a run "
          "takes it from --bundle",
          folder.string(), BundleName(digest),
          manifest.ok() ? "it is " + BundleName(manifest->digest)
                        : std::string(manifest.status().message())));
}

BundleSource FolderSource(fs::path folder, BundleManifest manifest, size_t bytes_max) {
  MENTOR_CHECK(bytes_max > 0);
  return [folder = std::move(folder), manifest = std::move(manifest),
          bytes_max](uint64_t offset) -> absl::StatusOr<std::string> {
    std::string piece;
    for (const BundleFile& file : manifest.files) {
      if (piece.size() == bytes_max) break;
      if (offset >= file.bytes) {
        offset -= file.bytes;
        continue;
      }
      const fs::path path = folder / file.path;
      const OpenedFile descriptor = OpenFile(path, O_RDONLY | O_NONBLOCK);
      if (descriptor.get() < 0) return FileError("cannot open", path, errno);
      const size_t wanted = std::min<uint64_t>(bytes_max - piece.size(), file.bytes - offset);
      MENTOR_ASSIGN_OR_RETURN(const std::string got, ReadAt(descriptor, offset, wanted, path));
      if (got.size() < wanted) {
        return MakeError(Reason::kDataLoss,
                         absl::StrFormat("%s has become shorter than %d bytes; put it back, or "
                                         "name the bundle anew",
                                         path.string(), file.bytes));
      }
      piece += got;
      offset = 0;
    }
    return piece;
  };
}

absl::Status WriteBundle(const BundleManifest& manifest, const BundleSource& source,
                         const fs::path& folder, const std::function<absl::Status()>& goes_on) {
  MENTOR_RETURN_IF_ERROR(ToStatus(CheckManifest(manifest)));
  std::error_code error;
  if (fs::symlink_status(folder, error).type() != fs::file_type::not_found) {
    return absl::AlreadyExistsError(
        absl::StrFormat("%s is there already; choose another folder", folder.string()));
  }
  absl::Status status = WriteInto(manifest, source, folder, goes_on);
  if (!status.ok()) fs::remove_all(folder, error);
  return status;
}

}  // namespace mentor
