// Wrappers that pay another reward.
#include <cmath>

#include "common/check.h"
#include "envs/wrapper.h"
#include "envs/wrappers/episode_wrapper.h"

namespace mentor::envs {
namespace {

// sparse_reward: the success signal in place of the shaped reward, or a mix of both: 1 for each
// step that reports success, else 0. The learner forms the success signal of
// methods/black_box/README.md#success-signal, which counts the steps of an episode.
struct SparseConfig {
  double shaped, success;
};

const auto kSparseOptions = Bind<SparseConfig>(
    {{&SparseConfig::shaped, "shaped", "0", -1e6, 1e6, "Weight of the environment's own reward."},
     {&SparseConfig::success, "success", "1", -1e6, 1e6,
      "Reward of a step that reports success, besides."}});

class SparseReward : public Wrapper {
 public:
  SparseReward(std::unique_ptr<Environment> inner, const SparseConfig& weights)
      : Wrapper(std::move(inner)), weights_(weights) {}

  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override {
    MENTOR_ASSIGN_OR_RETURN(StepOutcome outcome, inner().Step(action, observation));
    outcome.reward = weights_.shaped * outcome.reward + (outcome.success ? weights_.success : 0);
    return outcome;
  }

 private:
  const SparseConfig weights_;
};

const RegisterWrapper kRegisterSparse({
    .name = "sparse_reward",
    .summary = "Reward is 1 at success and 0 else, or a mix of this and the shaped reward.",
    .options = kSparseOptions.table(),
    .examples = {{{"shaped", "0.5"}}},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      return std::make_unique<SparseReward>(std::move(inner), kSparseOptions.Read(options));
    },
});

// reward_delay: sums rewards and pays them every n steps and at the episode's end, as in the
// delayed-reward tasks of LIRPG (Zheng et al. 2018; methods/meta_gradient/README.md#experiments).
// Success is not delayed.
class RewardDelay : public EpisodeWrapper {
 public:
  RewardDelay(std::unique_ptr<Environment> inner, int steps)
      : EpisodeWrapper(std::move(inner), "reward_delay", /*extra=*/0, /*state=*/2), steps_(steps) {}

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

const auto kDelayOptions = Bind<int>(
    {{kItself, "steps", "20", 1, 1000000, "Steps between payments, counted from the reset."}});

const RegisterWrapper kRegisterDelay({
    .name = "reward_delay",
    .summary = "Rewards are summed and paid every so many steps and at the episode's end.",
    .options = kDelayOptions.table(),
    .examples = {{{"steps", "3"}}},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      return std::make_unique<RewardDelay>(std::move(inner), kDelayOptions.Read(options));
    },
});

}  // namespace
}  // namespace mentor::envs
