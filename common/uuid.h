// Random identities of experiments, requests and processes. Never part of a result. Threads may
// share.
#pragma once

#include <cstdint>
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

// ---- Choices that no peer can foretell (secret_choice.cc): which work is checked.

// Returns a number below `limit`, each equally likely; limit > 0.
uint64_t SecretBelow(uint64_t limit);
// True for one call of `every`, by chance; never for 0.
bool SecretOneIn(uint32_t every);

// Chooses one of each span of numbers. Spans double (1, 1, 2, 4, ...) until `every` is reached, and
// then a sample of that size suffices. So something is chosen early, and nobody can wait until the
// choice is over. One thread at a time.
class SecretSpans {
 public:
  // True if the next number is chosen; never for 0.
  bool Next(uint32_t every);

 private:
  uint64_t number_ = 0, end_ = 0, chosen_ = 0;
};

}  // namespace mentor
