// Addresses HOST:PORT as in flags. Threads may share; pure except for ResolveAddress.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace mentor::rpc {

// Servers of one service that a flag may name.
inline constexpr size_t kServersMax = 16;

enum class AddressOf {
  kServer,  // Address to listen on: port 0 chooses a free one.
  // Address to connect to. "dns:///HOST:PORT" means HOST:PORT. What follows another scheme of gRPC
  // ("unix:/run/mentor") is not checked.
  kPeer,
};

// Returns the address without blanks around it. INVALID_ARGUMENT says what is wrong with it. Does
// not resolve the host. python/mentor_client/addresses.py reads addresses in the same way;
// tests/data/connections.json has cases for both.
absl::StatusOr<std::string> ParseAddress(std::string_view text, AddressOf of);

// Returns the addresses in "A:50051, B:50051", as a flag names several servers. INVALID_ARGUMENT
// for more than `most`, and for an address that is wrong.
absl::StatusOr<std::vector<std::string>> ParseAddresses(std::string_view list, size_t most,
                                                        AddressOf of = AddressOf::kPeer);

// Returns the host of HOST:PORT, without scheme and brackets.
std::string HostOf(std::string_view address);

// Resolves an address now: returns IP:PORT for each address of a host's name, sorted. IP addresses,
// and addresses with another scheme than "dns:///", are returned unchanged. UNAVAILABLE if the name
// has no address or the resolver cannot be reached. Blocks as long as the system's resolver does.
absl::StatusOr<std::vector<std::string>> ResolveAddress(std::string_view address);

}  // namespace mentor::rpc
