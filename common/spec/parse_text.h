// Reads specs and other user files in protobuf's text format. Every error has its place and its
// remedy. Pure; threads may share.
#pragma once

#include <string_view>

#include <google/protobuf/message.h>

#include "common/violations.h"

namespace mentor::spec {

// Returns false if part of the text is unread. Unknown fields do not affect the others. `what` is
// the place of errors that have no place of their own.
bool ParseText(std::string_view text, google::protobuf::Message* message, Violations* violations,
               std::string_view what = "spec");

}  // namespace mentor::spec
