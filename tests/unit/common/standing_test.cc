#include "common/standing.h"

#include "tests/testing.h"

namespace mentor::TEST_FILE {

using std::chrono::seconds;

TEST_CASE("standing: a row of strikes keeps a peer away, each time twice as long", "[unit]") {
  Standing peer({.strikes_max = 3, .quarantine_max = seconds(100)});
  CHECK_FALSE(peer.good());  // It has delivered nothing.
  CHECK_FALSE(peer.Strike(seconds(0)));
  CHECK_FALSE(peer.Strike(seconds(0)));
  CHECK_FALSE(peer.InQuarantine(seconds(0)));
  CHECK(peer.Strike(seconds(1)));
  CHECK(peer.InQuarantine(seconds(30)));
  CHECK_FALSE(peer.Strike(seconds(30)));  // It is away already.
  CHECK_FALSE(peer.InQuarantine(seconds(31)));
  CHECK(peer.window() == 1);
  // Nothing good came since: one more is enough.
  CHECK(peer.Strike(seconds(31)));
  CHECK(peer.until() == seconds(31 + 60));
  CHECK(peer.Strike(seconds(91)));
  CHECK(peer.until() == seconds(91 + 100));
}

TEST_CASE("standing: what is delivered widens the window and forgives", "[unit]") {
  Standing peer({.window_min = 8, .window_max = 10, .strikes_max = 2});
  CHECK(peer.window() == 8);
  CHECK_FALSE(peer.Strike(seconds(0)));
  CHECK(peer.window() == 4);
  peer.Delivered();
  CHECK(peer.good());
  CHECK(peer.strikes() == 0);
  CHECK(peer.window() == 5);
  CHECK_FALSE(peer.Strike(seconds(0)));  // This strike is not the second in a row.
  CHECK_FALSE(peer.good());
  CHECK(peer.Strike(seconds(0)));
  peer.Delivered();
  CHECK_FALSE(peer.InQuarantine(seconds(0)));
  peer.Quarantine(seconds(5));
  CHECK(peer.until() == seconds(35));  // The same length as the first time.
  for (int i = 0; i < 20; ++i) peer.Delivered();
  CHECK(peer.window() == 10);
}

TEST_CASE("tried at: back to who failed after waits that grow, given up after a while", "[unit]") {
  const TriedAt::Options options{.errors_max = 3, .span = seconds(30)};
  TriedAt tried;
  CHECK(seconds(-5) >= tried.again());
  std::chrono::nanoseconds now = seconds(-5);  // The beginning of the clock is anywhere.
  for (const int wait_s : {1, 2, 4, 8, 15}) {
    tried.Failed("a", now, options);
    CHECK_FALSE(tried.IsGivenUp(now, options));
    CHECK(tried.again() - now == seconds(wait_s));
    now = tried.again();
  }
  tried.Failed("a", now, options);
  CHECK(tried.errors() == 6);
  CHECK(tried.IsGivenUp(now, options));
  CHECK(tried.again() - now == seconds(1));  // Somebody else may be left.
  // Rare strikes are not strikes in a row.
  TriedAt rarely;
  rarely.Failed("a", seconds(0), options);
  rarely.Failed("b", seconds(100), options);
  CHECK_FALSE(rarely.IsGivenUp(seconds(100), options));
  CHECK(rarely.size() == 2);
}

}  // namespace mentor::TEST_FILE
