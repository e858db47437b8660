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

namespace mentor::envs::umbrella_length {
namespace {

constexpr char kName[] = "umbrella_length";
constexpr char kSummary[] =
    "Umbrella Length (bsuite): the first action decides the last reward; noise between.";
constexpr double kFinalReward = 10, kNoiseReward = 0.1;  // Defaults; also those of preset paper.

// Final and noise reward (methods/meta_gradient/README.md#umbrella-length).
struct Preset {
  std::string name;  // Empty: the options' own.
  double final_reward, noise_reward;
};

struct Config {
  Preset preset;
  UmbrellaChain settings;
};

const auto kOptions = Bind<Config>(
    {{In(&Config::settings, &UmbrellaChain::length), "length", "20", 1, 100000,
      "Steps of an episode (C)."},
     {In(&Config::settings, &UmbrellaChain::distractors), "distractors", "0", 0, 1000,
      "Coins in each observation that mean nothing (n; bsuite: 20)."},
     {&Config::preset,
      "preset",
      {{"own", {}},
       {"paper", {"paper", 10, 0.1}},
       {"code", {"code", 10, 0.5}},
       {"bsuite", {"bsuite", 1, 1}}},
      "Final and noise reward: the two options below, MetaIRN's text (10, 0.1), its code (10, "
      "0.5), bsuite (1, 1)."},
     {In(&Config::settings, &UmbrellaChain::final_reward), "final_reward",
      absl::StrCat(kFinalReward), 0, 1e6, "Reward of the last step, with the sign of success (F)."},
     {In(&Config::settings, &UmbrellaChain::noise_reward), "noise_reward",
      absl::StrCat(kNoiseReward), 0, 1e6,
      "Size of the coin-flip rewards of the other steps (nu)."}});

absl::StatusOr<UmbrellaChain> Settings(const OptionValues& options) {
  auto [preset, settings] = kOptions.Read(options);
  if (preset.name.empty()) return settings;
  if (settings.final_reward != kFinalReward || settings.noise_reward != kNoiseReward) {
    return absl::InvalidArgumentError(absl::StrCat(
        "preset is ", preset.name,
        ", which sets final_reward and noise_reward: remove these two, or the preset"));
  }
  settings.final_reward = preset.final_reward;
  settings.noise_reward = preset.noise_reward;
  return settings;
}

class Umbrella : public SmallEnvironment {
 public:
  explicit Umbrella(const UmbrellaChain& chain)
      : SmallEnvironment({.info = {.name = kName,
                                   .summary = kSummary,
                                   .observation_size = 3 + chain.distractors,
                                   .action_size = 2,
                                   .episode_steps = chain.length,
                                   .discrete_actions = true},
                          .state = 2,
                          .info_keys = {"regret"}}),
        chain_(chain),
        distractors_(chain.distractors) {}

 protected:
  // state := need have
  void Begin() override {
    state()[0] = Coin(0, 0);
    state()[1] = Coin(0, 1);
  }

  StepOutcome Advance(std::span<const float> action) override {
    int have = static_cast<int>(state()[1]);
    const StepOutcome outcome = chain_.Step(steps() - 1, static_cast<int>(state()[0]), &have,
                                            Chosen(action) == 1, Coin(steps(), 0));
    state()[1] = have;
    // Against the optimal policy, in units of the final reward.
    terms()[0] = outcome.terminated && !outcome.success ? 2 : 0;
    return outcome;
  }

  void Observe(std::span<double> observation) override {
    for (int i = 0; i < chain_.distractors; ++i) distractors_[i] = Coin(steps(), 2 + i);
    chain_.Observe(steps(), static_cast<int>(state()[0]), static_cast<int>(state()[1]),
                   distractors_, observation);
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
    return static_cast<int>(Word(static_cast<uint32_t>(t) * (2 + chain_.distractors) + which) >>
                            31);
  }

  const UmbrellaChain chain_;
  std::vector<int> distractors_;  // Scratch.
};

const RegisterEnvironment kRegister({
    .name = kName,
    .summary = kSummary,
    .options = kOptions.table(),
    .make = [](const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      MENTOR_ASSIGN_OR_RETURN(const UmbrellaChain settings, Settings(options));
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
}  // namespace mentor::envs::umbrella_length
