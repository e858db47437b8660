// Reads specs in protobuf's text format; every error has its place and its remedy. Pure; threads
// may share.
#pragma once

#include <string_view>

#include "common/violations.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::spec {

// False when part of the text is unread. Unknown fields leave the others whole.
bool ParseText(std::string_view text, v1::ExperimentSpec* spec, Violations* violations);

}  // namespace mentor::spec
