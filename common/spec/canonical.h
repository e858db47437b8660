// One text for equal messages, for hashes. Pure; threads may share.
#pragma once

#include <string>

#include <google/protobuf/message.h>

namespace mentor {

// One byte string for equal messages, whatever the serialiser does: set fields by number, floating
// point in hexadecimal, options of one list by name. Unknown fields are left out.
std::string CanonicalText(const google::protobuf::Message& message);

}  // namespace mentor
