#include "envs/assets.h"

#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "common/check.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/installed.h"
#include "common/mutex.h"

namespace mentor::envs {

extern const char* const kAssetDigests;  // Lines "SHA-256  path" for all packages.

namespace {

constexpr uint64_t kFileBytesMax = 64 << 20;

// Files of one folder by their last name, the name that models use.
struct Asset {
  std::string path;  // Relative to the folder.
  std::string digest;
};
using Assets = std::multimap<std::string, Asset>;

Assets ListAssets(const std::string& folder) {
  Assets assets;
  for (const auto line : absl::StrSplit(kAssetDigests, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> words = absl::StrSplit(line, absl::MaxSplits("  ", 1));
    MENTOR_CHECK(words.size() == 2);
    if (!words[1].starts_with(folder + "/")) continue;
    const std::string path = words[1].substr(folder.size() + 1);
    assets.emplace(std::filesystem::path(path).filename(), Asset{path, words[0]});
  }
  return assets;
}

// The last names of everything between quotes: files, and much else that is no asset.
std::set<std::string> QuotedNames(const std::string& xml) {
  std::set<std::string> names;
  for (size_t begin = xml.find_first_of("\"'"); begin != std::string::npos;) {
    const size_t end = xml.find(xml[begin], begin + 1);
    if (end == std::string::npos) break;
    names.insert(std::filesystem::path(xml.substr(begin + 1, end - begin - 1)).filename());
    begin = xml.find_first_of("\"'", end + 1);
  }
  return names;
}

absl::Status CheckAssets(const std::string& root, const std::string& folder,
                         const std::string& xml) {
  const Assets assets = ListAssets(folder);
  std::vector<std::string> names = {std::filesystem::path(xml).filename()};
  std::set<std::string> seen(names.begin(), names.end());
  while (!names.empty()) {
    const std::string name = std::move(names.back());
    names.pop_back();
    const auto [begin, end] = assets.equal_range(name);
    for (auto asset = begin; asset != end; ++asset) {
      const std::string path = absl::StrCat(root, "/", asset->second.path);
      constexpr char kRemedy[] =
          "; install Mentor again (in its sources: deploy/install.sh), or correct "
          "MENTOR_ASSETS";
      const absl::StatusOr<std::string> bytes = ReadFile(path, kFileBytesMax);
      if (!bytes.ok()) {
        return absl::FailedPreconditionError(
            absl::StrCat("cannot load model ", xml, ": ", bytes.status().message(), kRemedy));
      }
      if (const std::string digest = Sha256Hex(*bytes); digest != asset->second.digest) {
        return absl::FailedPreconditionError(
            absl::StrCat("cannot load model ", xml, ": ", path, " has changed: its SHA-256 is ",
                         digest, ", expected ", asset->second.digest, kRemedy));
      }
      if (!name.ends_with(".xml")) continue;
      for (const std::string& named : QuotedNames(*bytes)) {
        if (seen.insert(named).second) names.push_back(named);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string AssetsFolder(std::string_view folder) {
  const std::filesystem::path found = InstalledFolder("MENTOR_ASSETS", "assets") / folder;
  if (const char* named = std::getenv("MENTOR_ASSETS"); named != nullptr && *named != '\0')
    return found;
  // A wheel has its programs in PACKAGE/bin and the wheels that it depends on beside PACKAGE.
  const auto beside = ProgramFolder().parent_path().parent_path() / folder;
  std::error_code error;
  const bool here = std::filesystem::is_directory(found, error);
  return here || !std::filesystem::is_directory(beside, error) ? found : beside;
}

absl::StatusOr<std::string> ModelFile(std::string_view folder, const std::string& xml) {
  static Mutex mutex;
  static std::set<std::string> good ABSL_GUARDED_BY(mutex);
  const std::string root = AssetsFolder(folder), path = absl::StrCat(root, "/", xml);
  const MutexLock lock(mutex);
  if (good.count(path) == 0) {
    MENTOR_RETURN_IF_ERROR(CheckAssets(root, std::string(folder), xml));
    good.insert(path);
  }
  return path;
}

}  // namespace mentor::envs
