// Makes the defaults of a message explicit. Pure; threads may share.
#pragma once

#include <google/protobuf/message.h>

namespace mentor::spec {

// Sets every unset field that declares a default, recursively. An optional part with a required
// name, such as a curriculum, stays absent.
void FillDefaults(google::protobuf::Message* message);

}  // namespace mentor::spec
