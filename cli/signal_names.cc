#include "cli/signal_names.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <fcntl.h>

#include "cli/local/signal_export.h"
#include "cli/report/python.h"
#include "common/check.h"
#include "common/edit_distance.h"
#include "common/file.h"
#include "common/installed.h"
#include "common/temporary_folder.h"

namespace mentor {
namespace {

constexpr char kZoo[] = "zoo:", kHub[] = "hf://";
constexpr uint64_t kSaidBytesMax = uint64_t{1} << 20;

constexpr char kFetch[] = R"(from mentor_signal.__main__ import main
sys.exit(main())
)";

bool HasConfig(const std::filesystem::path& folder) {
  std::error_code error;
  return std::filesystem::exists(folder / kSignalConfig, error) ||
         std::filesystem::exists(folder / kOldSignalConfig, error);
}

absl::StatusOr<std::filesystem::path> InZoo(const std::string& name) {
  const std::filesystem::path zoo = InstalledFolder("MENTOR_ZOO", "zoo");
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(zoo, error), end; !error && entry != end;
       entry.increment(error)) {
    if (HasConfig(entry->path())) names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  if (std::binary_search(names.begin(), names.end(), name)) return zoo / name;
  return absl::NotFoundError(absl::StrCat(
      kZoo, name, ": is no signal of ", zoo.string(), "; ",
      names.empty() ? "MENTOR_ZOO names another folder of signals" : NameHint(name, names)));
}

// Returns the last line that is not empty.
std::string LastLine(std::string text) {
  absl::StripAsciiWhitespace(&text);
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  return lines.back();
}

absl::StatusOr<OpenedFile> OpenNew(const std::filesystem::path& file) {
  OpenedFile made = OpenFile(file, O_WRONLY | O_CREAT | O_TRUNC);
  if (made.get() < 0) return FileError("writing", file, errno);
  return made;
}

absl::StatusOr<std::filesystem::path> FromHub(const std::string& name) {
  MENTOR_ASSIGN_OR_RETURN(const TemporaryFolder scratch, TemporaryFolder::Create("mentor-signal-"));
  const std::filesystem::path said = scratch.path() / "said", log = scratch.path() / "log";
  MENTOR_ASSIGN_OR_RETURN(const OpenedFile output, OpenNew(said));
  MENTOR_ASSIGN_OR_RETURN(const OpenedFile errors, OpenNew(log));
  MENTOR_ASSIGN_OR_RETURN(const int code,
                          report::RunPython(kFetch, {"--folder", "--", name}, "mentor[hub]",
                                            output.get(), errors.get()));
  MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadFile(code == 0 ? said : log, kSaidBytesMax));
  if (code != 0) return absl::NotFoundError(LastLine(text));
  return std::filesystem::path(LastLine(text));
}

}  // namespace

bool IsSignal(const std::string& name) {
  return name.starts_with(kZoo) || name.starts_with(kHub) || HasConfig(name);
}

bool IsInZoo(const std::string& name) {
  return InZoo(name).ok();
}

absl::StatusOr<std::filesystem::path> FindSignal(const std::string& name) {
  if (name.starts_with(kZoo)) return InZoo(name.substr(sizeof(kZoo) - 1));
  if (name.starts_with(kHub)) return FromHub(name);
  return std::filesystem::path(name);
}

}  // namespace mentor
