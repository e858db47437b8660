// A new empty folder, removed with all that is in it at the end of its owner.
#pragma once

#include <filesystem>
#include <string_view>

#include <absl/status/statusor.h>

namespace mentor {

class TemporaryFolder {
 public:
  // In the system's folder for temporary files; its name begins with `prefix`. UNAVAILABLE where
  // none can be made.
  static absl::StatusOr<TemporaryFolder> Create(std::string_view prefix);
  TemporaryFolder(TemporaryFolder&& other) noexcept;
  TemporaryFolder& operator=(TemporaryFolder&& other) = delete;
  ~TemporaryFolder();

  const std::filesystem::path& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::filesystem::path path);

  std::filesystem::path path_;  // Empty: moved from.
};

}  // namespace mentor
