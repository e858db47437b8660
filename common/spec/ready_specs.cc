#include "common/spec/ready_specs.h"

#include <algorithm>
#include <system_error>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/edit_distance.h"
#include "common/file.h"
#include "common/installed.h"
#include "common/spec/parse_text.h"
#include "common/spec/spec.h"
#include "common/spec/wording.h"

namespace mentor {
namespace {

std::vector<std::filesystem::path> ReadyFiles() {
  const std::filesystem::path folder = InstalledFolder("MENTOR_EXPERIMENTS", "experiments");
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == kSpecEnding) files.push_back(entry->path());
  }
  std::ranges::sort(files, {}, &std::filesystem::path::stem);
  return files;
}

std::string TitleOf(const std::filesystem::path& path) {
  const auto text = ReadFile(path, kSpecBytesMax);
  if (!text.ok()) return "";
  Violations violations;
  v1::ExperimentSpec spec;
  spec::ParseText(*text, &spec, &violations);  // Without its base, which is looked up here.
  return spec.display_name();
}

}  // namespace

std::vector<ReadySpec> ReadySpecs() {
  std::vector<ReadySpec> specs;
  for (const std::filesystem::path& path : ReadyFiles())
    specs.push_back({.name = path.stem(), .path = path, .title = TitleOf(path)});
  return specs;
}

absl::StatusOr<std::filesystem::path> FindReadySpec(const std::string& name) {
  const std::filesystem::path asked(name);
  const bool is_path = asked.has_parent_path();
  const std::string stem = asked.extension() == kSpecEnding ? asked.stem().string() : name;
  std::vector<std::string> names;
  for (const std::filesystem::path& path : ReadyFiles()) {
    if (!is_path && path.stem() == stem) return path;
    names.push_back(path.stem());
  }
  const std::string missing = absl::StrCat("there is no spec ", spec::Quote(name), "; ");
  if (names.empty()) return absl::NotFoundError(missing + "give a file");
  const std::vector<std::string> near = NearestNames(asked.stem().string(), names);
  if (near.empty()) {
    return absl::NotFoundError(absl::StrCat(
        missing,
        "give a file, or a name of those that come with Mentor: ", absl::StrJoin(names, ", ")));
  }
  return absl::NotFoundError(
      missing + (is_path ? "'" + near[0] + "' is one by its name" : NameHint(stem, names)));
}

absl::StatusOr<std::filesystem::path> FindSpec(const std::string& spec) {
  std::error_code error;
  const bool is_folder = std::filesystem::is_directory(spec, error);
  if (std::filesystem::exists(spec, error) && !is_folder) return spec;
  if (is_folder && std::filesystem::path(spec).has_parent_path()) {
    return absl::InvalidArgumentError(absl::StrCat(
        spec, " is a folder; give a spec ('mentor run --from ", spec, "' goes on from a run)"));
  }
  return FindReadySpec(spec);
}

}  // namespace mentor
