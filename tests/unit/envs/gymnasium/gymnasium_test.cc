#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>

#include <absl/strings/match.h>

#include "common/file.h"
#include "envs/assets.h"
#include "envs/mujoco_environment.h"
#include "tests/environments.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

using mentor::testing::Task;
using mentor::testing::TempFolder;

const std::vector<std::string> kNames = {
    "Ant-v5",     "HalfCheetah-v5",      "Hopper-v5",  "Humanoid-v5",
    "Pusher-v5",  "HumanoidStandup-v5",  "Reacher-v5", "InvertedDoublePendulum-v5",
    "Swimmer-v5", "InvertedPendulum-v5", "Walker2d-v5"};

std::unique_ptr<MuJoCoEnvironment> Make(const std::string& name) {
  auto* mujoco = dynamic_cast<MuJoCoEnvironment*>(MakeEnvironment(Task(name)).value().release());
  REQUIRE(mujoco != nullptr);
  return std::unique_ptr<MuJoCoEnvironment>(mujoco);
}

RandomStream Stream(uint32_t lifetime) {
  return {.seed = 4, .purpose = Purpose::kEnvironmentReset, .lifetime = lifetime};
}

TEST_CASE("gymnasium: bounds of actions are the actuators'", "[unit]") {
  for (const std::string& name : kNames) {
    INFO(name);
    const auto environment = Make(name);
    const EnvironmentInfo& info = environment->info();
    const mjModel* m = environment->simulation().model();
    for (int i = 0; i < m->nu; ++i) {
      CHECK(m->actuator_ctrllimited[i]);
      CHECK(m->actuator_ctrlrange[2 * i] == info.action_low);
      CHECK(m->actuator_ctrlrange[2 * i + 1] == info.action_high);
    }
    // Episodes have a fixed length only where the rule of their end is never met.
    CHECK(info.independent_episodes ==
          absl::StrContains(FindEnvironment(name)->reward_help, "never ends early"));
    CHECK(info.episode_steps == (name == "Reacher-v5" ? 50 : name == "Pusher-v5" ? 100 : 1000));
  }
}

TEST_CASE("gymnasium: the reward is the sum of its terms", "[unit]") {
  for (const std::string& name : kNames) {
    INFO(name);
    const auto environment = Make(name);
    std::vector<double> observation(environment->info().observation_size);
    REQUIRE(environment->Reset(Stream(0), 0, observation).ok());
    std::vector<float> action(environment->info().action_size, 0.25f);
    for (int t = 0; t < 3; ++t) {
      const auto outcome = environment->Step(action, observation);
      REQUIRE(outcome.ok());
      const std::vector<double> info = environment->Info();
      REQUIRE(info.size() == environment->InfoKeys().size());
      double sum = name == "HumanoidStandup-v5" ? 1 : 0;  // It adds 1.
      for (size_t i = 0; i < info.size(); ++i) {
        const std::string& key = environment->InfoKeys()[i];
        if (absl::StartsWith(key, "reward_") || absl::EndsWith(key, "_penalty")) sum += info[i];
      }
      CHECK(outcome->reward == Approx(sum).epsilon(1e-12));
      CHECK_FALSE(outcome->success);
    }
  }
}

// Mean and greatest deviation from the initial position, over many resets, of a number of qpos or
// qvel.
struct Spread {
  double mean = 0, rms = 0, greatest = 0;
};
Spread Measure(MuJoCoEnvironment& environment, int index) {
  constexpr int kResets = 400;
  std::vector<double> observation(environment.info().observation_size);
  const mjModel* m = environment.simulation().model();
  Spread spread;
  for (uint32_t i = 0; i < kResets; ++i) {
    REQUIRE(environment.Reset(Stream(1), i, observation).ok());
    const double noise =
        environment.PositionsAndVelocities()[index] - (index < m->nq ? m->qpos0[index] : 0);
    spread.mean += noise / kResets;
    spread.rms += noise * noise / kResets;
    spread.greatest = std::max(spread.greatest, std::abs(noise));
  }
  spread.rms = std::sqrt(spread.rms);
  return spread;
}

TEST_CASE("gymnasium: resets draw from the stated distributions", "[unit]") {
  // Standard deviations: uniform in +-s: s / sqrt(3); normal: s. Index counts qpos, then qvel.
  struct Case {
    const char* name;
    int index;
    double rms, greatest;
  };
  const double inf = HUGE_VAL;
  for (const Case& c : {Case{"Hopper-v5", 1, 0.005 / std::sqrt(3), 0.005},
                        {"Hopper-v5", 7, 0.005 / std::sqrt(3), 0.005},
                        {"HalfCheetah-v5", 3, 0.1 / std::sqrt(3), 0.1},
                        {"HalfCheetah-v5", 10, 0.1, inf},
                        {"Ant-v5", 4, 0.1 / std::sqrt(3), 0.1},
                        {"Ant-v5", 20, 0.1, inf},
                        {"Humanoid-v5", 30, 0.01 / std::sqrt(3), 0.01},
                        {"Reacher-v5", 1, 0.1 / std::sqrt(3), 0.1},
                        {"Reacher-v5", 6, 0, 0},
                        {"Pusher-v5", 0, 0, 0},
                        {"Pusher-v5", 11, 0.005 / std::sqrt(3), 0.005},
                        {"Pusher-v5", 18, 0, 0},
                        {"InvertedPendulum-v5", 1, 0.01 / std::sqrt(3), 0.01},
                        {"InvertedDoublePendulum-v5", 4, 0.1, inf}}) {
    INFO(c.name << " " << c.index);
    const auto environment = Make(c.name);
    const Spread spread = Measure(*environment, c.index);
    CHECK(spread.rms == Approx(c.rms).epsilon(0.1));  // 400 draws: 0.035 is one deviation.
    CHECK(std::abs(spread.mean) <= 0.2 * c.rms);
    CHECK(spread.greatest <= c.greatest);
  }
}

TEST_CASE("gymnasium: what is drawn again keeps its distance", "[unit]") {
  const auto reacher = Make("Reacher-v5");
  const auto pusher = Make("Pusher-v5");
  std::vector<double> seen(reacher->info().observation_size), felt(pusher->info().observation_size);
  double square = 0;
  for (uint32_t i = 0; i < 200; ++i) {
    REQUIRE(reacher->Reset(Stream(2), i, seen).ok());
    const std::vector<double> arm = reacher->PositionsAndVelocities();
    CHECK(std::hypot(arm[2], arm[3]) < 0.2);
    square += (arm[2] * arm[2] + arm[3] * arm[3]) / 200;
    REQUIRE(pusher->Reset(Stream(2), i, felt).ok());
    const std::vector<double> cylinder = pusher->PositionsAndVelocities();
    CHECK(std::hypot(cylinder[7], cylinder[8]) > 0.17);
    CHECK((cylinder[7] >= -0.3 && cylinder[7] <= 0 && std::abs(cylinder[8]) <= 0.2));
  }
  CHECK(square == Approx(0.02).epsilon(0.15));  // Uniform in the disc: radius^2 / 2.
}

TEST_CASE("gymnasium: tasks have no parameters", "[unit]") {
  const auto hopper = Make("Hopper-v5");
  v1::EnvironmentTask task = Task("Hopper-v5");
  task.add_parameters(1);
  CHECK(absl::StrContains(hopper->SetTask(task).message(), "takes none"));
  task = Task("Hopper-v5");
  task.set_goal_visible(true);
  CHECK(absl::StrContains(hopper->SetTask(task).message(), "goal_visible"));
}

TEST_CASE("gymnasium: a missing, cut or foreign model is an error that says what to do", "[unit]") {
  const std::string folder = "gymnasium/envs/mujoco/assets";
  const std::string xml = *ReadFile(AssetsFolder(folder) + "/hopper.xml", 1 << 20);
  const std::string reacher = *ReadFile(AssetsFolder(folder) + "/reacher.xml", 1 << 20);
  TempFolder missing, cut, foreign;
  const auto write = [&folder](const TempFolder& place, const std::string& text) {
    std::filesystem::create_directories(place.path() / folder);
    std::ofstream(place.path() / folder / "hopper.xml") << text;
  };
  write(cut, xml.substr(0, xml.size() / 2));
  write(foreign, reacher);
  const char* before = std::getenv("MENTOR_ASSETS");
  const std::string restore = before == nullptr ? "" : before;
  std::map<const TempFolder*, std::string> errors;
  for (const TempFolder* place : {&missing, &cut, &foreign}) {
    setenv("MENTOR_ASSETS", place->path().c_str(), 1);
    const auto made = MakeEnvironment("Hopper-v5", {});
    CHECK(made.status().code() == absl::StatusCode::kFailedPrecondition);
    errors[place] = std::string(made.status().message());
    CHECK(absl::StrContains(errors[place], place->path().string()));
    CHECK(absl::StrContains(errors[place], "deploy/install.sh"));
    CHECK(absl::StrContains(errors[place], "MENTOR_ASSETS"));
  }
  before == nullptr ? unsetenv("MENTOR_ASSETS") : setenv("MENTOR_ASSETS", restore.c_str(), 1);
  CHECK(absl::StrContains(errors[&foreign], "hopper.xml has changed"));
  CHECK(MakeEnvironment("Hopper-v5", {}).ok());  // All is well again.
}

}  // namespace mentor::envs::TEST_FILE
