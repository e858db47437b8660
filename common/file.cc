#include "common/file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/hash.h"
#include "common/status.h"

namespace mentor {
namespace {

constexpr size_t kBlockBytes = 256 << 10;

// Makes error(ENOSPC) of a failpoint act like an error of the system call that follows it.
std::optional<int> FailpointErrno(const std::optional<std::string>& hit) {
  if (!hit) return std::nullopt;
  if (*hit == "ENOSPC") return ENOSPC;
  if (*hit == "EMFILE") return EMFILE;
  if (*hit == "EROFS") return EROFS;
  return EIO;
}

std::filesystem::path TemporaryPath(const std::filesystem::path& path) {
  // Containers on several machines may share a folder, and in each the process may have number 1.
  static const std::string* const host = [] {
    char name[256] = "";
    if (gethostname(name, sizeof(name) - 1) != 0) name[0] = 0;
    return new std::string(absl::StrFormat("%08x", Crc32c(name)));
  }();
  return path.parent_path() /
         absl::StrFormat(".%s.%d-%s.tmp", path.stem().string(), getpid(), *host);
}

absl::Status WriteTemporary(const std::filesystem::path& temporary,
                            std::span<const std::string_view> pieces, int mode) {
  if (const auto error = FailpointErrno(MENTOR_FAILPOINT("store.write.open"))) {
    return FileError("cannot create", temporary, *error);
  }
  // Always a new inode: a descriptor whose fsync failed once must not be used again.
  unlink(temporary.c_str());
  const OpenedFile file = OpenFile(temporary, O_WRONLY | O_CREAT | O_EXCL, mode);
  if (file.get() < 0) return FileError("cannot create", temporary, errno);
  uint64_t offset = 0;
  for (std::string_view piece : pieces) {
    while (!piece.empty()) {
      const std::string_view block = piece.substr(0, kBlockBytes);
      if (const auto error = FailpointErrno(MENTOR_FAILPOINT("store.write.block"))) {
        return FileError("cannot write", temporary, *error);
      }
      MENTOR_RETURN_IF_ERROR(WriteAt(file, offset, block, temporary));
      offset += block.size();
      piece.remove_prefix(block.size());
    }
  }
  if (const auto error = FailpointErrno(MENTOR_FAILPOINT("store.write.fsync"))) {
    return FileError("cannot sync", temporary, *error);
  }
  if (fsync(file.get()) != 0) return FileError("cannot sync", temporary, errno);
  return absl::OkStatus();
}

}  // namespace

absl::Status FileError(std::string_view doing, const std::filesystem::path& path,
                       int error_number) {
  absl::StatusCode code = absl::StatusCode::kUnavailable;
  std::string_view remedy = "look at the system's log and the state of the disk";
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      code = absl::StatusCode::kResourceExhausted;
      remedy = "free space on this file system, then try again";
      break;
    case EMFILE:
    case ENFILE:
      code = absl::StatusCode::kResourceExhausted;
      remedy = "raise the limit of open files (ulimit -n)";
      break;
    case EFBIG:
      code = absl::StatusCode::kResourceExhausted;
      remedy = "raise the limit of a file's size (ulimit -f), or choose another file system";
      break;
    case EACCES:
    case EPERM:
      code = absl::StatusCode::kFailedPrecondition;
      remedy = "give this user the right to it, or choose another path";
      break;
    case EROFS:
      // A disk with errors becomes read-only until it is mounted again.
      remedy = "mount the file system for writing, or choose another path";
      break;
    case ENOENT:
      code = absl::StatusCode::kNotFound;
      remedy = "check the path";
      break;
    case EISDIR:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
      code = absl::StatusCode::kFailedPrecondition;
      remedy = "choose another path";
      break;
    default:
      break;
  }
  const std::string text =
      absl::StrFormat("%s %s: %s; %s", doing, path.string(), std::strerror(error_number), remedy);
  if (error_number == ENOSPC || error_number == EDQUOT)
    return MakeError(code, Reason::kDiskFull, text);
  return absl::Status(code, text);
}

OpenedFile& OpenedFile::operator=(OpenedFile&& other) noexcept {
  std::swap(value_, other.value_);
  return *this;
}

void OpenedFile::Close() {
  if (value_ >= 0) close(std::exchange(value_, -1));
}

OpenedFile OpenFile(const std::filesystem::path& path, int flags, int mode) {
  return OpenedFile(TEMP_FAILURE_RETRY(open(path.c_str(), flags | O_CLOEXEC, mode)));
}

absl::StatusOr<std::string> ReadAt(const OpenedFile& file, uint64_t offset, size_t bytes,
                                   const std::filesystem::path& path) {
  std::string data(bytes, '\0');
  size_t length = 0;
  while (length < bytes) {
    const ssize_t got = TEMP_FAILURE_RETRY(pread(file.get(), data.data() + length, bytes - length,
                                                 static_cast<off_t>(offset + length)));
    if (got < 0) return FileError("cannot read", path, errno);
    if (got == 0) break;
    length += got;
  }
  data.resize(length);
  return data;
}

absl::Status WriteAt(const OpenedFile& file, uint64_t offset, std::string_view bytes,
                     const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t put = TEMP_FAILURE_RETRY(
        pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)));
    if (put < 0) return FileError("cannot write", path, errno);
    bytes.remove_prefix(put);
    offset += put;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path, uint64_t bytes_max) {
  // Non-blocking, so that a pipe of that name cannot block this thread; pipes are refused below.
  const OpenedFile file = OpenFile(path, O_RDONLY | O_NONBLOCK);
  if (file.get() < 0) return FileError("cannot open", path, errno);
  struct stat info;
  if (fstat(file.get(), &info) != 0) return FileError("cannot look at", path, errno);
  if (S_ISDIR(info.st_mode)) return FileError("cannot read", path, EISDIR);
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrFormat("cannot read %s: it is not a regular file", path.string()));
  }
  const auto too_long = [&] {
    return absl::ResourceExhaustedError(
        absl::StrFormat("%s is longer than the limit of %d bytes: choose a smaller file",
                        path.string(), bytes_max));
  };
  if (static_cast<uint64_t>(info.st_size) > bytes_max) return too_long();
  std::string contents(info.st_size, '\0');
  size_t length = 0;
  while (true) {
    if (length == contents.size())
      contents.resize(length + 4096);  // The file may have grown, and its end must be read.
    const ssize_t got =
        TEMP_FAILURE_RETRY(read(file.get(), contents.data() + length, contents.size() - length));
    if (got < 0) return FileError("cannot read", path, errno);
    if (got == 0) break;
    length += got;
    if (length > bytes_max) return too_long();
  }
  contents.resize(length);
  return contents;
}

absl::Status SyncFolder(const std::filesystem::path& path) {
  const OpenedFile folder = OpenFile(path.empty() ? "." : path, O_RDONLY | O_DIRECTORY);
  if (folder.get() < 0) return FileError("cannot open folder", path, errno);
  if (fsync(folder.get()) != 0) return FileError("cannot sync folder", path, errno);
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(const std::filesystem::path& path,
                                 std::span<const std::string_view> pieces, int mode) {
  const std::filesystem::path temporary = TemporaryPath(path);
  if (absl::Status status = WriteTemporary(temporary, pieces, mode); !status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  if (const auto error = FailpointErrno(MENTOR_FAILPOINT("store.commit.before_rename"))) {
    unlink(temporary.c_str());
    return FileError("cannot rename to", path, *error);
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return FileError("cannot rename to", path, error);
  }
  if (const auto error = FailpointErrno(MENTOR_FAILPOINT("store.commit.before_dir_fsync"))) {
    return FileError("cannot sync folder", path.parent_path(), *error);
  }
  return SyncFolder(path.parent_path());
}

absl::Status WriteFileAtomically(const std::filesystem::path& path, std::string_view contents,
                                 int mode) {
  return WriteFileAtomically(path, std::span<const std::string_view>(&contents, 1), mode);
}

bool IsTemporaryName(std::string_view file_name) {
  return file_name.size() > 5 && file_name.front() == '.' && file_name.ends_with(".tmp");
}

absl::StatusOr<std::vector<std::string>> NamesIn(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    names.push_back(entry->path().filename());
  if (error) return FileError("cannot list", folder, error.value());
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<int> RemoveTemporaryFiles(const std::filesystem::path& folder) {
  const auto names = NamesIn(folder);
  if (absl::IsNotFound(names.status())) return 0;
  MENTOR_RETURN_IF_ERROR(names.status());
  int removed = 0;
  for (const std::string& name : *names) {
    if (!IsTemporaryName(name)) continue;
    if (unlink((folder / name).c_str()) != 0 && errno != ENOENT)
      return FileError("cannot remove", folder / name, errno);
    ++removed;
  }
  return removed;
}

absl::Status MakeFolders(const std::filesystem::path& path, int mode) {
  std::error_code ignored;
  if (path.empty() || std::filesystem::is_directory(path, ignored)) return absl::OkStatus();
  MENTOR_RETURN_IF_ERROR(MakeFolders(path.parent_path(), mode));
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
    return FileError("cannot make folder", path, errno);
  if (!std::filesystem::is_directory(path, ignored))
    return FileError("cannot make folder", path, ENOTDIR);
  return SyncFolder(path.parent_path());
}

absl::Status RemoveAll(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return error ? FileError("cannot remove", path, error.value()) : absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FileLock>> FileLock::Acquire(const std::filesystem::path& path,
                                                            std::string_view holder, Kind kind) {
  OpenedFile file = OpenFile(path, O_RDWR | O_CREAT);
  if (file.get() < 0) return FileError("cannot open", path, errno);
  const int rc =
      TEMP_FAILURE_RETRY(flock(file.get(), (kind == Kind::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB));
  if (rc != 0 && errno == EWOULDBLOCK) {
    std::string other = holder.empty() ? "" : ReadFile(path, 256).value_or("");
    other.erase(other.find_last_not_of(" \n") + 1);
    return MakeError(Reason::kInUse,
                     absl::StrFormat("%s is in use by %s: stop it, or choose another folder",
                                     path.string(), other.empty() ? "another process" : other));
  }
  if (rc != 0) return FileError("cannot lock", path, errno);
  // Only for the message above. The lock itself is the kernel's, so a full disk does no harm.
  const std::string text = absl::StrFormat("%s (process %d)\n", std::string(holder), getpid());
  if (!holder.empty() && ftruncate(file.get(), 0) == 0)
    (void)!pwrite(file.get(), text.data(), text.size(), 0);
  return std::unique_ptr<FileLock>(new FileLock(std::move(file)));
}

}  // namespace mentor
