// Values against what spec.proto declares beside each field. Pure; threads may share.
#pragma once

#include <cstddef>

#include <google/protobuf/message.h>

#include "common/violations.h"

namespace mentor::spec {

// So many violations are enough: what follows them is not looked at.
inline constexpr size_t kRangeViolationsMax = 1000;

// Walks the message and everything in it by reflection: ranges, required fields, lengths of texts
// and lists, known values of enumerations, unknown fields.
void CheckRanges(const google::protobuf::Message& message, Violations* violations);

}  // namespace mentor::spec
