// bernoulli_bandit: arms that pay 1 with their own probability (Duan et al. 2016; Wang et al. 2016;
// acceptance: docs/algorithms/small_environments.md#bandits). A lifetime is a trial: its task fixes
// the probabilities.
//
// A task's parameters are the probabilities. An episode is one pull; with the option pulls it has
// more, for learners that carry memory through an episode.
#include <algorithm>
#include <memory>
#include <vector>

#include "envs/small/small_environment.h"

namespace mentor::envs::bernoulli_bandit {
namespace {

constexpr char kName[] = "bernoulli_bandit";
constexpr char kSummary[] = "Arms that pay 1 with unknown probabilities; an episode is one pull.";
constexpr int kArmsMax = 100;

struct Config {
  int arms, pulls;
  bool complementary, success_is_pay;
};

const auto kOptions =
    Bind<Config>({{&Config::arms, "arms", "2", 2, kArmsMax, "Number of arms (k)."},
                  {&Config::complementary,
                   "probabilities",
                   {{"independent", false}, {"complementary", true}},
                   "Drawn tasks: each arm uniform in [0, 1], or two arms with p and 1 - p."},
                  {&Config::success_is_pay,
                   "success",
                   {{"best_arm", false}, {"pay", true}},
                   "When a pull is a success: best_arm, when no arm is better (not for learners "
                   "that see the success signal); pay, when it pays."},
                  {&Config::pulls, "pulls", "1", 1, 100000, "Pulls in an episode."}});

class BernoulliBandit : public SmallEnvironment {
 public:
  explicit BernoulliBandit(const Config& config)
      : SmallEnvironment({.info = {.name = kName,
                                   .summary = kSummary,
                                   .observation_size = 1,
                                   .action_size = config.arms,
                                   .episode_steps = config.pulls,
                                   .discrete_actions = true},
                          .parameters = config.arms,
                          .parameters_are = "the probability of each arm",
                          .low = 0,
                          .high = 1,
                          .info_keys = {"regret"}}),
        arms_(config.arms),
        success_is_pay_(config.success_is_pay) {}

 protected:
  StepOutcome Advance(std::span<const float> action) override {
    const int arm = Chosen(action);
    const double regret = parameters()[Best()] - parameters()[arm];
    terms()[0] = regret;
    // Each arm has its own numbers, so that a pull pays the same whatever was pulled before.
    const uint32_t draw = static_cast<uint32_t>(steps() - 1) * arms_ + arm;
    const bool pays = Uniform(draw) < parameters()[arm];
    return {.reward = pays ? 1.0 : 0.0, .success = success_is_pay_ ? pays : regret == 0};
  }

  void Observe(std::span<double> observation) override { observation[0] = 1; }

  bool Script(std::span<float> action) const override {
    WriteChoice(Best(), action);
    return true;
  }

 private:
  int Best() const {
    return static_cast<int>(std::max_element(parameters().begin(), parameters().end()) -
                            parameters().begin());
  }

  const int arms_;
  const bool success_is_pay_;
};

std::vector<double> DrawParameters(const OptionValues& options, const RandomStream& random,
                                   uint32_t index) {
  const Config config = kOptions.Read(options);
  std::vector<double> chances;
  for (uint32_t i = 0; i < static_cast<uint32_t>(config.arms); ++i)
    chances.push_back(random.Uniform(index, i));
  if (config.complementary) chances[1] = 1 - chances[0];
  return chances;
}

const RegisterEnvironment kRegister({
    .name = kName,
    .summary = kSummary,
    .options = kOptions.table(),
    .make = [](const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      const Config config = kOptions.Read(options);
      if (config.complementary && config.arms != 2) {
        return absl::InvalidArgumentError(
            "probabilities is complementary, which takes two arms; set arms to 2");
      }
      return std::make_unique<BernoulliBandit>(config);
    },
    .draw_parameters = DrawParameters,
    .task_help = "parameters: the probability of each arm",
    .observation_help = "1 always: a bandit has no state",
    .reward_help =
        "1 with the arm's probability, else 0; success: a best arm was pulled, or, by the "
        "option success, the pull paid. Info: "
        "regret, the best arm's probability less the pulled one's",
    .random_help = "each pull: whether it pays; with the task: the probabilities",
    .source = "Duan et al. 2016; Wang et al. 2016",
});

}  // namespace
}  // namespace mentor::envs::bernoulli_bandit
