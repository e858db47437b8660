// The bucket of each caller, in virtual time.
#include "common/rpc/rate_limit.h"

#include "common/status.h"
#include "tests/testing.h"

namespace mentor::rpc::TEST_FILE {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("rate limit: a burst, then the rate", "[unit]") {
  RateLimiter limiter({.calls_per_second = 10, .burst = 3});
  RateLimiter::Clock::time_point now{};
  CHECK(limiter.Admit("a", now).ok());  // 2 left
  CHECK(limiter.Admit("a", now).ok());  // 1
  CHECK(limiter.Admit("a", now).ok());  // 0
  const absl::Status refused = limiter.Admit("a", now);
  CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
  CHECK(ReasonOf(refused) == "RATE_LIMITED");
  CHECK(RetryDelayOf(refused) == milliseconds(100));
  CHECK(limiter.Admit("b", now).ok());  // Others have buckets of their own.
  now += milliseconds(50);
  CHECK(RetryDelayOf(limiter.Admit("a", now)) == milliseconds(50));  // 0.5: refusals cost nothing
  now += milliseconds(50);
  CHECK(limiter.Admit("a", now).ok());        // 1 -> 0
  CHECK_FALSE(limiter.Admit("a", now).ok());  // 0
  now += seconds(3600);
  for (int i = 0; i < 3; ++i) CHECK(limiter.Admit("a", now).ok());  // Full again, not fuller.
  CHECK_FALSE(limiter.Admit("a", now).ok());
  CHECK_FALSE(
      limiter.Admit("a", now - seconds(10)).ok());  // A look at an older clock gives nothing.
}

TEST_CASE("rate limit: over an hour the rate holds", "[unit]") {
  RateLimiter limiter({});
  RateLimiter::Clock::time_point now{};
  int admitted = 0;
  for (int ms = 0; ms < 60'000; ++ms) {
    if (limiter.Admit("greedy", now + milliseconds(ms)).ok()) ++admitted;
  }
  CHECK(admitted >= 200 + 5'990);  // burst + 100 a second
  CHECK(admitted <= 200 + 6'000);
}

TEST_CASE("rate limit: callers are bounded, zero is no limit", "[unit]") {
  RateLimiter limiter({.calls_per_second = 1, .burst = 2, .callers_max = 3});
  RateLimiter::Clock::time_point now{};
  for (const char* name : {"a", "b", "c"}) CHECK(limiter.Admit(name, now).ok());
  CHECK_FALSE(limiter.Admit("d", now).ok());  // All three are busy.
  now += seconds(2);
  CHECK(limiter.Admit("d", now).ok());  // They are full again and forgotten.
  RateLimiter unlimited({.calls_per_second = 0});
  for (int i = 0; i < 1000; ++i) CHECK(unlimited.Admit("a", now).ok());
}

TEST_CASE("retry advice crosses a status", "[unit]") {
  const auto status = WithRetryDelay(absl::UnavailableError("x"), milliseconds(1234));
  CHECK(RetryDelayOf(status) == milliseconds(1234));
  CHECK_FALSE(RetryDelayOf(absl::UnavailableError("x")).has_value());
}

}  // namespace mentor::rpc::TEST_FILE
