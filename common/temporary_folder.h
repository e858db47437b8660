// A new empty folder, removed with its contents in the destructor.
#pragma once

#include <filesystem>
#include <string_view>

#include <absl/status/statusor.h>

namespace mentor {

class TemporaryFolder {
 public:
  // Creates it in the system's folder for temporary files, with a name that begins with `prefix`.
  // UNAVAILABLE if that fails.
  static absl::StatusOr<TemporaryFolder> Create(std::string_view prefix);
  TemporaryFolder(TemporaryFolder&& other) noexcept;
  TemporaryFolder& operator=(TemporaryFolder&& other) = delete;
  ~TemporaryFolder();

  const std::filesystem::path& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::filesystem::path path);

  std::filesystem::path path_;  // Empty after a move.
};

}  // namespace mentor
