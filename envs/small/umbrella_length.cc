// umbrella_length: temporal credit over a chain of known length (umbrella_chain.h) as an
// Environment.
//
// Choice 0 leaves the umbrella, choice 1 takes it.
//
// bsuite's form is preset bsuite: distractors 20 and length 1 to 10, 12, 14, 17, 20, 25, 30, 40, ..
// 100. Its score is the share of these lengths whose mean regret over 10000 episodes is below 0.5.
// An episode with the wrong first action counts 2, and Info's regret adds up to that, so a random
// policy has a mean regret of 1.
#include <memory>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "envs/small/small_environment.h"
#include "envs/small/umbrella_chain.h"

namespace mentor::envs {
namespace {

constexpr char kName[] = "umbrella_length";
constexpr char kSummary[] =
    "Umbrella Length (bsuite): the first action decides the last reward; noise between.";
constexpr double kFinalReward = 10, kNoiseReward = 0.1;  // Defaults; also those of preset paper.

// Final and noise reward of a preset (methods/meta_gradient/README.md#umbrella-length). Preset own
// takes the options'.
absl::StatusOr<UmbrellaChain::Settings> Settings(const OptionValues& options) {
  UmbrellaChain::Settings settings = {
      .length = static_cast<int>(options.Integer("length")),
      .distractors = static_cast<int>(options.Integer("distractors")),
      .final_reward = options.Number("final_reward"),
      .noise_reward = options.Number("noise_reward")};
  const std::string& preset = options.Choice("preset");
  if (preset == "own") return settings;
  if (settings.final_reward != kFinalReward || settings.noise_reward != kNoiseReward) {
    return absl::InvalidArgumentError(absl::StrCat(
        "preset is ", preset,
        ", which sets final_reward and noise_reward: remove these two, or the preset"));
  }
  settings.final_reward = preset == "bsuite" ? 1 : 10;
  settings.noise_reward = preset == "bsuite" ? 1 : preset == "code" ? 0.5 : 0.1;
  return settings;
}

class Umbrella : public SmallEnvironment {
 public:
  explicit Umbrella(const UmbrellaChain::Settings& settings)
      : SmallEnvironment({.info = {.name = kName,
                                   .summary = kSummary,
                                   .observation_size = 3 + settings.distractors,
                                   .action_size = 2,
                                   .episode_steps = settings.length,
                                   .discrete_actions = true},
                          .state = 2,
                          .info_keys = {"regret"}}),
        settings_(settings),
        chain_(settings_),
        distractors_(settings_.distractors) {}

 protected:
  // state := need have
  void Begin() override {
    state()[0] = Coin(0, 0);
    state()[1] = Coin(0, 1);
  }

  StepOutcome Advance(std::span<const float> action) override {
    chain_.Restore(steps() - 1, static_cast<int>(state()[0]), static_cast<int>(state()[1]));
    const UmbrellaChain::Outcome outcome = chain_.Step(Chosen(action) == 1, Coin(steps(), 0));
    state()[1] = chain_.have();
    // Against the optimal policy, in units of the final reward.
    terms()[0] = outcome.terminated && !outcome.success ? 2 : 0;
    return {.reward = outcome.reward, .success = outcome.success, .terminated = outcome.terminated};
  }

  void Observe(std::span<double> observation) override {
    chain_.Restore(steps(), static_cast<int>(state()[0]), static_cast<int>(state()[1]));
    for (int i = 0; i < settings_.distractors; ++i) distractors_[i] = Coin(steps(), 2 + i);
    chain_.Observe(distractors_, observation);
  }

  bool IsLegal() const override {
    return (state()[0] == 0 || state()[0] == 1) && (state()[1] == 0 || state()[1] == 1);
  }

  bool Script(std::span<float> action) const override {
    WriteChoice(state()[0] == 1 ? 1 : 0, action);
    return true;
  }

 private:
  // Coins of observation t: 0 is `need` (t = 0) or the noise of the reward that came with it, 1 is
  // `have` at reset, the others are distractors.
  int Coin(int t, int which) const {
    return static_cast<int>(Word(static_cast<uint32_t>(t) * (2 + settings_.distractors) + which) >>
                            31);
  }

  const UmbrellaChain::Settings settings_;
  UmbrellaChain chain_;           // Scratch: where state() and steps() say.
  std::vector<int> distractors_;  // Scratch.
};

const RegisterEnvironment kRegister({
    .name = kName,
    .summary = kSummary,
    .options = {{.name = "length",
                 .kind = OptionInfo::Kind::kInteger,
                 .default_value = "20",
                 .min = 1,
                 .max = 100000,
                 .help = "Steps of an episode (C)."},
                {.name = "distractors",
                 .kind = OptionInfo::Kind::kInteger,
                 .default_value = "0",
                 .min = 0,
                 .max = 1000,
                 .help = "Coins in each observation that mean nothing (n; bsuite: 20)."},
                {.name = "preset",
                 .kind = OptionInfo::Kind::kChoice,
                 .default_value = "own",
                 .choices = {"own", "paper", "code", "bsuite"},
                 .help = "Final and noise reward: the two options below, MetaIRN's text (10, 0.1), "
                         "its code (10, 0.5), bsuite (1, 1)."},
                {.name = "final_reward",
                 .default_value = absl::StrCat(kFinalReward),
                 .min = 0,
                 .max = 1e6,
                 .help = "Reward of the last step, with the sign of success (F)."},
                {.name = "noise_reward",
                 .default_value = absl::StrCat(kNoiseReward),
                 .min = 0,
                 .max = 1e6,
                 .help = "Size of the coin-flip rewards of the other steps (nu)."}},
    .make = [](const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      MENTOR_ASSIGN_OR_RETURN(const UmbrellaChain::Settings settings, Settings(options));
      return std::make_unique<Umbrella>(settings);
    },
    .task_help = "parameters: none; every task of these options is the same, fresh coins fall in "
                 "each episode",
    .observation_help = "need (is it going to rain), have (the umbrella; a coin before the first "
                        "step), 1 - t/length, the distractors",
    .reward_help =
        "last step: +final_reward when have is need (success), else -final_reward; other "
        "steps: +-noise_reward by a coin. Info: regret, 2 at the end of a failed "
        "episode; bsuite's score is the share of its lengths 1-10, 12, 14, 17, 20, 25, "
        "30, 40 .. 100 with a mean below 0.5 over 10000 episodes",
    .random_help = "each episode: need, have; each step: the sign of the noise, the distractors",
    .source = "Osband et al. 2020 (bsuite), Link et al. 2025 (MetaIRN)",
});

}  // namespace
}  // namespace mentor::envs
