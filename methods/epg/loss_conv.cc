// The learned loss of evolved policy gradients (Houthooft et al. 2018;
// methods/epg/README.md#the-network). Two convolutions run over an agent's last N steps; every row
// of a minibatch sees their mean over time beside its own step. Each agent has its own weights.
#include <torch/types.h>

#include <cmath>
#include <memory>

#include "agents/param_layout.h"
#include "agents/policy.h"
#include "common/check.h"
#include "signals/plain_layers.h"
#include "signals/signal_network.h"

namespace mentor::methods::epg_loss_conv {
namespace {

using torch::Tensor;

constexpr int64_t kKernel1 = 6, kStride1 = 5, kKernel2 = 4, kStride2 = 2;
// The shortest buffer for which the second convolution has an output.
constexpr int64_t kLeastSteps = kKernel1 + kStride1 * (kKernel2 - 1);

Tensor Leaky(const Tensor& x) {
  return torch::leaky_relu(x, 0.2);
}

// x [S, N, F], weights [S, C, F, kernel], bias [S, C] -> [S, M, C], without padding.
Tensor Convolve(const Tensor& x, const Tensor& weights, const Tensor& bias, int64_t stride) {
  // [S, M, F, kernel]
  const Tensor windows = x.unfold(/*dimension=*/1, weights.size(3), stride);
  return agents::Affine(windows.flatten(2), weights.flatten(2), bias);
}

struct Config {
  int64_t conv1, conv2, trajectory, loss;
  signals::LossSizes sizes;
};

const auto kOptions = Bind<Config>(
    {{&Config::conv1, "conv1", "16", 1, 1024, "Channels of the first convolution, over 6 steps."},
     {&Config::conv2, "conv2", "32", 1, 1024, "Channels of the second, over 4 of the first's."},
     {&Config::trajectory, "trajectory", "32", 1, 1024,
      "Numbers that say of all steps what each row sees."},
     {&Config::loss, "loss", "16", 1, 1024, "Units of the hidden layer that sees a row."},
     {In(&Config::sizes, &signals::LossSizes::context), "context", "0", 0, 256,
      "Numbers of the agent that it learns beside its policy, for the loss alone; the paper has "
      "32."},
     {In(&Config::sizes, &signals::LossSizes::steps), "buffer", "512", kLeastSteps, 65536,
      "Last steps of the agent that the loss sees; at least lifetime.steps_per_iteration."}});

class LossConv : public signals::SignalNetwork, public signals::LearnedLoss {
 public:
  LossConv(const signals::SignalContext& context, const Config& config) : sizes_(config.sizes) {
    const auto& [conv1, conv2, trajectory, loss, sizes] = config;
    const int64_t outputs = (context.discrete_actions ? 1 : 2) * context.action_size;
    const int64_t features =
        context.observation_size + context.action_size + 2 + outputs + sizes_.context;
    layout_ = agents::ParamLayout({{"conv1.W", {conv1, features, kKernel1}},
                                   {"conv1.b", {conv1}},
                                   {"conv2.W", {conv2, conv1, kKernel2}},
                                   {"conv2.b", {conv2}},
                                   {"traj.W", {trajectory, conv2}},
                                   {"traj.b", {trajectory}},
                                   {"loss1.W", {loss, features + trajectory}},
                                   {"loss1.b", {loss}},
                                   {"loss2.W", {1, loss}},
                                   {"loss2.b", {1}}});
  }

  const signals::LearnedLoss* loss() const override { return this; }
  signals::LossSizes sizes() const override { return sizes_; }
  const agents::ParamLayout& layout() const override { return layout_; }

  int64_t NumbersPerStep(bool graph) const override {
    // The features are joined, and repeated where windows overlap.
    return signals::SignalNetwork::NumbersPerStep(graph) +
           (graph ? 8 : 4) * layout_.slices()[0].shape[1];
  }

  // Normals of variance 1 / (inputs of a unit).
  Tensor InitialWeights(uint64_t seed) const override {
    const RandomStream stream{.seed = seed, .purpose = Purpose::kSignalWeights};
    Tensor weights = torch::zeros({layout_.size()});
    for (size_t i = 0; i < layout_.slices().size(); ++i) {
      const agents::ParamSlice& slice = layout_.slices()[i];
      if (slice.shape.size() == 1) continue;
      const Tensor normals = agents::Normals(stream, static_cast<uint32_t>(i), {slice.size});
      const auto inputs = static_cast<double>(slice.size / slice.shape[0]);
      weights.narrow(0, slice.offset, slice.size).copy_(normals / std::sqrt(inputs));
    }
    return weights;
  }

  Tensor Loss(const Tensor& weights, const signals::LossInputs& in) const override {
    const std::vector<Tensor> w = layout_.Split(weights);
    MENTOR_CHECK(in.observations.size(1) == sizes_.steps);
    const Tensor context = in.context.tanh().unsqueeze(1);
    const auto with_context = [&](const Tensor& x, const Tensor& numbers) {
      return torch::cat({x, numbers.expand({-1, x.size(1), -1})}, 2);
    };
    const Tensor step = torch::cat(
        {in.observations, in.actions, in.rewards.unsqueeze(2), in.dones.unsqueeze(2), in.policy},
        2);
    Tensor trajectory = Leaky(Convolve(with_context(step, context.detach()), w[0], w[1], kStride1));
    trajectory = Leaky(Convolve(trajectory, w[2], w[3], kStride2)).mean(1, /*keepdim=*/true);
    trajectory = agents::Affine(trajectory, w[4], w[5]);
    const Tensor rows = in.rows.unsqueeze(2).expand({-1, -1, step.size(2)});
    Tensor row = with_context(step.gather(1, rows), context);
    row = torch::cat({row, trajectory.expand({-1, row.size(1), -1})}, 2);
    return agents::Affine(Leaky(agents::Affine(row, w[6], w[7])), w[8], w[9]).mean(1).squeeze(1);
  }

 private:
  const signals::LossSizes sizes_;
  agents::ParamLayout layout_;
};

const signals::RegisterSignal kLossConv({
    .name = "loss_conv",
    .summary = "A loss: convolutions over the agent's last steps (evolved policy gradients)",
    .options = kOptions.table(),
    .make = signals::MadeBy<LossConv>(kOptions),
    .columns =
        [](const signals::SignalContext& context, const OptionValues& options) {
          std::vector<signals::SignalColumn> columns = signals::StepColumns(context);
          columns.push_back({.name = "rewards"});
          columns.push_back({.name = "dones", .how = "1 where the episode ended with the step"});
          columns.push_back(
              {.name = "policy",
               .size = (context.discrete_actions ? 1 : 2) * context.action_size,
               .how = context.discrete_actions ? "probabilities" : "mean, then log-std"});
          if (const int64_t size = kOptions.Read(options).sizes.context; size > 0)
            columns.push_back({.name = "context", .size = size, .how = "tanh"});
          return columns;
        },
});

}  // namespace
}  // namespace mentor::methods::epg_loss_conv
