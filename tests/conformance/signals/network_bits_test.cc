// What each registered signal network computes, in float32 and float64, has the known bits.
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "agents/numerics.h"
#include "tests/conformance/recorded_lifetimes.h"
#include "tests/known_bits.h"

namespace mentor::signals::TEST_FILE {

using mentor::testing::kActionSize;
using mentor::testing::kObservationSize;
using mentor::testing::Previous;
using mentor::testing::RandomNormals;
using mentor::testing::RandomSegment;
using torch::Tensor;

// Before anything else uses LibTorch.
const absl::Status fixed = agents::FixNumerics();

constexpr int64_t kLifetimes = 3, kSteps = 24;

// Sums with weights that are no powers of two, so that each number counts.
Tensor Weighted(const Tensor& numbers) {
  return (numbers * torch::arange(1, numbers.numel() + 1, numbers.options()).view_as(numbers))
      .sum();
}

void Add(const Tensor& loss, const Tensor& leaf, std::vector<Tensor>* results) {
  results->push_back(loss.detach());
  results->push_back(torch::autograd::grad({loss}, {leaf})[0]);
}

// Signals, their gradients, and those of densities, values and losses.
std::vector<Tensor> Results(const SignalNetwork& network, torch::Dtype dtype) {
  const agents::Segment segment = RandomSegment(kLifetimes, kSteps, 1);
  std::vector<Tensor> results;
  const Tensor born = network.InitialWeights(3);
  const Tensor leaf = (born + 0.05 * RandomNormals(born.sizes(), 9)).to(dtype).requires_grad_(true);
  if (network.signals() != nullptr) {
    SignalState state = network.signals()->InitialState(kLifetimes, dtype);
    const Tensor noise =
        network.density() != nullptr ? RandomNormals({kLifetimes, kSteps}, 10) : Tensor();
    const SignalOutputs out = network.signals()->Run(leaf.detach(), segment, noise, &state);
    for (const Tensor& tensor : {out.signals, out.log_probs, out.values})
      if (tensor.defined()) results.push_back(tensor);
  }
  if (network.gradient() != nullptr) {
    SignalState state = network.signals()->InitialState(kLifetimes, dtype);
    Add(Weighted(network.gradient()->Signals(leaf, segment, &state)), leaf, &results);
  }
  if (network.density() != nullptr) {
    const Tensor signals = 0.3 * RandomNormals({kLifetimes, kSteps}, 11);
    const Tensor features = network.density()->Features(segment, Previous(signals)).to(dtype);
    const SignalEvaluation evaluation =
        network.density()->Evaluate(leaf, features, signals.to(dtype),
                                    network.signals()->InitialState(kLifetimes, dtype).recurrent);
    Add(Weighted(evaluation.log_probs) + Weighted(evaluation.log_stds) +
            Weighted(evaluation.values),
        leaf, &results);
  }
  if (network.loss() != nullptr) {
    const LossSizes sizes = network.loss()->sizes();
    const auto numbers = [&](int64_t width, uint32_t step) {
      return RandomNormals({kLifetimes, sizes.steps, width}, step, dtype);
    };
    const Tensor policy = numbers(2 * kActionSize, 12).requires_grad_(true);
    const Tensor loss = network.loss()->Loss(
        leaf.detach().expand({kLifetimes, -1}).contiguous(),
        {.observations = numbers(kObservationSize, 13),
         .actions = numbers(kActionSize, 14),
         .rewards = numbers(1, 15).squeeze(2),
         .dones = numbers(1, 16).squeeze(2).gt(1).to(dtype),
         .policy = policy,
         .context = RandomNormals({kLifetimes, sizes.context}, 17, dtype),
         .rows = torch::arange(sizes.steps - 7, sizes.steps).repeat({kLifetimes, 1})});
    Add(Weighted(loss), policy, &results);
  }
  return results;
}

bool HasDensityOption(const SignalEntry& entry) {
  return std::any_of(entry.options.begin(), entry.options.end(),
                     [](const OptionInfo& option) { return option.name == "density"; });
}

// In the first role that it takes: the role does not change what it computes. Null if there is
// none.
std::unique_ptr<SignalNetwork> Network(const std::string& name, bool density) {
  for (const v1::SignalRole role : {v1::REWARD, v1::ADVANTAGE, v1::LOSS}) {
    v1::SignalSpec spec;
    spec.set_name(name);
    spec.set_role(role);
    if (density) {
      spec.add_option()->set_name("density");
      spec.mutable_option(0)->set_value("true");
    }
    Violations violations;
    auto network = MakeSignalNetwork(spec,
                                     {.observation_size = kObservationSize,
                                      .action_size = kActionSize,
                                      .role = role,
                                      .episode_steps = 10},
                                     &violations);
    if (network != nullptr) return network;
  }
  return nullptr;
}

TEST_CASE("signal networks: each computes the bits of every processor", "[conformance]") {
  INFO(fixed.ToString());
  REQUIRE(fixed.ok());
  for (const SignalEntry* entry : SignalNetworks()) {
    if (entry->name == "linear") continue;  // The documentation's example, for float32 alone.
    for (const bool density : {false, true}) {
      if (density && !HasDensityOption(*entry)) continue;
      const auto network = Network(entry->name, density);
      REQUIRE(network != nullptr);
      for (const torch::Dtype dtype : {torch::kFloat32, torch::kFloat64}) {
        const std::vector<Tensor> results = Results(*network, dtype);
        // What serves one rule alone is in the bits of that rule's ready spec.
        if (results.empty()) continue;
        for (const Tensor& result : results) CHECK(result.isfinite().all().item<bool>());
        mentor::testing::CheckBits(absl::StrCat("network ", entry->name, density ? " density" : "",
                                                dtype == torch::kFloat32 ? " float32" : " float64"),
                                   agents::ArithmeticHash(results));
      }
    }
  }
}

}  // namespace mentor::signals::TEST_FILE
