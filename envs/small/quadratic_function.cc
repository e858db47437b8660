// quadratic_function: learn a function while it is shown (Hochreiter et al. 2001; acceptance:
// docs/algorithms/small_environments.md#quadratic-functions). A task is the six coefficients of a
// quadratic function of two numbers. Each step shows a point and the value at the point before; the
// action is a guess of the value here, which is also the step's label.
#include <cmath>
#include <memory>
#include <vector>

#include "envs/small/small_environment.h"

namespace mentor::envs::quadratic_function {
namespace {

constexpr char kName[] = "quadratic_function";
constexpr char kSummary[] =
    "Guess the values of a quadratic function, each shown after its guess (Hochreiter et al. "
    "2001).";
constexpr int kCoefficients = 6;

const auto kOptions =
    Bind<int>({{kItself, "episode_steps", "40", 1, 100000, "Points of an episode."}});

// state := x1, x2, the value at the point before (0 at first)
class QuadraticFunction : public SmallEnvironment {
 public:
  explicit QuadraticFunction(int episode_steps)
      : SmallEnvironment({.info = {.name = kName,
                                   .summary = kSummary,
                                   .observation_size = 3,
                                   .action_size = 1,
                                   .episode_steps = episode_steps,
                                   // A guess counts as it is; this keeps its square finite.
                                   .action_low = -1e6,
                                   .action_high = 1e6,
                                   .has_labels = true},
                          .state = 3,
                          .parameters = kCoefficients,
                          .parameters_are = "the coefficients",
                          .low = -1,
                          .high = 1}) {}

 protected:
  void Begin() override { DrawPoint(0); }

  StepOutcome Advance(std::span<const float> action) override {
    const double value = Value(), error = static_cast<double>(action[0]) - value;
    label_ = static_cast<float>(value);
    state()[2] = value;
    DrawPoint(static_cast<uint32_t>(steps()));
    return {.reward = -(error * error), .label = {&label_, 1}};
  }

  bool IsLegal() const override {
    return std::abs(state()[0]) <= 1 && std::abs(state()[1]) <= 1 &&
           std::abs(state()[2]) <= kCoefficients;
  }

  bool Script(std::span<float> action) const override {
    action[0] = static_cast<float>(Value());
    return true;
  }

 private:
  // y = c1 x1^2 + c2 x2^2 + c3 x1 x2 + c4 x1 + c5 x2 + c6
  double Value() const {
    const std::span<const double> c = parameters();
    const double x1 = state()[0], x2 = state()[1];
    return c[0] * x1 * x1 + c[1] * x2 * x2 + c[2] * x1 * x2 + c[3] * x1 + c[4] * x2 + c[5];
  }
  void DrawPoint(uint32_t step) {
    for (uint32_t i = 0; i < 2; ++i) state()[i] = 2 * Uniform(2 * step + i) - 1;
  }

  float label_ = 0;  // From the last step.
};

const RegisterEnvironment kRegister({
    .name = kName,
    .summary = kSummary,
    .options = kOptions.table(),
    .make = MadeBy<QuadraticFunction>(kOptions),
    .draw_parameters =
        [](const OptionValues&, const RandomStream& random, uint32_t index) {
          std::vector<double> coefficients;
          for (uint32_t i = 0; i < kCoefficients; ++i)
            coefficients.push_back(2 * random.Uniform(index, i) - 1);
          return coefficients;
        },
    .task_help = "parameters: the coefficients c1 to c6, each in [-1, 1]",
    .observation_help = "x1, x2, the value at the point before (0 at first)",
    .reward_help =
        "-(a - y)^2, y = c1 x1^2 + c2 x2^2 + c3 x1 x2 + c4 x1 + c5 x2 + c6; the label is "
        "y; no success",
    .random_help = "each step: x1 and x2, uniform in [-1, 1]; with the task: the coefficients",
    .source = "Hochreiter et al. 2001",
    .has_success = false,
});

}  // namespace
}  // namespace mentor::envs::quadratic_function
