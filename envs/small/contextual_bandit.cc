// contextual_bandit: bandits that come back under their barcode (Ritter et al. 2018; acceptance:
// docs/algorithms/small_environments.md#bandits). An agent that remembers which arm paid under a
// barcode pulls that arm at once when the barcode returns.
//
// A task is a list of contexts: barcode and best arm of each. An episode is one occurrence of a
// context, some pulls long; every context occurs once in each round of episodes, in an order drawn
// for the round. The best arm pays 1 with probability 0.9, the others with 0.1.
#include <cmath>
#include <memory>
#include <vector>

#include <absl/strings/str_cat.h>

#include "envs/small/small_environment.h"

namespace mentor::envs::contextual_bandit {
namespace {

constexpr char kName[] = "contextual_bandit";
constexpr char kSummary[] =
    "Bandits that come back under their barcode: remember which arm paid (Ritter et al. 2018).";
constexpr double kBest = 0.9, kOther = 0.1;  // Probabilities of pay.
constexpr int kContextsMax = 1000;
// Draws of a round begin here, far from those of the pulls of an episode.
constexpr uint32_t kRoundDraws = 1u << 31;

struct Shape {
  int contexts, arms, bits, pulls;
};

const auto kOptions =
    Bind<Shape>({{&Shape::contexts, "contexts", "10", 1, kContextsMax, "Contexts of a task."},
                 {&Shape::arms, "arms", "2", 2, 100, "Arms of each context."},
                 {&Shape::bits, "bits", "10", 5, 24, "Bits of a barcode."},
                 {&Shape::pulls, "pulls", "10", 1, 100000, "Pulls in an episode."}});

class ContextualBandit : public SmallEnvironment {
 public:
  explicit ContextualBandit(const Shape& shape)
      : SmallEnvironment({.info = {.name = kName,
                                   .summary = kSummary,
                                   .observation_size = shape.bits,
                                   .action_size = shape.arms,
                                   .episode_steps = shape.pulls,
                                   .discrete_actions = true},
                          .state = 1,
                          .parameters = 2 * shape.contexts,
                          .parameters_are = "barcode and best arm of each context",
                          .low = 0,
                          .high = 0x1p30}),
        shape_(shape),
        order_(shape.contexts) {}

 protected:
  absl::Status Prepare(std::span<const double> parameters) override {
    for (int i = 0; i < shape_.contexts; ++i) {
      const double code = parameters[2 * i], best = parameters[2 * i + 1];
      const auto refuse = [i](const char* what, double value, double below) {
        return absl::InvalidArgumentError(
            absl::StrCat("task.parameters of contextual_bandit: ", what, " of context ", i, " is ",
                         value, "; give an integer from 0 to ", below - 1));
      };
      const double codes = std::ldexp(1, shape_.bits);
      if (!(code < codes && code == std::floor(code))) return refuse("the barcode", code, codes);
      if (!(best < shape_.arms && best == std::floor(best)))
        return refuse("the best arm", best, shape_.arms);
      for (int k = 0; k < i; ++k) {
        if (parameters[2 * k] == code) {
          return absl::InvalidArgumentError(
              absl::StrCat("task.parameters of contextual_bandit: contexts ", k, " and ", i,
                           " have the same barcode ", code, "; give each its own"));
        }
      }
    }
    return absl::OkStatus();
  }

  // state := context
  void Begin() override {
    const uint32_t contexts = static_cast<uint32_t>(shape_.contexts);
    const uint32_t round = episode() / contexts, place = episode() % contexts;
    for (uint32_t i = 0; i < contexts; ++i) order_[i] = static_cast<int>(i);
    // Fisher-Yates, as far as this episode's place.
    for (uint32_t i = 0; i <= place; ++i)
      std::swap(order_[i], order_[i + random().Below(contexts - i, round, kRoundDraws + i)]);
    state()[0] = order_[place];
  }

  StepOutcome Advance(std::span<const float> action) override {
    const int arm = Chosen(action);
    const bool right = arm == Best();
    const uint32_t draw = static_cast<uint32_t>((steps() - 1) * shape_.arms + arm);
    return {.reward = Uniform(draw) < (right ? kBest : kOther) ? 1.0 : 0.0,
            .success = right && steps() == 1};
  }

  void Observe(std::span<double> observation) override {
    const auto code = static_cast<uint32_t>(parameters()[2 * Context()]);
    for (int i = 0; i < shape_.bits; ++i) observation[i] = code >> i & 1;
  }

  bool IsLegal() const override {
    return state()[0] >= 0 && state()[0] < shape_.contexts && state()[0] == std::floor(state()[0]);
  }

  bool Script(std::span<float> action) const override {
    WriteChoice(Best(), action);
    return true;
  }

 private:
  int Context() const { return static_cast<int>(state()[0]); }
  int Best() const { return static_cast<int>(parameters()[2 * Context() + 1]); }

  const Shape shape_;
  std::vector<int> order_;  // Scratch.
};

std::vector<double> DrawParameters(const OptionValues& options, const RandomStream& random,
                                   uint32_t index) {
  const Shape shape = kOptions.Read(options);
  std::vector<double> task;
  uint32_t draw = 0;
  for (int i = 0; i < shape.contexts; ++i) {
    double code = 0;
    bool fresh = false;
    while (!fresh) {  // There are twice as many barcodes as contexts at least.
      code = static_cast<double>(random.Below(1u << shape.bits, index, draw++));
      fresh = true;
      for (int k = 0; k < i; ++k) fresh = fresh && task[2 * k] != code;
    }
    task.push_back(code);
    task.push_back(static_cast<double>(random.Below(shape.arms, index, draw++)));
  }
  return task;
}

const RegisterEnvironment kRegister({
    .name = kName,
    .summary = kSummary,
    .options = kOptions.table(),
    .make = [](const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      const Shape shape = kOptions.Read(options);
      if (2 * shape.contexts > 1 << shape.bits) {
        return absl::InvalidArgumentError(absl::StrCat(
            "contexts is ", shape.contexts, ", but ", shape.bits, " bits tell at most half of ",
            1 << shape.bits, " contexts apart; set more bits"));
      }
      return std::make_unique<ContextualBandit>(shape);
    },
    .draw_parameters = DrawParameters,
    .task_help = "parameters: for each context its barcode (an integer below 2^bits, each its own) "
                 "and its best arm",
    .observation_help = "the bits of the context's barcode, lowest first",
    .reward_help = "1 with probability 0.9 (best arm) or 0.1 (others), else 0; success: the first "
                   "pull of the episode is the best arm",
    .random_help = "each round of episodes: the order of the contexts; each pull: whether it pays; "
                   "with the task: barcodes and best arms",
    .source = "Ritter et al. 2018",
});

}  // namespace
}  // namespace mentor::envs::contextual_bandit
