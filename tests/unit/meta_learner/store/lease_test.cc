// Beats of a leader, as the standbys see them.
#include "meta_learner/store/lease.h"

#include <chrono>

#include "common/status.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

using Clock = BeatWatch::Clock;
using std::chrono::milliseconds;

Lease Beating(int64_t beat, int64_t number = 1) {
  return {.held = true, .beats = true, .number = number, .leader = "a:1", .beat = beat};
}

// A watch whose looks take no time.
struct Watch {
  BeatWatch watch;
  Clock::time_point now{std::chrono::hours(1)};
  bool After(milliseconds span, const Lease& lease, milliseconds took = milliseconds(0)) {
    now += span;
    const auto began = now;
    now += took;
    return watch.Stopped(lease, began, now);
  }
};

TEST_CASE("lease: a leader that beats is left alone, one that has stopped is not", "[unit]") {
  Watch watch;
  for (int64_t beat = 0; beat < 20; ++beat) CHECK_FALSE(watch.After(kLease / 2, Beating(beat)));
  CHECK_FALSE(watch.After(kLease - milliseconds(1), Beating(19)));
  CHECK(watch.After(milliseconds(1), Beating(19)));
  // A process that took over meanwhile begins anew.
  CHECK_FALSE(watch.After(milliseconds(1), Beating(19, /*number=*/2)));
}

TEST_CASE("lease: what keeps the leader from beating too is not held against it", "[unit]") {
  Watch watch;
  CHECK_FALSE(watch.After(milliseconds(0), Beating(7)));
  SECTION("the database was away") {
    watch.watch.Failed();
    CHECK_FALSE(watch.After(10 * kLease, Beating(7)));
    CHECK_FALSE(watch.After(kLease / 2, Beating(7)));
    CHECK(watch.After(kLease / 2, Beating(7)));
  }
  SECTION("the database answered slowly") {
    CHECK_FALSE(watch.After(milliseconds(1), Beating(7), /*took=*/2 * kLease));
    CHECK_FALSE(watch.After(milliseconds(1), Beating(7)));
    CHECK(watch.After(kLease, Beating(7)));
  }
}

TEST_CASE("lease: a standby counts a beat from the end of the look that saw it", "[unit]") {
  // The slowest look that proves something takes a third of the lease: 2 s.
  constexpr milliseconds kSlow = kLease / 3;
  Watch watch;
  CHECK_FALSE(watch.After(milliseconds(0), Beating(7), /*took=*/kSlow));
  // The beat may have come just before the answer; the next look counts to its beginning.
  CHECK_FALSE(watch.After(kLease - milliseconds(1), Beating(7)));
  CHECK(watch.After(milliseconds(1), Beating(7)));
  watch.watch.Failed();
  CHECK_FALSE(watch.After(milliseconds(0), Beating(7)));
  CHECK_FALSE(watch.After(kLease - milliseconds(1), Beating(7), /*took=*/kSlow));
  CHECK(watch.After(milliseconds(0), Beating(7)));
  // One that takes longer begins the wait again.
  CHECK_FALSE(watch.After(milliseconds(0), Beating(7), kSlow + milliseconds(1)));
  CHECK_FALSE(watch.After(milliseconds(0), Beating(7)));
  CHECK_FALSE(watch.After(kLease - milliseconds(1), Beating(7)));
  CHECK(watch.After(milliseconds(1), Beating(7)));
}

TEST_CASE("lease: a leader counts a beat from its sending, however slow the answer is", "[unit]") {
  const Clock::time_point begin{std::chrono::hours(1)};
  HeldLease lease(begin);
  CHECK(lease.At(begin + kLease - milliseconds(1)).ok());
  CHECK(absl::IsUnavailable(lease.At(begin + kLease)));
  // The answer is still under way, and comes late.
  lease.Sent(begin + milliseconds(1000));
  CHECK_FALSE(lease.At(begin + kLease).ok());
  lease.Confirmed();
  CHECK(lease.At(begin + milliseconds(1000) + kLease - milliseconds(1)).ok());
  const absl::Status late = lease.At(begin + milliseconds(1000) + kLease);
  CHECK(ReasonOf(late) == "NOT_LEADER");
  CHECK(late.message() ==
        "this meta-learner has not reached its database for 6 s; another one may lead now");
}

TEST_CASE("lease: versions that do not beat, and locks that nobody holds, are never ended",
          "[unit]") {
  Watch watch;
  const Lease older = {.held = true};
  CHECK_FALSE(watch.After(milliseconds(0), older));
  CHECK_FALSE(watch.After(10 * kLease, older));
  Lease free = Beating(3);
  free.held = false;
  CHECK_FALSE(watch.After(milliseconds(0), free));
  CHECK_FALSE(watch.After(10 * kLease, free));
}

TEST_CASE("lease: who is refused learns who leads", "[unit]") {
  CHECK(absl::IsUnavailable(NotLeader("a:1")));
  CHECK(ReasonOf(NotLeader("a:1")) == "NOT_LEADER");
  CHECK(MetadataOf(NotLeader("a:1"), "leader") == "a:1");
  CHECK_FALSE(MetadataOf(NotLeader(""), "leader").has_value());
}

}  // namespace mentor::meta_learner::TEST_FILE
