// The slope of LPO's drift, and the gradient of the agents' loss with it, against finite
// differences.
#include "methods/lpo/drift.h"

#include <torch/csrc/autograd/autograd.h>

#include "agents/agent_shape.h"
#include "agents/ppo_loss.h"
#include "tests/golden.h"
#include "tests/normals.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

Tensor Normals(uint32_t number, at::IntArrayRef shape) {
  return testing::Normals({.seed = 43}, number, shape, torch::kFloat64);
}

Tensor Differences(const Tensor& x, const std::function<Tensor(const Tensor&)>& f) {
  constexpr double kStep = 1e-6;
  Tensor differences = torch::empty({x.numel()}, torch::kFloat64);
  for (int64_t i = 0; i < x.numel(); ++i) {
    Tensor unit = torch::zeros({x.numel()}, torch::kFloat64);
    unit[i] = kStep;
    unit = unit.reshape(x.sizes());
    differences[i] = (f(x + unit).sum() - f(x - unit).sum()) / (2 * kStep);
  }
  return differences.reshape(x.sizes());
}

TEST_CASE("grad: the slope of a drift", "[grad]") {
  for (const bool from_ppo : {true, false}) {
    const DriftNetwork network({.hidden = 6, .from_ppo = from_ppo});
    const Tensor weights = Normals(0, {3, network.layout().size()});
    const Tensor advantages = Normals(1, {3, 20});
    const Tensor at = (0.4 * Normals(2, {3, 20})).requires_grad_();
    const auto drift = [&](const Tensor& x) {
      return network.Drift(weights, x, advantages, /*clip=*/0.2);
    };
    const Tensor slope = torch::autograd::grad({drift(at).sum()}, {at})[0];
    testing::CheckNear("slope", slope, Differences(at.detach(), drift), {.rel = 1e-6, .abs = 1e-8});
    CHECK(slope.abs().max().item<double>() > 0.1);
  }
}

TEST_CASE("grad: the loss of an agent with a drift", "[grad]") {
  const agents::AgentShape shape{.observation_size = 3, .action_size = 2, .hidden_units = 4};
  const agents::ParamLayout layout = agents::AgentLayout(shape);
  const DriftNetwork network({.hidden = 6});
  const Tensor drifts = Normals(3, {2, network.layout().size()});
  const Tensor at = (0.4 * Normals(4, {2, layout.size()})).requires_grad_();
  const agents::Minibatch batch{.observations = Normals(5, {2, 12, 3}),
                                .actions = Normals(6, {2, 12, 2}),
                                .log_probs = Normals(7, {2, 12}) - 4,
                                .advantages = Normals(8, {2, 12}),
                                .returns = Normals(9, {2, 12}),
                                .values = Normals(10, {2, 12})};
  const auto loss = [&](const Tensor& theta) {
    return agents::PpoLoss(layout, theta, batch, {},
                           [&](const Tensor& log_ratio, const Tensor& advantages) {
                             return network.Drift(drifts, log_ratio, advantages, /*clip=*/0.2) -
                                    log_ratio.exp() * advantages;
                           })
        .loss;
  };
  const Tensor gradient = torch::autograd::grad({loss(at).sum()}, {at})[0];
  testing::CheckNear("gradient", gradient, Differences(at.detach(), loss),
                     {.rel = 1e-6, .abs = 1e-7});
  CHECK(gradient.abs().max().item<double>() > 1e-2);
}

}  // namespace mentor::methods::TEST_FILE
