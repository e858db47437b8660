#include "tests/bench/floor.h"

#include "tests/testing.h"

namespace mentor::bench {
namespace {

TEST_CASE("floor: products are counted by hand", "[unit]") {
  CHECK(FlopOf({{.rows = 2, .inner = 3, .columns = 5, .times = 7}}) == 2.0 * 2 * 3 * 5 * 7);
  // Policy and value: the first layer has a product forward and one for its weights; the second and
  // the last also one for their inputs.
  const double policy = 2 * 39 * 64 + 3 * 64 * 64 + 3 * 64 * 4;
  const double value = 2 * 39 * 64 + 3 * 64 * 64 + 3 * 64 * 1;
  CHECK(FlopOf(PpoStepProducts()) == 2.0 * 125 * (policy + value));
  // 47 features to 124, 128 to 28, [32, 128] to 512 gates, 128 to 768, 128 to 128.
  const double forward = 47 * 124 + 128 * 28 + 160 * 512 + 128 * 768 + 128 * 128;
  CHECK(FlopOf(SignalProducts(30, 400)) == 2.0 * 30 * 400 * forward);
  // Backward: codes 124 of 128, z and h without their 4 side inputs; weights as forward.
  const double inputs = 28 * 124 + 512 * 156 + 768 * 128 + 128 * 128;
  CHECK(FlopOf(OuterPieceProducts(30, 400)) == 2.0 * 30 * 400 * (2 * forward + inputs));
}

TEST_CASE("floor: the peak is one that processors have", "[unit]") {
  const double peak = FmaPeak();
  CHECK(peak > 1e9);
  CHECK(peak < 1e13);
}

}  // namespace
}  // namespace mentor::bench
