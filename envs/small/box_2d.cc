// box_2d: an empty box without a reward, for rules that find skills (Eysenbach et al. 2018, DIAYN;
// acceptance: docs/algorithms/small_environments.md#box). Episodes begin in its middle; actions
// move the point directly.
#include <algorithm>
#include <memory>

#include "envs/small/small_environment.h"

namespace mentor::envs::box_2d {
namespace {

constexpr char kName[] = "box_2d";
constexpr char kSummary[] = "Move a point in an empty box, without any reward (DIAYN).";

struct Config {
  double step;
  int episode_steps;
};

const auto kOptions = Bind<Config>(
    {{&Config::step, "step", "0.1", 1e-6, 2,
      "Distance moved by an action of 1; the box is [-1, 1]^2."},
     {&Config::episode_steps, "episode_steps", "20", 1, 100000, "Steps of an episode."}});

class Box2d : public SmallEnvironment {
 public:
  explicit Box2d(const Config& config)
      : SmallEnvironment({.info = {.name = kName,
                                   .summary = kSummary,
                                   .observation_size = 2,
                                   .action_size = 2,
                                   .episode_steps = config.episode_steps},
                          .state = 2}),
        step_(config.step) {}

 protected:
  StepOutcome Advance(std::span<const float> action) override {
    for (int i = 0; i < 2; ++i) {
      const double moved = step_ * std::clamp(static_cast<double>(action[i]), -1.0, 1.0);
      state()[i] = std::clamp(state()[i] + moved, -1.0, 1.0);
    }
    return {};
  }

 private:
  const double step_;
};

const RegisterEnvironment kRegister({
    .name = kName,
    .summary = kSummary,
    .options = kOptions.table(),
    .make = MadeBy<Box2d>(kOptions),
    .observation_help = "position (2 numbers)",
    .reward_help = "0 always; never a success",
    .random_help = "none: episodes begin in the middle",
    .source = "Eysenbach et al. 2018 (DIAYN)",
    .has_success = false,
});

}  // namespace
}  // namespace mentor::envs::box_2d
