// Physics of a simulation against a whole model that was made with these values.
#include "envs/physics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include <mujoco/mjxmacro.h>

#include "common/rng.h"
#include "envs/simulation.h"
#include "tests/simulations.h"
#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

using mentor::testing::RunAlike;
using mentor::testing::Scene;
using mentor::testing::State;

const char* const kScenes[] = {"sawyer_xyz/sawyer_push_v3.xml", "sawyer_xyz/sawyer_door_pull.xml",
                               "sawyer_xyz/sawyer_coffee.xml", "sawyer_xyz/sawyer_stick_obj.xml"};
constexpr uint32_t kSteps = 120;

PhysicsFactors Draw(const mjModel& model, uint32_t number) {
  PhysicsFactors factors = PhysicsFactors::Nominal(model);
  const RandomStream random{.seed = 3, .lifetime = number};
  uint32_t kind = 0;
  for (auto* factor : {&factors.mass, &factors.friction, &factors.damping, &factors.gain}) {
    for (size_t i = 0; i < factor->size(); ++i)
      (*factor)[i] = 0.5 + 1.5 * random.Uniform(kind, static_cast<uint32_t>(i));
    ++kind;
  }
  return factors;
}

// A model of its own with the factors, as anyone would make it with MuJoCo alone.
std::shared_ptr<const mjModel> WholeModel(const mjModel& nominal, const PhysicsFactors& factors) {
  mjModel* m = mj_copyModel(nullptr, &nominal);
  for (int i = 0; i < m->nbody; ++i) {
    m->body_mass[i] *= factors.mass[i];
    for (int k = 0; k < 3; ++k) m->body_inertia[3 * i + k] *= factors.mass[i];
  }
  for (int i = 0; i < m->ngeom; ++i) {
    for (int k = 0; k < 3; ++k) m->geom_friction[3 * i + k] *= factors.friction[i];
  }
  for (int i = 0; i < m->nv; ++i) m->dof_damping[i] *= factors.damping[m->dof_jntid[i]];
  for (int i = 0; i < m->nu; ++i) {
    for (int k = 0; k < 3; ++k) {
      m->actuator_gainprm[mjNGAIN * i + k] *= factors.gain[i];
      m->actuator_biasprm[mjNBIAS * i + k] *= factors.gain[i];
    }
  }
  mjData* d = mj_makeData(m);
  mj_setConst(m, d);
  mj_deleteData(d);
  return {m, [](const mjModel* last) { mj_deleteModel(const_cast<mjModel*>(last)); }};
}

// Names of the arrays in which two models of one scene differ, and "stat" for the statistics.
std::vector<std::string> Differences(const mjModel* a, const mjModel* b) {
  std::vector<std::string> names;
  MJMODEL_POINTERS_PREAMBLE(a)
#define X(type, name, rows, columns)                                                             \
  if (std::memcmp(a->name, b->name,                                                              \
                  sizeof(type) * static_cast<size_t>(a->rows) * static_cast<size_t>(columns)) != \
      0)                                                                                         \
    names.push_back(#name);
  MJMODEL_POINTERS
#undef X
  if (std::memcmp(&a->stat, &b->stat, sizeof(a->stat)) != 0) names.push_back("stat");
  return names;
}

TEST_CASE("physics: a view with factors is the whole model with these values, bit for bit",
          "[unit]") {
  for (const char* scene : kScenes) {
    INFO(scene);
    const auto shared = Scene(scene);
    const std::string before(static_cast<const char*>(shared->buffer), shared->nbuffer);
    const PhysicsFactors factors = Draw(*shared, 0);
    const auto whole = WholeModel(*shared, factors);
    Simulation randomised(shared), reference(whole), plain(shared);
    CHECK(randomised.physics_tag().empty());
    // Other physics and writes before leave no trace.
    constexpr std::array<double, 3> kElsewhere = {1, 2, 3};
    randomised.SetBodyPos(2, kElsewhere);
    REQUIRE(randomised.SetPhysics(Draw(*shared, 1)).ok());
    CHECK(randomised.writes().empty());
    REQUIRE(randomised.SetPhysics(factors).ok());
    CHECK(randomised.physics_tag() == factors.Tag());
    CHECK(factors.Tag() != Draw(*shared, 1).Tag());

    CHECK(Differences(randomised.model(), whole.get()) == std::vector<std::string>{});
    const auto changed = Differences(randomised.model(), shared.get());
    for (const char* name : {"body_mass", "body_inertia", "body_subtreemass", "body_invweight0",
                             "dof_invweight0", "dof_damping", "geom_friction", "actuator_acc0",
                             "actuator_gainprm", "actuator_biasprm", "stat"}) {
      INFO(name);
      CHECK(std::count(changed.begin(), changed.end(), name) == 1);
    }
    CHECK(before == std::string(static_cast<const char*>(shared->buffer), shared->nbuffer));

    // The forward pass is reused as exactly as before.
    Simulation touched(shared);
    REQUIRE(touched.SetPhysics(factors).ok());
    CHECK(randomised.reuses_forward());
    reference.ResetData();
    plain.ResetData();
    for (Simulation* sim : {&randomised, &reference, &touched, &plain}) sim->Forward();
    int contacts = 0;
    CHECK(RunAlike({&randomised, &reference, &touched}, kSteps, &contacts));
    CHECK(contacts > 0);
    CHECK(State(randomised) != [&] {
      int ignored = 0;
      RunAlike({&plain}, kSteps, &ignored);
      return State(plain);
    }());
  }
}

TEST_CASE("physics: factors of 1 are the shared model, also after others", "[unit]") {
  const auto shared = Scene(kScenes[0]);
  Simulation sim(shared), plain(shared);
  REQUIRE(sim.SetPhysics(Draw(*shared, 0)).ok());
  REQUIRE(sim.SetPhysics(PhysicsFactors::Nominal(*shared)).ok());
  CHECK(sim.physics_tag().empty());
  CHECK(Differences(sim.model(), shared.get()) == std::vector<std::string>{});
  CHECK(sim.model()->body_mass == shared->body_mass);
  plain.ResetData();
  for (Simulation* one : {&sim, &plain}) one->Forward();
  int contacts = 0;
  CHECK(RunAlike({&sim, &plain}, kSteps, &contacts));
  CHECK(contacts > 0);

  // mj_setConst gives back the constants of the compiled model: a factor of exactly 1 on a body
  // changes nothing, whatever the other bodies have.
  PhysicsFactors friction = PhysicsFactors::Nominal(*shared);
  friction.friction.assign(shared->ngeom, 0.5);
  REQUIRE(sim.SetPhysics(friction).ok());
  CHECK(Differences(sim.model(), shared.get()) == std::vector<std::string>{"geom_friction"});
}

TEST_CASE("physics: a size changes what touches and nothing else", "[unit]") {
  const auto shared = Scene(kScenes[0]);
  Simulation sim(shared);
  const int puck = mj_name2id(shared.get(), mjOBJ_GEOM, "objGeom");
  REQUIRE(puck >= 0);
  PhysicsFactors factors = PhysicsFactors::Nominal(*shared);
  factors.size[puck] = 2;
  REQUIRE(sim.SetPhysics(factors).ok());
  CHECK(sim.physics_tag() == factors.Tag());
  // "stat": what cameras look at.
  CHECK(Differences(sim.model(), shared.get()) ==
        std::vector<std::string>{"geom_size", "geom_aabb", "geom_rbound", "stat"});
  for (int i = 0; i < 3; ++i)
    CHECK(sim.model()->geom_size[3 * puck + i] == 2 * shared->geom_size[3 * puck + i]);
  // It lies on the table with its new half height.
  const auto height = [&](Simulation& one) {
    one.ResetData();
    one.Steps(400);
    return one.data()->geom_xpos[3 * puck + 2];
  };
  Simulation plain(shared);
  const double half = shared->geom_size[3 * puck + 1];
  CHECK(std::abs(height(sim) - height(plain) - half) < 1e-3);
}

TEST_CASE("physics: those of a task and of a wrapper both hold", "[unit]") {
  const auto shared = Scene(kScenes[0]);
  Simulation both(shared), whole(shared);
  const PhysicsFactors task = Draw(*shared, 0), wrapper = Draw(*shared, 1);
  REQUIRE(both.SetTaskPhysics(task).ok());
  CHECK(both.physics_tag() == task.Tag());
  REQUIRE(both.SetPhysics(wrapper).ok());
  REQUIRE(whole.SetPhysics(task * wrapper).ok());
  CHECK(Differences(both.model(), whole.model()) == std::vector<std::string>{});
  CHECK(both.physics_tag() == whole.physics_tag());
  REQUIRE(both.SetPhysics(PhysicsFactors::Nominal(*shared)).ok());
  CHECK(both.physics_tag() == task.Tag());
  REQUIRE(both.SetTaskPhysics(PhysicsFactors::Nominal(*shared)).ok());
  CHECK(both.physics_tag().empty());
}

}  // namespace mentor::envs::TEST_FILE
