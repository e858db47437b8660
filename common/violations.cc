#include "common/violations.h"

namespace mentor {

absl::Status Violations::ToStatus() const {
  if (list_.empty()) return absl::OkStatus();
  std::string text;
  for (const Violation& violation : list_) {
    if (!text.empty()) text += '\n';
    text += violation.field + ": " + violation.description;
  }
  return absl::InvalidArgumentError(text);
}

}  // namespace mentor
