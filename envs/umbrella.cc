// umbrella_length: temporal credit over a chain of known length (umbrella_chain.h) as an
// Environment.
//
// The chain has two actions, this interface has real ones: a positive number takes the umbrella,
// zero or a negative one leaves it. With a Gaussian policy the choice is then a coin with
// probability Phi(mean / std).
#include <array>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "envs/environment.h"
#include "envs/state_codec.h"
#include "envs/umbrella_chain.h"

namespace mentor::envs {
namespace {

constexpr char kName[] = "umbrella_length";
constexpr char kSummary[] =
    "Umbrella Length (bsuite): the first action decides the last reward; noise between.";

class Umbrella : public Environment {
 public:
  explicit Umbrella(const OptionValues& options)
      : settings_{.length = static_cast<int>(options.Integer("length")),
                  .distractors = static_cast<int>(options.Integer("distractors")),
                  .final_reward = options.Number("final_reward"),
                  .noise_reward = options.Number("noise_reward")},
        info_{.name = kName,
              .summary = kSummary,
              .observation_size = 3 + settings_.distractors,
              .action_size = 1,
              .episode_steps = settings_.length,
              .independent_episodes = true},
        chain_(settings_),
        distractors_(settings_.distractors) {}

  const EnvironmentInfo& info() const override { return info_; }

  absl::Status SetTask(const v1::EnvironmentTask& task) override {
    MENTOR_RETURN_IF_ERROR(CheckTaskName(task, info_));
    if (task.parameters_size() != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("task.parameters of umbrella_length has ", task.parameters_size(),
                       " numbers, but it takes none; its options set the task"));
    }
    if (task.goal_visible()) {
      return absl::InvalidArgumentError(
          "task.goal_visible of umbrella_length is true, but it has no goal; leave it out");
    }
    has_task_ = true;
    active_ = false;
    return absl::OkStatus();
  }

  absl::Status Reset(const RandomStream& random, uint32_t episode,
                     std::span<double> observation) override {
    MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
    if (!has_task_) return absl::FailedPreconditionError("umbrella_length: Reset before SetTask");
    random_ = random;
    episode_ = episode;
    active_ = true;
    chain_.Reset(/*need=*/Coin(0, 0), /*have=*/Coin(0, 1));
    Observe(observation);
    return absl::OkStatus();
  }

  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override {
    MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
    MENTOR_RETURN_IF_ERROR(CheckStep(info_, active_ ? chain_.steps() : -1, action));
    const UmbrellaChain::Outcome outcome = chain_.Step(action[0] > 0, Coin(chain_.steps() + 1, 0));
    Observe(observation);
    return StepOutcome{
        .reward = outcome.reward, .success = outcome.success, .terminated = outcome.terminated};
  }

  // numbers := seed in two halves, purpose, phase, lifetime, iteration, episode, steps, need, have
  std::string SaveState() const override {
    MENTOR_CHECK(active_);
    const std::array<double, 10> numbers = {static_cast<double>(random_.seed & 0xffffffff),
                                            static_cast<double>(random_.seed >> 32),
                                            static_cast<double>(random_.purpose),
                                            static_cast<double>(random_.phase),
                                            static_cast<double>(random_.lifetime),
                                            static_cast<double>(random_.iteration),
                                            static_cast<double>(episode_),
                                            static_cast<double>(chain_.steps()),
                                            static_cast<double>(chain_.need()),
                                            static_cast<double>(chain_.have())};
    return EncodeState(kName, numbers);
  }

  absl::Status RestoreState(std::string_view state, std::span<double> observation) override {
    MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
    if (!has_task_)
      return absl::FailedPreconditionError("umbrella_length: RestoreState before SetTask");
    std::vector<double> n;
    MENTOR_RETURN_IF_ERROR(DecodeState(kName, state, 10, 10, &n));
    constexpr double kWord = 4294967295.0;
    const double greatest[10] = {
        kWord, kWord, 255, 15, kWord, 1048575, kWord, static_cast<double>(settings_.length), 1, 1};
    for (int i = 0; i < 10; ++i) {
      if (!(n[i] >= 0 && n[i] <= greatest[i] && n[i] == std::floor(n[i]))) {
        return absl::InvalidArgumentError(
            absl::StrCat("state of umbrella_length: number ", i, " is ", n[i],
                         ", expected an integer from 0 to ", greatest[i]));
      }
    }
    random_ = {.seed = static_cast<uint64_t>(n[1]) << 32 | static_cast<uint64_t>(n[0]),
               .purpose = static_cast<Purpose>(static_cast<uint32_t>(n[2])),
               .phase = static_cast<Phase>(static_cast<uint32_t>(n[3])),
               .lifetime = static_cast<uint32_t>(n[4]),
               .iteration = static_cast<uint32_t>(n[5])};
    episode_ = static_cast<uint32_t>(n[6]);
    chain_.Restore(static_cast<int>(n[7]), static_cast<int>(n[8]), static_cast<int>(n[9]));
    active_ = true;
    Observe(observation);
    return absl::OkStatus();
  }

 private:
  // Coins of observation t: 0 is `need` (t = 0) or the noise of the reward that came with it, 1 is
  // `have` at reset, the others are distractors.
  int Coin(int t, int which) const {
    const uint32_t draw = static_cast<uint32_t>(t) * (2 + settings_.distractors) + which;
    return static_cast<int>(random_.Block(episode_, draw)[0] >> 31);
  }

  void Observe(std::span<double> observation) {
    for (int i = 0; i < settings_.distractors; ++i) distractors_[i] = Coin(chain_.steps(), 2 + i);
    chain_.Observe(distractors_, observation);
  }

  // Fixed after construction.
  const UmbrellaChain::Settings settings_;
  const EnvironmentInfo info_;
  // The episode.
  bool has_task_ = false, active_ = false;
  UmbrellaChain chain_;
  RandomStream random_;
  uint32_t episode_ = 0;
  std::vector<int> distractors_;
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
                 .help = "Coins in each observation that mean nothing (n)."},
                {.name = "final_reward",
                 .default_value = "10",
                 .min = 0,
                 .max = 1e6,
                 .help = "Reward of the last step, with the sign of success (F; bsuite: 1)."},
                {.name = "noise_reward",
                 .default_value = "0.1",
                 .min = 0,
                 .max = 1e6,
                 .help = "Size of the coin-flip rewards of the other steps (nu; bsuite: 1, "
                         "published code: 0.5)."}},
    .make = [](const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      return std::make_unique<Umbrella>(options);
    },
    .task_help = "parameters: none; every task of these options is the same, fresh coins fall in "
                 "each episode",
});

}  // namespace
}  // namespace mentor::envs
