// The form of tokens. Pure; threads may share.
#pragma once

#include <string_view>

#include <absl/status/statusor.h>

#include "common/secret.h"

namespace mentor::rpc {

// Returns the token that a text holds, without blanks around it. INVALID_ARGUMENT begins with
// `source`, which names a file or variable, and does not contain the text. Every token passes here
// on its way to a header: gRPC ends the process over other characters, and prints the header.
absl::StatusOr<Secret> ParseToken(std::string_view source, std::string_view text);

}  // namespace mentor::rpc
