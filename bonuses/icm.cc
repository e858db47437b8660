// The intrinsic curiosity module (bonuses/README.md#icm). An encoder learns what tells the action
// between two observations; the bonus is the error of predicting the encoding that follows.
#include <algorithm>
#include <cmath>

#include "bonuses/bonus.h"
#include "bonuses/bonus_options.h"
#include "bonuses/relu_network.h"
#include "common/exact_math.h"

namespace mentor::bonuses::icm {
namespace {

struct Config {
  Settings settings;
  Training training;
  double inverse_weight = 0.8, forward_weight = 0.2;
};

const auto kOptions = Bind<Config>(
    {{&Config::settings,
      SettingOptions({.weight = "0.64", .task_weight = "1", .scale = "none", .normalise = true})},
     {&Config::training, TrainingOptions({.epochs = "1", .learning_rate = "1e-3"})},
     {&Config::inverse_weight, "inverse_weight", "0.8", 0, 1e6,
      "Weight of the loss of the network that tells actions."},
     {&Config::forward_weight, "forward_weight", "0.2", 0, 1e6,
      "Weight of the loss of the network that predicts encodings."}});

// Rows of a forward pass.
constexpr int64_t kRows = 256;

struct Shapes {
  ReluShape encoder, inverse, forward;

  Shapes(const StepSizes& sizes, const Training& training)
      : encoder{sizes.observation, training.hidden, training.latent},
        inverse{2 * training.latent, training.hidden, sizes.action},
        forward{training.latent + sizes.action, training.hidden, training.latent} {}
  int64_t parameters() const {
    return encoder.parameters() + inverse.parameters() + forward.parameters();
  }
};

// rows [n, a + b]: a row of each.
std::vector<double> Beside(std::span<const double> left, int64_t a, std::span<const double> right,
                           int64_t b) {
  std::vector<double> both;
  both.reserve(left.size() + right.size());
  for (size_t r = 0; r * a < left.size(); ++r) {
    both.insert(both.end(), left.begin() + r * a, left.begin() + (r + 1) * a);
    both.insert(both.end(), right.begin() + r * b, right.begin() + (r + 1) * b);
  }
  return both;
}

// to [n, width] += columns [first, first + width) of from [n, stride].
void AddColumns(std::span<const double> from, int64_t stride, int64_t first, int64_t width,
                std::vector<double>* to) {
  for (size_t i = 0; i < to->size(); ++i) (*to)[i] += from[i / width * stride + first + i % width];
}

// Gradient of the mean loss of predicted actions: squares of continuous ones, cross-entropy of
// discrete ones.
std::vector<double> ActionGradient(const StepSizes& sizes, std::span<const double> predicted,
                                   std::span<const double> actions, double weight) {
  std::vector<double> dy(predicted.size());
  const size_t width = sizes.action;
  if (!sizes.discrete) {
    const double factor = weight * 2 / static_cast<double>(dy.size());
    for (size_t i = 0; i < dy.size(); ++i) dy[i] = factor * (predicted[i] - actions[i]);
    return dy;
  }
  const double factor = weight * static_cast<double>(width) / static_cast<double>(dy.size());
  for (size_t begin = 0; begin < dy.size(); begin += width) {
    const double top = *std::max_element(&predicted[begin], &predicted[begin] + width);
    double sum = 0;
    for (size_t i = begin; i < begin + width; ++i) sum += dy[i] = exact::Exp(predicted[i] - top);
    for (size_t i = begin; i < begin + width; ++i) dy[i] = factor * (dy[i] / sum - actions[i]);
  }
  return dy;
}

class Curiosity : public Bonus {
 public:
  Curiosity(const StepSizes& sizes, const Config& config, RandomStream stream)
      : Bonus(sizes, config.settings),
        config_(config),
        stream_(stream),
        shapes_(sizes, config.training),
        encoder_(shapes_.encoder),
        inverse_(shapes_.inverse),
        forward_(shapes_.forward),
        weights_(shapes_.parameters()) {
    stream_.purpose = Purpose::kBonusOrder;
    stream.purpose = Purpose::kBonusWeights;
    stream.iteration = 0;
    const Parts parts = PartsOf(weights_.theta);
    encoder_.Draw(stream, /*first_tensor=*/0, parts.encoder);
    inverse_.Draw(stream, /*first_tensor=*/2, parts.inverse);
    forward_.Draw(stream, /*first_tensor=*/4, parts.forward);
    Pack();
  }

 private:
  struct Parts {
    std::span<double> encoder, inverse, forward;
  };
  Parts PartsOf(std::span<double> all) const {
    const size_t a = shapes_.encoder.parameters(), b = shapes_.inverse.parameters();
    return {all.subspan(0, a), all.subspan(a, b), all.subspan(a + b)};
  }
  void Pack() {
    const Parts parts = PartsOf(weights_.theta);
    encoder_.Pack(parts.encoder);
    inverse_.Pack(parts.inverse);
    forward_.Pack(parts.forward);
  }

  // The passes through the encoder and the network that predicts, for these rows.
  struct Passes {
    ReluTape before, after, predicted;
    std::vector<double> actions;
  };
  void Predict(const Steps& seen, std::span<const int64_t> rows, Passes* passes) const {
    const auto gather = [&](const std::vector<double>& from, int64_t width,
                            std::vector<double>* to) {
      to->clear();
      for (const int64_t t : rows)
        to->insert(to->end(), from.begin() + t * width, from.begin() + (t + 1) * width);
    };
    gather(seen.observations, sizes_.observation, &passes->before.x);
    gather(seen.next_observations, sizes_.observation, &passes->after.x);
    gather(seen.actions, sizes_.action, &passes->actions);
    for (ReluTape* tape : {&passes->before, &passes->after, &passes->predicted})
      tape->rows = static_cast<int64_t>(rows.size());
    encoder_.Forward(&passes->before);
    encoder_.Forward(&passes->after);
    passes->predicted.x =
        Beside(passes->before.y, shapes_.encoder.out, passes->actions, sizes_.action);
    forward_.Forward(&passes->predicted);
  }

  void Raw(const Steps& seen, std::span<double> out) const override {
    const int64_t latent = shapes_.encoder.out;
    Passes passes;
    std::vector<int64_t> rows;
    for (int64_t begin = 0; begin < seen.count(); begin += kRows) {
      rows.clear();
      for (int64_t t = begin; t < std::min(begin + kRows, seen.count()); ++t) rows.push_back(t);
      Predict(seen, rows, &passes);
      for (size_t r = 0; r < rows.size(); ++r) {
        double sum = 0;
        for (size_t k = r * latent; k < (r + 1) * latent; ++k) {
          const double error = passes.predicted.y[k] - passes.after.y[k];
          sum += error * error;
        }
        out[begin + static_cast<int64_t>(r)] = sum / static_cast<double>(latent);
      }
    }
  }

  void Train(const Steps& seen, uint32_t segment) override {
    std::vector<int64_t> rows;
    for (int64_t t = 0; t < seen.count(); ++t) {
      if (seen.known[t]) rows.push_back(t);
    }
    stream_.iteration = segment;
    Passes passes;
    std::vector<double> gradient(weights_.theta.size());
    ForEachMinibatch(config_.training, stream_, rows, [&](std::span<const int64_t> minibatch) {
      Predict(seen, minibatch, &passes);
      std::fill(gradient.begin(), gradient.end(), 0.0);
      AddGradient(passes, PartsOf(gradient));
      weights_.Step(config_.training.adam, gradient);
      Pack();
    });
  }

  // Both losses reach the encoder by both observations.
  void AddGradient(const Passes& passes, const Parts& gradient) {
    const int64_t latent = shapes_.encoder.out;
    std::vector<double> dy(passes.predicted.y.size()), dx;
    const double factor = config_.forward_weight * 2 / static_cast<double>(dy.size());
    for (size_t i = 0; i < dy.size(); ++i)
      dy[i] = factor * (passes.predicted.y[i] - passes.after.y[i]);
    forward_.Backward(passes.predicted, dy, gradient.forward, &dx);
    std::vector<double> before(dy.size()), after(dy.size());
    for (size_t i = 0; i < dy.size(); ++i) after[i] = -dy[i];
    AddColumns(dx, shapes_.forward.in, 0, latent, &before);

    ReluTape told{.rows = passes.before.rows,
                  .x = Beside(passes.before.y, latent, passes.after.y, latent)};
    inverse_.Forward(&told);
    const std::vector<double> by_action =
        ActionGradient(sizes_, told.y, passes.actions, config_.inverse_weight);
    inverse_.Backward(told, by_action, gradient.inverse, &dx);
    AddColumns(dx, shapes_.inverse.in, 0, latent, &before);
    AddColumns(dx, shapes_.inverse.in, latent, latent, &after);
    encoder_.Backward(passes.before, before, gradient.encoder, /*dx=*/nullptr);
    encoder_.Backward(passes.after, after, gradient.encoder, /*dx=*/nullptr);
  }

  void Pass(Numbers* numbers) override {
    numbers->Pass(weights_.theta);
    numbers->Pass(weights_.m);
    numbers->Pass(weights_.v);
    numbers->Pass(&weights_.steps);
    if (!numbers->saves()) Pack();
  }

  const Config config_;
  RandomStream stream_;
  const Shapes shapes_;
  ReluNetwork encoder_, inverse_, forward_;
  Trained weights_;
};

const RegisterBonus kIcm({
    .name = "icm",
    .summary = "Error of predicting what follows, in features that tell actions (ICM, Pathak et "
               "al. 2017)",
    .options = kOptions.table(),
    .make = [](const StepSizes& sizes, const OptionValues& options,
               const RandomStream& stream) -> std::unique_ptr<Bonus> {
      return std::make_unique<Curiosity>(sizes, kOptions.Read(options), stream);
    },
    .sizes = [](const StepSizes& sizes, const OptionValues& options, int64_t steps,
                int64_t) -> BonusSizes {
      const Training training = kOptions.Read(options).training;
      const int64_t parameters = Shapes(sizes, training).parameters();
      const int64_t rows = std::min(std::max(kRows, training.minibatch), steps);
      return {.state = 3 * parameters + 2 * sizes.observation + 8,
              .scratch = 4 * parameters + 2 * steps +
                         rows * (2 * sizes.observation + 4 * sizes.action + 5 * training.hidden +
                                 16 * training.latent)};
    },
});

}  // namespace
}  // namespace mentor::bonuses::icm
