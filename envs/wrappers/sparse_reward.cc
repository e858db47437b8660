// sparse_reward: the success signal in place of the shaped reward, or a mix of both: 1 for each
// step that reports success, else 0. The learner forms the success signal of
// methods/black_box/README.md#success-signal, which counts the steps of an episode.
#include "common/check.h"
#include "envs/wrapper.h"

namespace mentor::envs {
namespace {

class SparseReward : public Wrapper {
 public:
  SparseReward(std::unique_ptr<Environment> inner, double shaped_weight, double success_weight)
      : Wrapper(std::move(inner)), shaped_weight_(shaped_weight), success_weight_(success_weight) {}

  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override {
    MENTOR_ASSIGN_OR_RETURN(StepOutcome outcome, inner().Step(action, observation));
    outcome.reward = shaped_weight_ * outcome.reward + (outcome.success ? success_weight_ : 0);
    return outcome;
  }

 private:
  const double shaped_weight_, success_weight_;
};

const RegisterWrapper kRegister({
    .name = "sparse_reward",
    .summary = "Reward is 1 at success and 0 else, or a mix of this and the shaped reward.",
    .options = {{.name = "shaped",
                 .default_value = "0",
                 .min = -1e6,
                 .max = 1e6,
                 .help = "Weight of the environment's own reward."},
                {.name = "success",
                 .default_value = "1",
                 .min = -1e6,
                 .max = 1e6,
                 .help = "Reward of a step that reports success, besides."}},
    .examples = {{{"shaped", "0.5"}}},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      return std::make_unique<SparseReward>(std::move(inner), options.Number("shaped"),
                                            options.Number("success"));
    },
});

}  // namespace
}  // namespace mentor::envs
