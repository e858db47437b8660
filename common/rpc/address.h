// HOST:PORT as people write it in flags. Threads may share; pure but for ResolveAddress.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace mentor::rpc {

enum class AddressOf {
  kServer,  // To listen on: port 0 takes a free one.
  kPeer,    // To connect to. "dns:///HOST:PORT" means HOST:PORT; names with another scheme of
            // gRPC's ("unix:/run/mentor") are not looked at.
};

// INVALID_ARGUMENT says what of the address is wrong. It does not look the host up.
absl::Status CheckAddress(std::string_view address, AddressOf of);

// The addresses of "A:50051,B:50051": several servers, as flags name them. INVALID_ARGUMENT for
// more than `most`. It does not look at the addresses.
absl::StatusOr<std::vector<std::string>> SplitAddresses(const std::string& list, size_t most);

// The host of HOST:PORT, without scheme and brackets.
std::string HostOf(std::string_view address);

// What an address stands for now: IP:PORT for each address of a host's name, sorted; itself when it
// is an IP address or has another scheme than "dns:///". UNAVAILABLE when the name has no address
// or nobody can be asked. Blocks as long as the system's resolver does.
absl::StatusOr<std::vector<std::string>> ResolveAddress(std::string_view address);

}  // namespace mentor::rpc
