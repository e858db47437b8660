// What a peer says of itself in Hello, and the check that every server makes first. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include <absl/status/status.h>

#include "mentor/v1/stream.pb.h"

namespace mentor {

// Version of the wire. Raised with every change that an older peer would misread.
inline constexpr uint32_t kProtocolVersion = 2;
// Version of the programs: project(VERSION) of CMakeLists.txt.
extern const std::string_view kBuildVersion;

// Protocol version, build, a new uid for this process and the host's name; the caller adds the
// rest.
v1::Hello NewHello();

// Units of one experiment that an actor has in hand for each of its threads: one at work and one
// waiting, so that no thread waits for the wire.
inline constexpr uint32_t kUnitsAhead = 2;
// Units that one actor may ask for in all.
inline constexpr uint32_t kCreditMax = 1024;

// Bounds of what a peer says of itself.
inline constexpr size_t kPeerUidBytesMax = 128, kPeerTextBytesMax = 256;
inline constexpr uint32_t kPeerThreadsMax = 1 << 16;

// INVALID_ARGUMENT PROTOCOL_VIOLATION unless the text is printable ASCII of that length.
absl::Status CheckPlain(std::string_view field, std::string_view text, size_t bytes_min,
                        size_t bytes_max);

// What every server asks of a Hello: FAILED_PRECONDITION PROTOCOL_VERSION that names both builds,
// or INVALID_ARGUMENT PROTOCOL_VIOLATION for a text that is missing, too long or not plain, and for
// a number out of range. The texts are shown to people and kept as long as the peer is there.
absl::Status CheckHello(const v1::Hello& hello);

}  // namespace mentor
