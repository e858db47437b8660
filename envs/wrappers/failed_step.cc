// failed_step: a step without a result ends the episode with a given reward, instead of the
// experiment with an error. Such steps are those of OUT_OF_RANGE (envs/environment.h), and numbers
// that are not finite in 32 bits. The observation is then the last one that was finite.
#include "common/failed_step.h"

#include <cmath>

#include "envs/wrapper.h"

namespace mentor::envs {
namespace {

const auto kFailedStepOptions =
    Bind<double>({{kItself, "reward", "0", -1e6, 1e6, "Reward of the step that failed."}});

class FailedStep : public Wrapper {
 public:
  FailedStep(std::unique_ptr<Environment> inner, double reward)
      : Wrapper(std::move(inner)), reward_(reward) {
    info_.independent_episodes = false;  // Any step may be the last.
    if (info_.has_labels) label_.assign(static_cast<size_t>(info_.action_size), 0);
  }

  absl::Status Reset(const RandomStream& random, uint32_t episode,
                     std::span<double> observation) override {
    return Remember(inner().Reset(random, episode, observation), observation);
  }

  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override {
    if (has_failed_) return After();
    absl::StatusOr<StepOutcome> outcome = inner().Step(action, observation);
    if (outcome.ok() && IsFinite(outcome->reward) &&
        std::all_of(observation.begin(), observation.end(), IsFinite)) {
      last_.assign(observation.begin(), observation.end());
      return outcome;
    }
    if (!outcome.ok() && !absl::IsOutOfRange(outcome.status())) return outcome.status();
    has_failed_ = true;
    std::copy(last_.begin(), last_.end(), observation.begin());
    return StepOutcome{.reward = reward_, .terminated = true, .failed = true, .label = label_};
  }

  absl::StatusOr<std::string> SaveState() const override {
    if (has_failed_) return After();
    return inner().SaveState();
  }
  absl::Status RestoreState(std::string_view state, std::span<double> observation) override {
    return Remember(inner().RestoreState(state, observation), observation);
  }

 private:
  static bool IsFinite(double number) { return std::isfinite(static_cast<float>(number)); }
  absl::Status After() const {
    return absl::FailedPreconditionError(info_.name + ": a step failed; call Reset");
  }
  absl::Status Remember(absl::Status status, std::span<const double> observation) {
    if (!status.ok()) return status;
    has_failed_ = false;
    last_.assign(observation.begin(), observation.end());
    return status;
  }

  const double reward_;
  std::vector<double> last_;  // [D]
  std::vector<float> label_;  // [A]; empty: the environment gives none.
  bool has_failed_ = false;
};

const RegisterWrapper kRegisterFailedStep({
    .name = kFailedStepWrapper,
    .summary = "A step without finite numbers ends the episode, and is counted in failed_steps.",
    .options = kFailedStepOptions.table(),
    .examples = {{{"reward", "-1"}}},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      return std::make_unique<FailedStep>(std::move(inner), kFailedStepOptions.Read(options));
    },
    .in_catalogue_hash = false,
});

}  // namespace
}  // namespace mentor::envs
