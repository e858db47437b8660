// The intrinsic reward of the response-gradient rule
// (methods/response_gradient/README.md#conditional-layer-normalisation): a function of one step's
// observation and action. Tanh layers precede a narrow layer without activation. The policy is
// conditioned on eta: the weights of the narrow layer and of the output, which come last.
#include <torch/types.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "signals/plain_layers.h"
#include "signals/signal_network.h"

namespace mentor::methods::response_gradient_bottleneck {
namespace {

using torch::Tensor;

struct Config {
  int64_t hidden, layers, bottleneck;
  double output_gain;
  bool bounded;
};

const auto kOptions = Bind<Config>(
    {{&Config::hidden, "hidden", "64", 1, signals::kUnitsMax, "Units of each hidden layer."},
     {&Config::layers, "layers", "2", 1, 8, "Hidden layers."},
     {&Config::bottleneck, "bottleneck", "4", 1, signals::kUnitsMax, "Units of the narrow layer."},
     {&Config::output_gain, "output_gain", "1", 0, 100, "Gain of the output layer at birth."},
     {&Config::bounded, "bounded", true,
      "A tanh bounds the output to (-1, 1); the manuscript has none."}});

class BottleneckNetwork : public signals::SignalNetwork, public signals::SignalGradient {
 public:
  BottleneckNetwork(const signals::SignalContext& context, const Config& config)
      : layers_(config.layers), output_gain_(config.output_gain), bounded_(config.bounded) {
    const int64_t hidden = config.hidden, narrow = config.bottleneck;
    agents::NamedShapes parameters;
    for (int64_t i = 1; i <= layers_; ++i) {
      const int64_t inputs = i == 1 ? context.observation_size + context.action_size : hidden;
      parameters.push_back({absl::StrCat("body.W", i), {hidden, inputs}});
      parameters.push_back({absl::StrCat("body.b", i), {hidden}});
    }
    const auto body = static_cast<int64_t>(parameters.size());
    parameters.insert(
        parameters.end(),
        {{"bot.W", {narrow, hidden}}, {"bot.b", {narrow}}, {"out.W", {1, narrow}}, {"out.b", {1}}});
    layout_ = agents::ParamLayout(std::move(parameters));
    conditioning_size_ = layout_.size() - layout_.slices()[body].offset;
  }

  const signals::SignalGradient* gradient() const override { return this; }
  bool sees_outcome() const override { return false; }
  int64_t conditioning_size() const override { return conditioning_size_; }
  const agents::ParamLayout& layout() const override { return layout_; }

  Tensor InitialWeights(uint64_t seed) const override {
    return signals::OrthogonalWeights(layout_, seed, [&](const std::string& name) {
      if (name == "out.W") return output_gain_;
      return name == "bot.W" ? 1.0 : std::sqrt(2.0);
    });
  }

  Tensor Signals(const Tensor& weights, const agents::Segment& segment,
                 signals::SignalState* state) const override {
    const std::vector<Tensor> w = layout_.Split(weights);
    Tensor x = torch::cat(
        {segment.observations.to(weights.options()), segment.actions.to(weights.options())}, -1);
    size_t next = 0;
    for (int64_t i = 0; i < layers_; ++i, next += 2)
      x = torch::tanh(torch::linear(x, w[next], w[next + 1]));
    x = torch::linear(x, w[next], w[next + 1]);  // The bottleneck has no activation.
    Tensor signals = torch::linear(x, w[next + 2], w[next + 3]).squeeze(-1);
    if (bounded_) signals = signals.tanh();
    state->previous = signals.detach().select(1, -1).clone();
    return signals;
  }

 private:
  const int64_t layers_;
  const double output_gain_;
  const bool bounded_;
  agents::ParamLayout layout_;
  int64_t conditioning_size_ = 0;
};

const signals::RegisterSignal kBottleneck({
    .name = "bottleneck",
    .summary = "A step's observation and action through a narrow layer that policies can be "
               "conditioned on (Zhang, Stadie and Ba: STN)",
    .options = kOptions.table(),
    .make = signals::MadeBy<BottleneckNetwork>(kOptions),
    .columns = [](const signals::SignalContext& context,
                  const OptionValues&) { return signals::StepColumns(context); },
});

}  // namespace
}  // namespace mentor::methods::response_gradient_bottleneck
