// Values against what spec.proto declares beside each field. Pure; threads may share.
#pragma once

#include <google/protobuf/message.h>

#include "common/violations.h"

namespace mentor::spec {

// Walks the message and everything in it by reflection: ranges, required fields, lengths of texts
// and lists, known values of enumerations, unknown fields.
void CheckRanges(const google::protobuf::Message& message, Violations* violations);

}  // namespace mentor::spec
