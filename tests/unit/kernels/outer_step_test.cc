#include "kernels/outer_step.h"

#include <cmath>
#include <limits>

#include "tests/testing.h"

namespace mentor::kernels::TEST_FILE {

TEST_CASE("outer step: the greatest error of the ratio is kept, and so is a NaN", "[unit]") {
  CHECK(GreaterRhoError(2, 1) == 2);
  CHECK(GreaterRhoError(1, 2) == 2);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isnan(GreaterRhoError(1, nan)));
  CHECK(std::isnan(GreaterRhoError(nan, 1)));
}

}  // namespace mentor::kernels::TEST_FILE
