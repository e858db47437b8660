// Writes out what a message leaves to its defaults. Pure; threads may share.
#pragma once

#include <google/protobuf/message.h>

namespace mentor::spec {

// Sets every unset field that declares a default, in the message and in all below it.
void FillDefaults(google::protobuf::Message* message);

}  // namespace mentor::spec
