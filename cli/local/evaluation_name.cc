#include "cli/local/evaluation_name.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include "common/printable.h"

namespace mentor {

absl::StatusOr<std::string> EvaluationFolderName(const std::string& name) {
  const std::string folder = absl::StrReplaceAll(name, {{"/", "-"}, {":", "-"}, {" ", "_"}});
  if (!folder.empty() && folder != "." && folder != ".." && Printable(folder) == folder)
    return folder;
  return absl::InvalidArgumentError(
      absl::StrCat("--name: '", Printable(name),
                   "' names no folder: give printable characters, and not '.' or '..'"));
}

}  // namespace mentor
