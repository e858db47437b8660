// Choices that no peer can foretell, from the kernel's generator: which work is checked. Never part
// of a result. Threads may share.
#pragma once

#include <cstdint>

namespace mentor {

// Returns a number below `limit`, each equally likely; limit > 0.
uint64_t SecretBelow(uint64_t limit);
// True for one call of `every`, by chance; never for 0.
bool SecretOneIn(uint32_t every);

}  // namespace mentor
