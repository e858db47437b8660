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

// FAILED_PRECONDITION PROTOCOL_VERSION that names both builds.
absl::Status CheckProtocolVersion(const v1::Hello& hello);

}  // namespace mentor
