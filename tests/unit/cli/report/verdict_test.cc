#include "cli/report/verdict.h"

#include "tests/testing.h"

namespace mentor::report {
namespace {

TEST_CASE("verdict: the interval decides, and what is too small does not count", "[unit]") {
  CHECK(WordsOf(VerdictOf({0.1, 0.01, 0.2}), "b") == "better than b");
  CHECK(WordsOf(VerdictOf({-0.1, -0.2, -0.01}), "b") == "worse than b");
  CHECK(WordsOf(VerdictOf({0.1, 0, 0.2}), "b") == "cannot be told apart from b");
  CHECK(WordsOf(VerdictOf({0.1, kNone, kNone}), "b") == "cannot be told apart from b");
  CHECK(WordOf(MovementOf({0.02, 0.01, 0.03}, 0.01)) == "rises");
  CHECK(WordOf(MovementOf({0.005, 0.004, 0.006}, 0.01)) == "does not move");
  CHECK(WordOf(MovementOf({0.5, -0.01, 1}, 0.01)) == "does not move");
  CHECK(WordOf(MovementOf({0.5, 0.009, 1}, 0.01)) == "does not move");
  CHECK(WordOf(MovementOf({0, 0, 0}, 0)) == "does not move");
  CHECK(WordOf(MovementOf({0.02, kNone, kNone}, 0)) == "does not move");
  CHECK(WordOf(MovementOf({-0.02, -0.03, -0.01}, 0.01)) == "falls");
}

}  // namespace
}  // namespace mentor::report
