#include "envs/simulation.h"

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "envs/assets.h"
#include "envs/metaworld/world.h"
#include "tests/simulations.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

using mentor::testing::RunAlike;
using mentor::testing::Scene;
using mentor::testing::State;

TEST_CASE("simulation: reusing a forward pass gives the bits of plain steps in every scene",
          "[unit]") {
  const std::filesystem::path folder = AssetsFolder("metaworld/assets");
  int scenes = 0, contacts = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder / "sawyer_xyz")) {
    if (file.path().extension() != ".xml") continue;
    INFO(file.path());
    const auto model = Scene("sawyer_xyz/" + file.path().filename().string());
    Simulation reusing(model), plain(model);
    CHECK(reusing.reuses_forward());
    CHECK(RunAlike({&reusing, &plain}, 150, &contacts));
    ++scenes;
  }
  CHECK(scenes >= 36);
  CHECK(contacts > 10000);  // The comparison is of little worth in free air.
}

TEST_CASE("simulation: model writes belong to one simulation", "[unit]") {
  const auto model = Scene();
  Simulation one(model), two(model);
  const int body = mj_name2id(model.get(), mjOBJ_BODY, "obj"),
            site = mj_name2id(model.get(), mjOBJ_SITE, "goal");
  const double before = model->body_pos[3 * body], site_before = model->site_pos[3 * site];
  one.SetBodyPos(body, std::array{7.0, 8.0, 9.0});
  one.SetSitePos(site, std::array{1.0, 2.0, 3.0});
  one.SetSitePos(site, std::array{4.0, 5.0, 6.0});
  CHECK(one.model()->body_pos[3 * body] == 7);
  CHECK(one.model()->site_pos[3 * site] == 4);
  CHECK(one.writes().size() == 2);  // The last one of each place.
  CHECK(two.model()->body_pos[3 * body] == before);
  CHECK(model->body_pos[3 * body] == before);
  CHECK(two.model()->site_pos[3 * site] == site_before);
  one.RestoreModel();
  CHECK(one.model()->body_pos[3 * body] == before);
  CHECK(one.model()->site_pos[3 * site] == site_before);
  CHECK(one.writes().empty());
  CHECK(model.use_count() >= 4);  // Here, twice above, and in the cache.
}

TEST_CASE("simulation: a MuJoCo error becomes a status and a reset heals", "[unit]") {
  Simulation sim(Scene());
  sim.ResetData();
  sim.Steps(3);
  const std::vector<double> want = State(sim);
  const absl::Status status = sim.Guard([&] {
    mj_markStack(sim.data());
    mju_error("asked for %d", 7);
  });
  CHECK(status.code() == absl::StatusCode::kInternal);
  CHECK(std::string(status.message()).find("asked for 7") != std::string::npos);
  sim.ResetData();
  sim.Steps(3);
  CHECK(State(sim) == want);
}

TEST_CASE(
    "simulation: an unstable state is reported, and nothing is written into the working folder",
    "[unit]") {
  Simulation sim(Scene());
  sim.ResetData();
  sim.Steps(1);
  CHECK(sim.CheckWarnings().ok());
  const std::vector<double> good = State(sim);
  sim.data()->qvel[0] = 1e12;
  CHECK(sim.Guard([&] { sim.Steps(3); }).ok());
  const absl::Status status = sim.CheckWarnings();
  CHECK(status.code() == absl::StatusCode::kOutOfRange);
  INFO(status.ToString());
  CHECK(std::string(status.message()).find("MuJoCo warned") != std::string::npos);
  CHECK(std::string(status.message()).find("give the model a smaller timestep") !=
        std::string::npos);
  CHECK_FALSE(std::filesystem::exists("MUJOCO_LOG.TXT"));
  sim.SetState(good);
  sim.Steps(1);
  CHECK(sim.CheckWarnings().ok());
}

TEST_CASE("simulation: a model that does not load names file and remedy", "[unit]") {
  const auto model = metaworld::LoadScene("sawyer_xyz/none.xml");
  CHECK(model.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(std::string(model.status().message()).find("none.xml") != std::string::npos);
  CHECK(std::string(model.status().message()).find("deploy/install.sh") != std::string::npos);
}

// A box on a spring that a mocap body pulls.
std::shared_ptr<const mjModel> Pulled(const std::string& option, const std::string& equality) {
  const mentor::testing::TempFolder folder;
  const std::string path = folder.path() / "pulled.xml";
  std::ofstream(path)
      << "<mujoco>" << option
      << "<worldbody><geom type='plane' size='3 3 .1'/>"
         "<body name='mocap' mocap='true' pos='0 0 1'><site name='grip'/></body>"
         "<body name='box' pos='0 0 .5'><freejoint/><geom type='box' size='.1 .1 .1'/>"
         "<site name='handle'/></body></worldbody><equality>"
      << equality << "</equality></mujoco>";
  const auto model = LoadModel(path, [](mjModel&) {});
  INFO(model.status().ToString());
  REQUIRE(model.ok());
  return *model;
}

TEST_CASE("simulation: a forward pass is reused where a step is known to do no more", "[unit]") {
  const std::string weld = "<weld body1='mocap' body2='box'/>";
  CHECK(Simulation(Pulled("", weld)).reuses_forward());
  for (const char* integrator : {"implicitfast", "implicit", "RK4"}) {
    INFO(integrator);
    CHECK_FALSE(Simulation(Pulled("<option integrator='" + std::string(integrator) + "'/>", weld))
                    .reuses_forward());
  }
  CHECK(Simulation(Pulled("", "<connect body1='mocap' body2='box' anchor='0 0 0'/>"))
            .reuses_forward());
  for (const char* kind : {"connect", "weld"}) {
    INFO(kind);
    CHECK_FALSE(Simulation(Pulled("", "<" + std::string(kind) + " site1='grip' site2='handle'/>"))
                    .reuses_forward());
  }
  // The steps after that have the bits of plain steps.
  const auto model = Pulled("", "<connect body1='mocap' body2='box' anchor='0 0 0'/>");
  Simulation reusing(model), plain(model);
  for (int t = 0; t < 100; ++t) {
    for (Simulation* sim : {&reusing, &plain}) {
      sim->data()->mocap_pos[0] = 0.005 * t;
      if (sim == &plain) sim->Touch();
      sim->Steps(2);
      sim->Forward();
    }
    REQUIRE(State(reusing) == State(plain));
  }
}

}  // namespace mentor::envs::TEST_FILE
