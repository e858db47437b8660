#include "methods/disco/network.h"

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/rng.h"
#include "methods/shared/binned_value.h"

namespace mentor::methods {

using torch::Tensor;

namespace {

// Constants of the published rule (methods/disco/README.md#constants).
constexpr double kDiscount = 0.997, kLambda = 0.95, kDecay = 0.99, kValueCost = 0.2;
constexpr double kNormEpsilon = 1e-6, kRootEpsilon = 1e-12;
// Widths of small layers, and inputs: of a step, and of an action.
constexpr int64_t kEmbedding = 16, kChannels = 2, kOfStep = 23, kOfAction = 9;
constexpr char kLife[] = "lstm/~/meta_lstm/~unroll";

Tensor Steps(const Tensor& x) {  // Without the observation after the rollout.
  return x.narrow(0, 0, x.size(0) - 1);
}

Tensor Next(const Tensor& x) {
  return x.narrow(0, 1, x.size(0) - 1);
}

// The part of x [T, B, A, ...] that belongs to the actions [T, B].
Tensor Taken(const Tensor& x, const Tensor& actions) {
  Tensor index = actions.unsqueeze(2);
  if (x.dim() == 4) index = index.unsqueeze(3).expand({-1, -1, 1, x.size(3)});
  return x.gather(2, index).squeeze(2);
}

Tensor SignLog(const Tensor& x) {
  return x.sign() * x.abs().log1p();
}

// sum_i p_i (ln p_i - ln q_i) over the last axis, of logits.
Tensor Kl(const Tensor& p, const Tensor& q) {
  const Tensor log_p = p.log_softmax(-1);
  return (log_p.exp() * (log_p - q.log_softmax(-1))).sum(-1);
}

struct Estimates {
  Tensor v;                                 // [T + 1, B]
  Tensor q, advantages, action_advantages;  // [T + 1, B, A], [T, B], [T + 1, B, A]
  Tensor normal, normal_of_actions;         // The last two, normalised.
  Tensor target;                            // [T, B]
};

// Retrace with the target network's values and the agent's policy (methods/disco/README.md#values).
Estimates Estimate(const DiscoRollouts& r, Tensor* average) {
  const Tensor pi = r.own.logits.softmax(-1);
  Estimates e;
  e.v = (pi * BinnedValue(r.own.q)).sum(2);
  e.q = BinnedValue(r.target.q);
  const Tensor v = (pi * e.q).sum(2);
  const Tensor ratio = (Taken(Steps(r.own.logits).log_softmax(-1), r.actions) -
                        Taken(Steps(r.behaviour).log_softmax(-1), r.actions))
                           .exp();
  const Tensor c = kLambda * ratio.clamp_max(1), discount = kDiscount * (1 - r.terminal);
  const Tensor of_action = Taken(Steps(e.q), r.actions);
  const int64_t steps = r.rewards.size(0);
  std::vector<Tensor> targets(static_cast<size_t>(steps));
  Tensor next = v[steps];
  for (int64_t t = steps - 1; t >= 0; --t) {
    const Tensor g = r.rewards[t] + discount[t] * next;
    targets[static_cast<size_t>(t)] = g;
    next = v[t] + c[t] * (g - of_action[t]);
  }
  e.target = torch::stack(targets);
  e.advantages = e.target - Steps(v);
  e.action_advantages = e.q - v.unsqueeze(2);

  const Tensor a = e.advantages.to(torch::kFloat64);
  *average = torch::stack({kDecay * (*average)[0] + (1 - kDecay) * a.mean(),
                           kDecay * (*average)[1] + (1 - kDecay) * a.square().mean(),
                           kDecay * (*average)[2]});
  const Tensor weight = 1 - (*average)[2], mean = (*average)[0] / weight;
  const Tensor variance = ((*average)[1] / weight - mean.square()).clamp_min(0);
  const Tensor deviation = (variance + kRootEpsilon).sqrt() + kNormEpsilon;
  const auto normalised = [&](const Tensor& x) {
    return ((x.to(torch::kFloat64) - mean) / deviation).to(x.scalar_type());
  };
  e.normal = normalised(e.advantages);
  e.normal_of_actions = normalised(e.action_advantages);
  return e;
}

struct Inputs {
  Tensor step;    // [T, B, kOfStep + 2 kChannels]
  Tensor action;  // [T, B, A, kChannels]: embedded
};

// The weights by name, and what they do.
class Network {
 public:
  Network(const DiscoSizes& sizes, const Tensor& weights) {
    const agents::ParamLayout layout = DiscoLayout(sizes);
    const std::vector<Tensor> parts = layout.Split(weights);
    for (size_t i = 0; i < parts.size(); ++i) weights_[layout.slices()[i].name] = parts[i];
  }

  Tensor Linear(const std::string& name, const Tensor& x) const {
    const Tensor& w = weights_.at(name + "/w");
    return x.matmul(w.view({-1, w.size(-1)})) + weights_.at(name + "/b");
  }
  Tensor Embed(const std::string& name, const Tensor& x) const {
    return Linear(name + "/~/linear_1", Linear(name + "/~/linear_0", x).relu());
  }
  // Each action sees itself and the mean over actions.
  Tensor Mix(const std::string& name, const Tensor& x) const {
    return Linear(name, torch::cat({x, x.mean(2, /*keepdim=*/true).expand_as(x)}, 3)).relu();
  }
  // One step of an LSTM; input and *hidden have the same axes but the last.
  void Step(const std::string& name, const Tensor& input, Tensor* hidden, Tensor* cell) const {
    const std::vector<Tensor> gates =
        Linear(name + "/linear", torch::cat({input, *hidden}, -1)).chunk(4, -1);
    *cell = (gates[2] + 1).sigmoid() * *cell + gates[0].sigmoid() * gates[1].tanh();
    *hidden = gates[3].sigmoid() * cell->tanh();
  }
  // What one of the two LSTMs sees; `name` begins the names of its layers.
  Inputs See(const std::string& name, const DiscoRollouts& r, const Estimates& e) const;

 private:
  std::map<std::string, Tensor> weights_;
};

Inputs Network::See(const std::string& name, const DiscoRollouts& r, const Estimates& e) const {
  const Tensor pi = r.own.logits.softmax(-1), behaviour = r.behaviour.softmax(-1);
  const Tensor target_pi = r.target.logits.softmax(-1);
  std::vector<Tensor> of_step, of_action;
  const auto add = [&](const Tensor& x) { of_step.push_back(x.unsqueeze(2)); };  // [T, B]
  const auto add_taken = [&](const Tensor& x) { add(Taken(Steps(x), r.actions)); };
  const auto add_pair = [&](const Tensor& x) {  // [T + 1, B]: now and after the step
    add(Steps(x));
    add(Next(x));
  };
  add_taken(pi);
  add_taken(behaviour);
  add(SignLog(r.rewards));
  add(1 - r.terminal);
  add_pair(SignLog(e.v));
  add(SignLog(e.advantages));
  add(e.normal);
  add_taken(target_pi);
  for (const DiscoHeads* heads : {&r.own, &r.target})
    add_pair(Embed(name + "/mlp", heads->y.softmax(-1)).squeeze(-1));
  std::vector<Tensor> z;
  for (const DiscoHeads* heads : {&r.own, &r.target}) {
    z.push_back(Embed(name + "/mlp_1", heads->z.softmax(-1)).squeeze(-1));  // [T + 1, B, A]
    add_taken(z.back());
    add_pair((pi * z.back()).sum(2));
    add_pair(z.back().amax(2));
  }
  for (const Tensor& x : {pi, behaviour, target_pi, z[0], z[1], SignLog(e.q),
                          SignLog(e.action_advantages), e.normal_of_actions})
    of_action.push_back(Steps(x));
  of_action.push_back(torch::one_hot(r.actions, pi.size(2)).to(pi.scalar_type()));
  const Tensor action = Mix(name + "/sequential/conv1_d_1",
                            Mix(name + "/sequential/conv1_d", torch::stack(of_action, 3)));
  of_step.push_back(action.mean(2));
  of_step.push_back(Taken(action, r.actions));
  return {.step = torch::cat(of_step, 2), .action = action};
}

// Backward along the rollouts; an end of an episode hides what comes after it: [T, B, hidden].
Tensor AlongRollouts(const Network& network, int64_t units, const Tensor& x,
                     const Tensor& terminal) {
  const int64_t steps = x.size(0);
  Tensor hidden = torch::zeros({x.size(1), units}, x.options()), cell = hidden;
  std::vector<Tensor> outputs(static_cast<size_t>(steps));
  for (int64_t t = steps - 1; t >= 0; --t) {
    const Tensor goes_on = (1 - terminal[t]).unsqueeze(1);
    hidden = hidden * goes_on;
    cell = cell * goes_on;
    network.Step("lstm/lstm", x[t], &hidden, &cell);
    outputs[static_cast<size_t>(t)] = hidden;
  }
  return torch::stack(outputs);
}

}  // namespace

agents::ParamLayout DiscoLayout(const DiscoSizes& sizes) {
  std::map<std::string, std::vector<int64_t>> tensors;
  const auto add = [&](const std::string& name, std::vector<int64_t> matrix) {
    tensors[name + "/b"] = {matrix.back()};
    tensors[name + "/w"] = std::move(matrix);
  };
  const int64_t of_step = kOfStep + 2 * kChannels;
  for (const std::string& name : {std::string("lstm"), std::string(kLife)}) {
    for (const char* mlp : {"/mlp", "/mlp_1"}) {
      add(name + mlp + "/~/linear_0", {sizes.prediction, kEmbedding});
      add(name + mlp + "/~/linear_1", {kEmbedding, 1});
    }
    add(name + "/sequential/conv1_d", {1, 2 * kOfAction, kEmbedding});
    add(name + "/sequential/conv1_d_1", {1, 2 * kEmbedding, kChannels});
  }
  add("lstm/lstm/linear", {of_step + sizes.hidden, 4 * sizes.hidden});
  add("lstm/linear", {sizes.memory, sizes.hidden});
  add("lstm/linear_1", {sizes.hidden, 1});
  add("lstm/linear_2", {sizes.hidden, sizes.prediction});
  add("lstm/linear_3", {sizes.hidden, sizes.prediction});
  add("lstm/linear_4", {kEmbedding, 1});
  add("lstm/sequential_1/conv1_d", {1, 2 * (sizes.hidden + kChannels), kEmbedding});
  // Beside the step's inputs: a number of the rollout's LSTM, and y-hat embedded.
  add(absl::StrCat(kLife, "/mlp_2/~/linear_0"), {of_step + 2, kEmbedding});
  add(absl::StrCat(kLife, "/lstm/linear"), {kEmbedding + sizes.memory, 4 * sizes.memory});
  return agents::ParamLayout({tensors.begin(), tensors.end()});
}

Tensor RandomDisco(const DiscoSizes& sizes, uint64_t seed) {
  const agents::ParamLayout layout = DiscoLayout(sizes);
  Tensor weights = torch::zeros({layout.size()}, torch::kFloat32);
  const RandomStream random{.seed = seed, .purpose = Purpose::kSignalWeights};
  for (size_t i = 0; i < layout.slices().size(); ++i) {
    const agents::ParamSlice& slice = layout.slices()[i];
    if (slice.shape.size() < 2) continue;
    const auto inputs = static_cast<double>(slice.shape[slice.shape.size() - 2]);
    weights.narrow(0, slice.offset, slice.size)
        .copy_(1 / std::sqrt(inputs) *
               agents::Normals(random, static_cast<uint32_t>(i), {slice.size}));
  }
  return weights;
}

DiscoMemory NewDiscoMemory(const DiscoSizes& sizes, torch::Dtype dtype) {
  return {.hidden = torch::zeros({sizes.memory}, dtype),
          .cell = torch::zeros({sizes.memory}, dtype),
          .average = torch::tensor({0.0, 0.0, 1.0}, torch::kFloat64)};
}

DiscoTargets Teach(const DiscoSizes& sizes, const Tensor& weights, const DiscoRollouts& rollouts,
                   DiscoMemory* memory) {
  const c10::AutoGradMode gradients_off(false);
  const Network network(sizes, weights);
  const Estimates e = Estimate(rollouts, &memory->average);
  const Inputs seen = network.See("lstm", rollouts, e);
  const Tensor x = AlongRollouts(network, sizes.hidden, seen.step, rollouts.terminal) *
                   network.Linear("lstm/linear", memory->hidden);
  const Tensor of_action =
      torch::cat({x.unsqueeze(2).expand({-1, -1, seen.action.size(2), -1}), seen.action}, 3);
  DiscoTargets targets{
      .pi = network.Linear("lstm/linear_4", network.Mix("lstm/sequential_1/conv1_d", of_action))
                .squeeze(-1),
      .y = network.Linear("lstm/linear_2", x),
      .z = network.Linear("lstm/linear_3", x),
      .q = e.target,
      .advantages = e.normal};

  const std::string life = kLife;
  const Tensor input = network.Linear(
      life + "/mlp_2/~/linear_0",
      torch::cat({network.See(life, rollouts, e).step, network.Linear("lstm/linear_1", x),
                  network.Embed(life + "/mlp", targets.y.softmax(-1))},
                 2));
  network.Step(life + "/lstm", input.mean(at::IntArrayRef{0, 1}), &memory->hidden, &memory->cell);
  return targets;
}

DiscoLoss LossOf(const DiscoRollouts& r, const DiscoTargets& targets) {
  const Tensor next_policy = Next(r.own.logits).detach();
  const Tensor ahead = Kl(next_policy, Taken(Steps(r.own.aux), r.actions)) * (1 - r.terminal);
  const Tensor rule = Kl(targets.pi, Steps(r.own.logits)) + Kl(targets.y, Steps(r.own.y)) +
                      Kl(targets.z, Taken(Steps(r.own.z), r.actions)) + ahead;
  const Tensor value = kValueCost * BinnedLoss(Taken(Steps(r.own.q), r.actions), targets.q);
  return {.rule = rule, .value = value};
}

}  // namespace mentor::methods
