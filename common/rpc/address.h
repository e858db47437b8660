// HOST:PORT as people write it in flags. Pure; threads may share.
#pragma once

#include <string_view>

#include <absl/status/status.h>

namespace mentor::rpc {

enum class AddressOf {
  kServer,  // To listen on: port 0 takes a free one.
  kPeer,    // To connect to. Names with a scheme of gRPC's ("dns:///meta-learner:50052",
            // "unix:/run/mentor") are not looked at.
};

// INVALID_ARGUMENT says what of the address is wrong. It does not look the host up.
absl::Status CheckAddress(std::string_view address, AddressOf of);

}  // namespace mentor::rpc
