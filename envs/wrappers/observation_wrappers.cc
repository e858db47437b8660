// Wrappers that append to the observation.
#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "envs/wrappers/episode_wrapper.h"

namespace mentor::envs {
namespace {

// time_feature: the time in the episode as one more number of the observation, t / M: 0 at the
// reset, 1 at truncation. Attention networks and values need it to tell the steps of an episode
// apart (methods/meta_gradient/README.md#signal-networks).
class TimeFeature : public EpisodeWrapper {
 public:
  explicit TimeFeature(std::unique_ptr<Environment> inner)
      : EpisodeWrapper(std::move(inner), "time_feature", /*extra=*/1, /*state=*/1) {}

 protected:
  void After(std::span<const float>, StepOutcome*) override { state()[0] += 1; }
  void Append(std::span<double> extra) const override {
    extra[0] = state()[0] / info_.episode_steps;
  }
  bool IsLegal(std::span<const double> state) const override {
    return state[0] >= 0 && state[0] <= info_.episode_steps && state[0] == std::floor(state[0]);
  }
};

const RegisterWrapper kRegisterTime({
    .name = "time_feature",
    .summary = "Appends the time in the episode to the observation, from 0 to 1.",
    .options = {},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues&) -> absl::StatusOr<std::unique_ptr<Environment>> {
      return std::make_unique<TimeFeature>(std::move(inner));
    },
});

// one_hot_task: the number of the task in its benchmark, as a one-hot vector behind the
// observation. Multi-task benchmarks (MT10, MT50) give each environment its own number
// (docs/metaworld.md#the-observation).
class OneHotTask : public EpisodeWrapper {
 public:
  OneHotTask(std::unique_ptr<Environment> inner, int index, int count)
      : EpisodeWrapper(std::move(inner), "one_hot_task", /*extra=*/count, /*state=*/0),
        index_(index) {}

 protected:
  void Append(std::span<double> extra) const override {
    std::fill(extra.begin(), extra.end(), 0.0);
    extra[index_] = 1;
  }

 private:
  const int index_;
};

struct OneHotConfig {
  int index, count;
};

const auto kOneHotOptions = Bind<OneHotConfig>(
    {{&OneHotConfig::index, "index", "0", 0, 999, "Number of this task, below count."},
     {&OneHotConfig::count, "count", "1", 1, 1000, "Number of tasks: numbers appended."}});

const RegisterWrapper kRegisterOneHot({
    .name = "one_hot_task",
    .summary = "Appends the task's number to the observation, one-hot.",
    .options = kOneHotOptions.table(),
    .examples = {{{"index", "2"}, {"count", "5"}}},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      const auto [index, count] = kOneHotOptions.Read(options);
      if (index >= count) {
        return absl::InvalidArgumentError(absl::StrCat("index is ", index, ", but count is ", count,
                                                       "; give an index below count"));
      }
      return std::make_unique<OneHotTask>(std::move(inner), index, count);
    },
});

// rl2_observation: what a recurrent policy sees of the previous step (Duan et al. 2016): its
// action, reward / 10, and whether the episode ended with it. Zeros at each reset, as in
// Meta-World's own wrapper (docs/metaworld.md#the-observation). An episode depends only on its task
// and key, so it can be a unit. The learner's memory carries a trial over its episodes.
constexpr double kRewardScale = 0.1;

class Rl2Observation : public EpisodeWrapper {
 public:
  explicit Rl2Observation(std::unique_ptr<Environment> inner, int size)
      : EpisodeWrapper(std::move(inner), "rl2_observation", /*extra=*/size, /*state=*/size) {}

 protected:
  // state := action[A] reward/10 done: what is appended.
  void After(std::span<const float> action, StepOutcome* outcome) override {
    std::copy(action.begin(), action.end(), state().begin());
    state()[action.size()] = kRewardScale * outcome->reward;
    state()[action.size() + 1] = outcome->terminated || outcome->truncated ? 1 : 0;
  }
  void Append(std::span<double> extra) const override {
    std::copy(state().begin(), state().end(), extra.begin());
  }
};

const RegisterWrapper kRegisterRl2({
    .name = "rl2_observation",
    .summary = "Appends the last action, reward / 10 and done to the observation; zeros at reset.",
    .options = {},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues&) -> absl::StatusOr<std::unique_ptr<Environment>> {
      const int size = inner->info().action_size + 2;
      return std::make_unique<Rl2Observation>(std::move(inner), size);
    },
});

}  // namespace
}  // namespace mentor::envs
