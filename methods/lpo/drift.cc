#include "methods/lpo/drift.h"

#include <cmath>
#include <iterator>
#include <vector>

#include "signals/plain_layers.h"

namespace mentor::methods {

using torch::Tensor;

namespace lpo_drift {

// What the network sees of a step (methods/lpo/README.md#the-drift), in this order.
constexpr const char* kInputs[] = {"1 - r", "(1 - r)^2", "(1 - r) A", "(1 - r)^2 A",
                                   "ln(r)", "ln(r)^2",   "ln(r) A",   "ln(r)^2 A"};
constexpr int64_t kNumInputs = std::size(kInputs);

}  // namespace lpo_drift

DriftNetwork::DriftNetwork(const DriftConfig& config)
    : config_(config),
      layout_({{"drift.W1", {config.hidden, lpo_drift::kNumInputs}},
               {"drift.W2", {1, config.hidden}}}) {}

Tensor DriftNetwork::InitialWeights(uint64_t seed) const {
  const agents::ParamSlice& hidden = layout_.slices()[0];
  const Tensor normals = agents::Normals({.seed = seed, .purpose = Purpose::kSignalWeights},
                                         /*number=*/0, {hidden.size});
  Tensor weights = torch::zeros({layout_.size()});
  weights.narrow(0, hidden.offset, hidden.size)
      .copy_(normals / std::sqrt(static_cast<double>(lpo_drift::kNumInputs)));
  return weights;
}

int64_t DriftNetwork::NumbersPerStep(bool graph) const {
  // Sums, their activations, and with a graph their gradients. The inputs are made from each other
  // and stacked.
  return (graph ? 4 : 2) * config_.hidden + (graph ? 5 : 3) * lpo_drift::kNumInputs;
}

Tensor DriftNetwork::Drift(const Tensor& weights, const Tensor& log_ratio, const Tensor& advantages,
                           double clip) const {
  const std::vector<Tensor> w = layout_.Split(weights);
  const Tensor ratio = log_ratio.exp(), moved = 1 - ratio;
  const Tensor square = moved.square(), log_square = log_ratio.square();
  const Tensor inputs =
      torch::stack({moved, square, moved * advantages, square * advantages, log_ratio, log_square,
                    log_ratio * advantages, log_square * advantages},
                   2);
  const Tensor hidden = torch::bmm(inputs, w[0].transpose(1, 2)).tanh();
  Tensor drift = torch::bmm(hidden, w[1].transpose(1, 2)).squeeze(2) - config_.xi;
  if (config_.from_ppo)
    drift = drift + ((ratio - ratio.clamp(1 - clip, 1 + clip)) * advantages).relu();
  return drift.relu();
}

std::shared_ptr<const DriftNetwork> AsDrift(
    const std::shared_ptr<const signals::SignalNetwork>& network) {
  return std::dynamic_pointer_cast<const DriftNetwork>(network);
}

namespace lpo_drift {

const auto kOptions = Bind<DriftConfig>(
    {{&DriftConfig::hidden, "hidden", "128", 1, signals::kUnitsMax, "Units of the hidden layer."},
     {&DriftConfig::xi, "xi", "1e-4", 1e-12, 1,
      "Subtracted from the output before its negative part is cut off: the drift is 0 near a "
      "ratio of 1."},
     {&DriftConfig::from_ppo, "from_ppo", true,
      "The network is added to the drift of PPO's clip (agent.clip); otherwise it is alone."}});

const signals::RegisterSignal kDrift({
    .name = "drift",
    .summary = "How far a policy drifts, of a step's ratio and advantage (Lu et al.: LPO); for "
               "rule lpo",
    .options = kOptions.table(),
    .make = [](const signals::SignalContext&,
               const OptionValues& options) -> std::unique_ptr<signals::SignalNetwork> {
      return std::make_unique<DriftNetwork>(kOptions.Read(options));
    },
    .check =
        [](const signals::SignalContext& context, const OptionValues&, Violations* violations) {
          if (context.role == v1::ADVANTAGE)
            violations->Add("signal.role",
                            "is ADVANTAGE; agents of rule lpo make their advantages of the task's "
                            "reward (signal.input), and the drift is part of their loss: set "
                            "REWARD");
        },
    .columns =
        [](const signals::SignalContext&, const OptionValues&) {
          std::vector<signals::SignalColumn> columns;
          for (const char* input : kInputs)
            columns.push_back({.name = input, .how = "r the ratio, A the advantage"});
          return columns;
        },
});

}  // namespace lpo_drift
}  // namespace mentor::methods
