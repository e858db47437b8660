#include "envs/render/episode.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "envs/mujoco_environment.h"

namespace mentor::envs {
namespace {

// `simulator` is null where there is no MuJoCo.
Moment Now(MuJoCoEnvironment* simulator, const StepOutcome& outcome) {
  Moment moment;
  moment.reward = outcome.reward;
  moment.success = outcome.success;
  if (simulator == nullptr) return moment;
  moment.simulator = simulator->SimulatorState();
  moment.seconds = simulator->simulation().data()->time;
  return moment;
}

}  // namespace

Act ScriptedPolicy(Environment& environment) {
  Environment* const scripted = &environment;
  // Before the first reset nothing can be asked, so a policy that is not there shows at its first
  // step.
  return [scripted](std::span<const double>, std::span<float> action) {
    if (scripted->ScriptedAction(action)) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        scripted->info().name, " has no scripted policy; use --policy random, or a run's folder"));
  };
}

Act RandomPolicy(const EnvironmentInfo& info, uint64_t seed) {
  const RandomStream random{.seed = seed, .purpose = Purpose::kActionNoise};
  return [random, low = info.action_low, high = info.action_high, step = uint32_t{0}](
             std::span<const double>, std::span<float> action) mutable {
    for (size_t i = 0; i < action.size(); ++i) {
      action[i] =
          static_cast<float>(low + (high - low) * random.Uniform(step, static_cast<uint32_t>(i)));
    }
    ++step;
    return absl::OkStatus();
  };
}

absl::StatusOr<Episode> PlayEpisode(Environment& environment, const RandomStream& reset,
                                    uint32_t number, const Act& act, int steps,
                                    const Progress& progress) {
  const EnvironmentInfo& info = environment.info();
  auto* const simulator = dynamic_cast<MuJoCoEnvironment*>(&environment.unwrapped());
  const int total = steps > 0 ? std::min(steps, info.episode_steps) : info.episode_steps;
  std::vector<double> observation(info.observation_size);
  std::vector<float> action(info.action_size);
  Episode episode;
  MENTOR_RETURN_IF_ERROR(environment.Reset(reset, number, observation));
  episode.moments.push_back(Now(simulator, {}));
  for (int step = 0; step < total && !episode.complete; ++step) {
    MENTOR_RETURN_IF_ERROR(act(observation, action));
    MENTOR_ASSIGN_OR_RETURN(const StepOutcome outcome, environment.Step(action, observation));
    episode.moments.push_back(Now(simulator, outcome));
    episode.reward_sum += outcome.reward;
    episode.success |= outcome.success;
    episode.complete = outcome.terminated || outcome.truncated;
    if (!progress(step + 1, total)) return absl::CancelledError("stopped");
  }
  return episode;
}

}  // namespace mentor::envs
