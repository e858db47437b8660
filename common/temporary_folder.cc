#include "common/temporary_folder.h"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

#include <absl/strings/str_format.h>

namespace mentor {

absl::StatusOr<TemporaryFolder> TemporaryFolder::Create(std::string_view prefix) {
  std::error_code error;
  std::string name =
      std::filesystem::temp_directory_path(error) / (std::string(prefix) + "-XXXXXX");
  if (error || mkdtemp(name.data()) == nullptr) {
    const std::string why =
        error ? error.message() : std::error_code(errno, std::generic_category()).message();
    return absl::UnavailableError(absl::StrFormat(
        "cannot make a temporary folder: %s; set TMPDIR to a folder that can be written", why));
  }
  return TemporaryFolder(name);
}

TemporaryFolder::TemporaryFolder(std::filesystem::path path) : path_(std::move(path)) {}

TemporaryFolder::TemporaryFolder(TemporaryFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace mentor
