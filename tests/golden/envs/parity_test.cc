// Recorded episodes of the Python originals. The committed copy holds the tasks of
// tests/data/parity/manifest.json; MENTOR_PARITY_DIR replaces it by a larger set.
#include <cstdlib>

#include "envs/verify.h"
#include "tests/testing.h"

namespace mentor::envs {
namespace {

TEST_CASE("parity: recorded episodes are replayed to the agreed tolerance", "[golden]") {
  const char* folder = std::getenv("MENTOR_PARITY_DIR");
  const auto verified = Verify(folder ? folder : MENTOR_TEST_DATA "/parity");
  INFO(verified.status().ToString());
  REQUIRE(verified.ok());
  INFO(verified->text);
  CHECK(verified->passed);
  CHECK(verified->tasks.size() >= 4);
  for (const TaskVerification& task : verified->tasks) {
    INFO(task.task);
    CHECK(task.episodes >= 2);
  }
}

}  // namespace
}  // namespace mentor::envs
