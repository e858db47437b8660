// The intrinsic reward of LIRPG (Zheng, Oh and Singh 2018;
// methods/meta_gradient/README.md#signal-networks): two tanh layers on one step's observation and
// action, without memory. With option `density` its output is the mean of a normal distribution and
// it has a critic, so that black-box rules can train it too.
#include <torch/types.h>

#include <cmath>
#include <memory>

#include "common/check.h"
#include "signals/plain_layers.h"
#include "signals/signal_network.h"
#include "signals/step_layers.h"

namespace mentor::signals {
namespace {

using torch::Tensor;

struct MlpConfig {
  int64_t hidden = 64;
  double output_gain = 1;
  bool bounded = true;
  bool sees_outcome = false;
  bool sees_time = false;
  bool density = false;
  double initial_std = 0.2;
  bool normalises = false;
};

const auto kMlpOptions = Bind<MlpConfig>(
    {{&MlpConfig::hidden, "hidden", "64", 1, kUnitsMax, "Units of each hidden layer."},
     {&MlpConfig::output_gain, "output_gain", "1", 0, 100, "Gain of the output layer at birth."},
     {&MlpConfig::bounded, "bounded", true, "A tanh bounds the output to (-1, 1)."},
     {&MlpConfig::sees_outcome, "outcome", false,
      "It sees the step's outcome too, as signal.input says."},
     {&MlpConfig::sees_time, "time", false,
      "It sees how much of the episode's greatest length has passed."},
     {&MlpConfig::density, "density", false,
      "It has a standard deviation and a critic, which black-box rules need and rules by gradient "
      "leave alone."},
     {&MlpConfig::initial_std, "initial_std", "0.2", 1e-6, 1e3,
      "Standard deviation at birth, with density: 0.2 suits the reward role, 1.0 the advantage "
      "role."},
     {&MlpConfig::normalises, kNormalizeObservations, false, kNormalizeObservationsHelp}});

class MlpNetwork : public SignalNetwork,
                   public SignalGradient,
                   public SignalDensity,
                   public StepLayersSource {
 public:
  MlpNetwork(const SignalContext& context, const MlpConfig& config)
      : config_(config),
        input_(context.input),
        episode_steps_(static_cast<double>(std::max<int64_t>(1, context.episode_steps))) {
    const int64_t inputs = context.observation_size + context.action_size +
                           (config.sees_outcome ? NumOutcomes(context.input) : 0) +
                           (config.sees_time ? 1 : 0);
    agents::NamedShapes parameters = agents::ThreeLayers("sig", inputs, config.hidden, 1);
    if (config.density) {
      const agents::NamedShapes critic = agents::ThreeLayers("critic", inputs, config.hidden, 1);
      parameters.insert(parameters.end(), critic.begin(), critic.end());
      parameters.push_back({"log_std", {1}});
    }
    layout_ = agents::ParamLayout(std::move(parameters));
  }

  const SignalGradient* gradient() const override { return this; }
  const SignalDensity* density() const override { return config_.density ? this : nullptr; }
  bool sees_outcome() const override { return config_.sees_outcome; }
  bool sees_normalised() const override { return config_.normalises; }
  const agents::ParamLayout& layout() const override { return layout_; }

  Tensor InitialWeights(uint64_t seed) const override {
    return OrthogonalWeights(layout_, seed, [&](const std::string& name) {
      if (name == "sig.W3") return config_.output_gain;
      return name == "critic.W3" ? 1.0 : std::sqrt(2.0);
    });
  }

  // Carries only the step of the episode, if it sees it.
  SignalState InitialState(int64_t num_lifetimes, torch::Dtype dtype) const override {
    SignalState state{{}, torch::zeros({num_lifetimes}, dtype)};
    if (config_.sees_time) state.recurrent.push_back(torch::zeros({num_lifetimes}, dtype));
    return state;
  }

  SignalOutputs Run(const Tensor& weights, const agents::Segment& segment, const Tensor& noise,
                    SignalState* state) const override {
    const torch::NoGradGuard no_grad;
    const Tensor x = Inputs(segment, state).to(weights.options());
    const std::vector<Tensor> w = layout_.Split(weights);
    SignalOutputs outputs{.signals = Mean(w, x), .log_probs = {}, .values = {}};
    if (noise.defined()) {
      MENTOR_CHECK(config_.density);
      const Tensor mean = outputs.signals, log_std = LogStd(w);
      outputs.signals = mean + log_std.exp() * noise.to(weights.options());
      outputs.log_probs = LogDensity(outputs.signals, mean, log_std);
      outputs.values = Output(w, 6, x);
    }
    state->previous = outputs.signals.select(1, -1).clone();
    return outputs;
  }

  Tensor Signals(const Tensor& weights, const agents::Segment& segment,
                 SignalState* state) const override {
    const Tensor x = Inputs(segment, state).to(weights.options());
    Tensor signals = Mean(layout_.Split(weights), x);
    state->previous = signals.detach().select(1, -1).clone();
    return signals;
  }

  StepLayers Layers(const agents::Segment& segment, SignalState* state) const override {
    const Tensor x = Inputs(segment, state);
    return {{x.size(2), config_.hidden, 1, config_.bounded}, x};
  }

  Tensor Features(const agents::Segment& segment, const Tensor&) const override {
    SignalState none;
    return Inputs(segment, &none);
  }

  SignalEvaluation Evaluate(const Tensor& weights, const Tensor& features, const Tensor& signals,
                            const std::vector<Tensor>&) const override {
    const Tensor x = features.to(weights.options());
    const std::vector<Tensor> w = layout_.Split(weights);
    const Tensor log_std = LogStd(w);
    return {.log_probs = LogDensity(signals.to(weights.options()), Mean(w, x), log_std),
            .log_stds = log_std.expand({x.size(0), x.size(1)}),
            .values = Output(w, 6, x),
            .final_recurrent = {}};
  }

 private:
  // [S, T, F]
  Tensor Inputs(const agents::Segment& segment, SignalState* state) const {
    const torch::NoGradGuard no_grad;
    const Tensor& obs = segment.observations;
    std::vector<Tensor> inputs = {obs, segment.actions.to(obs.options())};
    if (config_.sees_outcome) {
      for (const Tensor& outcome : OutcomeFeatures(segment, input_))
        inputs.push_back(outcome.to(obs.options()).unsqueeze(-1));
    }
    if (config_.sees_time) {
      const Tensor steps = EpisodeSteps(segment.prev_done, &state->recurrent[0]);
      inputs.push_back((steps / episode_steps_).to(obs.options()).unsqueeze(-1));
    }
    return torch::cat(inputs, -1);
  }

  // One number [S, T] from the three layers that begin with parameter `first`.
  static Tensor Output(const std::vector<Tensor>& w, size_t first, const Tensor& x) {
    Tensor h = torch::tanh(torch::linear(x, w[first], w[first + 1]));
    h = torch::tanh(torch::linear(h, w[first + 2], w[first + 3]));
    return torch::linear(h, w[first + 4], w[first + 5]).squeeze(-1);
  }

  Tensor Mean(const std::vector<Tensor>& w, const Tensor& x) const {
    const Tensor y = Output(w, 0, x);
    return config_.bounded ? torch::tanh(y) : y;
  }

  Tensor LogStd(const std::vector<Tensor>& w) const {
    return w.back() + std::log(config_.initial_std);
  }

  const MlpConfig config_;
  const v1::SignalInput input_;
  const double episode_steps_;
  agents::ParamLayout layout_;
};

const RegisterSignal kMlp({
    .name = "mlp",
    .summary = "Two tanh layers on one step's observation and action (Zheng, Oh and Singh: LIRPG)",
    .options = kMlpOptions.table(),
    .make = MadeBy<MlpNetwork>(kMlpOptions),
    .check =
        [](const SignalContext&, const OptionValues& options, Violations* violations) {
          const MlpConfig config = kMlpOptions.Read(options);
          if (config.density && config.sees_time)
            violations->Add("signal.option.time",
                            "cannot be combined with density: a black-box rule evaluates pieces "
                            "of recorded lifetimes, which do not begin with an episode; leave one "
                            "of the two off");
        },
    .columns =
        [](const SignalContext& context, const OptionValues& options) {
          std::vector<SignalColumn> columns = StepColumns(context);
          const MlpConfig config = kMlpOptions.Read(options);
          if (config.sees_outcome) AddOutcomeColumns(context.input, "times 3", "", &columns);
          if (config.sees_time) columns.push_back(TimeColumn());
          return columns;
        },
});

}  // namespace
}  // namespace mentor::signals
