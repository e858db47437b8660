// The hand reset that goals of a task share, against the one that is simulated in full.
#include <set>

#include "envs/metaworld/metaworld_environment.h"
#include "envs/mujoco_environment.h"
#include "tests/testing.h"

namespace mentor::envs::metaworld::TEST_FILE {

// Tasks whose statements leave all bodies where the model has them ("hand state: independent of v"
// in their specification).
const std::set<std::string> kShared = {
    "bin-picking-v3", "hand-insert-v3", "hammer-v3",           "pick-place-wall-v3",
    "pick-place-v3",  "push-v3",        "pick-out-of-hole-v3", "plate-slide-side-v3",
    "stick-push-v3",  "stick-pull-v3",  "plate-slide-back-v3", "push-wall-v3",
    "push-back-v3",   "reach-v3",       "reach-wall-v3",       "sweep-into-v3",
    "sweep-v3",
};

// Everything that the reset leaves behind: state, first observation, and what the first step, which
// begins with stale kinematics, makes of them.
std::string ResetTo(Environment& environment, uint32_t goal) {
  const std::string& name = environment.info().name;
  const RandomStream random{.seed = 8, .purpose = Purpose::kTasks};
  std::vector<double> observation(environment.info().observation_size);
  REQUIRE(environment.SetTask(DrawTask(*FindEnvironment(name), {}, random, goal)).ok());
  REQUIRE(environment.Reset({}, 0, observation).ok());
  std::string all = *environment.SaveState();
  const std::vector<float> action = {0.3f, -0.2f, -1, 0.5f};
  const auto outcome = environment.Step(action, observation);
  REQUIRE(outcome.ok());
  return all + *environment.SaveState() +
         std::string(reinterpret_cast<const char*>(&outcome->reward), sizeof(double));
}

TEST_CASE("metaworld: goals share a hand reset where no body moves, and only there", "[unit]") {
  REQUIRE(Registry<TaskEntry>::Instance().All().size() >= kShared.size());
  int shared = 0;
  for (const TaskEntry* entry : Registry<TaskEntry>::Instance().All()) {
    INFO(entry->name);
    SettledResets::Instance().Clear();
    const auto environment = MakeEnvironment(entry->name, {}).value();
    ResetTo(*environment, 0);
    ResetTo(*environment, 1);
    // Two goals, and what they share.
    const bool shares = SettledResets::Instance().size() == 3;
    CHECK(SettledResets::Instance().size() == (shares ? 3 : 2));
    CHECK(shares == (kShared.count(entry->name) == 1));
    shared += shares;
  }
  CHECK(shared == static_cast<int>(kShared.size()));
}

TEST_CASE("metaworld: a shared hand reset changes no bit", "[unit]") {
  constexpr uint32_t kGoals = 4;
  for (const std::string& name : kShared) {
    INFO(name);
    const auto environment = MakeEnvironment(name, {}).value();
    std::vector<std::string> in_full;
    for (uint32_t goal = 0; goal < kGoals; ++goal) {
      SettledResets::Instance().Clear();
      in_full.push_back(ResetTo(*environment, goal));
    }
    // Environments that share the hand reset.
    for (uint32_t first = 0; first < kGoals; first += kGoals - 1) {
      SettledResets::Instance().Clear();
      CHECK(ResetTo(*environment, first) == in_full[first]);
      const auto other = MakeEnvironment(name, {}).value();  // With data that has been nowhere.
      for (uint32_t goal = 0; goal < kGoals; ++goal) {
        CHECK(ResetTo(goal % 2 ? *environment : *other, goal) == in_full[goal]);
      }
    }
    CHECK(in_full[0] != in_full[1]);
  }
}

TEST_CASE("metaworld: a hand reset is shared among equal physics only", "[unit]") {
  SettledResets::Instance().Clear();
  const auto nominal = MakeEnvironment("reach-v3", {}).value(),
             heavy = MakeEnvironment("reach-v3", {}).value();
  Simulation& simulation = dynamic_cast<MetaWorldEnvironment&>(*heavy).simulation();
  PhysicsFactors factors = PhysicsFactors::Nominal(*simulation.model());
  for (double& factor : factors.mass) factor = 1.5;
  REQUIRE(simulation.SetPhysics(factors).ok());
  const std::string want = ResetTo(*heavy, 0);

  SettledResets::Instance().Clear();
  CHECK(ResetTo(*nominal, 0) != want);
  CHECK(ResetTo(*heavy, 1) != want);
  CHECK(ResetTo(*heavy, 0) == want);
}

}  // namespace mentor::envs::metaworld::TEST_FILE
