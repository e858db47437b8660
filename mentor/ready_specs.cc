#include "mentor/ready_specs.h"

#include <algorithm>
#include <system_error>

#include <absl/strings/str_cat.h>

#include "common/edit_distance.h"
#include "common/file.h"
#include "common/installed.h"
#include "common/spec/spec.h"

namespace mentor {
namespace {

constexpr char kEnding[] = ".txtpb";

// The first folder that is there.
std::filesystem::path SpecsFolder() {
  std::error_code error;
  for (const std::filesystem::path& folder :
       InstalledFolders("MENTOR_EXPERIMENTS", "experiments", MENTOR_SOURCE_EXPERIMENTS)) {
    if (std::filesystem::is_directory(folder, error)) return folder;
  }
  return {};
}

std::string TitleOf(const std::filesystem::path& path) {
  const auto text = ReadFile(path, kSpecBytesMax);
  if (!text.ok()) return "";
  Violations violations;
  return ParseSpec(*text, {}, &violations).display_name();
}

}  // namespace

std::vector<ReadySpec> ReadySpecs() {
  std::vector<ReadySpec> specs;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(SpecsFolder(), error), end; !error && entry != end;
       entry.increment(error)) {
    const std::filesystem::path& path = entry->path();
    if (path.extension() == kEnding)
      specs.push_back({.name = path.stem(), .path = path, .title = TitleOf(path)});
  }
  std::sort(specs.begin(), specs.end(),
            [](const ReadySpec& a, const ReadySpec& b) { return a.name < b.name; });
  return specs;
}

absl::StatusOr<std::filesystem::path> FindSpec(const std::string& spec) {
  std::error_code error;
  if (std::filesystem::is_regular_file(spec, error)) return spec;
  const std::filesystem::path asked(spec);
  const bool is_path = asked.has_parent_path();
  if (std::filesystem::is_directory(spec, error) && is_path) {
    return absl::InvalidArgumentError(
        absl::StrCat(spec, " is a folder; give a spec, or --from ", spec, " to go on from a run"));
  }
  const std::string name = asked.extension() == kEnding ? asked.stem().string() : spec;
  std::vector<std::string> names;
  for (const ReadySpec& ready : ReadySpecs()) {
    if (!is_path && ready.name == name) return ready.path;
    names.push_back(ready.name);
  }
  const std::string missing = absl::StrCat("there is no spec '", spec, "'");
  const std::vector<std::string> near = NearestNames(asked.stem().string(), names);
  if (!near.empty() && is_path)
    return absl::NotFoundError(
        absl::StrCat(missing, "; 'mentor run ", near[0], "' is one by name"));
  return absl::NotFoundError(absl::StrCat(
      missing, near.empty() ? "" : "; " + NameHint(name, names),
      near.empty() ? "; 'mentor run --list' shows those that come with Mentor, or give a file"
                   : ""));
}

}  // namespace mentor
