// random_reward: a reward from a random classifier of observations, for meta-learning without a
// task's own reward (Gupta et al. 2018; methods/diayn/README.md#random-rewards). A task has one
// more number, its class z. The reward of a step is ln D(z | observation after it); a step succeeds
// when z is the likeliest class.
#include "envs/wrappers/random_reward.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/exact_math.h"
#include "common/orthogonal.h"
#include "envs/state_codec.h"
#include "envs/wrapper.h"

namespace mentor::envs {

namespace {

std::vector<RewardNetwork::Layer> RandomLayers(const std::vector<int>& sizes, double gain,
                                               uint64_t seed) {
  const RandomStream stream{.seed = seed, .purpose = Purpose::kProjection};
  std::vector<RewardNetwork::Layer> layers;
  for (size_t i = 0; i + 1 < sizes.size(); ++i) {
    // Tensor numbers count biases too.
    layers.push_back(
        {OrthogonalMatrix(sizes[i + 1], sizes[i], gain, stream, static_cast<uint32_t>(2 * i)),
         std::vector<double>(sizes[i + 1], 0.0)});
  }
  return layers;
}

}  // namespace

RewardNetwork::RewardNetwork(int observation_size, int hidden_units, int classes, double gain,
                             uint64_t seed)
    : RewardNetwork(
          RandomLayers({observation_size, hidden_units, hidden_units, classes}, gain, seed)) {}

RewardNetwork::RewardNetwork(std::vector<Layer> layers) : layers_(std::move(layers)) {
  size_t inputs = static_cast<size_t>(observation_size());
  for (const Layer& layer : layers_) {
    MENTOR_CHECK(layer.weights.size() == inputs * layer.biases.size());
    inputs = layer.biases.size();
    outputs_.emplace_back(inputs);
  }
}

int RewardNetwork::observation_size() const {
  return static_cast<int>(layers_[0].weights.size() / layers_[0].biases.size());
}

std::span<const double> RewardNetwork::LogD(std::span<const double> observation) {
  std::span<const double> x = observation;
  for (size_t i = 0; i < layers_.size(); ++i) {
    std::vector<double>& y = outputs_[i];
    for (size_t o = 0; o < y.size(); ++o) {
      double sum = layers_[i].biases[o];
      for (size_t k = 0; k < x.size(); ++k) sum += layers_[i].weights[o * x.size() + k] * x[k];
      y[o] = i + 1 < layers_.size() ? exact::Tanh(sum) : sum;
    }
    x = y;
  }
  std::vector<double>& logits = outputs_.back();
  const double greatest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double logit : logits) sum += exact::Exp(logit - greatest);
  const double log_sum = greatest + exact::Log(sum);
  for (double& logit : logits) logit -= log_sum;
  return logits;
}

namespace {

constexpr char kName[] = "random_reward";
constexpr double kLeastProbability = 1e-6;

class RandomReward : public Wrapper {
 public:
  RandomReward(std::unique_ptr<Environment> inner, const OptionValues& options)
      : Wrapper(std::move(inner)),
        network_(info_.observation_size, static_cast<int>(options.Integer("hidden")),
                 static_cast<int>(options.Integer("classes")), options.Number("gain"),
                 static_cast<uint64_t>(options.Integer("reward_seed"))) {}

  absl::Status SetTask(const v1::EnvironmentTask& task) override {
    const int last = task.parameters_size() - 1;
    const double z = last < 0 ? -1 : task.parameters(last);
    if (!(z >= 0 && z < network_.classes() && z == std::floor(z))) {
      return absl::InvalidArgumentError(absl::StrCat(
          "task.parameters ", last < 0 ? "is empty" : absl::StrCat("ends with ", z),
          "; with wrapper random_reward its last number is the class, an integer from 0 to ",
          network_.classes() - 1));
    }
    v1::EnvironmentTask own = task;
    own.mutable_parameters()->Truncate(last);
    MENTOR_RETURN_IF_ERROR(inner().SetTask(own));
    class_ = static_cast<size_t>(z);
    return absl::OkStatus();
  }

  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override {
    MENTOR_ASSIGN_OR_RETURN(StepOutcome outcome, inner().Step(action, observation));
    const std::span<const double> log_d = network_.LogD(observation);
    static const double least = exact::Log(kLeastProbability);
    outcome.reward = std::max(log_d[class_], least);
    outcome.success = std::max_element(log_d.begin(), log_d.end()) - log_d.begin() ==
                      static_cast<std::ptrdiff_t>(class_);
    return outcome;
  }

  absl::StatusOr<std::string> SaveState() const override {
    MENTOR_ASSIGN_OR_RETURN(const std::string inner_state, inner().SaveState());
    const double z = static_cast<double>(class_);
    return EncodeState(kName, {&z, 1}) + inner_state;
  }

  absl::Status RestoreState(std::string_view state, std::span<double> observation) override {
    std::vector<double> numbers;
    std::string_view rest;
    MENTOR_RETURN_IF_ERROR(DecodeState(kName, state, 1, 1, &numbers, &rest));
    if (numbers[0] != static_cast<double>(class_)) {
      return absl::InvalidArgumentError(
          absl::StrCat("state of ", kName, ": of class ", numbers[0], ", the task has ", class_));
    }
    return inner().RestoreState(rest, observation);
  }

 private:
  RewardNetwork network_;
  size_t class_ = 0;
};

const RegisterWrapper kRegister({
    .name = kName,
    .summary = "Reward by a random classifier of observations; a task has its class z besides.",
    .options = {{.name = "classes",
                 .kind = OptionInfo::Kind::kInteger,
                 .default_value = "6",
                 .min = 2,
                 .max = 1000,
                 .help = "Classes, of which each task has one."},
                {.name = "hidden",
                 .kind = OptionInfo::Kind::kInteger,
                 .default_value = "32",
                 .min = 1,
                 .max = 1024,
                 .help = "Units of each hidden layer of the classifier."},
                {.name = "gain",
                 .default_value = "3",
                 .min = 1e-3,
                 .max = 100,
                 .help = "Gain of its orthogonal weights: with less its output is flatter."},
                {.name = "reward_seed",
                 .kind = OptionInfo::Kind::kInteger,
                 .default_value = "1",
                 .min = 0,
                 .max = 4294967295.0,
                 .help = "Seed of its weights: another seed, other rewards."}},
    .examples = {{{"classes", "3"}, {"reward_seed", "7"}}},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      return std::make_unique<RandomReward>(std::move(inner), options);
    },
    .extend_task =
        [](const OptionValues& options, const RandomStream& random, uint32_t index,
           v1::EnvironmentTask* task) {
          // The class has its own stream, beside the task's numbers.
          RandomStream own = random;
          own.purpose = Purpose::kSkill;
          task->add_parameters(static_cast<double>(
              own.Below(static_cast<uint64_t>(options.Integer("classes")), index, /*draw=*/0)));
        },
    .gives_success = true,
});

}  // namespace
}  // namespace mentor::envs
