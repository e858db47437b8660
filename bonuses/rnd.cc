// Random network distillation (bonuses/README.md#rnd): a network learns to predict what a fixed
// random one makes of an observation. Its error is the bonus.
#include <algorithm>
#include <numeric>

#include "bonuses/bonus.h"
#include "bonuses/bonus_options.h"
#include "bonuses/relu_network.h"

namespace mentor::bonuses::rnd {
namespace {

struct Config {
  Settings settings;
  Training training;
};

const auto kOptions = Bind<Config>(
    {{&Config::settings,
      SettingOptions({.weight = "1", .task_weight = "2", .scale = "returns", .normalise = true})},
     {&Config::training, TrainingOptions({.epochs = "4", .learning_rate = "1e-4"})}});

// Rows of a forward pass.
constexpr int64_t kRows = 256;

ReluShape ShapeOf(const StepSizes& sizes, const Training& training) {
  return {.in = sizes.observation, .hidden = training.hidden, .out = training.latent};
}

class Distillation : public Bonus {
 public:
  Distillation(const StepSizes& sizes, const Config& config, RandomStream stream)
      : Bonus(sizes, config.settings),
        training_(config.training),
        stream_(stream),
        target_(ShapeOf(sizes, training_)),
        predictor_(target_.shape()),
        fixed_(target_.shape().parameters()),
        weights_(target_.shape().parameters()) {
    stream_.purpose = Purpose::kBonusOrder;
    stream.purpose = Purpose::kBonusWeights;
    stream.iteration = 0;
    target_.Draw(stream, /*first_tensor=*/0, fixed_);
    target_.Pack(fixed_);
    predictor_.Draw(stream, /*first_tensor=*/2, weights_.theta);
    predictor_.Pack(weights_.theta);
  }

 private:
  void Raw(const Steps& seen, std::span<double> out) const override {
    const int64_t size = sizes_.observation, latent = training_.latent;
    ReluTape want, got;
    for (int64_t begin = 0; begin < seen.count(); begin += kRows) {
      const int64_t rows = std::min(kRows, seen.count() - begin);
      const double* from = seen.next_observations.data() + begin * size;
      want.rows = got.rows = rows;
      want.x.assign(from, from + rows * size);
      got.x = want.x;
      target_.Forward(&want);
      predictor_.Forward(&got);
      for (int64_t r = 0; r < rows; ++r) {
        double sum = 0;
        for (int64_t k = r * latent; k < (r + 1) * latent; ++k)
          sum += (got.y[k] - want.y[k]) * (got.y[k] - want.y[k]);
        out[begin + r] = sum / static_cast<double>(latent);
      }
    }
  }

  void Train(const Steps& seen, uint32_t segment) override {
    const int64_t size = sizes_.observation;
    std::vector<int64_t> rows(seen.count());
    std::iota(rows.begin(), rows.end(), 0);
    stream_.iteration = segment;
    ReluTape want, got;
    std::vector<double> dy, gradient(weights_.theta.size());
    ForEachMinibatch(training_, stream_, rows, [&](std::span<const int64_t> minibatch) {
      want.rows = got.rows = static_cast<int64_t>(minibatch.size());
      want.x.clear();
      for (const int64_t t : minibatch) {
        const double* from = seen.observations.data() + t * size;
        want.x.insert(want.x.end(), from, from + size);
      }
      got.x = want.x;
      target_.Forward(&want);
      predictor_.Forward(&got);
      dy.resize(got.y.size());
      const double factor = 2 / static_cast<double>(dy.size());  // The loss is the mean square.
      for (size_t i = 0; i < dy.size(); ++i) dy[i] = factor * (got.y[i] - want.y[i]);
      std::fill(gradient.begin(), gradient.end(), 0.0);
      predictor_.Backward(got, dy, gradient, /*dx=*/nullptr);
      weights_.Step(training_.adam, gradient);
      predictor_.Pack(weights_.theta);
    });
  }

  void Pass(Numbers* numbers) override {
    numbers->Pass(fixed_);
    numbers->Pass(weights_.theta);
    numbers->Pass(weights_.m);
    numbers->Pass(weights_.v);
    numbers->Pass(&weights_.steps);
    if (numbers->saves()) return;
    target_.Pack(fixed_);
    predictor_.Pack(weights_.theta);
  }

  const Training training_;
  RandomStream stream_;
  ReluNetwork target_, predictor_;
  std::vector<double> fixed_;  // Weights of the target.
  Trained weights_;
};

const RegisterBonus kRnd({
    .name = "rnd",
    .summary = "Error of a network that learns what a random one says (RND, Burda et al. 2018)",
    .options = kOptions.table(),
    .make = [](const StepSizes& sizes, const OptionValues& options,
               const RandomStream& stream) -> std::unique_ptr<Bonus> {
      return std::make_unique<Distillation>(sizes, kOptions.Read(options), stream);
    },
    .sizes = [](const StepSizes& sizes, const OptionValues& options, int64_t steps,
                int64_t) -> BonusSizes {
      const Training training = kOptions.Read(options).training;
      const int64_t parameters = ShapeOf(sizes, training).parameters();
      const int64_t rows = std::min(std::max(kRows, training.minibatch), steps);
      return {
          .state = 4 * parameters + 2 * sizes.observation + 8,
          .scratch = 5 * parameters + 2 * steps +
                     rows * (2 * sizes.observation + 3 * training.hidden + 3 * training.latent)};
    },
});

}  // namespace
}  // namespace mentor::bonuses::rnd
