// linear: a signal that is a weighted sum of what happens in a step, without memory. The example of
// docs/adding.md.
#include "signals/signal_network.h"

#include <torch/types.h>

#include <cmath>
#include <memory>
#include <numbers>

#include "signals/plain_layers.h"

namespace mentor::signals::example_signal_network {
namespace {

using torch::Tensor;

struct Config {
  double initial_std;
};

const auto kOptions = Bind<Config>(
    {{&Config::initial_std, "initial_std", "0.5", 1e-6, 100, "Standard deviation at birth."}});

class LinearNetwork : public SignalNetwork, public SignalSource, public SignalDensity {
 public:
  LinearNetwork(const SignalContext& context, const Config& config)
      : input_(context.input),
        num_features_(context.observation_size + context.action_size + 2 +
                      NumOutcomes(context.input)),
        layout_({{"mean.W", {num_features_}}, {"value.W", {num_features_}}, {"logstd", {1}}}),
        log_initial_std_(std::log(config.initial_std)) {}

  const SignalSource* signals() const override { return this; }
  const SignalDensity* density() const override { return this; }
  const agents::ParamLayout& layout() const override { return layout_; }

  // Begins as "no opinion": every mean is 0.
  Tensor InitialWeights(uint64_t) const override {
    return torch::zeros({layout_.size()}, torch::kFloat32);
  }

  SignalOutputs Run(const Tensor& weights, const agents::Segment& segment, const Tensor& noise,
                    SignalState* state) const override {
    const torch::NoGradGuard no_grad;
    const Heads heads = Evaluate(weights, Features(segment, {}));
    SignalOutputs outputs{.signals = heads.means, .log_probs = {}, .values = {}};
    if (noise.defined()) {
      outputs.signals = heads.means + heads.log_stds.exp() * noise;
      outputs.log_probs = LogDensity(outputs.signals, heads);
      outputs.values = heads.values;
    }
    state->previous = outputs.signals.select(1, -1).clone();
    return outputs;
  }

  // [N, t, D + A + 3], or 4 with two outcomes; `previous` is not used.
  Tensor Features(const agents::Segment& segment, const Tensor& previous) const override {
    std::vector<Tensor> side = OutcomeFeatures(segment, input_);
    side.insert(side.end(), {segment.prev_done, torch::ones_like(segment.prev_done)});
    return torch::cat({segment.observations, segment.actions, torch::stack(side, -1)}, -1);
  }

  SignalEvaluation Evaluate(const Tensor& weights, const Tensor& features, const Tensor& signals,
                            const std::vector<Tensor>& recurrent) const override {
    const Heads heads = Evaluate(weights, features);
    return {.log_probs = LogDensity(signals, heads),
            .log_stds = heads.log_stds,
            .values = heads.values,
            .final_recurrent = {}};
  }

 private:
  struct Heads {
    Tensor means, log_stds, values;  // [N, t]
  };
  Heads Evaluate(const Tensor& weights, const Tensor& features) const {
    const std::vector<Tensor> slices = layout_.Split(weights);
    const Tensor means = torch::matmul(features, slices[0]);
    return {means, (slices[2] + log_initial_std_).expand_as(means),
            torch::matmul(features, slices[1])};
  }
  static Tensor LogDensity(const Tensor& signals, const Heads& heads) {
    const Tensor z = (signals - heads.means) * torch::exp(-heads.log_stds);
    return -0.5 * z * z - heads.log_stds - 0.5 * std::log(2 * std::numbers::pi);
  }

  const v1::SignalInput input_;
  const int64_t num_features_;
  const agents::ParamLayout layout_;
  const double log_initial_std_;
};

const RegisterSignal kRegister({
    .name = "linear",
    .summary = "Weighted sum of observation, action and outcome; no memory.",
    .options = kOptions.table(),
    .make = MadeBy<LinearNetwork>(kOptions),
    // What exports say of its input.
    .columns =
        [](const SignalContext& context, const OptionValues&) {
          std::vector<SignalColumn> columns = StepColumns(context);
          AddOutcomeColumns(context.input, "", "", &columns);
          columns.push_back({.name = "prev_done"});
          columns.push_back({.name = "bias", .how = "always 1"});
          return columns;
        },
});

}  // namespace
}  // namespace mentor::signals::example_signal_network
