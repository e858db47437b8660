// random_reward: a reward from a random or trained classifier of observations, for meta-learning
// without a task's own reward (Gupta et al. 2018; methods/diayn/README.md#random-rewards). A task
// has one more number, its class z. The reward of a step is ln D(z | observation after it); a step
// succeeds when z is the likeliest class.
#include "envs/wrappers/random_reward.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/bundle_finder.h"
#include "common/check.h"
#include "common/exact_math.h"
#include "common/file.h"
#include "common/rng.h"
#include "common/safetensors.h"
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

// The numbers of tensor `name`, whose shape begins with those of `shape` that are not 0. The others
// are filled in.
absl::StatusOr<std::vector<double>> NumbersOf(const SafeTensors& file, const std::string& name,
                                              std::vector<int64_t>* shape) {
  const auto tensor = std::find_if(file.tensors.begin(), file.tensors.end(),
                                   [&](const SafeTensor& one) { return one.name == name; });
  if (tensor == file.tensors.end())
    return absl::InvalidArgumentError(absl::StrCat("has no tensor '", name, "'"));
  bool fits = tensor->dtype == "F32" && tensor->shape.size() == shape->size();
  for (size_t i = 0; fits && i < shape->size(); ++i) {
    const int64_t size = tensor->shape[i];
    fits = size > 0 && ((*shape)[i] == 0 || (*shape)[i] == size);
  }
  if (!fits) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor '", name, "' does not fit the tensors before it, or is not F32"));
  }
  *shape = tensor->shape;
  std::vector<float> numbers(tensor->data.size() / sizeof(float));
  std::memcpy(numbers.data(), tensor->data.data(), tensor->data.size());
  if (!std::all_of(numbers.begin(), numbers.end(), [](float x) { return std::isfinite(x); }))
    return absl::InvalidArgumentError(
        absl::StrCat("tensor '", name, "' has a number that is not finite"));
  return std::vector<double>(numbers.begin(), numbers.end());
}

}  // namespace

absl::StatusOr<RewardNetwork> RewardNetwork::Read(std::string_view bytes) {
  MENTOR_ASSIGN_OR_RETURN(const SafeTensors file, ReadSafeTensors(bytes));
  std::vector<Layer> layers;
  int64_t inputs = 0;
  for (int i = 1; i <= 3; ++i) {
    std::vector<int64_t> shape = {0, inputs};
    Layer layer;
    MENTOR_ASSIGN_OR_RETURN(layer.weights, NumbersOf(file, absl::StrCat("skills.W", i), &shape));
    shape.resize(1);
    MENTOR_ASSIGN_OR_RETURN(layer.biases, NumbersOf(file, absl::StrCat("skills.b", i), &shape));
    inputs = shape[0];
    layers.push_back(std::move(layer));
  }
  return RewardNetwork(std::move(layers));
}

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

constexpr char kRandomReward[] = "random_reward";
constexpr double kLeastProbability = 1e-6;
constexpr uint64_t kRewardBytesMax = 64 << 20;

struct Config {
  int classes, hidden;
  double gain;
  uint64_t seed;
  std::string bundle;
};

const auto kRandomRewardOptions = Bind<Config>(
    {{&Config::classes, "classes", "6", 2, 1000, "Classes, of which each task has one."},
     {&Config::hidden, "hidden", "32", 1, 1024, "Units of each hidden layer of the classifier."},
     {&Config::gain, "gain", "3", 1e-3, 100,
      "Gain of its orthogonal weights: with less its output is flatter."},
     {&Config::seed, "reward_seed", "1", 0, 4294967295.0,
      "Seed of its weights: another seed, other rewards."},
     {&Config::bundle,
      OptionalBundleOption("bundle",
                           "A trained classifier, sha256:HEX of a folder that `mentor export RUN "
                           "--discriminator DIR` has written (--bundle DIR fills it in); hidden, "
                           "gain and reward_seed then have no effect. Default: a random one.")}});

absl::StatusOr<RewardNetwork> TrainedNetwork(const Config& config, int observation_size) {
  MENTOR_ASSIGN_OR_RETURN(const auto bundle, FindBundle(config.bundle));
  const auto refuse = [&](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("option.bundle: ", what));
  };
  const auto bytes = ReadFile(bundle->folder() / kDiscriminatorFile, kRewardBytesMax);
  if (absl::IsNotFound(bytes.status())) {
    return refuse(absl::StrCat("has no file ", kDiscriminatorFile,
                               "; take a folder that 'mentor export RUN --discriminator DIR' has "
                               "written"));
  }
  MENTOR_RETURN_IF_ERROR(bytes.status());
  auto network = RewardNetwork::Read(*bytes);
  if (!network.ok()) {
    return refuse(absl::StrCat(kDiscriminatorFile, ": ", network.status().message(),
                               "; it is damaged or is no discriminator: export it again"));
  }
  if (network->observation_size() != observation_size) {
    return refuse(absl::StrFormat(
        "the discriminator sees %d numbers, but observations here have %d; take one that was "
        "trained on this environment, in the same wrappers",
        network->observation_size(), observation_size));
  }
  if (network->classes() != config.classes) {
    return absl::InvalidArgumentError(
        absl::StrFormat("option.classes: is %d, but the discriminator tells %d skills; set %d",
                        config.classes, network->classes(), network->classes()));
  }
  return network;
}

class RandomReward : public Wrapper {
 public:
  RandomReward(std::unique_ptr<Environment> inner, RewardNetwork network)
      : Wrapper(std::move(inner)), network_(std::move(network)) {}

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
    return EncodeState(kRandomReward, {&z, 1}) + inner_state;
  }

  absl::Status RestoreState(std::string_view state, std::span<double> observation) override {
    std::vector<double> numbers;
    std::string_view rest;
    MENTOR_RETURN_IF_ERROR(DecodeState(kRandomReward, state, 1, 1, &numbers, &rest));
    if (numbers[0] != static_cast<double>(class_)) {
      return absl::InvalidArgumentError(absl::StrCat("state of ", kRandomReward, ": of class ",
                                                     numbers[0], ", the task has ", class_));
    }
    return inner().RestoreState(rest, observation);
  }

 private:
  RewardNetwork network_;
  size_t class_ = 0;
};

const RegisterWrapper kRegisterRandomReward({
    .name = kRandomReward,
    .summary = "Reward by a random or trained classifier of observations; a task has its class z "
               "besides.",
    .options = kRandomRewardOptions.table(),
    .examples = {{{"classes", "3"}, {"reward_seed", "7"}}},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      const Config config = kRandomRewardOptions.Read(options);
      const int size = inner->info().observation_size;
      if (config.bundle.empty()) {
        return std::make_unique<RandomReward>(
            std::move(inner),
            RewardNetwork(size, config.hidden, config.classes, config.gain, config.seed));
      }
      MENTOR_ASSIGN_OR_RETURN(RewardNetwork network, TrainedNetwork(config, size));
      return std::make_unique<RandomReward>(std::move(inner), std::move(network));
    },
    .extend_task =
        [](const OptionValues& options, const RandomStream& random, uint32_t index,
           v1::EnvironmentTask* task) {
          // The class has its own stream, beside the task's numbers.
          RandomStream own = random;
          own.purpose = Purpose::kSkill;
          task->add_parameters(static_cast<double>(
              own.Below(static_cast<uint64_t>(kRandomRewardOptions.Read(options).classes), index,
                        /*draw=*/0)));
        },
    .gives_success = true,
});

}  // namespace
}  // namespace mentor::envs
