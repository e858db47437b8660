#include "cli/local/sparkline.h"

#include <cstdlib>
#include <limits>
#include <vector>

#include "tests/testing.h"

namespace mentor::TEST_FILE {

TEST_CASE("sparkline: bars from the least to the greatest number", "[unit]") {
  const std::vector<double> numbers = {0, 1, 2, 3, 4, 5, 6, 7};
  CHECK(Sparkline(numbers, 20, true) == "▁▂▃▄▅▆▇█");
  CHECK(Sparkline(numbers, 20, false) == "_.-=+*%#");
  // Means of pairs: 0.5, 2.5, 4.5, 6.5.
  CHECK(Sparkline(numbers, 4, true) == "▁▃▆█");
  CHECK(Sparkline(std::vector<double>{3, 3, 3}, 20, true) == "▁▁▁");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(Sparkline(std::vector<double>{1, nan, 2}, 20, true) == "▁█");
  CHECK(Sparkline(std::vector<double>{}, 20, true).empty());
  CHECK(Sparkline(numbers, 0, true).empty());
}

}  // namespace mentor::TEST_FILE
