// Canonical text of messages, for hashes. Pure; threads may share.
#pragma once

#include <string>

#include <google/protobuf/message.h>

namespace mentor {

// Returns the same bytes for equal messages, whatever the serialiser does. Fields are sorted by
// number, options of a list by name; floating point is in hexadecimal. Unknown fields are left out.
std::string CanonicalText(const google::protobuf::Message& message);

}  // namespace mentor
