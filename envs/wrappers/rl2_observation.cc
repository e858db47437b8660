// rl2_observation: what a recurrent policy sees of the previous step (Duan et al. 2016): its
// action, reward / 10, and whether the episode ended with it. Zeros at each reset, as in
// Meta-World's own wrapper (docs/metaworld.md#the-observation). An episode depends only on its task
// and key, so it can be a unit. The learner's memory carries a trial over its episodes.
#include <algorithm>

#include "envs/wrappers/episode_wrapper.h"

namespace mentor::envs {
namespace {

constexpr char kName[] = "rl2_observation";
constexpr double kRewardScale = 0.1;

class Rl2Observation : public EpisodeWrapper {
 public:
  explicit Rl2Observation(std::unique_ptr<Environment> inner, int size)
      : EpisodeWrapper(std::move(inner), kName, /*extra=*/size, /*state=*/size) {}

 protected:
  // state := action[A] reward/10 done: what is appended.
  void After(std::span<const float> action, StepOutcome* outcome) override {
    std::copy(action.begin(), action.end(), state().begin());
    state()[action.size()] = kRewardScale * outcome->reward;
    state()[action.size() + 1] = outcome->terminated || outcome->truncated ? 1 : 0;
  }
  void Append(std::span<double> extra) const override {
    std::copy(state().begin(), state().end(), extra.begin());
  }
};

const RegisterWrapper kRegister({
    .name = kName,
    .summary = "Appends the last action, reward / 10 and done to the observation; zeros at reset.",
    .options = {},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues&) -> absl::StatusOr<std::unique_ptr<Environment>> {
      const int size = inner->info().action_size + 2;
      return std::make_unique<Rl2Observation>(std::move(inner), size);
    },
});

}  // namespace
}  // namespace mentor::envs
