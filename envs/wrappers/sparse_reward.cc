// sparse_reward: the success signal in place of the shaped reward, or a mix of both: 1 for each
// step that reports success, else 0. The learner forms the success signal of
// methods/black_box/README.md#success-signal, which counts the steps of an episode.
#include "common/check.h"
#include "envs/wrapper.h"

namespace mentor::envs {
namespace {

struct Config {
  double shaped, success;
};

const auto kOptions = Bind<Config>(
    {{&Config::shaped, "shaped", "0", -1e6, 1e6, "Weight of the environment's own reward."},
     {&Config::success, "success", "1", -1e6, 1e6,
      "Reward of a step that reports success, besides."}});

class SparseReward : public Wrapper {
 public:
  SparseReward(std::unique_ptr<Environment> inner, const Config& weights)
      : Wrapper(std::move(inner)), weights_(weights) {}

  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override {
    MENTOR_ASSIGN_OR_RETURN(StepOutcome outcome, inner().Step(action, observation));
    outcome.reward = weights_.shaped * outcome.reward + (outcome.success ? weights_.success : 0);
    return outcome;
  }

 private:
  const Config weights_;
};

const RegisterWrapper kRegister({
    .name = "sparse_reward",
    .summary = "Reward is 1 at success and 0 else, or a mix of this and the shaped reward.",
    .options = kOptions.table(),
    .examples = {{{"shaped", "0.5"}}},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      return std::make_unique<SparseReward>(std::move(inner), kOptions.Read(options));
    },
});

}  // namespace
}  // namespace mentor::envs
