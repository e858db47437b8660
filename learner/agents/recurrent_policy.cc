#include "learner/agents/recurrent_policy.h"

#include <cmath>
#include <string>

#include "common/check.h"
#include "common/exact_math.h"
#include "common/rng.h"
#include "learner/agents/orthogonal.h"
#include "learner/agents/policy.h"
#include "learner/kernels/lstm_sequence.h"

namespace mentor::learner {
namespace {

using torch::Tensor;

constexpr int64_t kSizeMax = 4096;

// The named slices of flat weights.
class Parts {
 public:
  Parts(ParamLayout layout, const Tensor& weights)
      : layout_(std::move(layout)), parts_(layout_.Split(weights)) {}
  const Tensor& operator[](const char* name) const { return parts_[layout_.IndexOf(name)]; }

 private:
  const ParamLayout layout_;
  const std::vector<Tensor> parts_;
};

double Gain(const std::string& name) {
  if (name == "mean.W3" || name == "logstd.W2") return 0.01;
  if (name == "critic.W2" || name.starts_with("lstm.")) return 1.0;
  return std::sqrt(2.0);
}

}  // namespace

ParamLayout RecurrentPolicy::Layout() const {
  NamedShapes tensors = {{"enc1.W", {encoder1, features()}},
                         {"enc1.b", {encoder1}},
                         {"enc2.W", {encoder2, encoder1 + kSide}},
                         {"enc2.b", {encoder2}},
                         {"lstm.W_ih", {4 * lstm, encoder2 + kSide}},
                         {"lstm.W_hh", {4 * lstm, lstm}},
                         {"lstm.b_ih", {4 * lstm}},
                         {"lstm.b_hh", {4 * lstm}},
                         {"mean.W1", {heads, lstm}},
                         {"mean.b1", {heads}},
                         {"mean.W2", {heads, heads}},
                         {"mean.b2", {heads}},
                         {"mean.W3", {action_size, heads}},
                         {"mean.b3", {action_size}}};
  if (!discrete) {
    tensors.insert(tensors.end(), {{"logstd.W1", {heads, lstm}},
                                   {"logstd.b1", {heads}},
                                   {"logstd.W2", {action_size, heads}},
                                   {"logstd.b2", {action_size}}});
  }
  tensors.insert(tensors.end(), {{"critic.W1", {critic, lstm}},
                                 {"critic.b1", {critic}},
                                 {"critic.W2", {1, critic}},
                                 {"critic.b2", {1}}});
  return ParamLayout(std::move(tensors));
}

Tensor RecurrentPolicy::InitialWeights(double initial_std, uint64_t seed) const {
  MENTOR_CHECK(initial_std > 0);
  const ParamLayout layout = Layout();
  Tensor weights = torch::zeros({layout.size()});
  const RandomStream stream{.seed = seed, .purpose = Purpose::kAgentWeights};
  FillMatrices(layout, stream, Gain, weights);
  if (!discrete) layout.Part("logstd.b2", weights).fill_(exact::Log(initial_std));
  return weights;
}

std::vector<Tensor> RecurrentPolicy::InitialState(int64_t num_lifetimes, torch::Dtype dtype) const {
  return {torch::zeros({num_lifetimes, lstm}, dtype), torch::zeros({num_lifetimes, lstm}, dtype)};
}

RecurrentOutputs RecurrentPolicy::Forward(const Tensor& weights, const Tensor& features,
                                          const std::vector<Tensor>& state) const {
  const Parts w(Layout(), weights);
  const Tensor x = features.transpose(0, 1).contiguous();  // [t, N, features]
  const Tensor side = x.narrow(-1, x.size(-1) - kSide, kSide);
  const Tensor code1 = torch::cat({torch::linear(x, w["enc1.W"], w["enc1.b"]).relu(), side}, -1);
  const Tensor z = torch::cat({torch::linear(code1, w["enc2.W"], w["enc2.b"]).relu(), side}, -1);
  const Tensor gates_x = torch::linear(z, w["lstm.W_ih"], w["lstm.b_ih"] + w["lstm.b_hh"]);
  const LstmStates states = LstmSequence(gates_x, w["lstm.W_hh"], state[0], state[1]);

  const auto layer = [&](const Tensor& input, const char* weight, const char* bias) {
    return torch::linear(input, w[weight], w[bias]);
  };
  RecurrentOutputs outputs;
  const Tensor mean1 = layer(states.h, "mean.W1", "mean.b1").tanh();
  outputs.mean =
      layer(layer(mean1, "mean.W2", "mean.b2").tanh(), "mean.W3", "mean.b3").transpose(0, 1);
  if (!discrete) {
    outputs.log_std =
        layer(layer(states.h, "logstd.W1", "logstd.b1").tanh(), "logstd.W2", "logstd.b2")
            .transpose(0, 1);
  }
  outputs.values = layer(layer(states.h, "critic.W1", "critic.b1").tanh(), "critic.W2", "critic.b2")
                       .squeeze(-1)
                       .transpose(0, 1);
  outputs.final_state = {states.h[states.h.size(0) - 1].detach().clone(), states.final_c};
  return outputs;
}

v1::PolicyWeights RecurrentPolicy::ToPolicyWeights(const Tensor& weights) const {
  const ParamLayout layout = Layout();
  const int64_t count = layout.slices()[layout.IndexOf("critic.W1")].offset;
  const Tensor numbers =
      weights.detach().to(torch::kCPU, torch::kFloat32).narrow(0, 0, count).contiguous();
  v1::PolicyWeights policy;
  policy.set_network(v1::POLICY_NETWORK_RECURRENT);
  policy.set_discrete(discrete);
  policy.set_observation_size(static_cast<uint32_t>(observation_size));
  policy.set_action_size(static_cast<uint32_t>(action_size));
  policy.mutable_recurrent()->set_encoder1(static_cast<uint32_t>(encoder1));
  policy.mutable_recurrent()->set_encoder2(static_cast<uint32_t>(encoder2));
  policy.mutable_recurrent()->set_lstm(static_cast<uint32_t>(lstm));
  policy.mutable_recurrent()->set_heads(static_cast<uint32_t>(heads));
  policy.set_weights(numbers.const_data_ptr(), static_cast<size_t>(count) * sizeof(float));
  return policy;
}

OptionTable RecurrentPolicyOptions() {
  const auto size = [](const char* name, const char* value, const char* help) {
    return IntegerOption(name, value, 1, kSizeMax, help);
  };
  return {size("encoder1", "126", "Units of the policy's first layer."),
          size("encoder2", "30", "Units of the policy's second layer."),
          size("lstm_units", "256", "Units of the policy's LSTM, its memory."),
          size("head_units", "128", "Units of the hidden layers behind the LSTM: mean and std."),
          size("critic_units", "512", "Units of the hidden layer behind the LSTM: value.")};
}

RecurrentPolicy ReadRecurrentPolicy(const OptionValues& options,
                                    const v1::EnvironmentShape& shape) {
  return {.observation_size = shape.observation_size(),
          .action_size = shape.action_size(),
          .discrete = shape.discrete_actions(),
          .encoder1 = options.Integer("encoder1"),
          .encoder2 = options.Integer("encoder2"),
          .lstm = options.Integer("lstm_units"),
          .heads = options.Integer("head_units"),
          .critic = options.Integer("critic_units")};
}

Tensor RecurrentFeatures(const Segment& lifetimes) {
  // What was at step t - 1.
  const auto previous = [](const Tensor& x) {
    return torch::cat({torch::zeros_like(x.narrow(1, 0, 1)), x.narrow(1, 0, x.size(1) - 1)}, 1);
  };
  return torch::cat(
      {lifetimes.observations, previous(lifetimes.actions),
       previous(lifetimes.success_signals).unsqueeze(-1), lifetimes.prev_done.unsqueeze(-1)},
      -1);
}

Tensor RecurrentLogProb(const RecurrentOutputs& outputs, const Tensor& actions) {
  if (!outputs.log_std.defined()) return LogProb(outputs.mean, {}, actions);
  const Tensor z = (actions - outputs.mean) / outputs.log_std.exp();
  return (-0.5 * z.square() - outputs.log_std - exact::kHalfLogTwoPi).sum(-1);
}

Tensor RecurrentEntropy(const RecurrentOutputs& outputs) {
  if (!outputs.log_std.defined()) {
    const Tensor log_probs = outputs.mean.log_softmax(-1);
    return -(log_probs.exp() * log_probs).sum(-1);
  }
  return (outputs.log_std + (0.5 + exact::kHalfLogTwoPi)).sum(-1);
}

}  // namespace mentor::learner
