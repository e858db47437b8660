// The signal of SAIR (Jiang, Tian, Yang and Peng 2021) and MetaIRN (Link, Heidmann and
// Liebig-Schultz 2025; methods/meta_gradient/README.md#signal-networks). Every step of an episode
// attends to all steps of the episode inside the segment, also to later ones unless `past_only`.
// With option `density`, black-box rules can train it
// (methods/meta_gradient/README.md#attention-density).
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "signals/attention/attention_layers.h"
#include "signals/plain_layers.h"
#include "signals/signal_network.h"

namespace mentor::signals::attention {
namespace {

using torch::Tensor;

// Bound of a scaled reward, the usual one for normalised rewards.
constexpr double kScaledRewardMax = 10;
// Gain at birth of log-std and value.
constexpr double kDensityGain = 0.01;
// Columns after the inputs: episode within the segment, segment.
constexpr int64_t kPlaces = 2;

// r_ex as the outcomes [S, T, n] of signal.input, without the LSTM's factor.
Tensor Rewards(const agents::Segment& segment, v1::SignalInput input) {
  std::vector<Tensor> rewards;
  if (input != v1::SHAPED) rewards.push_back(segment.success_signals.to(torch::kFloat64));
  if (input != v1::SUCCESS) rewards.push_back(segment.shaped_rewards.to(torch::kFloat64));
  return torch::stack(rewards, -1);
}

// Divides rewards [S, T, n] by the standard deviation of all rewards that the agent has had: with
// past_only up to the same step, else this segment's included. statistics [S, 3, n]: number, mean,
// sum of squared deviations, since birth.
Tensor Scaled(const Tensor& rewards, bool past_only, Tensor* statistics) {
  const auto old = statistics->to(torch::kFloat64).unbind(1);
  const auto num_new = static_cast<double>(rewards.size(1));
  const Tensor mean = rewards.mean(1), squares = (rewards - mean.unsqueeze(1)).square().sum(1);
  // Merges two groups by Chan, Golub and LeVeque.
  const Tensor number = old[0] + num_new, delta = mean - old[1];
  const Tensor all_squares = old[2] + squares + delta.square() * old[0] * num_new / number;
  *statistics = torch::stack({number, old[1] + delta * num_new / number, all_squares}, 1)
                    .to(statistics->options());
  Tensor variance = (all_squares / number).unsqueeze(1);  // [S, T or 1, n]
  if (past_only) {
    // About the old mean, up to each step.
    const Tensor deviations = rewards - old[1].unsqueeze(1);
    const Tensor numbers =
        old[0].unsqueeze(1) + torch::ones_like(rewards.narrow(2, 0, 1).narrow(0, 0, 1)).cumsum(1);
    variance = (old[2].unsqueeze(1) + deviations.square().cumsum(1) -
                deviations.cumsum(1).square() / numbers) /
               numbers;
  }
  return (rewards / (variance.clamp_min(0) + 1e-8).sqrt())
      .clamp(-kScaledRewardMax, kScaledRewardMax);
}

struct Config {
  int64_t width, encoder_hidden, heads, blocks, mlp_hidden;
  bool residual_mlp;
  int64_t head_hidden;
  double output_gain;
  bool bounded, past_only, sees_reward, scales_reward, sees_time, density;
  double initial_std;
  bool normalises;
};

const auto kOptions = Bind<Config>(
    {{&Config::width, "width", "32", 1, kUnitsMax, "Features of a step."},
     {&Config::encoder_hidden, "encoder_hidden", "32", 0, kUnitsMax,
      "Units of the encoder's hidden layer; 0: it has none."},
     {&Config::heads, "heads", "1", 1, kUnitsMax, "Attention heads; they divide the width."},
     {&Config::blocks, "blocks", "1", 1, 16, "Attention blocks."},
     {&Config::mlp_hidden, "mlp_hidden", "0", 0, kUnitsMax,
      "Units of the hidden layer of an MLP block after each attention block; 0: there are no MLP "
      "blocks."},
     {&Config::residual_mlp, "residual_mlp", true,
      "MLP blocks have a residual and LayerNorm; as published: false."},
     {&Config::head_hidden, "head_hidden", "32", 0, kUnitsMax,
      "Units of the head's hidden layer; 0: it has none."},
     {&Config::output_gain, "output_gain", "1", 0, 100, "Gain of the output layer at birth."},
     {&Config::bounded, "bounded", true,
      "A tanh bounds the output to (-1, 1); as published: false."},
     {&Config::past_only, "past_only", false,
      "Steps attend to themselves and to earlier steps of the episode, and rewards are divided by "
      "the deviation of those up to each step: nothing later is seen."},
     {&Config::sees_reward, "signal_sees_reward", true,
      "It sees the outcomes that signal.input names."},
     {&Config::scales_reward, "scale_reward", true,
      "They are divided by the standard deviation of what the agent has had so far."},
     {&Config::sees_time, "time", true,
      "It sees how much of the episode's greatest length has passed; false where observations tell "
      "it."},
     {&Config::density, "density", false,
      "The head has a standard deviation and a value too, which black-box rules need and rules by "
      "gradient leave alone."},
     {&Config::initial_std, "initial_std", "0.5", 1e-6, 100,
      "Standard deviation at birth, with density."},
     {&Config::normalises, kNormalizeObservations, false, kNormalizeObservationsHelp}});

class AttentionNetwork : public SignalNetwork,
                         public SignalGradient,
                         public SignalDensity,
                         public SignalExplainer {
 public:
  AttentionNetwork(const SignalContext& context, const Config& config)
      : input_(context.input),
        episode_steps_(static_cast<double>(std::max<int64_t>(1, context.episode_steps))),
        sees_reward_(config.sees_reward),
        scales_reward_(config.scales_reward),
        sees_time_(config.sees_time),
        normalises_(config.normalises),
        piece_unit_(config.density ? StepsSeenWhole(context) : 1),
        segment_steps_(context.steps_per_iteration),
        output_gain_(config.output_gain) {
    const auto layers = [](int64_t units) {
      return units == 0 ? std::vector<int64_t>() : std::vector<int64_t>{units};
    };
    sizes_.inputs = context.observation_size + context.action_size +
                    (sees_reward_ ? NumOutcomes(context.input) : 0) + (sees_time_ ? 1 : 0);
    sizes_.encoder_hidden = layers(config.encoder_hidden);
    sizes_.width = config.width;
    sizes_.heads = config.heads;
    for (int64_t i = 0; i < config.blocks; ++i) {
      sizes_.blocks.push_back({});
      if (const auto hidden = layers(config.mlp_hidden); !hidden.empty())
        sizes_.blocks.push_back({.attends = false, .hidden = hidden});
    }
    sizes_.head_hidden = layers(config.head_hidden);
    sizes_.past_only = config.past_only;
    sizes_.residual_mlp = config.residual_mlp;
    sizes_.bounded = config.bounded;
    sizes_.density = config.density;
    sizes_.initial_std = config.initial_std;
    layout_ = sizes_.Layout();
    output_name_ = absl::StrFormat("head.W%d", sizes_.head_hidden->size() + 1);
  }

  const SignalGradient* gradient() const override { return this; }
  const SignalDensity* density() const override { return sizes_.density ? this : nullptr; }
  const SignalExplainer* explainer() const override { return this; }
  int64_t piece_unit() const override { return piece_unit_; }
  bool sees_outcome() const override { return sees_reward_; }
  bool sees_normalised() const override { return normalises_; }
  const agents::ParamLayout& layout() const override { return layout_; }

  Tensor InitialWeights(uint64_t seed) const override {
    const std::string encoder_end = absl::StrFormat("enc.W%d", sizes_.encoder_hidden.size() + 1);
    Tensor weights = OrthogonalWeights(layout_, seed, [&](const std::string& name) {
      if (name == output_name_) return sizes_.density ? 1.0 : output_gain_;
      // sqrt(2) before ReLU: all layers but the encoder's last and the attention's.
      return name == encoder_end || name.ends_with(".W") ? 1.0 : std::sqrt(2.0);
    });
    for (const agents::ParamSlice& slice : layout_.slices()) {
      if (slice.name.ends_with(".ln.g")) weights.narrow(0, slice.offset, slice.size).fill_(1);
      if (sizes_.density && slice.name == output_name_) {
        Tensor rows = weights.narrow(0, slice.offset, slice.size).view(slice.shape);
        rows[0].mul_(output_gain_);
        rows.narrow(0, 1, 2).mul_(kDensityGain);
      }
    }
    return weights;
  }

  // Adds the maps, as scores and as shares.
  int64_t NumbersPerStep(bool graph) const override {
    int64_t maps = 0;
    for (const auto& block : sizes_.blocks) maps += block.attends ? sizes_.heads : 0;
    return SignalNetwork::NumbersPerStep(graph) +
           (graph ? 6 : 3) * maps * static_cast<int64_t>(episode_steps_);
  }

  // Steps into the episode [S], statistics of the rewards [S, 3, n].
  SignalState InitialState(int64_t num_lifetimes, torch::Dtype dtype) const override {
    return {{torch::zeros({num_lifetimes}, dtype),
             torch::zeros({num_lifetimes, 3, NumOutcomes(input_)}, dtype)},
            torch::zeros({num_lifetimes}, dtype)};
  }

  SignalOutputs Run(const Tensor& weights, const agents::Segment& segment, const Tensor& noise,
                    SignalState* state) const override {
    const torch::NoGradGuard no_grad;
    const AttentionOutputs heads = Outputs(weights, segment, Episodes(segment.prev_done), state);
    SignalOutputs outputs{.signals = heads.signals, .log_probs = {}, .values = {}};
    if (noise.defined()) {
      MENTOR_CHECK(sizes_.density);
      outputs.signals = heads.signals + heads.log_stds.exp() * noise.to(weights.options());
      outputs.log_probs = LogDensity(outputs.signals, heads.signals, heads.log_stds);
      outputs.values = heads.values;
    }
    state->previous = outputs.signals.select(1, -1).clone();
    return outputs;
  }

  Tensor Signals(const Tensor& weights, const agents::Segment& segment,
                 SignalState* state) const override {
    const Tensor signals = Outputs(weights, segment, Episodes(segment.prev_done), state).signals;
    state->previous = signals.detach().select(1, -1).clone();
    return signals;
  }

  // A lifetime from its first step on: Run's inputs, segment by segment, and two columns that only
  // tell which steps attend to which.
  Tensor Features(const agents::Segment& lifetimes, const Tensor&) const override {
    const Tensor& prev_done = lifetimes.prev_done;
    const int64_t steps = prev_done.size(1),
                  of_segment = segment_steps_ > 0 ? segment_steps_ : steps;
    SignalState state = InitialState(prev_done.size(0), lifetimes.observations.scalar_type());
    std::vector<Tensor> features;
    for (int64_t first = 0; first < steps; first += of_segment) {
      const int64_t count = std::min(of_segment, steps - first);
      agents::Segment segment;
      for (const agents::SegmentMember member :
           {&agents::Segment::observations, &agents::Segment::actions,
            &agents::Segment::shaped_rewards, &agents::Segment::success_signals,
            &agents::Segment::prev_done})
        segment.*member = (lifetimes.*member).narrow(1, first, count);
      const Tensor inputs = Inputs(segment, &state);
      const Tensor episode =
          segment.prev_done.ne(0).to(torch::kFloat64).cumsum(1).to(inputs.options());
      features.push_back(
          torch::cat({inputs, episode.unsqueeze(-1),
                      torch::full({inputs.size(0), count, 1}, static_cast<double>(features.size()),
                                  inputs.options())},
                     -1));
    }
    return torch::cat(features, 1);
  }

  SignalEvaluation Evaluate(const Tensor& weights, const Tensor& features, const Tensor& signals,
                            const std::vector<Tensor>& recurrent) const override {
    const int64_t steps = features.size(1);
    const Tensor places = features.narrow(-1, sizes_.inputs, kPlaces);
    Tensor begins = torch::zeros({features.size(0), steps}, torch::kFloat32);
    begins.narrow(1, 1, steps - 1)
        .copy_(places.narrow(1, 1, steps - 1).ne(places.narrow(1, 0, steps - 1)).any(-1));
    const AttentionOutputs heads =
        RunAttention(sizes_, layout_.Split(weights),
                     features.narrow(-1, 0, sizes_.inputs).to(weights.options()), Episodes(begins));
    return {.log_probs = LogDensity(signals.to(weights.options()), heads.signals, heads.log_stds),
            .log_stds = heads.log_stds,
            .values = heads.values,
            .final_recurrent = recurrent};
  }

  std::vector<AttentionMap> Explain(const Tensor& weights, const agents::Segment& segment,
                                    const SignalState& state) const override {
    const torch::NoGradGuard no_grad;
    const Episodes episodes(segment.prev_done);
    SignalState advanced = state;
    const AttentionOutputs outputs = Outputs(weights, segment, episodes, &advanced);
    std::vector<AttentionMap> maps;
    for (size_t e = 0; e < episodes.places.size(); ++e) {
      const auto& [lifetime, first_step, length] = episodes.places[e];
      for (size_t block = 0; block < outputs.maps.size(); ++block) {
        for (int64_t head = 0; head < sizes_.heads; ++head) {
          maps.push_back({.name = absl::StrFormat("block %d, head %d", block, head),
                          .lifetime = lifetime,
                          .first_step = first_step,
                          .weights = outputs.maps[block][static_cast<int64_t>(e)][head]
                                         .narrow(0, 0, length)
                                         .narrow(1, 0, length)
                                         .cpu()});
        }
      }
    }
    return maps;
  }

 private:
  AttentionOutputs Outputs(const Tensor& weights, const agents::Segment& segment,
                           const Episodes& episodes, SignalState* state) const {
    return RunAttention(sizes_, layout_.Split(weights),
                        Inputs(segment, state).to(weights.options()), episodes);
  }

  // [S, T, F]
  Tensor Inputs(const agents::Segment& segment, SignalState* state) const {
    const torch::NoGradGuard no_grad;
    const Tensor& obs = segment.observations;
    std::vector<Tensor> inputs = {obs, segment.actions.to(obs.options())};
    if (sees_reward_) {
      Tensor rewards = Rewards(segment, input_);
      if (scales_reward_) rewards = Scaled(rewards, sizes_.past_only, &state->recurrent[1]);
      inputs.push_back(rewards.to(obs.options()));
    }
    const Tensor steps = EpisodeSteps(segment.prev_done, &state->recurrent[0]);
    if (sees_time_) inputs.push_back((steps / episode_steps_).to(obs.options()).unsqueeze(-1));
    return torch::cat(inputs, -1);
  }

  const v1::SignalInput input_;
  const double episode_steps_;
  const bool sees_reward_, scales_reward_, sees_time_, normalises_;
  const int64_t piece_unit_, segment_steps_;
  const double output_gain_;
  AttentionSizes sizes_;
  agents::ParamLayout layout_;
  std::string output_name_;
};

void Check(const SignalContext&, const OptionValues& options, Violations* violations) {
  const Config config = kOptions.Read(options);
  const int64_t width = config.width, heads = config.heads;
  if (width < 2) {
    violations->Add("signal.option.width",
                    "is 1; LayerNorm over one feature is a constant whose other gradients are all "
                    "zero, so the network could learn nothing; give at least 2 (32 is usual)");
  } else if (width % heads != 0) {
    violations->Add("signal.option.heads",
                    absl::StrFormat("is %d, which does not divide the width %d; each head has "
                                    "width / heads columns: change one of the two",
                                    heads, width));
  }
}

const RegisterSignal kAttention({
    .name = "attention",
    .summary = "Self-attention over the steps of an episode (SAIR, MetaIRN)",
    .options = kOptions.table(),
    .make = MadeBy<AttentionNetwork>(kOptions),
    .check = Check,
    .columns =
        [](const SignalContext& context, const OptionValues& options) {
          std::vector<SignalColumn> columns = StepColumns(context);
          const Config config = kOptions.Read(options);
          if (config.sees_reward) {
            const std::string how = !config.scales_reward ? ""
                                    : config.past_only ? "divided by the standard deviation of all "
                                                         "that the agent has had up to this step, "
                                                         "within -10 and 10"
                                                       : "divided by the standard deviation of all "
                                                         "that the agent has had, this segment "
                                                         "included, within -10 and 10";
            AddOutcomeColumns(context.input, how, how, &columns);
          }
          if (config.sees_time) columns.push_back(TimeColumn());
          return columns;
        },
});

}  // namespace
}  // namespace mentor::signals::attention
