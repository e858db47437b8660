#include "methods/rl2/recurrent_policy.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include <absl/strings/str_format.h>

#include "agents/policy.h"
#include "common/cell_memory.h"
#include "common/check.h"
#include "common/exact_math.h"
#include "common/rng.h"
#include "kernels/lstm_sequence.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

constexpr int64_t kSizeMax = 4096;

// The named slices of flat weights.
class NamedSlices {
 public:
  NamedSlices(agents::ParamLayout layout, const Tensor& weights)
      : layout_(std::move(layout)), parts_(layout_.Split(weights)) {}
  const Tensor& operator[](const char* name) const { return parts_[layout_.IndexOf(name)]; }

 private:
  const agents::ParamLayout layout_;
  const std::vector<Tensor> parts_;
};

double Gain(const std::string& name) {
  if (name == "mean.W3" || name == "logstd.W2") return 0.01;
  if (name == "critic.W2" || name.starts_with("lstm.")) return 1.0;
  return std::sqrt(2.0);
}

// Reads the memories of some lifetimes along their recorded steps.
class MemoryReader {
 public:
  // Writes the columns of m into features [N, L, features]. observations are [N, L, D].
  MemoryReader(const RecurrentPolicy& policy, Tensor features, const Tensor& observations)
      : memory_(*policy.memory),
        features_(std::move(features)),
        contexts_(observations.narrow(2, 0, memory_.context_size).contiguous()),
        starts_(features_.select(2, policy.inputs() - 1).clone()),
        given_(torch::zeros({features_.size(0), policy.lstm})),
        memories_(static_cast<size_t>(features_.size(0)),
                  CellMemory<float>(memory_.radius, static_cast<size_t>(memory_.capacity))),
        began_(memories_.size(), 0),
        episodes_(memories_.size(), 0),
        hits_(memories_.size(), 0) {
    starts_.select(1, 0).fill_(1);
  }

  // The first step after `begin`, at most `end`, at which a lifetime begins an episode.
  int64_t NextStart(int64_t begin, int64_t end) const {
    for (int64_t t = begin + 1; t < end; ++t) {
      if (starts_.select(1, t).ne(0).any().item<bool>()) return t;
    }
    return end;
  }

  // Enters steps [begin, end), in which episodes begin only at `begin`; c [N, H] is the cell after
  // the steps before. Writes what ended, then reads.
  void Enter(int64_t begin, int64_t end, const Tensor& c) {
    const Tensor cells = c.contiguous();
    const auto width = static_cast<size_t>(given_.size(1));
    for (size_t l = 0; l < memories_.size(); ++l) {
      const auto row = static_cast<int64_t>(l);
      if (starts_[row][begin].item<float>() == 0) continue;
      if (begin > 0)
        memories_[l].Add(ContextOf(row, began_[l]), {cells[row].const_data_ptr<float>(), width});
      began_[l] = begin;
      const std::span<const float> found = memories_[l].Find(ContextOf(row, begin));
      given_[row].zero_();
      std::copy(found.begin(), found.end(), given_[row].mutable_data_ptr<float>());
      ++episodes_[l];
      hits_[l] += found.empty() ? 0 : 1;
    }
    features_.narrow(1, begin, end - begin)
        .narrow(2, features_.size(2) - given_.size(1), given_.size(1))
        .copy_(given_.unsqueeze(1));
  }

  // Sum over the lifetimes, in their order, of the share of episodes that found a memory.
  double Hits() const {
    double sum = 0;
    for (size_t l = 0; l < hits_.size(); ++l)
      sum += static_cast<double>(hits_[l]) / static_cast<double>(episodes_[l]);
    return sum;
  }

 private:
  std::span<const float> ContextOf(int64_t lifetime, int64_t step) const {
    return {contexts_[lifetime][step].const_data_ptr<float>(),
            static_cast<size_t>(memory_.context_size)};
  }

  const EpisodicMemory memory_;
  const Tensor features_;
  const Tensor contexts_;  // [N, L, n]
  const Tensor starts_;    // [N, L]: 1 where an episode begins
  const Tensor given_;     // [N, H]: m of the running episodes
  std::vector<CellMemory<float>> memories_;
  std::vector<int64_t> began_, episodes_, hits_;  // [N]: the running episode's first step, counts
};

}  // namespace

agents::ParamLayout RecurrentPolicy::Layout() const {
  agents::NamedShapes tensors = {{"enc1.W", {encoder1, inputs()}},
                                 {"enc1.b", {encoder1}},
                                 {"enc2.W", {encoder2, encoder1 + kSide}},
                                 {"enc2.b", {encoder2}},
                                 {"lstm.W_ih", {gates() * lstm, encoder2 + kSide}},
                                 {"lstm.W_hh", {gates() * lstm, lstm}},
                                 {"lstm.b_ih", {gates() * lstm}},
                                 {"lstm.b_hh", {gates() * lstm}},
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
  return agents::ParamLayout(std::move(tensors));
}

Tensor RecurrentPolicy::InitialWeights(double initial_std, uint64_t seed) const {
  MENTOR_CHECK(initial_std > 0);
  const agents::ParamLayout layout = Layout();
  Tensor weights = torch::zeros({layout.size()});
  const RandomStream stream{.seed = seed, .purpose = Purpose::kAgentWeights};
  agents::FillMatrices(layout, stream, Gain, weights);
  if (!discrete) layout.Part("logstd.b2", weights).fill_(exact::Log(initial_std));
  if (memory)
    layout.Part("lstm.b_ih", weights).narrow(0, 4 * lstm, lstm).fill_(memory->reinstate_bias);
  return weights;
}

std::vector<Tensor> RecurrentPolicy::InitialState(int64_t num_lifetimes, torch::Dtype dtype) const {
  return {torch::zeros({num_lifetimes, lstm}, dtype), torch::zeros({num_lifetimes, lstm}, dtype)};
}

RecurrentOutputs RecurrentPolicy::Forward(const Tensor& weights, const Tensor& features,
                                          const std::vector<Tensor>& state) const {
  const NamedSlices w(Layout(), weights);
  const Tensor all = features.transpose(0, 1).contiguous();  // [t, N, features]
  const Tensor x = all.narrow(-1, 0, inputs());
  kernels::LstmEpisodes episodes;
  if (memory) {
    episodes.reinstated = all.narrow(-1, inputs(), lstm).tanh();
    if (memory->reset_at_episode) episodes.starts = x.select(-1, inputs() - 1);
  }
  const Tensor side = x.narrow(-1, x.size(-1) - kSide, kSide);
  const Tensor code1 = torch::cat({torch::linear(x, w["enc1.W"], w["enc1.b"]).relu(), side}, -1);
  const Tensor z = torch::cat({torch::linear(code1, w["enc2.W"], w["enc2.b"]).relu(), side}, -1);
  const Tensor gates_x = torch::linear(z, w["lstm.W_ih"], w["lstm.b_ih"] + w["lstm.b_hh"]);
  const kernels::LstmStates states =
      kernels::LstmSequence(gates_x, w["lstm.W_hh"], state[0], state[1], episodes);

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
  if (memory) outputs.reinstate_gate = states.r.transpose(0, 1);
  outputs.final_state = {states.h[states.h.size(0) - 1].detach().clone(), states.final_c};
  return outputs;
}

v1::PolicyWeights RecurrentPolicy::ToPolicyWeights(const Tensor& weights) const {
  const agents::ParamLayout layout = Layout();
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
  if (memory) {
    v1::EpisodicMemory* const sizes = policy.mutable_recurrent()->mutable_memory();
    sizes->set_radius(memory->radius);
    sizes->set_capacity(static_cast<uint32_t>(memory->capacity));
    sizes->set_context_size(static_cast<uint32_t>(memory->context_size));
    sizes->set_reset_at_episode(memory->reset_at_episode);
  }
  policy.set_weights(numbers.const_data_ptr(), static_cast<size_t>(count) * sizeof(float));
  return policy;
}

const BoundOptions<RecurrentConfig>& RecurrentOptions() {
  static const auto options = Bind<RecurrentConfig>(
      {{In(&RecurrentConfig::policy, &RecurrentPolicy::encoder1), "encoder1", "126", 1, kSizeMax,
        "Units of the policy's first layer."},
       {In(&RecurrentConfig::policy, &RecurrentPolicy::encoder2), "encoder2", "30", 1, kSizeMax,
        "Units of the policy's second layer."},
       {In(&RecurrentConfig::policy, &RecurrentPolicy::lstm), "lstm_units", "256", 1, kSizeMax,
        "Units of the policy's LSTM, its memory."},
       {In(&RecurrentConfig::policy, &RecurrentPolicy::heads), "head_units", "128", 1, kSizeMax,
        "Units of the hidden layers behind the LSTM: mean and std."},
       {In(&RecurrentConfig::policy, &RecurrentPolicy::critic), "critic_units", "512", 1, kSizeMax,
        "Units of the hidden layer behind the LSTM: value."},
       {&RecurrentConfig::episodic,
        "memory",
        {{"none", false}, {"episodic", true}},
        "What the policy has beside its LSTM: nothing, or the LSTM's cells at the ends of earlier "
        "episodes, found again by their contexts."},
       {In(&RecurrentConfig::memory, &EpisodicMemory::radius), "reinstate_radius", "0.5", 0, 1e300,
        "With memory episodic: the squared distance of contexts beyond which nothing is found."},
       {In(&RecurrentConfig::memory, &EpisodicMemory::capacity), "capacity", "1000", 1, 1e6,
        "With memory episodic: episodes that it holds; the oldest gives way."},
       {In(&RecurrentConfig::memory, &EpisodicMemory::context_size), "context_size", "0", 0, 65536,
        "With memory episodic: numbers of an episode's first observation that are its context, the "
        "first ones; 0: all."},
       {In(&RecurrentConfig::memory, &EpisodicMemory::reset_at_episode), "reset_at_episode", true,
        "With memory episodic: the LSTM's state is 0 at the beginning of each episode, so that "
        "only memory carries over."},
       {In(&RecurrentConfig::memory, &EpisodicMemory::reinstate_bias), "reinstate_bias", "1", -10,
        10,
        "With memory episodic: bias with which the gate begins that lets what was found into the "
        "cell."},
       {&RecurrentConfig::regression,
        "loss",
        {{"ppo", false}, {"squared", true}},
        "What the policy descends: the loss of outer PPO, or the mean over steps of the squared "
        "distance of its mean from the label, of environments that have labels."}});
  return options;
}

RecurrentConfig ReadRecurrent(const OptionValues& options, const v1::EnvironmentShape& shape) {
  RecurrentConfig config =
      RecurrentOptions().Read(options, {.policy = {.observation_size = shape.observation_size(),
                                                   .action_size = shape.action_size(),
                                                   .discrete = shape.discrete_actions()}});
  if (config.episodic) {
    config.policy.memory = config.memory;
    if (config.memory.context_size == 0)
      config.policy.memory->context_size = config.policy.observation_size;
  }
  return config;
}

void CheckEpisodicMemory(const RecurrentPolicy& policy, int64_t episode_steps,
                         int64_t lifetime_steps, Violations* violations) {
  if (!policy.memory) return;
  if (episode_steps > lifetime_steps) {
    violations->Add(
        "lifetime.steps_per_iteration",
        absl::StrFormat("is %d; memory 'episodic' is written at the ends of episodes, which have "
                        "%d steps: raise it to several episodes, or set rule.option.memory to none",
                        lifetime_steps, episode_steps));
  }
  if (policy.memory->context_size > policy.observation_size) {
    violations->Add("rule.option.context_size",
                    absl::StrFormat("is %d; an observation has %d numbers: set it to at most that, "
                                    "or to 0 for all of them",
                                    policy.memory->context_size, policy.observation_size));
  }
  const int64_t entries = std::min(policy.memory->capacity, lifetime_steps);
  if (!CellMemoryFits(entries, policy.memory->context_size, policy.lstm)) {
    violations->Add(
        "rule.option.capacity",
        absl::StrFormat("is %d; a lifetime's memory of that many contexts of %d numbers "
                        "and cells of %d could take more than %d MiB: lower it",
                        policy.memory->capacity, policy.memory->context_size, policy.lstm,
                        kCellMemoryBytesMax >> 20));
  }
}

Tensor RecurrentFeatures(const agents::Segment& lifetimes) {
  // Moves values from step t - 1 to step t.
  const auto previous = [](const Tensor& x) {
    return torch::cat({torch::zeros_like(x.narrow(1, 0, 1)), x.narrow(1, 0, x.size(1) - 1)}, 1);
  };
  return torch::cat(
      {lifetimes.observations, previous(lifetimes.actions),
       previous(lifetimes.success_signals).unsqueeze(-1), lifetimes.prev_done.unsqueeze(-1)},
      -1);
}

absl::StatusOr<RecurrentLives> LiveAgain(const RecurrentPolicy& policy, const Tensor& weights,
                                         const agents::Segment& lifetimes,
                                         agents::WorkerPool* pool) {
  RecurrentLives lives{.features = RecurrentFeatures(lifetimes), .values = {}};
  if (policy.memory) lives.features = torch::constant_pad_nd(lives.features, {0, policy.lstm});
  const int64_t agents = lives.features.size(0), steps = lives.features.size(1);
  const int64_t groups = (agents + kLivesAtOnce - 1) / kLivesAtOnce;
  lives.values = torch::empty({agents, steps});
  std::vector<double> hits(static_cast<size_t>(groups), 0), gates(hits);
  MENTOR_RETURN_IF_ERROR(agents::ParallelFor(pool, groups, [&](int64_t group) {
    const int64_t first = group * kLivesAtOnce, count = std::min(kLivesAtOnce, agents - first);
    const auto own = [&](const Tensor& x) { return x.narrow(0, first, count); };
    const Tensor features = own(lives.features), values = own(lives.values);
    std::optional<MemoryReader> reader;
    if (policy.memory) reader.emplace(policy, features, own(lifetimes.observations));
    std::vector<Tensor> state = policy.InitialState(count, torch::kFloat32);
    int64_t end = 0;
    for (int64_t begin = 0; begin < steps; begin = end) {
      end = std::min(begin + kLifeStepsAtOnce, steps);
      if (reader) {
        end = reader->NextStart(begin, end);
        reader->Enter(begin, end, state[1]);
      }
      RecurrentOutputs outputs =
          policy.Forward(weights, features.narrow(1, begin, end - begin), state);
      values.narrow(1, begin, end - begin).copy_(outputs.values);
      state = std::move(outputs.final_state);
      if (reader) gates[group] += outputs.reinstate_gate.sum(torch::kFloat64).item<double>();
    }
    if (reader) hits[group] = reader->Hits();
    return absl::OkStatus();
  }));
  for (int64_t group = 0; group < groups; ++group) {
    lives.memory_hits += hits[group] / static_cast<double>(agents);
    lives.reinstate_gate += gates[group] / static_cast<double>(agents * steps * policy.lstm);
  }
  return lives;
}

Tensor RecurrentLogProb(const RecurrentOutputs& outputs, const Tensor& actions) {
  if (!outputs.log_std.defined()) return agents::LogProb(outputs.mean, {}, actions);
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

}  // namespace mentor::methods
