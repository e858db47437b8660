#include "mentor/bench/outer_rounds.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "common/check.h"
#include "common/cpu_time.h"
#include "learner/signals/lstm_plain.h"
#include "learner/signals/signal_network.h"
#include "mentor/bench/workload.h"
#include "meta_learner/rules/outer_ppo.h"

namespace mentor::bench {
namespace {

using torch::Tensor;

constexpr int64_t kSegment = 2000, kSegments = 3;
constexpr int64_t kLifetimes = 30, kTrained = 4000, kPiece = 400;

struct Network {
  std::unique_ptr<learner::SignalNetwork> own;
  learner::LstmPlain plain;
  Tensor weights;

  Network() {
    Violations violations;
    own = learner::MakeSignalNetwork(
        v1::SignalSpec(), {.observation_size = kObservation, .action_size = kAction}, &violations);
    MENTOR_CHECK(own != nullptr);
    plain.sizes.features = kObservation + kAction + learner::LstmSizes().side;
    plain.layout = own->layout();
    weights = own->InitialWeights(1);
  }
};

learner::Segment RandomSegment(int64_t lifetimes, int64_t steps) {
  learner::Segment segment;
  segment.observations = NormalTensor({lifetimes, steps, kObservation}, 0);
  segment.actions = NormalTensor({lifetimes, steps, kAction}, 1);
  segment.log_probs = NormalTensor({lifetimes, steps}, 2) - 4;
  segment.success_signals = torch::zeros({lifetimes, steps});
  segment.prev_done = torch::zeros({lifetimes, steps});
  return segment;
}

// Interleaved measurements, scaled; the least of each.
struct Measurement {
  std::string name;
  double scale;
  std::function<void()> work;
};
std::map<std::string, double> Measure(int rounds, const std::vector<Measurement>& measurements) {
  std::map<std::string, double> seconds;
  for (int round = 0; round < rounds; ++round) {
    for (const Measurement& measurement : measurements) {
      const double begin = ThreadCpuSeconds();
      measurement.work();
      const double taken = (ThreadCpuSeconds() - begin) * measurement.scale;
      const auto [entry, first] = seconds.emplace(measurement.name, taken);
      entry->second = std::min(entry->second, taken);
    }
  }
  return seconds;
}

// The matrix products of one piece of 400 steps, forward and backward, on all lifetimes at once.
class Products {
 public:
  explicit Products(const learner::LstmSizes& sizes) {
    const int64_t rows = kLifetimes * kPiece;
    // Side inputs get no gradient, the network's input none at all.
    Layer(rows, sizes.features, sizes.enc1, 0, 1);
    Layer(rows, sizes.code1(), sizes.enc2, sizes.enc1, 1);
    Layer(kLifetimes, sizes.joint(), 4 * sizes.hidden, sizes.enc2 + sizes.hidden, kPiece,
          /*weights=*/false);
    Product(4 * sizes.hidden, rows, sizes.joint(), 1);
    Layer(rows, sizes.hidden, sizes.first(), sizes.hidden, 1);
    Layer(rows, sizes.heads, sizes.heads, sizes.heads, 1);
  }

  void Run() const {
    for (const Work& work : work_) {
      for (int64_t i = 0; i < work.times; ++i)
        at::mm_out(const_cast<Tensor&>(work.c), work.a, work.b);
    }
  }
  double flop() const { return flop_; }

 private:
  struct Work {
    Tensor a, b, c;
    int64_t times;
  };

  void Product(int64_t rows, int64_t inner, int64_t columns, int64_t times) {
    work_.push_back({torch::ones({rows, inner}), torch::ones({inner, columns}),
                     torch::empty({rows, columns}), times});
    flop_ += 2.0 * static_cast<double>(rows * inner * columns * times);
  }
  // Forward, gradient of the first `grad_inputs` inputs, gradient of the weights.
  void Layer(int64_t rows, int64_t inputs, int64_t outputs, int64_t grad_inputs, int64_t times,
             bool weights = true) {
    Product(rows, inputs, outputs, times);
    if (grad_inputs > 0) Product(rows, outputs, grad_inputs, times);
    if (weights) Product(outputs, rows, inputs, times);
  }

  std::vector<Work> work_;
  double flop_ = 0;
};

}  // namespace

std::map<std::string, double> BenchSignal(const BenchRulesOptions& options) {
  const Network network;
  const auto own = [&](int64_t lifetimes) {
    const learner::Segment segment = RandomSegment(lifetimes, kSegment);
    const Tensor noise = NormalTensor({lifetimes, kSegment}, 3);
    return [&network, segment, noise, lifetimes] {
      auto state = network.own->InitialState(lifetimes, torch::kFloat32);
      network.own->Run(network.weights, segment, noise, &state);
    };
  };
  const auto plain = [&](int64_t lifetimes, int64_t steps) {
    const learner::Segment segment = RandomSegment(lifetimes, steps);
    const Tensor features = network.own->Features(segment, torch::zeros({lifetimes, steps}));
    const Tensor noise = NormalTensor({lifetimes, steps}, 3);
    return [&network, features, noise, lifetimes] {
      auto state = network.own->InitialState(lifetimes, torch::kFloat32);
      network.plain.Run(network.weights, features, noise, &state);
    };
  };
  constexpr double kAll = kSegments;
  constexpr int64_t kPlainSteps = 200;
  constexpr double kPlainScale = static_cast<double>(kSegments * kSegment) / kPlainSteps;
  auto numbers =
      Measure(options.rounds, {{"run_s1_s", kAll, own(1)},
                               {"run_s15_s", kAll / 15, own(15)},
                               {"run_s30_s", kAll / 30, own(30)},
                               {"plain_s", kPlainScale, plain(1, kPlainSteps)},
                               {"plain_s15_s", kPlainScale / 15, plain(15, kPlainSteps)}});
  for (const int lifetimes : {15, 30}) {
    const std::string key = "s" + std::to_string(lifetimes);
    const double run = numbers.at("run_" + key + "_s");
    numbers["step_" + key + "_us"] = run * lifetimes / (kSegments * kSegment) * 1e6;
    numbers["speedup_" + key] = numbers.at("plain_s") / run;
  }
  return numbers;
}

std::map<std::string, double> BenchOuterPpo(const BenchRulesOptions& options) {
  const Network network;
  learner::Segment steps = RandomSegment(kLifetimes, kTrained);
  auto state = network.own->InitialState(kLifetimes, torch::kFloat32);
  const auto acted =
      network.own->Run(network.weights, steps, NormalTensor({kLifetimes, kTrained}, 3), &state);
  steps.signals = acted.signals;
  steps.signal_log_probs = acted.log_probs;
  const meta_learner::OuterPpoBatch batch = meta_learner::MakeOuterPpoBatch(
      *network.own, steps,
      meta_learner::StandardiseAdvantages(NormalTensor({kLifetimes, kTrained}, 4)), acted.values);
  const meta_learner::OuterPpoConfig config{.target_kl = std::nullopt, .k = kPiece};

  const auto epoch = [&] {
    Tensor weights = network.weights.clone();
    meta_learner::AdamState adam{torch::zeros_like(weights), torch::zeros_like(weights), 0};
    const int64_t displacement = kPiece / 2;
    MENTOR_CHECK(meta_learner::RunOuterPpo(*network.own, config, batch, {&displacement, 1}, weights,
                                           &adam, nullptr)
                     .ok());
  };
  const auto plain = [&] {
    const at::AutoGradMode gradients(true);
    const auto piece = [](const Tensor& x) { return x.narrow(1, 0, kPiece); };
    const Tensor leaf = network.weights.clone().requires_grad_(true);
    const auto evaluation =
        network.plain.Evaluate(leaf, piece(batch.features), piece(steps.signals),
                               network.own->InitialState(kLifetimes, torch::kFloat32).recurrent);
    const Tensor loss = (evaluation.log_probs + evaluation.log_stds + evaluation.values).mean();
    torch::autograd::grad({loss}, {leaf});
  };
  const Products products(network.plain.sizes);
  constexpr double kPieces = static_cast<double>(kTrained) / kPiece;
  auto numbers = Measure(options.rounds, {{"epoch_s", 1, epoch},
                                          {"plain_s", kPieces, plain},
                                          {"products_s", kPieces, [&] { products.Run(); }}});
  numbers["gflop"] = kPieces * products.flop() * 1e-9;
  numbers["speedup"] = numbers.at("plain_s") / numbers.at("epoch_s");
  numbers["of_products"] = numbers.at("products_s") / numbers.at("epoch_s");
  return numbers;
}

}  // namespace mentor::bench
