// energy_cost: actions cost something. The example of docs/adding.md.
#include "envs/wrapper.h"

#include <memory>

#include "common/check.h"

namespace mentor::envs::example_wrapper {
namespace {

// No numbers of its own live through an episode, so the inner state is the whole state.
class EnergyCost : public Wrapper {
 public:
  EnergyCost(std::unique_ptr<Environment> inner, double weight)
      : Wrapper(std::move(inner)), weight_(weight) {}

  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override {
    MENTOR_ASSIGN_OR_RETURN(StepOutcome outcome, inner().Step(action, observation));
    double energy = 0;
    for (const float x : action) energy += static_cast<double>(x) * x;
    outcome.reward -= weight_ * energy;
    return outcome;
  }

 private:
  const double weight_;
};

struct Config {
  double weight;
};

const auto kOptions =
    Bind<Config>({{&Config::weight, "weight", "0.01", 0, 1000, "Of the squared action."}});

const RegisterWrapper kRegister({
    .name = "energy_cost",
    .summary = "Takes a share of the squared action from the reward.",
    .options = kOptions.table(),
    .examples = {{{"weight", "0.5"}}},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      return std::make_unique<EnergyCost>(std::move(inner), kOptions.Read(options).weight);
    },
});

}  // namespace
}  // namespace mentor::envs::example_wrapper
