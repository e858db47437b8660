// Crash-safe files: a file exists completely or not at all. Errors name the path, the system's
// message and a remedy; a full disk is RESOURCE_EXHAUSTED. Threads may share, but two must not
// write one path at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace mentor {

// "DOING PATH: strerror; remedy", with the code that fits errno.
absl::Status FileError(std::string_view doing, const std::filesystem::path& path, int error_number);

// Reads a whole regular file; a file longer than bytes_max is an error.
absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path, uint64_t bytes_max);

// Owns a descriptor (-1: none), which it closes. Errors of close() do not matter after fsync.
class OpenedFile {
 public:
  explicit OpenedFile(int value = -1) : value_(value) {}
  OpenedFile(OpenedFile&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  OpenedFile& operator=(OpenedFile&& other) noexcept;
  ~OpenedFile() { Close(); }
  int get() const { return value_; }
  void Close();

 private:
  int value_;
};

// open(2) with O_CLOEXEC; without a descriptor, errno says why.
OpenedFile OpenFile(const std::filesystem::path& path, int flags, int mode = 0600);
// Returns `bytes` bytes of a file, and fewer only at its end. `path` is for errors.
absl::StatusOr<std::string> ReadAt(const OpenedFile& file, uint64_t offset, size_t bytes,
                                   const std::filesystem::path& path);
absl::Status WriteAt(const OpenedFile& file, uint64_t offset, std::string_view bytes,
                     const std::filesystem::path& path);

// Writes the pieces one after another to a temporary name in the same folder
// (".STEM.PID-HOST.tmp"). Then syncs, renames, and syncs the folder, so that the file survives a
// loss of power. On an error the old file, if any, is unchanged.
absl::Status WriteFileAtomically(const std::filesystem::path& path,
                                 std::span<const std::string_view> pieces, int mode = 0600);
absl::Status WriteFileAtomically(const std::filesystem::path& path, std::string_view contents,
                                 int mode = 0600);
// True for the temporary names above, of any process.
bool IsTemporaryName(std::string_view file_name);
// Removes temporary files of earlier, interrupted processes in a folder, if the folder exists.
// Returns their number. Must not run while another process writes there.
absl::StatusOr<int> RemoveTemporaryFiles(const std::filesystem::path& folder);

// Returns the names in a folder, in order.
absl::StatusOr<std::vector<std::string>> NamesIn(const std::filesystem::path& folder);

// Creates a folder and its missing parents, and syncs the folders that changed.
absl::Status MakeFolders(const std::filesystem::path& path, int mode = 0700);
// Removes a file, or a folder with its contents, if it exists.
absl::Status RemoveAll(const std::filesystem::path& path);
absl::Status SyncFolder(const std::filesystem::path& path);

// An advisory lock that is held until the object or the process ends. The file itself stays.
class FileLock {
 public:
  // Shared locks exclude only exclusive ones.
  enum class Kind { kExclusive, kShared };
  // `holder` describes this process for others that fail to lock: FAILED_PRECONDITION "PATH is in
  // use by HOLDER". An empty one leaves the file as it is.
  static absl::StatusOr<std::unique_ptr<FileLock>> Acquire(const std::filesystem::path& path,
                                                           std::string_view holder,
                                                           Kind kind = Kind::kExclusive);

 private:
  explicit FileLock(OpenedFile file) : file_(std::move(file)) {}
  const OpenedFile file_;
};

}  // namespace mentor
