#include "methods/lpg/network.h"

#include <vector>

#include "common/check.h"
#include "signals/plain_layers.h"

namespace mentor::methods {

using torch::Tensor;

namespace {

constexpr int64_t kInputs = 6;  // Reward, end, discount, probability, phi before and after.

enum : int64_t { kPhiW1, kPhiB1, kPhiW2, kPhiB2, kWx, kWh, kB, kPiW, kPiB, kYW, kYB };

}  // namespace

LpgSteps LpgSteps::Agents(int64_t first, int64_t count) const {
  const auto part = [&](const Tensor& x) { return x.narrow(0, first, count); };
  return {part(observations), part(actions), part(rewards), part(dones), part(probs), part(y)};
}

agents::ParamLayout LpgLayout(const LpgSizes& sizes) {
  const int64_t m = sizes.predictions, embedding = sizes.embedding, lstm = sizes.lstm;
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

Tensor InitialLpg(const LpgSizes& sizes, uint64_t seed) {
  const agents::ParamLayout layout = LpgLayout(sizes);
  Tensor weights = signals::OrthogonalWeights(layout, seed, [](const std::string&) { return 1.0; });
  layout.Part("lstm.b", weights).narrow(0, sizes.lstm, sizes.lstm).fill_(1);
  return weights;
}

LpgOutputs Ask(const LpgSizes& sizes, double gamma, const Tensor& weights, const LpgSteps& steps) {
  const int64_t agents = steps.rewards.size(0), all = steps.rewards.size(1), length = sizes.unroll,
                num_pieces = agents * all / length, m = sizes.predictions;
  MENTOR_CHECK(all % length == 0);
  const auto pieces = [&](const Tensor& x) { return x.reshape({num_pieces, length}); };
  const Tensor rewards = pieces(steps.rewards), dones = pieces(steps.dones), goes_on = 1 - dones;
  // Neighbours share the prediction between them.
  const Tensor y =
      steps.y.unfold(1, length + 1, length).transpose(2, 3).reshape({num_pieces, length + 1, m});
  const std::vector<Tensor> w = LpgLayout(sizes).Split(weights);
  const Tensor phi =
      torch::linear(torch::linear(y, w[kPhiW1], w[kPhiB1]).relu(), w[kPhiW2], w[kPhiB2])
          .squeeze(-1);
  const Tensor x =
      torch::stack({rewards, dones, torch::full_like(rewards, gamma), pieces(steps.probs),
                    phi.narrow(1, 0, length), phi.narrow(1, 1, length) * goes_on},
                   2);
  const std::vector<Tensor> of_inputs = torch::linear(x, w[kWx], w[kB]).unbind(1);
  Tensor h = torch::zeros({num_pieces, sizes.lstm}, x.options()), c = h;
  std::vector<Tensor> hidden(length);
  for (int64_t t = length - 1; t >= 0; --t) {
    // What comes after the end of an episode is not seen.
    const Tensor keep = goes_on.select(1, t).unsqueeze(1);
    const std::vector<Tensor> gates =
        torch::addmm(of_inputs[t], h * keep, w[kWh].t()).chunk(4, /*dim=*/1);
    c = gates[1].sigmoid() * (c * keep) + gates[0].sigmoid() * gates[2].tanh();
    h = gates[3].sigmoid() * c.tanh();
    hidden[t] = h;
  }
  const Tensor out = torch::stack(hidden, 1).relu();
  return {
      .pi_hat = torch::linear(out, w[kPiW], w[kPiB]).reshape({agents, all}),
      .log_y_hat = torch::linear(out, w[kYW], w[kYB]).log_softmax(-1).reshape({agents, all, m})};
}

int64_t LpgNumbersPerStep(const LpgSizes& sizes) {
  return 24 * sizes.lstm + 8 * sizes.predictions + 4 * sizes.embedding + 2 * kInputs;
}

}  // namespace mentor::methods
