// An environment of Gymnasium, simulated by Python's host, against ours: from the state after the
// host's reset, the same actions give the same bits. Run by tests/python/host_parity_test.py, which
// says in MENTOR_TEST_GYM how its host is started.
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <absl/strings/escaping.h>

#include "envs/environment.h"
#include "envs/host/host_list.h"
#include "tests/environments.h"

namespace mentor::envs::TEST_FILE {

constexpr size_t kHeaderOfHostStates = 8 + 4 + 32;
constexpr int kStepsCompared = 1000;

// Reads mjSTATE_INTEGRATION from a state of mentor_env, as its states.py writes arrays. The state
// is JSON except for numbers that are not finite.
std::vector<double> IntegrationOf(const std::string& state) {
  const std::string begin = "[\"integration\",{\"array\":[\"<f8\",[";
  const size_t array = state.find(begin, kHeaderOfHostStates);
  REQUIRE(array != state.npos);
  const size_t text = state.find("],\"", array + begin.size()) + 3;
  std::string bytes;
  REQUIRE(absl::Base64Unescape(state.substr(text, state.find('"', text) - text), &bytes));
  std::vector<double> numbers(bytes.size() / sizeof(double));
  std::memcpy(numbers.data(), bytes.data(), bytes.size());
  return numbers;
}

v1::EnvironmentTask GymTask(const std::string& id) {
  v1::EnvironmentTask task = testing::Task("host");
  for (const auto& [name, value] : {std::pair<std::string, std::string>{"host", "gym"},
                                    {"id", id},
                                    {"double_actions", "true"}}) {
    v1::Option* option = task.add_options();
    option->set_name(name);
    option->set_value(value);
  }
  return task;
}

TEST_CASE("a host of Gymnasium gives the bits of our own environments", "[.host_parity]") {
  const char* command = std::getenv("MENTOR_TEST_GYM");
  REQUIRE(command != nullptr);
  REQUIRE(AllowSimulators({command}, 300).ok());
  for (const std::string id :
       {"Hopper-v5", "Walker2d-v5", "HalfCheetah-v5", "InvertedPendulum-v5"}) {
    INFO(id);
    const auto made = MakeEnvironment(GymTask(id));
    INFO(made.status().ToString());
    REQUIRE(made.ok());
    Environment& host = **made;
    const auto own = MakeEnvironment(testing::Task(id));
    REQUIRE(own.ok());
    const EnvironmentInfo& info = (*own)->info();
    REQUIRE(host.info().observation_size == info.observation_size);
    REQUIRE(host.info().action_size == info.action_size);
    CHECK(host.info().episode_steps == info.episode_steps);
    CHECK(host.info().action_low == info.action_low);
    CHECK(host.info().action_high == info.action_high);
    const RandomStream random{.seed = 11, .purpose = Purpose::kEnvironmentReset};
    std::vector<double> theirs(info.observation_size), ours(theirs.size());
    std::vector<double> noise(info.action_size);
    std::vector<float> sampled(noise.size()), action(noise.size());
    uint32_t episode = 0;
    bool done = true;
    int compared = 0;
    for (int t = 0; t < kStepsCompared; ++t) {
      if (done) {
        REQUIRE(host.Reset(random, episode++, theirs).ok());
        // step, ended, position before, observation, simulator
        const std::vector<double> simulator = IntegrationOf(*host.SaveState());
        // The time, then the positions: where it stood before its first step.
        std::vector<double> numbers = {0, 0, simulator[1], 0};
        numbers.insert(numbers.end(), theirs.begin(), theirs.end());
        numbers.insert(numbers.end(), simulator.begin(), simulator.end());
        const absl::Status restored = (*own)->RestoreState(EncodeState(id, numbers), ours);
        INFO(restored.ToString());
        REQUIRE(restored.ok());
      }
      random.Normals(static_cast<uint32_t>(t), noise, /*first_draw=*/1000);
      for (size_t i = 0; i < action.size(); ++i) sampled[i] = static_cast<float>(noise[i]);
      ClipAction(info, sampled, action);  // As actors do.
      const auto got = host.Step(action, theirs), want = (*own)->Step(action, ours);
      INFO("episode " << episode << ", step " << t << ": " << got.status().ToString());
      REQUIRE(got.ok());
      REQUIRE(want.ok());
      REQUIRE(theirs == ours);
      REQUIRE(got->reward == want->reward);
      REQUIRE(got->terminated == want->terminated);
      REQUIRE(got->truncated == want->truncated);
      done = got->terminated || got->truncated;
      ++compared;
    }
    CHECK(compared == kStepsCompared);
  }
}

}  // namespace mentor::envs::TEST_FILE
