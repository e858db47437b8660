// Name of an evaluation's folder. Pure; threads may share.
#pragma once

#include <string>

#include <absl/status/statusor.h>

namespace mentor {

// Returns the name as one folder's. Returns INVALID_ARGUMENT when it would be another place or
// unreadable: it is empty, "." or "..", or has control characters.
absl::StatusOr<std::string> EvaluationFolderName(const std::string& name);

}  // namespace mentor
