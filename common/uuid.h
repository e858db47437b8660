// Random identities of experiments, requests and processes. Never part of a result. Threads may
// share.
#pragma once

#include <string>
#include <string_view>

namespace mentor {

// Version 4, from the kernel's generator: "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx".
std::string NewUuid();
// True for 36 characters of hexadecimal digits and dashes in the places of a UUID, of any version.
bool IsUuid(std::string_view text);
// The first `length` characters, at most 25, of the UUID's bits in lower-case base32 (a-z, 2-7).
std::string UuidBase32(std::string_view uuid, int length);

}  // namespace mentor
