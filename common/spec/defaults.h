// Writes out what a message leaves to its defaults. Pure; threads may share.
#pragma once

#include <google/protobuf/message.h>

namespace mentor::spec {

// Sets every unset field that declares a default, in the message and in all below it. A part that
// may be left out and has a name, such as a curriculum, stays absent.
void FillDefaults(google::protobuf::Message* message);

}  // namespace mentor::spec
