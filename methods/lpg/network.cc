#include "methods/lpg/network.h"

#include <vector>

namespace mentor::methods {
namespace {

using torch::Tensor;

constexpr int64_t kInputs = 6;  // Reward, end, discount, probability, phi before and after.

enum : int64_t { kPhiW1, kPhiB1, kPhiW2, kPhiB2, kWx, kWh, kB, kPiW, kPiB, kYW, kYB };

agents::ParamLayout Layout(const LpgSizes& sizes) {
  const auto& [m, embedding, lstm] = sizes;
  return agents::ParamLayout({{"phi.W1", {embedding, m}},
                              {"phi.b1", {embedding}},
                              {"phi.W2", {1, embedding}},
                              {"phi.b2", {1}},
                              {"lstm.Wx", {4 * lstm, kInputs}},
                              {"lstm.Wh", {4 * lstm, lstm}},
                              {"lstm.b", {4 * lstm}},
                              {"pi.W", {1, lstm}},
                              {"pi.b", {1}},
                              {"y.W", {m, lstm}},
                              {"y.b", {m}}});
}

}  // namespace

LpgNetwork::LpgNetwork(const LpgSizes& sizes) : sizes_(sizes), layout_(Layout(sizes)) {}

Tensor LpgNetwork::InitialWeights(uint64_t seed) const {
  Tensor weights = torch::zeros({layout_.size()}, torch::kFloat32);
  agents::FillMatrices(
      layout_, {.seed = seed, .purpose = Purpose::kSignalWeights},
      [](const std::string&) { return 1.0; }, weights);
  layout_.Part("lstm.b", weights).narrow(0, sizes_.lstm, sizes_.lstm).fill_(1);
  return weights;
}

LpgOutputs LpgNetwork::Forward(const Tensor& weights, const LpgInputs& in) const {
  const std::vector<Tensor> w = layout_.Split(weights);
  const int64_t steps = in.rewards.size(1), units = sizes_.lstm;
  const Tensor phi =
      torch::linear(torch::linear(in.y, w[kPhiW1], w[kPhiB1]).relu(), w[kPhiW2], w[kPhiB2])
          .squeeze(-1);
  const Tensor goes_on = 1 - in.dones;
  const Tensor x =
      torch::stack({in.rewards, in.dones, torch::full_like(in.rewards, in.gamma), in.probs,
                    phi.narrow(1, 0, steps), phi.narrow(1, 1, steps) * goes_on},
                   2);
  const std::vector<Tensor> of_inputs = torch::linear(x, w[kWx], w[kB]).unbind(1);
  Tensor h = torch::zeros({x.size(0), units}, x.options()), c = h;
  std::vector<Tensor> hidden(steps);
  for (int64_t t = steps - 1; t >= 0; --t) {
    // What comes after the end of an episode is not seen.
    const Tensor keep = goes_on.select(1, t).unsqueeze(1);
    const std::vector<Tensor> gates =
        torch::addmm(of_inputs[t], h * keep, w[kWh].t()).chunk(4, /*dim=*/1);
    c = gates[1].sigmoid() * (c * keep) + gates[0].sigmoid() * gates[2].tanh();
    h = gates[3].sigmoid() * c.tanh();
    hidden[t] = h;
  }
  const Tensor out = torch::stack(hidden, 1).relu();
  return {.pi_hat = torch::linear(out, w[kPiW], w[kPiB]).squeeze(-1),
          .log_y_hat = torch::linear(out, w[kYW], w[kYB]).log_softmax(-1)};
}

int64_t LpgNetwork::NumbersPerStep() const {
  return 24 * sizes_.lstm + 8 * sizes_.predictions + 4 * sizes_.embedding + 2 * kInputs;
}

}  // namespace mentor::methods
