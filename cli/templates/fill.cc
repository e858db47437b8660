#include "cli/templates/fill.h"

#include <cerrno>
#include <system_error>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <unistd.h>

#include "common/check.h"
#include "common/file.h"

namespace mentor::templates {

std::string Fill(std::string_view text, const Places& places) {
  std::string filled(text);
  std::map<std::string, std::string> replacements;
  for (const auto& [name, value] : places) replacements[absl::StrCat("{{", name, "}}")] = value;
  // A value's own places lie at most one level deeper.
  for (int level = 0; level < 2; ++level) filled = absl::StrReplaceAll(filled, replacements);
  MENTOR_CHECK(!absl::StrContains(filled, "{{"));
  return filled;
}

absl::Status WriteFiles(const std::filesystem::path& folder, const Files& files) {
  for (const auto& [name, text] : files) {
    MENTOR_RETURN_IF_ERROR(MakeFolders((folder / name).parent_path(), 0755));
    MENTOR_RETURN_IF_ERROR(WriteFileAtomically(folder / name, text, 0644));
  }
  return absl::OkStatus();
}

absl::Status CheckNewFolder(const std::filesystem::path& folder) {
  std::error_code error;
  const auto status = std::filesystem::symlink_status(folder, error);
  if (status.type() == std::filesystem::file_type::not_found) return absl::OkStatus();
  if (status.type() != std::filesystem::file_type::directory)
    return absl::InvalidArgumentError(absl::StrCat(
        "DIR: ", folder.string(), " exists and is no folder; name a folder that does not exist"));
  if (const bool empty = std::filesystem::is_empty(folder, error); !error && !empty)
    return absl::InvalidArgumentError(
        absl::StrCat("DIR: ", folder.string(), " has files in it; name another folder"));
  if (error)
    return absl::InvalidArgumentError(absl::StrCat("DIR: cannot read ", folder.string(), ": ",
                                                   error.message(), "; name another folder"));
  return absl::OkStatus();
}

absl::Status WriteNewFolder(const std::filesystem::path& folder, const Files& files) {
  MENTOR_RETURN_IF_ERROR(CheckNewFolder(folder));
  std::error_code error;
  std::filesystem::path target = std::filesystem::absolute(folder, error).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();  // It ended with a slash.
  // Written under another name beside it, then renamed: the folder exists completely or not at all.
  const std::filesystem::path draft =
      target.parent_path() / absl::StrCat(".", target.filename().string(), ".", getpid(), ".new");
  const absl::Cleanup remove = [&draft] {
    std::error_code ignored;
    std::filesystem::remove_all(draft, ignored);
  };
  MENTOR_RETURN_IF_ERROR(WriteFiles(draft, files));
  if (rename(draft.c_str(), target.c_str()) != 0) {
    if (errno == ENOTEMPTY || errno == EEXIST)
      return absl::InvalidArgumentError(absl::StrCat(
          "DIR: ", folder.string(), " was filled by another process meanwhile; name another"));
    return FileError("cannot make", target, errno);
  }
  return SyncFolder(target.parent_path());
}

}  // namespace mentor::templates
