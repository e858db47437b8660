// Recorded episodes of the Python originals, of all 61 tasks. MENTOR_PARITY_DIR replaces the
// committed set, tests/data/parity, by another one.
#include <algorithm>
#include <cstdlib>

#include "envs/mujoco_environment.h"
#include "envs/verify.h"
#include "tests/paths.h"
#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

TEST_CASE("parity: recorded episodes of every task are replayed to the agreed tolerance",
          "[golden]") {
  const char* folder = std::getenv("MENTOR_PARITY_DIR");
  const auto verified = Verify(folder ? folder : testing::SourcePath("tests/data/parity"));
  INFO(verified.status().ToString());
  REQUIRE(verified.ok());
  INFO(verified->text);
  CHECK(verified->passed);
  CHECK(verified->skipped.empty());
  for (const TaskVerification& task : verified->tasks) {
    INFO(task.task);
    CHECK(task.episodes >= 2);
    // This machine and build must give the same bits of simulation.
    CHECK(task.state == 0);
    CHECK(task.observation == 0);
  }
  if (folder != nullptr) return;
  CHECK(verified->tasks.size() == 61);
  // Nothing on MuJoCo is without a recording.
  for (const EnvironmentEntry* entry : CompleteEnvironments()) {
    INFO(entry->name);
    const auto environment = MakeEnvironment(entry->name, {}).value();
    if (dynamic_cast<MuJoCoEnvironment*>(environment.get()) == nullptr) continue;
    CHECK(std::any_of(verified->tasks.begin(), verified->tasks.end(),
                      [entry](const auto& task) { return task.task == entry->name; }));
  }
}

}  // namespace mentor::envs::TEST_FILE
