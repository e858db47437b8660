// reward_delay: sums rewards and pays them every n steps and at the episode's end, as in the
// delayed-reward tasks of LIRPG (Zheng et al. 2018; methods/meta_gradient/README.md#experiments).
// Success is not delayed.
#include <cmath>

#include "envs/wrappers/episode_wrapper.h"

namespace mentor::envs {
namespace {

constexpr char kName[] = "reward_delay";

class RewardDelay : public EpisodeWrapper {
 public:
  RewardDelay(std::unique_ptr<Environment> inner, int steps)
      : EpisodeWrapper(std::move(inner), kName, /*extra=*/0, /*state=*/2), steps_(steps) {}

 protected:
  // state := sum, steps in it
  void After(std::span<const float>, StepOutcome* outcome) override {
    double& sum = state()[0];
    double& count = state()[1];
    sum += outcome->reward;
    count += 1;
    outcome->reward = 0;
    if (count < steps_ && !outcome->terminated && !outcome->truncated) return;
    outcome->reward = sum;
    sum = count = 0;
  }
  bool IsLegal(std::span<const double> state) const override {
    return state[1] >= 0 && state[1] < steps_ && state[1] == std::floor(state[1]);
  }

 private:
  const int steps_;
};

const auto kOptions = Bind<int>(
    {{kItself, "steps", "20", 1, 1000000, "Steps between payments, counted from the reset."}});

const RegisterWrapper kRegister({
    .name = kName,
    .summary = "Rewards are summed and paid every so many steps and at the episode's end.",
    .options = kOptions.table(),
    .examples = {{{"steps", "3"}}},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      return std::make_unique<RewardDelay>(std::move(inner), kOptions.Read(options));
    },
});

}  // namespace
}  // namespace mentor::envs
