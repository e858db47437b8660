// Meta-World scenes and simulations for tests.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "common/rng.h"
#include "envs/metaworld/world.h"
#include "envs/simulation.h"
#include "tests/testing.h"

namespace mentor::testing {

inline std::shared_ptr<const mjModel> Scene(
    const std::string& xml = "sawyer_xyz/sawyer_push_v3.xml") {
  auto model = envs::metaworld::LoadScene(xml);
  INFO(model.status().ToString());
  REQUIRE(model.ok());
  return *model;
}

inline std::vector<double> State(const envs::Simulation& sim) {
  std::vector<double> state(sim.state_size());
  sim.GetState(state);
  return state;
}

// Moves the hand down to the table and about. True if all simulations have the same bits at all
// times. The last one computes everything in each step. Adds the contacts of every step to
// *contacts.
inline bool RunAlike(const std::vector<envs::Simulation*>& sims, uint32_t steps, int* contacts) {
  const RandomStream random{.seed = 1};
  std::array<double, 3> mocap = {0, 0.6, 0.2};
  for (uint32_t t = 0; t < steps; ++t) {
    for (envs::Simulation* sim : sims) {
      mjData* d = sim->data();
      std::copy(mocap.begin(), mocap.end(), d->mocap_pos);
      constexpr double kOrientation[4] = {1, 0, 1, 0};
      std::copy_n(kOrientation, 4, d->mocap_quat);
      d->ctrl[0] = 2 * random.Uniform(t, 9) - 1;
      d->ctrl[1] = -d->ctrl[0];
      if (sim == sims.back()) sim->Touch();
      sim->Steps(5);
      sim->Forward();
      if (State(*sim) != State(*sims.front())) return false;
    }
    *contacts += sims.front()->data()->ncon;
    for (uint32_t i = 0; i < 3; ++i)
      mocap[i] += 0.02 * (random.Uniform(t, i) - (i == 2 && t < 60 ? 0.7 : 0.5));
  }
  return true;
}

}  // namespace mentor::testing
