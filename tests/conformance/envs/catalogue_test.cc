// The conformance suite over the whole catalogue: an environment that registers itself is tested
// here.
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <thread>

#include "common/file.h"
#include "common/hash.h"
#include "tests/conformance/envs/environment_checks.h"
#include "tests/temp_folder.h"

namespace mentor::envs::testing {
namespace {

// Steps that follow a saved point, so that the whole catalogue takes minutes.
constexpr size_t kStepsAfterRestore = 100;

absl::StatusCode CodeOf(const absl::StatusOr<StepOutcome>& outcome) {
  return outcome.status().code();
}

TEST_CASE("environments: shapes, finite numbers, episodes of the promised length",
          "[conformance]") {
  for (const Variant& variant : AllVariants()) {
    INFO(variant.Name());
    const auto environment = variant.Make();
    const EnvironmentInfo& info = environment->info();
    CHECK(info.name == variant.entry->name);
    REQUIRE(info.observation_size > 0);
    REQUIRE(info.action_size > 0);
    REQUIRE(info.episode_steps > 0);
    REQUIRE(environment->SetTask(variant.Task(0)).ok());
    std::vector<double> observation(info.observation_size, std::nan(""));
    REQUIRE(environment->Reset(ResetStream(0), 0, observation).ok());
    bool finite = true;
    for (double number : observation) finite = finite && std::isfinite(number);
    int steps = 0;
    for (const std::vector<float>& action : MakeActions(info, 0)) {
      std::fill(observation.begin(), observation.end(), std::nan(""));
      const absl::StatusOr<StepOutcome> outcome = environment->Step(action, observation);
      INFO(outcome.status().ToString());
      REQUIRE(outcome.ok());
      ++steps;
      finite = finite && std::isfinite(outcome->reward);
      for (double number : observation) finite = finite && std::isfinite(number);
      const bool done = outcome->terminated || outcome->truncated;
      if (steps == info.episode_steps) CHECK(done);
      if (info.independent_episodes && steps < info.episode_steps) REQUIRE_FALSE(done);
      if (done) break;
    }
    CHECK(finite);
    // Beyond the end.
    const std::vector<float> action(info.action_size);
    CHECK(CodeOf(environment->Step(action, observation)) == absl::StatusCode::kFailedPrecondition);
    CHECK(environment->Reset(ResetStream(0), 1, observation).ok());
    CHECK(environment->Step(action, observation).ok());
  }
}

TEST_CASE("environments: the same episode has the same bits, fresh or after others, and in threads",
          "[conformance]") {
  for (const Variant& variant : AllVariants()) {
    INFO(variant.Name());
    const auto first = variant.Make();
    const Trace want = RunEpisode(variant, *first, /*task=*/1, /*lifetime=*/2, /*episode=*/3);
    INFO(want.error);
    REQUIRE(want.error.empty());
    // Other tasks and episodes in between leave no trace; the settled reset is remembered the
    // second time.
    RunEpisode(variant, *first, 2, 3, 0);
    if (first->info().independent_episodes) CHECK(RunEpisode(variant, *first, 1, 2, 3) == want);
    CHECK(RunEpisode(variant, *variant.Make(), 1, 2, 3) == want);

    constexpr int kThreads = 2;
    std::array<Trace, kThreads> traces;
    {
      std::vector<std::jthread> threads;
      std::vector<std::unique_ptr<Environment>> environments;
      for (int i = 0; i < kThreads; ++i) environments.push_back(variant.Make());
      for (int i = 0; i < kThreads; ++i) {
        threads.emplace_back([&variant, &traces, i, environment = environments[i].get()] {
          traces[i] = RunEpisode(variant, *environment, 1, 2, 3);
        });
      }
      threads.clear();
    }
    for (const Trace& trace : traces) CHECK(trace == want);
  }
}

// One line for each variant: its name and the hash of an episode.
std::string Digests() {
  std::string text;
  for (const Variant& variant : AllVariants()) {
    const Trace trace = RunEpisode(variant, *variant.Make(), 1, 5, 6);
    text += variant.Name() + " " + trace.error +
            Sha256Hex(std::string(reinterpret_cast<const char*>(trace.numbers.data()),
                                  trace.numbers.size() * sizeof(double))) +
            "\n";
  }
  return text;
}

// Hidden: what the next test starts as a process.
TEST_CASE("environments: write digests", "[.]") {
  const char* file = std::getenv("MENTOR_TEST_DIGESTS");
  REQUIRE(file != nullptr);
  REQUIRE(WriteFileAtomically(file, Digests()).ok());
}

TEST_CASE("environments: a fresh process gives the same bits", "[conformance]") {
  const mentor::testing::TempFolder folder;
  const std::string file = folder.path() / "digests";
  const std::string command = "MENTOR_TEST_DIGESTS=" + file + " timeout 600 /proc/" +
                              std::to_string(getpid()) + "/exe 'environments: write digests' > " +
                              file + ".log 2>&1";
  std::string other;
  std::jthread process([&] {
    if (std::system(command.c_str()) == 0) other = ReadFile(file, 1 << 20).value_or("");
  });
  const std::string want = Digests();
  process.join();
  CHECK(other == want);
}

TEST_CASE("environments: a saved state goes on bit for bit in a fresh and in a used instance",
          "[conformance]") {
  for (const Variant& variant : AllVariants()) {
    INFO(variant.Name());
    const auto environment = variant.Make();
    const auto actions = MakeActions(environment->info(), 4);
    const RandomStream random{.seed = 8};
    for (uint32_t round = 0; round < 3; ++round) {
      std::vector<double> before(environment->info().observation_size), after(before.size());
      REQUIRE(environment->SetTask(variant.Task(round)).ok());
      REQUIRE(environment->Reset(ResetStream(4), round, before).ok());
      // An episode may end early: a point within it is drawn once its length is known.
      Trace whole;
      const size_t length = Continue(*environment, actions, 0, actions.size(), &whole);
      REQUIRE(whole.error.empty());
      REQUIRE(environment->Reset(ResetStream(4), round, before).ok());
      const size_t stop =
          round == 0 ? 0 : random.Below(length, 0, round);  // Right after a reset, too.
      const size_t steps = std::min(length, stop + kStepsAfterRestore);
      INFO("saved after step " << stop << " of " << length);
      Trace want, head;
      Continue(*environment, actions, 0, stop, &head);
      const std::string state = environment->SaveState();
      CHECK(environment->SaveState() == state);
      Continue(*environment, actions, stop, steps, &want);
      REQUIRE(want.error.empty());

      const auto fresh = variant.Make();
      const auto used = variant.Make();
      RunEpisode(variant, *used, 9, 9, 9);
      for (Environment* other : {fresh.get(), used.get()}) {
        REQUIRE(other->SetTask(variant.Task(round)).ok());
        const absl::Status restored = other->RestoreState(state, after);
        INFO(restored.ToString());
        REQUIRE(restored.ok());
        CHECK(other->SaveState() == state);
        // The observation is the one that the episode had there.
        if (stop == 0) {
          CHECK(after == before);
        } else {
          CHECK(std::equal(after.begin(), after.end(), head.numbers.end() - 4 - after.size()));
        }
        Trace got;
        Continue(*other, actions, stop, steps, &got);
        CHECK(got == want);
      }
    }
  }
}

TEST_CASE("environments: bad calls are refused and leave the episode as it was", "[conformance]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Variant& variant : AllVariants()) {
    INFO(variant.Name());
    const auto environment = variant.Make();
    const EnvironmentInfo& info = environment->info();
    std::vector<double> observation(info.observation_size), small(info.observation_size - 1);
    std::vector<float> action(info.action_size, 0.5f);

    // Out of order.
    CHECK(CodeOf(environment->Step(action, observation)) == absl::StatusCode::kFailedPrecondition);
    CHECK(environment->Reset(ResetStream(0), 0, observation).code() ==
          absl::StatusCode::kFailedPrecondition);

    // Tasks.
    const v1::EnvironmentTask good = variant.Task(0);
    v1::EnvironmentTask other = good;
    other.set_environment("another");
    CHECK(environment->SetTask(other).code() == absl::StatusCode::kInvalidArgument);
    other = good;
    other.add_parameters(0);
    CHECK(environment->SetTask(other).code() == absl::StatusCode::kInvalidArgument);
    for (int i = 0; i < good.parameters_size(); ++i) {
      for (double bad : {nan, std::numeric_limits<double>::infinity(), -1e300}) {
        other = good;
        other.set_parameters(i, bad);
        CHECK(environment->SetTask(other).code() == absl::StatusCode::kInvalidArgument);
      }
    }

    REQUIRE(environment->SetTask(good).ok());
    CHECK(environment->Reset(ResetStream(0), 0, small).code() ==
          absl::StatusCode::kInvalidArgument);
    REQUIRE(environment->Reset(ResetStream(0), 0, observation).ok());

    // Actions.
    const std::string state = environment->SaveState();
    for (float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      std::vector<float> broken = action;
      broken.back() = bad;
      CHECK(CodeOf(environment->Step(broken, observation)) == absl::StatusCode::kInvalidArgument);
    }
    CHECK(CodeOf(environment->Step(std::vector<float>(info.action_size + 1), observation)) ==
          absl::StatusCode::kInvalidArgument);
    CHECK(CodeOf(environment->Step(action, small)) == absl::StatusCode::kInvalidArgument);
    CHECK(environment->SaveState() == state);
    CHECK(environment->Step(action, observation).ok());
  }
}

TEST_CASE("environments: states that are cut, altered or foreign are refused", "[conformance]") {
  const std::vector<Variant> variants = AllVariants();
  for (size_t v = 0; v < variants.size(); ++v) {
    const Variant& variant = variants[v];
    INFO(variant.Name());
    const auto environment = variant.Make();
    std::vector<double> observation(environment->info().observation_size);
    REQUIRE(environment->SetTask(variant.Task(0)).ok());
    REQUIRE(environment->Reset(ResetStream(0), 0, observation).ok());
    const std::string state = environment->SaveState();
    const auto refused = [&](const std::string& bad) {
      return environment->RestoreState(bad, observation).code() ==
             absl::StatusCode::kInvalidArgument;
    };
    for (size_t length :
         {size_t{0}, size_t{7}, size_t{9}, size_t{15}, state.size() / 2, state.size() - 1}) {
      INFO("first " << length << " bytes");
      CHECK(refused(state.substr(0, length)));
    }
    CHECK(refused(state + "x"));
    std::string nan = state;
    nan.replace(nan.size() - 8, 8, std::string(8, '\xff'));
    CHECK(refused(nan));
    // Of other environments: the next ones, which may be of the same family, and one far away.
    for (size_t away : {size_t{1}, size_t{2}, variants.size() / 2}) {
      const Variant& other = variants[(v + away) % variants.size()];
      if (other.entry == variant.entry) continue;
      const auto foreign = other.Make();
      std::vector<double> foreign_observation(foreign->info().observation_size);
      REQUIRE(foreign->SetTask(other.Task(0)).ok());
      REQUIRE(foreign->Reset(ResetStream(0), 0, foreign_observation).ok());
      CHECK(refused(foreign->SaveState()));
    }
    if (variant.Task(0).parameters_size() > 0) {
      uint32_t index = 1;
      while (variant.Task(index).SerializeAsString() == variant.Task(0).SerializeAsString())
        ++index;
      REQUIRE(environment->SetTask(variant.Task(index)).ok());
      CHECK(refused(state));  // Of another task.
      REQUIRE(environment->SetTask(variant.Task(0)).ok());
    }
    // Any byte may be wrong: an error or an episode, never a crash.
    const RandomStream random{.seed = 9};
    for (uint32_t i = 0; i < 300; ++i) {
      std::string altered = state;
      altered[random.Below(altered.size(), 0, i)] ^= static_cast<char>(1 << random.Below(8, 1, i));
      if (!environment->RestoreState(altered, observation).ok()) continue;
      (void)environment->Step(std::vector<float>(environment->info().action_size), observation);
    }
    // And the environment is still of use.
    REQUIRE(environment->Reset(ResetStream(0), 0, observation).ok());
    CHECK(environment->SaveState() == state);
  }
}

}  // namespace
}  // namespace mentor::envs::testing
