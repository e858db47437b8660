// The Hello message of a peer, and the check that every server makes first. Pure functions.
#pragma once

#include <string_view>

#include <absl/status/status.h>

#include "mentor/v1/stream.pb.h"

namespace mentor {

// Version of the wire protocol. Raised with every change that an older peer would misread.
inline constexpr uint32_t kProtocolVersion = 2;
// Version of the programs: project(VERSION) of CMakeLists.txt.
extern const std::string_view kBuildVersion;

// Returns protocol version, build, a new uid for this process and the host's name; the caller adds
// the rest.
v1::Hello NewHello();

// Units of one experiment that an actor holds per thread: one running and one waiting, so that no
// thread waits for the network.
inline constexpr uint32_t kUnitsAhead = 2;
// Limit for the units that one actor may request in total.
inline constexpr uint32_t kCreditMax = 1024;

// Limits for the fields of Hello.
inline constexpr size_t kPeerUidBytesMax = 128, kPeerTextBytesMax = 256;
inline constexpr uint32_t kPeerThreadsMax = 1 << 16;

// INVALID_ARGUMENT PROTOCOL_VIOLATION unless the text is printable ASCII of a length within the
// limits.
absl::Status CheckPlain(std::string_view field, std::string_view text, size_t bytes_min,
                        size_t bytes_max);

// Checks a Hello. FAILED_PRECONDITION PROTOCOL_VERSION names both builds. INVALID_ARGUMENT
// PROTOCOL_VIOLATION: a text is missing, too long or not plain, or a number is out of range. The
// texts are shown to people and kept while the peer is connected.
absl::Status CheckHello(const v1::Hello& hello);

}  // namespace mentor
