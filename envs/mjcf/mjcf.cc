// Environment mjcf: a MuJoCo model and a task that an experiment brings (docs/own_tasks.md).
#include <vector>

#include "common/check.h"
#include "envs/environment.h"
#include "envs/mjcf/mjcf_environment.h"

namespace mentor::envs::mjcf {
namespace {

const auto kOptions =
    Bind<std::string>({{kItself, BundleOption("bundle",
                                              "The folder with the model and task.txtpb, by what "
                                              "is in it; on a command line its path.")}});

absl::StatusOr<std::shared_ptr<const Plan>> PlanOf(const OptionValues& options) {
  return FindPlan(kOptions.Read(options));
}

// There are none without the bundle: the environment, if there is one, refuses such a task.
std::vector<double> DrawOwnParameters(const OptionValues& options, const RandomStream& random,
                                      uint32_t index) {
  const auto plan = PlanOf(options);
  return plan.ok() ? (*plan)->Draw(random, index) : std::vector<double>();
}

const RegisterEnvironment kRegister({
    .name = "mjcf",
    .summary = "A task of your own in a MuJoCo model, without C++: a bundle.",
    .options = kOptions.table(),
    .make = [](const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      MENTOR_ASSIGN_OR_RETURN(std::shared_ptr<const Plan> plan, PlanOf(options));
      return std::make_unique<MjcfEnvironment>(std::move(plan));
    },
    .draw_parameters = DrawOwnParameters,
    .task_help = "parameters: those of the bundle, in its order; drawn uniformly from their ranges",
    .observation_help = "what the bundle says",
    .reward_help = "a sum of the bundle's terms, which are in info",
    .random_help = "what the bundle draws at a reset, by the key of the episode",
    .source = "MuJoCo's MJCF; docs/own_tasks.md",
    .suite = "Brought along",
    .gives_success =
        [](const OptionValues& options) {
          const auto plan = PlanOf(options);
          return !plan.ok() || (*plan)->success_place >= 0;
        },
    .brought = true,
});

}  // namespace
}  // namespace mentor::envs::mjcf
