#include "meta_learner/experiment/parts.h"

#include "common/spec/spec.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

using namespace mentor;
using mentor::testing::Contains;

TEST_CASE("parts: a network of too many parameters is refused before it has weights (D6)",
          "[unit]") {
  const auto message = [](const std::string& signal) {
    const auto spec =
        LoadSpec("benchmark { name: 'point_reach' } evaluation { goals: 1 } " + signal, {},
                 meta_learner::CheckParts);
    return std::string(spec.status().message());
  };
  CHECK(message("") == "");
  // An LSTM of 4096 units has more than 4 * 4096 * 4096 = 67,108,864.
  const std::string wide = message("signal { option { name: 'lstm' value: '4096' } }");
  INFO(wide);
  CHECK(Contains(wide, "signal.option: make a network of "));
  CHECK(Contains(wide, "parameters; at most 33554432 are allowed: give narrower or fewer layers"));
  CHECK_FALSE(Contains(wide, "\n"));
}
