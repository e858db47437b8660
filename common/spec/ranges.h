// Checks values against the declarations in spec.proto. Pure; threads may share.
#pragma once

#include <cstddef>

#include <google/protobuf/message.h>

#include "common/violations.h"

namespace mentor::spec {

// The check stops after this many violations.
inline constexpr size_t kRangeViolationsMax = 1000;

// Checks the message recursively by reflection: ranges, required fields, lengths of texts and
// lists, known enum values, unknown fields.
void CheckRanges(const google::protobuf::Message& message, Violations* violations);

}  // namespace mentor::spec
