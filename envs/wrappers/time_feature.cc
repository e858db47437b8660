// time_feature: the time in the episode as one more number of the observation, t / M: 0 at the
// reset, 1 at truncation. Attention networks and values need it to tell the steps of an episode
// apart (methods/meta_gradient/README.md#signal-networks).
#include <cmath>

#include "envs/wrappers/episode_wrapper.h"

namespace mentor::envs {
namespace {

constexpr char kName[] = "time_feature";

class TimeFeature : public EpisodeWrapper {
 public:
  explicit TimeFeature(std::unique_ptr<Environment> inner)
      : EpisodeWrapper(std::move(inner), kName, /*extra=*/1, /*state=*/1) {}

 protected:
  void After(std::span<const float>, StepOutcome*) override { state()[0] += 1; }
  void Append(std::span<double> extra) const override {
    extra[0] = state()[0] / info_.episode_steps;
  }
  bool IsLegal(std::span<const double> state) const override {
    return state[0] >= 0 && state[0] <= info_.episode_steps && state[0] == std::floor(state[0]);
  }
};

const RegisterWrapper kRegister({
    .name = kName,
    .summary = "Appends the time in the episode to the observation, from 0 to 1.",
    .options = {},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues&) -> absl::StatusOr<std::unique_ptr<Environment>> {
      return std::make_unique<TimeFeature>(std::move(inner));
    },
});

}  // namespace
}  // namespace mentor::envs
