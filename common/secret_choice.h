// Choices that no peer can foretell, from the kernel's generator: which work is checked. Never part
// of a result. Threads may share.
#pragma once

#include <cstdint>

namespace mentor {

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
