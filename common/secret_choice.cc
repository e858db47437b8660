#include <algorithm>

#include <sys/random.h>

#include "common/check.h"
#include "common/uuid.h"

namespace mentor {

uint64_t SecretBelow(uint64_t limit) {
  MENTOR_CHECK(limit > 0);
  // Numbers from the last, incomplete span would make small results more likely.
  const uint64_t rest = -limit % limit;
  while (true) {
    uint64_t number = 0;
    MENTOR_CHECK(getrandom(&number, sizeof(number), 0) == static_cast<ssize_t>(sizeof(number)));
    if (number >= rest) return number % limit;
  }
}

bool SecretOneIn(uint32_t every) {
  return every > 0 && SecretBelow(every) == 0;
}

bool SecretSpans::Next(uint32_t every) {
  const uint64_t number = number_++;
  if (number >= every) return false;
  if (number == end_) {
    const uint64_t span = std::max<uint64_t>(1, number);
    end_ = number + span;
    chosen_ = number + SecretBelow(span);
  }
  return number == chosen_;
}

}  // namespace mentor
