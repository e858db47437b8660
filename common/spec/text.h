// Reads specs, and other files of people, in protobuf's text format; every error has its place and
// its remedy. Pure; threads may share.
#pragma once

#include <string_view>

#include <google/protobuf/message.h>

#include "common/violations.h"

namespace mentor::spec {

// False when part of the text is unread. Unknown fields leave the others whole. `what` is the place
// of errors that have none of their own.
bool ParseText(std::string_view text, google::protobuf::Message* message, Violations* violations,
               std::string_view what = "spec");

}  // namespace mentor::spec
