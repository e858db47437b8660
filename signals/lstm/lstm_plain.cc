#include "signals/lstm/lstm_plain.h"

#include <cmath>

#include "common/exact_math.h"
#include "signals/plain_layers.h"

namespace mentor::signals {
namespace {

using torch::Tensor;

// Encoders and LSTM.
struct Trunk {
  std::vector<Tensor> parts;
  const Tensor &enc1_w = parts[0], &enc1_b = parts[1], &enc2_w = parts[2], &enc2_b = parts[3];
  const Tensor &w_ih = parts[4], &w_hh = parts[5], &b_ih = parts[6], &b_hh = parts[7];
};

struct Weights {
  std::vector<Tensor> parts;
  const Trunk trunk{{parts.begin(), parts.begin() + 8}};
  const Tensor &mean_w1 = parts[8], &mean_b1 = parts[9], &mean_w2 = parts[10], &mean_b2 = parts[11];
  const Tensor &mean_w3 = parts[12], &mean_b3 = parts[13];
  const Tensor &logstd_w1 = parts[14], &logstd_b1 = parts[15], &logstd_w2 = parts[16],
               &logstd_b2 = parts[17];
  const Tensor &critic_w1 = parts[18], &critic_b1 = parts[19], &critic_w2 = parts[20],
               &critic_b2 = parts[21];
};

// z from features [..., features], whose last `num_side` are the side inputs.
Tensor Encode(const Trunk& w, const Tensor& features, int64_t num_side) {
  const Tensor side = features.narrow(-1, features.size(-1) - num_side, num_side);
  const Tensor code1 =
      torch::cat({torch::relu(torch::linear(features, w.enc1_w, w.enc1_b)), side}, -1);
  return torch::cat({torch::relu(torch::linear(code1, w.enc2_w, w.enc2_b)), side}, -1);
}

// h and c [N, H] after one step.
void Cell(const Trunk& w, const Tensor& z, Tensor* h, Tensor* c) {
  const auto gates =
      (torch::linear(z, w.w_ih, w.b_ih) + torch::linear(*h, w.w_hh, w.b_hh)).chunk(4, -1);
  *c = torch::sigmoid(gates[1]) * *c + torch::sigmoid(gates[0]) * torch::tanh(gates[2]);
  *h = torch::sigmoid(gates[3]) * torch::tanh(*c);
}

// States [S, t, H] of the LSTM that runs backward, from its inputs [S, a + t, features]: those of
// the piece, without a graph to the steps after it.
Tensor Later(const Trunk& w, const Tensor& inputs, int64_t steps, const kernels::LstmSizes& sizes) {
  const Tensor z = Encode(w, inputs, sizes.side);
  const Tensor goes_on = inputs.select(-1, sizes.features - 1).eq(0).to(inputs.options());
  Tensor h = torch::zeros({inputs.size(0), sizes.hidden}, inputs.options()), c = h;
  std::vector<Tensor> states;
  const int64_t after = inputs.size(1) - steps;
  for (int64_t u = 0; u < inputs.size(1); ++u) {
    if (u == after) h = h.detach(), c = c.detach();
    const Tensor keep = goes_on.narrow(1, u, 1);
    h = h * keep;
    c = c * keep;
    Cell(w, z.select(1, u), &h, &c);
    if (u >= after) states.push_back(h);
  }
  return torch::stack(states, 1).flip(1);
}

Tensor Mean(const Weights& w, const Tensor& h) {
  Tensor x = torch::tanh(torch::linear(h, w.mean_w1, w.mean_b1));
  x = torch::tanh(torch::linear(x, w.mean_w2, w.mean_b2));
  return torch::atan(torch::linear(x, w.mean_w3, w.mean_b3)).squeeze(-1);
}

Tensor LogStd(const Weights& w, const Tensor& h, double log_initial_std) {
  const Tensor x = torch::tanh(torch::linear(h, w.logstd_w1, w.logstd_b1));
  return torch::linear(x, w.logstd_w2, w.logstd_b2).squeeze(-1) + log_initial_std;
}

Tensor Value(const Weights& w, const Tensor& h) {
  const Tensor x = torch::tanh(torch::linear(h, w.critic_w1, w.critic_b1));
  return torch::linear(x, w.critic_w2, w.critic_b2).squeeze(-1);
}

}  // namespace

Tensor LstmPlain::Forward(const Tensor& recorded, int64_t steps) const {
  return recorded.narrow(1, 0, steps).narrow(-1, 0, sizes.features);
}

Tensor LstmPlain::Backward(const Tensor& recorded) const {
  const Tensor known = recorded.narrow(-1, 0, sizes.features - 1);
  return torch::cat({known, recorded.narrow(-1, sizes.features, 1)}, -1).flip(1);
}

SignalOutputs LstmPlain::Run(const Tensor& weights, const Tensor& features, const Tensor& noise,
                             SignalState* state) const {
  const Weights w{layout.Split(weights)};
  const double log_initial_std = exact::Log(initial_std);
  Tensor h = state->recurrent[0], c = state->recurrent[1], previous = state->previous;
  std::vector<Tensor> signals, log_probs, values;
  Tensor later;
  if (sizes.both)
    later =
        Later({{w.parts.begin() + 22, w.parts.end()}}, Backward(features), features.size(1), sizes);
  for (int64_t t = 0; t < features.size(1); ++t) {
    const Tensor known = features.select(1, t).narrow(-1, 0, sizes.features - 1);
    Cell(w.trunk, Encode(w.trunk, torch::cat({known, previous.unsqueeze(-1)}, -1), sizes.side), &h,
         &c);
    const Tensor seen = sizes.both ? torch::cat({later.select(1, t), h}, -1) : h;
    const Tensor mean = Mean(w, seen);
    previous = mean;
    if (noise.defined()) {
      const Tensor log_std = LogStd(w, seen, log_initial_std);
      previous = mean + log_std.exp() * noise.select(1, t);
      log_probs.push_back(LogDensity(previous, mean, log_std));
      values.push_back(Value(w, seen));
    }
    signals.push_back(previous);
  }
  *state = {{h.detach(), c.detach()}, previous.detach()};
  SignalOutputs outputs;
  outputs.signals = torch::stack(signals, 1);
  if (noise.defined()) {
    outputs.log_probs = torch::stack(log_probs, 1);
    outputs.values = torch::stack(values, 1);
  }
  return outputs;
}

SignalEvaluation LstmPlain::Evaluate(const Tensor& weights, const Tensor& features,
                                     const Tensor& signals,
                                     const std::vector<Tensor>& recurrent) const {
  const Weights w{layout.Split(weights)};
  Tensor h = recurrent[0], c = recurrent[1];
  const int64_t steps = signals.size(1);
  const Tensor z = Encode(w.trunk, Forward(features, steps), sizes.side);
  std::vector<Tensor> states;
  for (int64_t t = 0; t < steps; ++t) {
    Cell(w.trunk, z.select(1, t), &h, &c);
    states.push_back(h);
  }
  Tensor all = torch::stack(states, 1);
  if (sizes.both) {
    const Trunk trunk{{w.parts.begin() + 22, w.parts.end()}};
    all = torch::cat({Later(trunk, Backward(features), steps, sizes), all}, -1);
  }
  const Tensor log_stds = LogStd(w, all, exact::Log(initial_std));
  return {.log_probs = LogDensity(signals, Mean(w, all), log_stds),
          .log_stds = log_stds,
          .values = Value(w, all),
          .final_recurrent = {h.detach(), c.detach()}};
}

}  // namespace mentor::signals
