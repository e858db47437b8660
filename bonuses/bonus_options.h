// Options that several bonuses have, with each one's defaults. Pure functions.
#pragma once

#include <algorithm>
#include <string>

#include "bonuses/bonus.h"
#include "bonuses/relu_network.h"
#include "common/options.h"

namespace mentor::bonuses {

struct SettingDefaults {
  std::string weight, task_weight;
  std::string scale;  // The default of the choice.
  bool normalise;
};

inline BoundOptions<Settings> SettingOptions(const SettingDefaults& defaults) {
  using Scale = Settings::Scale;
  std::vector<std::pair<std::string, Scale>> scales = {
      {"none", Scale::kNone}, {"rewards", Scale::kRewards}, {"returns", Scale::kReturns}};
  // The first choice is the default.
  std::stable_partition(scales.begin(), scales.end(),
                        [&](const auto& scale) { return scale.first == defaults.scale; });
  return Bind<Settings>(
      {{&Settings::weight, "weight", defaults.weight, 0, 1e6, "Factor of the bonus."},
       {&Settings::task_weight, "task_weight", defaults.task_weight, 0, 1e6,
        "Factor of the success signal, to which the bonus is added."},
       {&Settings::scale, "scale", scales,
        "Divisor of bonuses: none, their running deviation, or that of their discounted sums."},
       {&Settings::gamma, "gamma", "0.99", 0, 1, "Discount of the sums of scale returns."},
       {&Settings::normalise, "normalize_observations", defaults.normalise,
        "See observations less their running mean, over their deviation, between -5 and 5."}});
}

struct TrainingDefaults {
  std::string epochs, learning_rate;
};

inline BoundOptions<Training> TrainingOptions(const TrainingDefaults& defaults) {
  return Bind<Training>(
      {{&Training::hidden, "hidden", "256", 1, 4096, "Units of the hidden layer."},
       {&Training::latent, "latent", "128", 1, 4096, "Numbers that an observation is encoded in."},
       {&Training::epochs, "epochs", defaults.epochs, 1, 1000, "Passes over a segment."},
       {&Training::minibatch, "minibatch", "256", 1, 65536, "Steps of a minibatch."},
       {&Training::proportion, "proportion", "1", 0, 1,
        "Share of a minibatch's steps that is learned from, drawn by chance."},
       {In(&Training::adam, &kernels::AdamConfig::learning_rate), "learning_rate",
        defaults.learning_rate, 0, 10, "Learning rate of Adam."},
       {In(&Training::adam, &kernels::AdamConfig::epsilon), "adam_epsilon", "1e-8", 1e-30, 1,
        "Adam's epsilon, added after bias correction."}});
}

}  // namespace mentor::bonuses
