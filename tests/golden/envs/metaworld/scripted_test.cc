// The policies by hand of the Meta-World tasks: they are the reference's, and they solve the tasks.
#include <algorithm>
#include <array>
#include <fstream>
#include <map>

#include <nlohmann/json.hpp>

#include "envs/metaworld/metaworld_environment.h"
#include "tests/environments.h"
#include "tests/paths.h"
#include "tests/testing.h"

namespace mentor::envs::metaworld::TEST_FILE {

using Json = nlohmann::json;
using Action = std::array<float, kActionSize>;

// Tasks that the policies do not solve from everywhere, with the share of 200 goals that they
// solve. The share of kHardGoals here may be kMargin lower, more than two standard deviations of so
// few. In other tasks they solve each of kGoals.
constexpr int kGoals = 4, kHardGoals = 50;
constexpr double kMargin = 0.1;
const std::map<std::string, double> kSolvedShare = {
    {"basketball-v3", 0.95},      {"box-close-v3", 0.90},  {"button-press-wall-v3", 0.95},
    {"disassemble-v3", 0.95},     {"door-open-v3", 0.96},  {"peg-insert-side-v3", 0.92},
    {"peg-unplug-side-v3", 0.97}, {"push-back-v3", 0.97},  {"shelf-place-v3", 0.98},
    {"soccer-v3", 0.91},          {"stick-pull-v3", 0.94}, {"sweep-into-v3", 0.88},
};

bool Solves(Environment& environment) {
  std::array<double, kObservationSize> observation;
  REQUIRE(environment.Reset({}, 0, observation).ok());
  for (int t = 0; t < kEpisodeSteps; ++t) {
    Action action;
    REQUIRE(environment.ScriptedAction(action));
    const auto outcome = environment.Step(action, observation);
    INFO(outcome.status().ToString());
    REQUIRE(outcome.ok());
    if (outcome->success) return true;
  }
  return false;
}

// At night: what they do, and what the environments answer, is compared with records in two other
// tests, in seconds.
TEST_CASE("metaworld: the policies by hand solve their tasks", "[golden][nightly]") {
  const RandomStream random{.seed = 11, .purpose = Purpose::kTasks};
  for (const TaskEntry* entry : Registry<TaskEntry>::Instance().All()) {
    const auto hard = kSolvedShare.find(entry->name);
    const int goals = hard == kSolvedShare.end() ? kGoals : kHardGoals;
    const double share = hard == kSolvedShare.end() ? 1 : hard->second - kMargin;
    int solved = 0;
    for (int goal = 0; goal < goals; ++goal) {
      solved += Solves(
          *MakeEnvironment(DrawTask(*FindEnvironment(entry->name), {}, random, goal)).value());
    }
    INFO(entry->name << ": " << solved << " of " << goals << " goals");
    CHECK(solved >= share * goals);
  }
}

// The scripted episodes of the recordings that parity_test.cc replays.
TEST_CASE("metaworld: the policies by hand act as the recorded ones", "[golden]") {
  const std::string folder = testing::SourcePath("tests/data/parity");
  std::ifstream manifest_file(folder + "/manifest.json");
  REQUIRE(manifest_file.good());
  const Json manifest = Json::parse(manifest_file);
  int episodes = 0;
  for (const Json& recorded : manifest.at("tasks")) {
    const std::string name = recorded.at("task");
    if (FindTask(name) == nullptr) continue;
    INFO(name);
    std::ifstream file(folder + "/" + recorded.at("file").get<std::string>(), std::ios::binary);
    std::vector<double> numbers(recorded.at("bytes").get<size_t>() / sizeof(double));
    REQUIRE(file.read(reinterpret_cast<char*>(numbers.data()), recorded.at("bytes")).good());
    for (const Json& episode : recorded.at("episodes")) {
      if (episode.at("kind") != "scripted") continue;
      ++episodes;
      const auto field = [&](const char* key) {
        return numbers.begin() + episode.at("fields").at(key).at("offset").get<int>();
      };
      const auto v = field("rand_vec");
      const auto environment =
          MakeEnvironment(testing::Task(name, {v, v + FindTask(name)->facts.rand_vec.size}))
              .value();
      std::array<double, kObservationSize> observation;
      REQUIRE(environment->Reset({}, 0, observation).ok());
      for (int t = 0; t < episode.at("steps"); ++t) {
        INFO("step " << t);
        Action ours, theirs;
        REQUIRE(environment->ScriptedAction(ours));
        for (int i = 0; i < kActionSize; ++i) {
          theirs[i] = static_cast<float>(field("action")[kActionSize * t + i]);
          REQUIRE(ours[i] == Approx(std::clamp(theirs[i], -1.0f, 1.0f)).margin(1e-6));
        }
        REQUIRE(environment->Step(theirs, observation).ok());
      }
    }
  }
  CHECK(episodes == 50);
}

}  // namespace mentor::envs::metaworld::TEST_FILE
