// Addresses HOST:PORT as in flags. Threads may share; pure except for ResolveAddress.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace mentor::rpc {

enum class AddressOf {
  kServer,  // Address to listen on: port 0 chooses a free one.
  // Address to connect to. "dns:///HOST:PORT" means HOST:PORT. Names with another scheme of gRPC
  // ("unix:/run/mentor") are not checked.
  kPeer,
};

// INVALID_ARGUMENT says what is wrong with the address. Does not resolve the host.
absl::Status CheckAddress(std::string_view address, AddressOf of);

// Splits "A:50051,B:50051", a flag that names several servers. INVALID_ARGUMENT for more than
// `most`. Does not check the addresses.
absl::StatusOr<std::vector<std::string>> SplitAddresses(const std::string& list, size_t most);

// Returns the host of HOST:PORT, without scheme and brackets.
std::string HostOf(std::string_view address);

// Resolves an address now: returns IP:PORT for each address of a host's name, sorted. IP addresses,
// and addresses with another scheme than "dns:///", are returned unchanged. UNAVAILABLE if the name
// has no address or the resolver cannot be reached. Blocks as long as the system's resolver does.
absl::StatusOr<std::vector<std::string>> ResolveAddress(std::string_view address);

}  // namespace mentor::rpc
