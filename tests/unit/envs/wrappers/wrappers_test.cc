#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "common/exact_math.h"
#include "envs/mujoco_environment.h"
#include "envs/wrapper.h"
#include "tests/environments.h"
#include "tests/specs.h"
#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

using mentor::testing::Act;
using mentor::testing::Near;
using mentor::testing::Options;
using mentor::testing::Settings;

struct Wrapping {
  std::string name;
  Settings settings = {};
};

// Task 0 of the environment's own distribution, in wrappers, innermost first.
v1::EnvironmentTask Task(const std::string& environment, const std::vector<Wrapping>& wrappers,
                         const Settings& settings = {}) {
  const EnvironmentEntry* entry = FindEnvironment(environment);
  REQUIRE(entry != nullptr);
  const auto options = Options(settings);
  Violations violations;
  const OptionValues values = OptionValues::Parse(entry->options, options, "", &violations);
  v1::EnvironmentTask task = DrawTask(*entry, values, {.seed = 1, .purpose = Purpose::kTasks}, 0);
  *task.mutable_options() = options;
  for (const Wrapping& wrapping : wrappers) {
    v1::WrapperSpec* spec = task.add_wrappers();
    spec->set_name(wrapping.name);
    *spec->mutable_option() = Options(wrapping.settings);
  }
  ExtendTask(task.wrappers(), {.seed = 1, .purpose = Purpose::kTasks}, 0, &task);
  return task;
}

std::unique_ptr<Environment> Make(const v1::EnvironmentTask& task) {
  return MakeEnvironment(task).value();
}

std::string Complaint(const v1::EnvironmentTask& task) {
  const auto made = MakeEnvironment(task);
  CHECK_FALSE(made.ok());
  return std::string(made.status().message());
}

RandomStream Key(uint32_t lifetime, Phase phase = Phase::kTraining) {
  return {.seed = 3, .purpose = Purpose::kEnvironmentReset, .phase = phase, .lifetime = lifetime};
}

std::vector<double> Begin(Environment& environment, const RandomStream& key, uint32_t episode = 0) {
  std::vector<double> o(environment.info().observation_size);
  const absl::Status status = environment.Reset(key, episode, o);
  INFO(status.ToString());
  REQUIRE(status.ok());
  return o;
}

// Observations and rewards of an episode of at most `steps` steps, actions from a fixed stream.
std::vector<double> Episode(Environment& environment, const RandomStream& key, uint32_t episode,
                            int steps) {
  std::vector<double> o = Begin(environment, key, episode), numbers = o;
  std::vector<double> noise(environment.info().action_size);
  for (int t = 0; t < steps; ++t) {
    RandomStream{.seed = 8}.Normals(t, noise);
    const StepOutcome outcome =
        Act(environment, std::vector<float>(noise.begin(), noise.end()), &o);
    numbers.insert(numbers.end(), o.begin(), o.end());
    numbers.push_back(outcome.reward);
    if (outcome.terminated || outcome.truncated) break;
  }
  return numbers;
}

TEST_CASE("wrappers: unknown names and options are refused with their field", "[unit]") {
  CHECK(Complaint(Task("maze", {{"time_feature"}, {"nothing"}}))
            .find("[1].name: unknown wrapper 'nothing'; known: domain_randomization") !=
        std::string::npos);
  CHECK(Complaint(Task("maze", {{"reward_delay", {{"steps", "0"}}}}))
            .find("[0].option.steps: is '0'; give an integer from 1") != std::string::npos);
  CHECK(Complaint(Task("maze", {{"domain_randomization", {{"latency_min", "-1"}}}}))
            .find("[0].option.latency_min: is '-1'; give an integer from 0 to 100") !=
        std::string::npos);
}

TEST_CASE("reward_delay: sums are paid every n steps and at the end, success at once", "[unit]") {
  const auto plain = Make(Task("point_reach", {}));
  const auto delayed = Make(Task("point_reach", {{"reward_delay", {{"steps", "4"}}}}));
  std::vector<double> o = Begin(*plain, Key(0)), p = Begin(*delayed, Key(0));
  CHECK(o == p);
  double sum = 0;
  for (int t = 1; t <= 10; ++t) {
    const StepOutcome want = Act(*plain, {1, 0.3f}, &o), got = Act(*delayed, {1, 0.3f}, &p);
    sum += want.reward;
    // Paid after 4, 8 and 10 steps.
    const bool pays = t == 4 || t == 8 || t == 10;
    CHECK(got.reward == (pays ? sum : 0));
    if (pays) sum = 0;
    CHECK(got.success == want.success);
    CHECK(got.truncated == (t == 10));
    CHECK(o == p);
  }
  // The next episode starts a sum of its own.
  o = Begin(*plain, Key(0), 1);
  p = Begin(*delayed, Key(0), 1);
  for (int t = 1; t <= 4; ++t) {
    const StepOutcome want = Act(*plain, {1, 0.3f}, &o), got = Act(*delayed, {1, 0.3f}, &p);
    sum += want.reward;
    CHECK(got.reward == (t == 4 ? sum : 0));
  }

  // Also at an early end: two steps through an empty maze of four cells.
  const auto maze = Make(
      Task("maze", {{"reward_delay", {{"steps", "20"}}}}, {{"size", "2"}, {"wall_density", "0"}}));
  o = Begin(*maze, Key(0));
  CHECK(Act(*maze, {-1, 1, -1, -1}, &o).reward == 0);
  const StepOutcome last = Act(*maze, {-1, -1, 1, -1}, &o);
  CHECK(last.terminated);
  CHECK(Near(last.reward, 0.98, {.rel = 1e-14}));
}

TEST_CASE("sparse_reward: success alone, or mixed with the shaped reward", "[unit]") {
  const auto plain = Make(Task("point_reach", {}));
  const auto sparse = Make(Task("point_reach", {{"sparse_reward"}}));
  const auto both =
      Make(Task("point_reach", {{"sparse_reward", {{"shaped", "0.5"}, {"success", "-2"}}}}));
  std::vector<double> o = Begin(*plain, Key(0)), p = Begin(*sparse, Key(0)),
                      q = Begin(*both, Key(0));
  std::vector<float> action(2);
  int successes = 0;
  for (int t = 1; t <= 10; ++t) {
    REQUIRE(plain->ScriptedAction(action));
    const StepOutcome want = Act(*plain, action, &o);
    CHECK(Act(*sparse, action, &p).reward == (want.success ? 1 : 0));
    CHECK(Act(*both, action, &q).reward == 0.5 * want.reward + (want.success ? -2 : 0));
    successes += want.success;
  }
  CHECK(successes > 0);
  CHECK(successes < 10);
}

TEST_CASE("one_hot_task: the index follows the observation", "[unit]") {
  const auto environment =
      Make(Task("box_2d", {{"one_hot_task", {{"index", "2"}, {"count", "3"}}}}));
  CHECK(environment->info().observation_size == 5);
  std::vector<double> o = Begin(*environment, Key(0));
  CHECK(o == std::vector<double>{0, 0, 0, 0, 1});
  Act(*environment, {1, -1}, &o);
  CHECK(o == std::vector<double>{0.1, -0.1, 0, 0, 1});
  CHECK(Complaint(Task("box_2d", {{"one_hot_task", {{"index", "3"}, {"count", "3"}}}}))
            .find("index is 3, but count is 3; give an index below count") != std::string::npos);
}

TEST_CASE("rl2_observation: action, reward / 10 and done of the step before, zeros at reset",
          "[unit]") {
  const auto environment =
      Make(Task("bernoulli_bandit", {{"rl2_observation"}}, {{"arms", "3"}, {"pulls", "2"}}));
  CHECK(environment->info().observation_size == 1 + 3 + 2);
  CHECK(environment->info().independent_episodes);
  for (uint32_t episode = 0; episode < 2; ++episode) {
    std::vector<double> o = Begin(*environment, Key(0), episode);
    CHECK(o == std::vector<double>{1, 0, 0, 0, 0, 0});
    const StepOutcome first = Act(*environment, {0.5f, -2, 0.25f}, &o);
    CHECK(o == std::vector<double>{1, 0.5, -2, 0.25, 0.1 * first.reward, 0});
    const StepOutcome last = Act(*environment, {-1, -3, 4}, &o);
    CHECK(o == std::vector<double>{1, -1, -3, 4, 0.1 * last.reward, 1});
  }
}

TEST_CASE("time_feature: from 0 at the reset to 1 at the end", "[unit]") {
  const auto environment = Make(Task("box_2d", {{"time_feature"}}, {{"episode_steps", "4"}}));
  std::vector<double> o = Begin(*environment, Key(0)), times = {o[2]};
  for (int t = 0; t < 4; ++t) {
    Act(*environment, {0, 0}, &o);
    times.push_back(o[2]);
  }
  CHECK(times == std::vector<double>{0, 0.25, 0.5, 0.75, 1});
}

const Settings kPhysics = {{"mass_low", "0.5"},    {"mass_high", "2"},     {"friction_low", "0.4"},
                           {"friction_high", "3"}, {"damping_low", "0.2"}, {"damping_high", "5"},
                           {"gain_low", "0.8"},    {"gain_high", "1.25"}};

const mjModel& Model(Environment& environment) {
  auto* mujoco = dynamic_cast<MuJoCoEnvironment*>(&environment.unwrapped());
  REQUIRE(mujoco != nullptr);
  return *mujoco->simulation().model();
}

TEST_CASE("domain_randomization: factors are those of the lifetime's key, in all its episodes",
          "[unit]") {
  for (const char* name : {"push-v3", "Hopper-v5"}) {
    INFO(name);
    const auto plain = Make(Task(name, {}));
    const auto environment = Make(Task(name, {{"domain_randomization", kPhysics}}));
    const mjModel &nominal = Model(*plain), &m = Model(*environment);
    std::set<std::string> tags;
    for (uint32_t lifetime = 0; lifetime < 3; ++lifetime) {
      for (const Phase phase : {Phase::kTraining, Phase::kTestEvaluation}) {
        Begin(*environment, Key(lifetime, phase));
        const RandomStream random{.seed = 3,
                                  .purpose = Purpose::kDomainRandomization,
                                  .phase = phase,
                                  .lifetime = lifetime};
        bool equal = true;
        for (int i = 0; i < m.nbody; ++i) {
          const double factor = 0.5 + random.Uniform(0, i) * 1.5;
          equal = equal && m.body_mass[i] == nominal.body_mass[i] * factor &&
                  m.body_inertia[3 * i + 2] == nominal.body_inertia[3 * i + 2] * factor;
        }
        for (int i = 0; i < m.ngeom; ++i) {
          const double factor = 0.4 + random.Uniform(1, i) * (3 - 0.4);
          equal = equal && m.geom_friction[3 * i] == nominal.geom_friction[3 * i] * factor;
        }
        for (int i = 0; i < m.nv; ++i) {
          const double factor = 0.2 + random.Uniform(2, m.dof_jntid[i]) * (5 - 0.2);
          equal = equal && m.dof_damping[i] == nominal.dof_damping[i] * factor;
        }
        for (int i = 0; i < m.nu; ++i) {
          const double factor = 0.8 + random.Uniform(3, i) * (1.25 - 0.8);
          equal = equal &&
                  m.actuator_gainprm[mjNGAIN * i] == nominal.actuator_gainprm[mjNGAIN * i] * factor;
        }
        CHECK(equal);
        const Simulation& simulation =
            dynamic_cast<MuJoCoEnvironment&>(environment->unwrapped()).simulation();
        const std::string tag = simulation.physics_tag();
        tags.insert(tag);
        Begin(*environment, Key(lifetime, phase), 1);
        CHECK(simulation.physics_tag() == tag);
      }
    }
    CHECK(tags.size() == 6);
    CHECK(tags.count("") == 0);
  }
}

TEST_CASE("domain_randomization: log-uniform factors, and kinds that are off", "[unit]") {
  const auto plain = Make(Task("Humanoid-v5", {}));
  const auto environment =
      Make(Task("Humanoid-v5",
                {{"domain_randomization",
                  {{"mass_low", "0.25"}, {"mass_high", "4"}, {"distribution", "log_uniform"}}}}));
  const mjModel &nominal = Model(*plain), &m = Model(*environment);
  double sum = 0, square = 0;
  int n = 0;
  for (uint32_t lifetime = 0; lifetime < 100; ++lifetime) {
    Begin(*environment, Key(lifetime));
    for (int i = 1; i < m.nbody; ++i, ++n) {
      const double factor = m.body_mass[i] / nominal.body_mass[i];
      CHECK(factor > 0.2499);
      CHECK(factor < 4.001);
      sum += std::log2(factor);
      square += std::log2(factor) * std::log2(factor);
    }
  }
  // log2 is uniform on [-2, 2]: mean 0, variance 4/3.
  CHECK(std::abs(sum / n) < 5 * std::sqrt(4.0 / 3 / n));
  CHECK(std::abs(square / n - 4.0 / 3) < 5 * std::sqrt((16.0 / 5 - 16.0 / 9) / n));
  CHECK(std::equal(m.geom_friction, m.geom_friction + 3 * m.ngeom, nominal.geom_friction));
  CHECK(std::equal(m.dof_damping, m.dof_damping + m.nv, nominal.dof_damping));
  CHECK(std::equal(m.actuator_gainprm, m.actuator_gainprm + mjNGAIN * m.nu,
                   nominal.actuator_gainprm));
}

TEST_CASE("domain_randomization: factors of 1 and no latency are the bits of the environment",
          "[unit]") {
  for (const char* name : {"push-v3", "Hopper-v5", "point_reach"}) {
    INFO(name);
    const auto plain = Make(Task(name, {}));
    const auto wrapped = Make(Task(name, {{"domain_randomization"}}));
    for (uint32_t episode = 0; episode < 2; ++episode)
      CHECK(Episode(*wrapped, Key(1), episode, 60) == Episode(*plain, Key(1), episode, 60));
  }
}

TEST_CASE("domain_randomization: remembered resets belong to their physics", "[unit]") {
  // The same goal: once remembered with nominal physics, once with those of lifetime 0, and both
  // again. A lighter or heavier arm settles elsewhere.
  SettledResets& resets = SettledResets::Instance();
  resets.Clear();
  const v1::EnvironmentTask task = Task("push-v3", {});
  const auto plain = Make(task);
  const auto wrapped = Make(Task("push-v3", {{"domain_randomization", kPhysics}}));
  const std::vector<double> nominal = Episode(*plain, Key(0), 0, 30);
  const std::vector<double> first = Episode(*wrapped, Key(0), 0, 30);
  CHECK(first != nominal);
  const std::vector<double> second = Episode(*wrapped, Key(1), 0, 30);
  CHECK(second != first);
  CHECK(Episode(*plain, Key(0), 1, 30) == nominal);
  CHECK(Episode(*wrapped, Key(0), 1, 30) == first);
  CHECK(Episode(*wrapped, Key(1), 1, 30) == second);
  CHECK(Episode(*Make(Task("push-v3", {{"domain_randomization", kPhysics}})), Key(1), 0, 30) ==
        second);
  // From nothing and in another order: no first reset used the physics of another episode.
  resets.Clear();
  CHECK(Episode(*wrapped, Key(0), 2, 30) == first);
  CHECK(Episode(*plain, Key(0), 2, 30) == nominal);
}

TEST_CASE("domain_randomization: latency delays actions by whole steps, zeros before", "[unit]") {
  const auto environment = Make(Task("box_2d", {{"domain_randomization", {{"latency_max", "5"}}}}));
  std::array<int, 6> seen = {};
  for (uint32_t lifetime = 0; lifetime < 60; ++lifetime) {
    for (uint32_t episode = 0; episode < 2; ++episode) {
      std::vector<double> o = Begin(*environment, Key(lifetime), episode);
      std::vector<double> positions = {o[0]};
      // Steps of 0.01, 0.02, ..
      for (int t = 1; t <= 10; ++t) {
        Act(*environment, {0.1f * t, 0}, &o);
        positions.push_back(o[0]);
      }
      int latency = 0;
      while (positions[latency + 1] == 0) ++latency;
      REQUIRE(latency <= 5);
      double x = 0;
      for (int t = 1; t <= 10 - latency; ++t) {
        x += 0.1 * static_cast<double>(0.1f * t);
        CHECK(positions[latency + t] == x);
      }
      if (episode == 0) {
        ++seen[latency];
      } else {
        CHECK(seen[latency] > 0);
      }
    }
  }
  for (int count : seen) {
    CHECK(count > 0);  // latency_max as well as 0.
    CHECK(std::abs(count - 10) < 5 * std::sqrt(60 * 5.0 / 36));
  }

  // A bad action is refused when it is given, and is not queued.
  const auto late = Make(
      Task("box_2d", {{"domain_randomization", {{"latency_min", "2"}, {"latency_max", "2"}}}}));
  std::vector<double> o = Begin(*late, Key(0));
  const std::vector<float> nan = {std::nanf(""), 0};
  CHECK(late->Step(nan, o).status().code() == absl::StatusCode::kInvalidArgument);
  for (int t = 0; t < 3; ++t) Act(*late, {1, 1}, &o);
  CHECK(o == std::vector<double>{0.1, 0.1});
}

TEST_CASE("domain_randomization: a state goes on where other lifetimes were before", "[unit]") {
  Settings settings = kPhysics;
  settings.insert(settings.end(), {{"latency_min", "1"}, {"latency_max", "3"}});
  for (const char* name : {"door-close-v3", "Walker2d-v5"}) {
    const v1::EnvironmentTask task = Task(name, {{"domain_randomization", settings}});
    const auto here = Make(task), there = Make(task);
    for (uint32_t round = 0; round < 4; ++round) {
      const int before = static_cast<int>(RandomStream{.seed = 2}.Below(9, 0, round));
      std::vector<double> o = Begin(*here, Key(round), round);
      const std::vector<float> action(here->info().action_size, 0.3f);
      for (int t = 0; t < before; ++t) Act(*here, action, &o);
      const std::string state = *here->SaveState();
      Episode(*there, Key(100 + round), 0, 3);
      std::vector<double> p(o.size());
      REQUIRE(there->RestoreState(state, p).ok());
      CHECK(p == o);
      for (int t = 0; t < 8; ++t) {
        const double want = Act(*here, action, &o).reward;
        CHECK(Act(*there, action, &p).reward == want);
        CHECK(p == o);
      }
      CHECK(*there->SaveState() == *here->SaveState());
    }
  }
}

TEST_CASE("domain_randomization: settings that cannot be are refused", "[unit]") {
  const auto complaint = [](const char* environment, const Settings& settings) {
    return Complaint(Task(environment, {{"domain_randomization", settings}}));
  };
  const auto contains = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  CHECK(contains(complaint("point_reach", {{"mass_high", "2"}}),
                 "point_reach has no MuJoCo physics to randomise; only latency_min"));
  CHECK(contains(complaint("push-v3", {{"mass_low", "2"}}),
                 "mass_low is 2, greater than mass_high (1); give low <= high"));
  CHECK(contains(complaint("push-v3", {{"latency_min", "2"}}),
                 "latency_min is 2, greater than latency_max (0); give min <= max"));
  CHECK(contains(complaint("push-v3", {{"gain_low", "0"}}),
                 "option.gain_low: is '0'; give a number from 0.001 to 1000"));
  CHECK(contains(Complaint(Task("push-v3", {{"domain_randomization", {{"mass_high", "2"}}},
                                            {"domain_randomization", {{"gain_high", "2"}}}})),
                 "put all ranges into one"));
}

}  // namespace mentor::envs::TEST_FILE
