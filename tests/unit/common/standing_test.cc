#include "common/standing.h"

#include "tests/testing.h"

namespace mentor {
namespace {

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
  CHECK_FALSE(peer.Strike(seconds(0)));  // Not the second in a row.
  CHECK_FALSE(peer.good());
  CHECK(peer.Strike(seconds(0)));
  peer.Delivered();
  CHECK_FALSE(peer.InQuarantine(seconds(0)));
  peer.Quarantine(seconds(5));
  CHECK(peer.until() == seconds(35));  // As the first time.
  for (int i = 0; i < 20; ++i) peer.Delivered();
  CHECK(peer.window() == 10);
}

}  // namespace
}  // namespace mentor
