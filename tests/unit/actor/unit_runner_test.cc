// Units are pure functions: their results do not depend on earlier units, on how they are cut, or
// on the machine.
#include "actor/unit_runner.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include <absl/strings/str_format.h>

#include "common/failed_step.h"
#include "common/result_hash.h"
#include "common/rng.h"
#include "common/success_signal.h"
#include "envs/environment.h"
#include "tests/testing.h"
#include "tests/units.h"

namespace mentor::actor::TEST_FILE {

using mentor::testing::MetaWorldUnit;
using mentor::testing::PendulumUnit;
using mentor::testing::PointReachUnit;

std::vector<float> Floats(const v1::Tensor& tensor) {
  std::vector<float> values(tensor.data().size() / sizeof(float));
  std::memcpy(values.data(), tensor.data().data(), tensor.data().size());
  return values;
}

// A task that is over in the very step of the limit.
class EndsAtItsLimit final : public envs::Environment {
 public:
  static constexpr char kName[] = "test-ends-at-its-limit";
  // Shows 1e39 after its first step, and already at the reset of episode 1000.
  static constexpr char kHugeName[] = "test-beyond-32-bits";

  explicit EndsAtItsLimit(double shown) : shown_(shown) {}
  const envs::EnvironmentInfo& info() const override { return info_; }
  absl::Status SetTask(const v1::EnvironmentTask&) override { return absl::OkStatus(); }
  absl::Status Reset(const RandomStream&, uint32_t episode,
                     std::span<double> observation) override {
    steps_ = 0;
    std::fill(observation.begin(), observation.end(), episode == 1000 ? shown_ : 0.0);
    return absl::OkStatus();
  }
  absl::StatusOr<envs::StepOutcome> Step(std::span<const float>,
                                         std::span<double> observation) override {
    const bool last = ++steps_ == info_.episode_steps;
    std::fill(observation.begin(), observation.end(), shown_ * steps_);
    return envs::StepOutcome{.reward = 1, .terminated = last, .truncated = last};
  }
  absl::StatusOr<std::string> SaveState() const override { return ""; }
  absl::Status RestoreState(std::string_view, std::span<double>) override {
    return absl::UnimplementedError("not needed here");
  }

 private:
  const envs::EnvironmentInfo info_{.name = kName,
                                    .summary = "A test's own.",
                                    .observation_size = 4,
                                    .action_size = 2,
                                    .episode_steps = 3,
                                    .independent_episodes = false};
  const double shown_;
  int steps_ = 0;
};

envs::EnvironmentEntry EntryOf(const char* name, double shown) {
  const auto make = [shown](const OptionValues&) {
    return absl::StatusOr<std::unique_ptr<envs::Environment>>(
        std::make_unique<EndsAtItsLimit>(shown));
  };
  return {.name = name, .summary = "A test's own.", .options = {}, .make = make};
}
const envs::RegisterEnvironment kEndsAtItsLimit(EntryOf(EndsAtItsLimit::kName, 1));
const envs::RegisterEnvironment kBeyondFloats(EntryOf(EndsAtItsLimit::kHugeName, 1e39));

// Returns the index of the first byte that differs; -1: none.
int64_t FirstDifference(const std::string& got, const std::string& want) {
  for (size_t i = 0; i < std::max(got.size(), want.size()); ++i) {
    if (i >= got.size() || i >= want.size() || got[i] != want[i]) return static_cast<int64_t>(i);
  }
  return -1;
}

// 1 where an episode ended, however.
std::string Ends(const v1::Trajectory& trajectory) {
  std::string ends = trajectory.terminations().data();
  for (size_t t = 0; t < ends.size(); ++t) ends[t] |= trajectory.truncations().data()[t];
  return ends;
}

// Everything but the times.
std::string Payload(v1::Result result) {
  result.clear_cpu_seconds();
  result.clear_policy_cpu_seconds();
  return result.SerializeAsString();
}

TEST_CASE("unit runner: a result has the sizes of its unit and its own hash", "[unit]") {
  UnitRunner runner;
  v1::Unit unit = PointReachUnit(0, 70);
  unit.set_return_state(true);
  const v1::Result result = runner.Run(unit);
  REQUIRE(result.error().empty());
  const v1::Trajectory& t = result.trajectory();
  const int64_t d = unit.policy().observation_size(), a = unit.policy().action_size();
  CHECK((t.observations().shape_size() == 2 && t.observations().shape(0) == 70 &&
         t.observations().shape(1) == d));
  CHECK(t.observations().data().size() == static_cast<size_t>(70 * d) * 4);
  CHECK(t.actions().data().size() == static_cast<size_t>(70 * a) * 4);
  CHECK(t.log_probs().data().size() == 70 * 4);
  CHECK(t.rewards().data().size() == 70 * 8);
  CHECK(t.successes().data().size() == 70);
  CHECK(t.terminations().data().size() == 70);
  CHECK(t.truncations().data().size() == 70);
  CHECK_FALSE(t.has_final_observations());
  CHECK(t.next_observation().data().size() == static_cast<size_t>(d) * 4);
  CHECK(result.result_hash() == ResultHash(t, result.final_state()));
  CHECK(result.result_hash().size() == 32);
  CHECK(result.cpu_seconds() > 0);
  CHECK(result.policy_cpu_seconds() > 0);
  CHECK(result.policy_cpu_seconds() < result.cpu_seconds());
}

TEST_CASE("unit runner: the same unit gives the same bits, whatever ran before", "[unit]") {
  const v1::Unit unit = PointReachUnit(1, 120);
  UnitRunner fresh, used;
  const std::string want = Payload(fresh.Run(unit));
  for (uint32_t agent = 0; agent < 4; ++agent)
    static_cast<void>(used.Run(PointReachUnit(agent, 37)));
  v1::Unit broken = PointReachUnit(2, 10);
  broken.mutable_task()->set_environment("no such thing");
  CHECK_FALSE(used.Run(broken).error().empty());
  // The same environment in another form does not matter, either.
  v1::Unit wrapped = unit;
  wrapped.mutable_task()->add_wrappers()->set_name("sparse_reward");
  CHECK(Payload(used.Run(wrapped)) != want);
  v1::Unit other = unit;
  v1::Option& option = *other.mutable_task()->add_options();
  option.set_name("dt");
  option.set_value("0.07");
  const v1::Result result = used.Run(other);
  CHECK(result.error().empty());
  CHECK(Payload(result) != want);
  CHECK(Payload(used.Run(unit)) == want);
  CHECK(Payload(fresh.Run(unit)) == want);
  // Other units give other results.
  CHECK(Payload(fresh.Run(PointReachUnit(2, 120))) != want);
}

TEST_CASE("unit runner: a unit cut anywhere continues bit for bit", "[unit]") {
  for (const auto& make :
       {std::function(PointReachUnit), std::function(MetaWorldUnit), std::function(PendulumUnit)}) {
    const uint32_t steps = 520;
    v1::Unit whole = make(3, steps);
    whole.set_return_final_observations(true);
    INFO(whole.task().environment());
    UnitRunner runner;
    const v1::Result want = runner.Run(whole);
    INFO(want.error());
    REQUIRE(want.error().empty());
    for (const uint32_t cut : {1u, 77u, 499u, 501u}) {
      INFO("cut at " << cut);
      v1::Unit first = whole;
      first.set_steps(cut);
      first.set_return_state(true);
      const v1::Result head = runner.Run(first);
      REQUIRE(head.error().empty());
      v1::Unit second = whole;
      second.set_first_step(whole.first_step() + cut);
      second.set_steps(steps - cut);
      second.set_state(head.final_state());
      const std::string ends = Ends(head.trajectory());
      for (const char end : ends) second.set_first_episode(second.first_episode() + end);
      REQUIRE((head.final_state().empty() == (ends.back() == 1)));
      UnitRunner elsewhere;
      const v1::Result tail = elsewhere.Run(second);
      REQUIRE(tail.error().empty());
      const auto joined = [&](auto member) {
        return (head.trajectory().*member)().data() + (tail.trajectory().*member)().data();
      };
      CHECK(FirstDifference(joined(&v1::Trajectory::observations),
                            want.trajectory().observations().data()) == -1);
      CHECK(FirstDifference(joined(&v1::Trajectory::actions), want.trajectory().actions().data()) ==
            -1);
      CHECK(FirstDifference(joined(&v1::Trajectory::log_probs),
                            want.trajectory().log_probs().data()) == -1);
      CHECK(FirstDifference(joined(&v1::Trajectory::rewards), want.trajectory().rewards().data()) ==
            -1);
      CHECK(FirstDifference(joined(&v1::Trajectory::successes),
                            want.trajectory().successes().data()) == -1);
      CHECK(FirstDifference(joined(&v1::Trajectory::terminations),
                            want.trajectory().terminations().data()) == -1);
      CHECK(FirstDifference(joined(&v1::Trajectory::truncations),
                            want.trajectory().truncations().data()) == -1);
      CHECK(FirstDifference(joined(&v1::Trajectory::final_observations),
                            want.trajectory().final_observations().data()) == -1);
      CHECK(FirstDifference(tail.trajectory().next_observation().data(),
                            want.trajectory().next_observation().data()) == -1);
    }
  }
}

TEST_CASE("unit runner: episodes end inside a unit and begin again at once", "[unit]") {
  UnitRunner runner;
  v1::Unit unit = PointReachUnit(0, 1);
  unit.set_steps(1000);
  const v1::Result result = runner.Run(unit);
  REQUIRE(result.error().empty());
  const std::string dones = Ends(result.trajectory());
  const size_t episode = dones.find('\1') + 1;
  REQUIRE(episode > 1);
  REQUIRE(episode < 500);
  for (size_t t = 0; t < dones.size(); ++t) REQUIRE(dones[t] == ((t + 1) % episode == 0 ? 1 : 0));
  // The first observation of episode e is that of a unit that begins with it.
  const auto all = Floats(result.trajectory().observations());
  const size_t d = unit.policy().observation_size();
  v1::Unit later = unit;
  later.set_first_episode(unit.first_episode() + 1);
  later.set_first_step(unit.first_step() + static_cast<uint32_t>(episode));
  later.set_steps(5);
  const auto second = Floats(runner.Run(later).trajectory().observations());
  for (size_t i = 0; i < 5 * d; ++i) REQUIRE(second[i] == all[episode * d + i]);
}

TEST_CASE("unit runner: an episode that ended leaves its last observation", "[unit]") {
  UnitRunner runner;
  v1::Unit unit = PointReachUnit(0, 65);
  unit.set_return_final_observations(true);
  const v1::Result result = runner.Run(unit);
  INFO(result.error());
  REQUIRE(result.error().empty());
  const v1::Trajectory& t = result.trajectory();
  CHECK(t.terminations().data().find('\1') == std::string::npos);
  const size_t episode = t.truncations().data().find('\1') + 1, d = 4, a = 2;
  REQUIRE(episode > 1);
  const size_t cut = t.truncations().data().size() / episode;
  REQUIRE(t.final_observations().data().size() == cut * d * sizeof(float));
  // An episode that is lived again by the same actions ends where the trajectory says.
  const auto environment = envs::MakeEnvironment(unit.task());
  REQUIRE(environment.ok());
  const auto actions = Floats(t.actions()), want = Floats(t.final_observations());
  std::vector<double> observation(d);
  std::vector<float> clipped(a);
  for (size_t k = 0; k < cut; ++k) {
    const RandomStream reset{.seed = unit.random().seed(),
                             .purpose = Purpose::kEnvironmentReset,
                             .phase = static_cast<Phase>(unit.random().phase()),
                             .lifetime = unit.random().lifetime(),
                             .iteration = 0};
    REQUIRE((*environment)
                ->Reset(reset, unit.first_episode() + static_cast<uint32_t>(k), observation)
                .ok());
    for (size_t i = k * episode; i < (k + 1) * episode; ++i) {
      envs::ClipAction((*environment)->info(), std::span(&actions[i * a], a), clipped);
      REQUIRE((*environment)->Step(clipped, observation).ok());
    }
    for (size_t i = 0; i < d; ++i) CHECK(static_cast<float>(observation[i]) == want[k * d + i]);
    // The next episode's first observation is another one.
    if ((k + 1) * episode < t.truncations().data().size())
      CHECK(want[k * d] != Floats(t.observations())[(k + 1) * episode * d]);
  }
  // Without the request, the rest is the same.
  v1::Unit plain = unit;
  plain.clear_return_final_observations();
  v1::Trajectory without = runner.Run(plain).trajectory(), with = t;
  CHECK_FALSE(without.has_final_observations());
  with.clear_final_observations();
  CHECK(with.SerializeAsString() == without.SerializeAsString());
  // The pole falls long before the limit.
  v1::Unit falls = PendulumUnit(0, 200);
  falls.set_return_final_observations(true);
  const v1::Trajectory fallen = runner.Run(falls).trajectory();
  CHECK(fallen.truncations().data().find('\1') == std::string::npos);
  CHECK(fallen.terminations().data().find('\1') != std::string::npos);
  const std::string& ends = fallen.terminations().data();
  CHECK(fallen.final_observations().shape(0) == std::count(ends.begin(), ends.end(), '\1'));
  CHECK(fallen.final_observations().shape(1) == 4);
}

TEST_CASE("unit runner: what is over in the step of the limit was not cut short", "[unit]") {
  v1::Unit unit = PointReachUnit(0, 7);
  unit.mutable_task()->Clear();
  unit.mutable_task()->set_environment(EndsAtItsLimit::kName);
  unit.set_return_final_observations(true);
  UnitRunner runner;
  const v1::Result result = runner.Run(unit);
  INFO(result.error());
  REQUIRE(result.error().empty());
  CHECK(result.trajectory().terminations().data() == std::string("\0\0\1\0\0\1\0", 7));
  CHECK(result.trajectory().truncations().data() == std::string(7, '\0'));
  CHECK(result.trajectory().final_observations().shape(0) == 2);
}

TEST_CASE("unit runner: an observation that 32 bits cannot hold fails its unit", "[unit]") {
  v1::Unit unit = PointReachUnit(0, 2);
  unit.mutable_task()->Clear();
  unit.mutable_task()->set_environment(EndsAtItsLimit::kHugeName);
  const std::string error = UnitRunner().Run(unit).error();
  CHECK(error == absl::StrFormat(
                     "test-beyond-32-bits: before step %d, number 0 of the observation is 1e+39, "
                     "which is not finite in 32 bits",
                     unit.first_step() + 1) +
                     std::string(kFailedStepRemedy));
  CHECK(IsSameEverywhere(error));
  unit.set_first_episode(1000);
  CHECK(UnitRunner().Run(unit).error().ends_with(kFailedResetRemedy));
}

TEST_CASE("unit runner: a step that fails ends its episode on request, and is marked", "[unit]") {
  v1::Unit unit = PointReachUnit(0, 5);
  unit.mutable_task()->Clear();
  unit.mutable_task()->set_environment(EndsAtItsLimit::kHugeName);
  v1::WrapperSpec* wrapper = unit.mutable_task()->add_wrappers();
  wrapper->set_name(kFailedStepWrapper);
  v1::Option* reward = wrapper->add_option();
  reward->set_name("reward");
  reward->set_value("-2");
  unit.set_return_final_observations(true);
  const v1::Result result = UnitRunner().Run(unit);
  REQUIRE(result.error().empty());
  const v1::Trajectory& t = result.trajectory();
  // Each episode's first step fails; the agent saw the reset's zeros last.
  CHECK(t.terminations().data() == std::string(5, kStepFailed));
  CHECK(CountFailedSteps(t.terminations().data()) == 5);
  CHECK(t.truncations().data() == std::string(5, '\0'));
  CHECK(t.successes().data() == std::string(5, '\0'));
  for (const float number : Floats(t.final_observations())) CHECK(number == 0);
  double rewards[5];
  std::memcpy(rewards, t.rewards().data().data(), sizeof(rewards));
  for (const double number : rewards) CHECK(number == -2);
}

TEST_CASE("unit runner: episodes that end early are followed by the next one's own reset",
          "[unit]") {
  UnitRunner runner;
  const v1::Unit unit = PendulumUnit(0, 1500);
  const v1::Result result = runner.Run(unit);
  INFO(result.error());
  REQUIRE(result.error().empty());
  const std::string dones = Ends(result.trajectory());
  const auto rewards = result.trajectory().rewards().data();
  const auto all = Floats(result.trajectory().observations());
  const size_t d = unit.policy().observation_size();
  std::vector<size_t> lengths;
  size_t begin = 0;
  for (size_t t = 0; t < dones.size(); ++t) {
    // This environment's reward: 1 while the pole stands, 0 in the step that ends the episode.
    double reward = 0;
    std::memcpy(&reward, rewards.data() + t * sizeof(reward), sizeof(reward));
    REQUIRE(reward == (dones[t] ? 0 : 1));
    if (!dones[t]) continue;
    // The observation after the end is that of the reset, keyed by the number of the episode.
    lengths.push_back(t + 1 - begin);
    begin = t + 1;
    if (lengths.size() % 20 != 1 || begin + 2 > dones.size()) continue;
    v1::Unit later = unit;
    later.set_first_episode(unit.first_episode() + static_cast<uint32_t>(lengths.size()));
    later.set_first_step(unit.first_step() + static_cast<uint32_t>(begin));
    later.set_steps(2);
    const auto second = Floats(runner.Run(later).trajectory().observations());
    for (size_t i = 0; i < 2 * d; ++i) REQUIRE(second[i] == all[begin * d + i]);
  }
  REQUIRE(lengths.size() > 10);
  const auto [shortest, longest] = std::minmax_element(lengths.begin(), lengths.end());
  CHECK(*shortest < *longest);
  CHECK(*longest < 1000);
}

TEST_CASE("unit runner: deterministic units act with the mean", "[unit]") {
  UnitRunner runner;
  v1::Unit unit = PointReachUnit(0, 20);
  unit.set_deterministic(true);
  const v1::Result result = runner.Run(unit);
  REQUIRE(result.error().empty());
  Policy policy;
  REQUIRE(policy.Load(unit.policy()).ok());
  const auto observations = Floats(result.trajectory().observations()),
             actions = Floats(result.trajectory().actions());
  const size_t d = unit.policy().observation_size(), a = unit.policy().action_size();
  std::vector<float> mean(a);
  for (size_t t = 0; t < 20; ++t) {
    policy.Mean(std::span(observations).subspan(t * d, d), mean);
    for (size_t j = 0; j < a; ++j) REQUIRE(actions[t * a + j] == mean[j]);
  }
}

TEST_CASE("unit runner: noise is keyed by the step of the lifetime", "[unit]") {
  UnitRunner runner;
  const v1::Unit unit = PointReachUnit(0, 5);
  const v1::Result result = runner.Run(unit);
  Policy policy;
  REQUIRE(policy.Load(unit.policy()).ok());
  const RandomStream noise{.seed = unit.random().seed(),
                           .purpose = Purpose::kActionNoise,
                           .phase = Phase::kTraining,
                           .lifetime = unit.random().lifetime(),
                           .iteration = unit.random().iteration()};
  const auto observations = Floats(result.trajectory().observations()),
             actions = Floats(result.trajectory().actions());
  const size_t d = unit.policy().observation_size(), a = unit.policy().action_size();
  std::vector<float> action(a);
  std::vector<double> e(a);
  float log_prob;
  for (uint32_t t = 0; t < 5; ++t) {
    noise.Normals(unit.first_step() + t, e);
    policy.Sample(std::span(observations).subspan(t * d, d), e, action, &log_prob);
    for (size_t j = 0; j < a; ++j) REQUIRE(actions[t * a + j] == action[j]);
  }
}

TEST_CASE("unit runner: bad units give an error that names what is wrong", "[unit]") {
  struct Case {
    const char* expected;
    std::function<void(v1::Unit*)> damage;
  };
  const Case cases[] = {
      {"steps", [](v1::Unit* u) { u->set_steps(0); }},
      {"steps", [](v1::Unit* u) { u->set_steps(4'000'000'000u); }},
      {"steps", [](v1::Unit* u) { u->set_first_step(0xfffffffau); }},
      {"weights", [](v1::Unit* u) { u->mutable_policy()->clear_weights(); }},
      {"weights", [](v1::Unit* u) { u->mutable_policy()->mutable_weights()->append("x"); }},
      {"finite",
       [](v1::Unit* u) {
         const float nan = std::numeric_limits<float>::quiet_NaN();
         std::memcpy(u->mutable_policy()->mutable_weights()->data(), &nan, sizeof(nan));
       }},
      {"sizes", [](v1::Unit* u) { u->mutable_policy()->set_hidden_units(0); }},
      {"observations",
       [](v1::Unit* u) { *u->mutable_policy() = mentor::testing::RandomPolicy(7, 8, 2, 1); }},
      {"no such thing", [](v1::Unit* u) { u->mutable_task()->set_environment("no such thing"); }},
      {"no_option",
       [](v1::Unit* u) {
         auto* option = u->mutable_task()->add_options();
         option->set_name("no_option");
         option->set_value("1");
       }},
      {"parameters", [](v1::Unit* u) { u->mutable_task()->clear_parameters(); }},
      {"parameters", [](v1::Unit* u) { u->mutable_task()->set_parameters(0, std::nan("")); }},
      {"state", [](v1::Unit* u) { u->set_state("garbage"); }},
      {"phase", [](v1::Unit* u) { u->mutable_random()->set_phase(16); }},
      {"iteration", [](v1::Unit* u) { u->mutable_random()->set_iteration(1 << 20); }},
  };
  UnitRunner runner;
  for (const Case& test : cases) {
    v1::Unit unit = PointReachUnit(0, 10);
    unit.set_attempt(2);
    test.damage(&unit);
    const v1::Result result = runner.Run(unit);
    INFO(test.expected << " in: " << result.error());
    CHECK(result.error().find(test.expected) != std::string::npos);
    CHECK_FALSE(result.has_trajectory());
    CHECK(result.attempt() == 2);
    CHECK(result.id().SerializeAsString() == unit.id().SerializeAsString());
  }
  CHECK(runner.Run(PointReachUnit(0, 10)).error().empty());
  CHECK_FALSE(runner.Run(v1::Unit()).error().empty());
}

TEST_CASE("result hash: covers every field, and nothing else", "[unit]") {
  UnitRunner runner;
  v1::Unit unit = PointReachUnit(0, 27);
  unit.set_return_state(true);
  unit.set_return_final_observations(true);
  const v1::Result result = runner.Run(unit);
  REQUIRE_FALSE(result.final_state().empty());
  REQUIRE_FALSE(result.trajectory().final_observations().data().empty());
  const v1::Trajectory& good = result.trajectory();
  const std::string want = ResultHash(good, result.final_state());
  const auto changed = [&](auto mutable_member) {
    v1::Trajectory t = good;
    (t.*mutable_member)()->mutable_data()->back() ^= 1;
    const bool data = ResultHash(t, result.final_state()) != want;
    t = good;
    (t.*mutable_member)()->set_dtype(v1::Tensor::DTYPE_INT64);
    const bool dtype = ResultHash(t, result.final_state()) != want;
    t = good;
    (t.*mutable_member)()->add_shape(1);
    return data && dtype && ResultHash(t, result.final_state()) != want;
  };
  CHECK(changed(&v1::Trajectory::mutable_observations));
  CHECK(changed(&v1::Trajectory::mutable_actions));
  CHECK(changed(&v1::Trajectory::mutable_log_probs));
  CHECK(changed(&v1::Trajectory::mutable_rewards));
  CHECK(changed(&v1::Trajectory::mutable_successes));
  CHECK(changed(&v1::Trajectory::mutable_terminations));
  CHECK(changed(&v1::Trajectory::mutable_truncations));
  CHECK(changed(&v1::Trajectory::mutable_final_observations));
  CHECK(changed(&v1::Trajectory::mutable_next_observation));
  CHECK(ResultHash(good, result.final_state() + "x") != want);
  CHECK(ResultHash(good, "") != want);
}

// The whole lifetime in one unit. The policy gets the action as sampled, the step's success signal,
// and the ends of episodes. Its memory lives on over them.
TEST_CASE("unit runner: a recurrent policy is told what came of its steps", "[unit]") {
  for (const bool discrete : {false, true}) {
    v1::Unit unit = discrete ? mentor::testing::NewUnit(0, 120) : PointReachUnit(0, 120);
    if (discrete) {
      unit.mutable_task()->set_environment("bernoulli_bandit");
      unit.mutable_task()->add_parameters(0.3);
      unit.mutable_task()->add_parameters(0.6);
    }
    const uint32_t d = discrete ? 1 : 4, a = 2;
    *unit.mutable_policy() = mentor::testing::RandomRecurrentPolicy(d, a, discrete, 6, 5, 7, 4);
    unit.set_first_step(0);
    unit.set_first_episode(0);
    for (const bool deterministic : {false, true}) {
      unit.set_deterministic(deterministic);
      UnitRunner runner;
      const v1::Result result = runner.Run(unit);
      INFO(result.error());
      REQUIRE(result.error().empty());
      CHECK(Payload(runner.Run(unit)) == Payload(result));
      const v1::Trajectory& t = result.trajectory();
      const auto observations = Floats(t.observations()), actions = Floats(t.actions()),
                 log_probs = Floats(t.log_probs());
      const std::string ends = Ends(t);
      Policy policy;
      REQUIRE(policy.Load(unit.policy()).ok());
      SuccessSignal success;
      const RandomStream noise{.seed = 42,
                               .purpose = Purpose::kActionNoise,
                               .phase = Phase::kTraining,
                               .lifetime = 0,
                               .iteration = 1};
      const int64_t episode_steps = discrete ? 1 : 10;
      bool done = false;
      for (uint32_t step = 0; step < 120; ++step) {
        const std::span observation(&observations[step * d], d);
        std::vector<float> action(a);
        std::vector<double> normals(a);
        float log_prob = 0;
        if (deterministic) {
          policy.Deterministic(observation, action, &log_prob);
        } else if (discrete) {
          policy.Choose(observation, noise.Uniform(step, 0), action, &log_prob);
        } else {
          noise.Normals(step, normals);
          policy.Sample(observation, normals, action, &log_prob);
        }
        REQUIRE(log_prob == log_probs[step]);
        REQUIRE(std::equal(action.begin(), action.end(), &actions[step * a]));
        const double signal = success.Step(done, t.successes().data()[step] != 0, episode_steps);
        done = ends[step] != 0;
        policy.Remember(action, static_cast<float>(signal), done);
      }
    }
    unit.set_first_step(3);
    CHECK_FALSE(UnitRunner().Run(unit).error().empty());
  }
}

TEST_CASE("unit runner: labels travel with the steps of environments that know them", "[unit]") {
  v1::Unit unit = mentor::testing::NewUnit(0, 90);
  unit.mutable_task()->set_environment("quadratic_function");
  for (int i = 0; i < 6; ++i) unit.mutable_task()->add_parameters(0.1 * i - 0.2);
  *unit.mutable_policy() = mentor::testing::RandomPolicy(3, 8, 1, 0);
  const v1::Result result = UnitRunner().Run(unit);
  INFO(result.error());
  REQUIRE(result.error().empty());
  const v1::Trajectory& t = result.trajectory();
  CHECK(std::vector<int64_t>(t.labels().shape().begin(), t.labels().shape().end()) ==
        std::vector<int64_t>{90, 1});
  const auto labels = Floats(t.labels()), observations = Floats(t.observations());
  // The value at a point is shown with the next one, but not over the end of an episode.
  for (size_t step = 0; step + 1 < 90; ++step) {
    if ((step + 1) % 40 == 0) {
      CHECK(observations[3 * (step + 1) + 2] == 0);
    } else {
      CHECK(observations[3 * (step + 1) + 2] == labels[step]);
    }
  }
  CHECK(result.result_hash() == ResultHash(t, result.final_state()));
  v1::Trajectory other = t;
  (*other.mutable_labels()->mutable_data())[5] ^= 1;
  CHECK(ResultHash(other, result.final_state()) != result.result_hash());
  other.clear_labels();
  CHECK(ResultHash(other, result.final_state()) != result.result_hash());
  CHECK_FALSE(UnitRunner().Run(PointReachUnit(0, 10)).trajectory().has_labels());
}

// The size of a memory is bounded by the episodes that a unit can have.
TEST_CASE("unit runner: a memory that could take too much is refused before it is made", "[unit]") {
  v1::EpisodicMemory memory;
  memory.set_capacity(1'000'000);
  memory.set_radius(1);
  memory.set_context_size(4);
  v1::Unit unit = PointReachUnit(0, 120);
  unit.set_first_step(0);
  unit.set_first_episode(0);
  *unit.mutable_policy() = mentor::testing::RandomRecurrentPolicy(4, 2, false, 6, 5, 7, 4, &memory);
  CHECK(UnitRunner().Run(unit).error().empty());  // 120 episodes at most.
  unit.mutable_policy()->mutable_recurrent()->set_lstm(4096);
  unit.set_steps(1'000'000);
  CHECK(UnitRunner().Run(unit).error() ==
        "point_reach: unit: a policy's memory of 1000000 episodes with contexts of 4 numbers and "
        "cells of 4096 "
        "could take more than 256 MiB; lower its capacity");
}

}  // namespace mentor::actor::TEST_FILE
