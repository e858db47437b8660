#include "cli/templates/model_files.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <pugixml.hpp>

#include "common/bundle.h"
#include "common/check.h"
#include "common/file.h"
#include "common/printable.h"

namespace mentor::templates {
namespace {

namespace fs = std::filesystem;

absl::Status BadModel(const std::string& what) {
  return absl::InvalidArgumentError("--model: " + what);
}

// Follows the names in MJCF. MuJoCo counts them from the folder of the model or from the one that
// a <compiler> names; a file that exists at either place is taken, as mentor-mjcf checks both.
class Walk {
 public:
  absl::Status From(const fs::path& model) {
    open_.emplace_back(model, model.parent_path());
    while (!open_.empty()) {
      const auto [file, base] = open_.back();
      open_.pop_back();
      if (read_.insert({file, base}).second) MENTOR_RETURN_IF_ERROR(Read(file, base));
      if (read_.size() > kBundleFilesMax)
        return BadModel("includes more files than a bundle may have");
    }
    for (const auto& [where, base, value] : names_) {
      bool any = Take(base / value);
      std::string places = (base / value).lexically_normal().string();
      for (const fs::path& folder : folders_) {
        any |= Take(folder / value);
        any |= Take(folder / value.filename());  // For strippath.
        absl::StrAppend(&places, " or ", (folder / value).lexically_normal().string());
      }
      if (!any) return BadModel(absl::StrCat(where, " is no file at ", places));
    }
    return absl::OkStatus();
  }
  const std::set<fs::path>& found() const { return found_; }

 private:
  bool Take(const fs::path& path) {
    std::error_code error;
    if (!fs::is_regular_file(path, error)) return false;
    found_.insert(path.lexically_normal());
    return true;
  }

  absl::Status Read(const fs::path& file, const fs::path& base) {
    if (!Take(file))
      return BadModel(absl::StrCat("includes ", file.string(), ", which is no file"));
    pugi::xml_document document;
    if (!document.load_file(file.c_str())) return absl::OkStatus();  // The compiler says why.
    if (std::strcmp(document.document_element().name(), "robot") == 0) {
      return BadModel(absl::StrCat(
          file.string(),
          " is URDF; give MJCF: MuJoCo's program `compile robot.urdf robot.xml` makes it, once "
          "file names with package:// are paths, and actuators must be added"));
    }
    std::vector<pugi::xml_node> nodes = {document};
    while (!nodes.empty()) {
      const pugi::xml_node node = nodes.back();
      nodes.pop_back();
      for (const pugi::xml_attribute attribute : node.attributes())
        MENTOR_RETURN_IF_ERROR(Look(node.name(), attribute, file, base));
      for (const pugi::xml_node child : node.children()) nodes.push_back(child);
    }
    return absl::OkStatus();
  }

  absl::Status Look(std::string_view element, const pugi::xml_attribute& attribute,
                    const fs::path& file, const fs::path& base) {
    const std::string_view name = attribute.name();
    const fs::path value = attribute.value();
    const bool folder = name == "meshdir" || name == "texturedir" || name == "assetdir";
    if ((!folder && !name.starts_with("file")) || value.empty()) return absl::OkStatus();
    const std::string where =
        absl::StrCat(file.string(), ": ", std::string(name), "=\"", Printable(value.string()),
                     "\" of <", std::string(element), ">");
    if (value.is_absolute() || value.string().find("://") != std::string::npos) {
      return BadModel(absl::StrCat(where,
                                   " is no relative path, and other machines have no such place; "
                                   "write the path from the model's folder"));
    }
    if (folder) {
      folders_.insert(base / value);
    } else if (element == "include") {
      open_.emplace_back((base / value).lexically_normal(), base);
    } else if (element == "model") {
      const fs::path other = (base / value).lexically_normal();
      open_.emplace_back(other, other.parent_path());
    } else {
      names_.push_back({where, base, value});
    }
    return absl::OkStatus();
  }

  std::set<std::pair<fs::path, fs::path>> read_;  // Files, and their models' folders.
  std::vector<std::pair<fs::path, fs::path>> open_;
  struct Name {
    std::string where;  // For errors.
    fs::path base, value;
  };
  std::vector<Name> names_;
  std::set<fs::path> folders_, found_;
};

// The smallest folder that holds all of them.
fs::path FolderOf(const std::set<fs::path>& files) {
  fs::path folder = files.begin()->parent_path();
  for (const fs::path& file : files) {
    const fs::path other = file.parent_path();
    const auto [end, unused] =
        std::mismatch(folder.begin(), folder.end(), other.begin(), other.end());
    fs::path common;
    for (auto part = folder.begin(); part != end; ++part) common /= *part;
    folder = common;
  }
  return folder;
}

}  // namespace

absl::StatusOr<ModelFiles> ReadModelFiles(const fs::path& model) {
  std::error_code error;
  if (!fs::is_regular_file(model, error))
    return BadModel(absl::StrCat(model.string(), " is no file; give a model in MJCF"));
  const fs::path whole = fs::absolute(model, error).lexically_normal();
  Walk walk;
  MENTOR_RETURN_IF_ERROR(walk.From(whole));
  const fs::path folder = FolderOf(walk.found());
  ModelFiles read{.files = {}, .model = whole.lexically_relative(folder).string()};
  uint64_t bytes = 0;
  for (const fs::path& file : walk.found()) {
    bytes += fs::file_size(file, error);
    if (error || bytes > kBundleBytesMax || read.files.size() >= kBundleFilesMax) {
      return BadModel(absl::StrCat("its files have more than ", kBundleBytesMax >> 20,
                                   " MB or are more ", "than ", kBundleFilesMax,
                                   ", which a bundle may have"));
    }
    MENTOR_ASSIGN_OR_RETURN(read.files[file.lexically_relative(folder).string()],
                            ReadFile(file, kBundleBytesMax));
  }
  return read;
}

}  // namespace mentor::templates
