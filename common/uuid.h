// Random identities of experiments, requests and processes. Never part of a result. Threads may
// share.
#pragma once

#include <string>
#include <string_view>

namespace mentor {

// Returns a UUID of version 4, from the kernel's generator: "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx".
std::string NewUuid();
// True for a UUID of any version: 36 characters, with dashes in the right places and hexadecimal
// digits elsewhere.
bool IsUuid(std::string_view text);
// Returns the first `length` characters (at most 25) of the UUID's bits in lower-case base32 (a-z,
// 2-7).
std::string UuidBase32(std::string_view uuid, int length);

}  // namespace mentor
