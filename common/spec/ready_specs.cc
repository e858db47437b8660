#include "common/spec/ready_specs.h"

#include <algorithm>
#include <system_error>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/edit_distance.h"
#include "common/file.h"
#include "common/installed.h"
#include "common/spec/spec.h"

namespace mentor {
namespace {

constexpr char kEnding[] = ".txtpb";

// Returns the first folder that exists.
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
  const std::filesystem::path asked(spec);
  const bool is_path = asked.has_parent_path();
  const bool is_folder = std::filesystem::is_directory(spec, error);
  if (std::filesystem::exists(spec, error) && !is_folder) return spec;
  if (is_folder && is_path) {
    return absl::InvalidArgumentError(absl::StrCat(
        spec, " is a folder; give a spec ('mentor run --from ", spec, "' goes on from a run)"));
  }
  const std::string name = asked.extension() == kEnding ? asked.stem().string() : spec;
  std::vector<std::string> names;
  for (const ReadySpec& ready : ReadySpecs()) {
    if (!is_path && ready.name == name) return ready.path;
    names.push_back(ready.name);
  }
  const std::string missing = absl::StrCat("there is no spec '", spec, "'; ");
  if (names.empty()) return absl::NotFoundError(missing + "give a file");
  const std::vector<std::string> near = NearestNames(asked.stem().string(), names);
  if (near.empty()) {
    return absl::NotFoundError(absl::StrCat(
        missing,
        "give a file, or a name of those that come with Mentor: ", absl::StrJoin(names, ", ")));
  }
  return absl::NotFoundError(
      missing + (is_path ? "'" + near[0] + "' is one by its name" : NameHint(name, names)));
}

}  // namespace mentor
