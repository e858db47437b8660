// Units whose environment runs in a simulator.
#include <string>

#include <absl/strings/match.h>

#include "actor/unit_runner.h"
#include "tests/hosts/offered_hosts.h"
#include "tests/units.h"

namespace mentor::actor::TEST_FILE {

using testing::HostileFacts;
using testing::HostileHost;
using testing::HostileTask;
using testing::OfferedHosts;

v1::Unit CounterUnit(uint32_t steps, const v1::EnvironmentFacts& facts) {
  v1::Unit unit = testing::NewUnit(0, steps);
  *unit.mutable_policy() = testing::RandomPolicy(2, 8, 2, 1);
  *unit.mutable_task() = HostileTask(facts);
  unit.set_return_state(true);
  return unit;
}

TEST_CASE("unit runner: a host's episode goes on in the next unit", "[unit]") {
  const OfferedHosts offered({HostileHost("none", "none")});
  UnitRunner runner;
  v1::Unit unit = CounterUnit(33, HostileFacts());
  const v1::Result whole = runner.Run(unit);
  INFO(whole.error());
  REQUIRE(whole.error().empty());
  // Episodes have 20 steps; the second one is open.
  CHECK(whole.trajectory().truncations().data().find('\1') == 19);
  CHECK(whole.trajectory().truncations().data().rfind('\1') == 19);
  unit.set_steps(27);
  const v1::Result first = runner.Run(unit);
  REQUIRE(first.error().empty());
  unit.set_state(first.final_state());
  unit.set_first_step(unit.first_step() + 27);
  unit.set_first_episode(unit.first_episode() + 1);
  unit.set_steps(6);
  UnitRunner elsewhere;
  const v1::Result second = elsewhere.Run(unit);
  INFO(second.error());
  REQUIRE(second.error().empty());
  CHECK(second.final_state() == whole.final_state());
  CHECK(first.trajectory().observations().data() + second.trajectory().observations().data() ==
        whole.trajectory().observations().data());
  CHECK(first.trajectory().actions().data() + second.trajectory().actions().data() ==
        whole.trajectory().actions().data());
}

TEST_CASE("unit runner: where no state is saved, the last episode is truncated", "[unit]") {
  const OfferedHosts offered({HostileHost("forgetful", "none")});
  v1::EnvironmentFacts facts = HostileFacts();
  facts.set_saves_state(false);
  UnitRunner runner;
  v1::Unit unit = CounterUnit(33, facts);
  unit.set_return_final_observations(true);
  const v1::Result result = runner.Run(unit);
  INFO(result.error());
  REQUIRE(result.error().empty());
  CHECK(result.final_state().empty());
  std::string truncations(33, '\0');
  truncations[19] = truncations[32] = '\1';
  CHECK(result.trajectory().truncations().data() == truncations);
  CHECK(result.trajectory().final_observations().shape(0) == 2);
  // The next iteration begins with this: step 0 of another episode.
  float step = 1;
  std::memcpy(&step, result.trajectory().next_observation().data().data(), sizeof(step));
  CHECK(step == 0);
  // A part in the middle, which returns no state, is cut nowhere else.
  unit.set_return_state(false);
  const v1::Result part = runner.Run(unit);
  truncations[32] = '\0';
  CHECK(part.trajectory().truncations().data() == truncations);
}

TEST_CASE("unit runner: a host that fails is an error of its unit, and no more", "[unit]") {
  UnitRunner runner;
  const v1::Unit unit = CounterUnit(5, HostileFacts());
  {
    const OfferedHosts offered({HostileHost("die", "save")});
    const v1::Result result = runner.Run(unit);
    INFO(result.error());
    CHECK(absl::StrContains(result.error(),
                            "simulator hostile ended at 'save' (exit status 3); its "
                            "last words: cannot go on"));
    CHECK_FALSE(result.has_trajectory());
  }
  const OfferedHosts offered({HostileHost("none", "none")});
  CHECK(runner.Run(unit).error().empty());
}

}  // namespace mentor::actor::TEST_FILE
