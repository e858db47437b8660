// Agents that remember what came of their actions (methods/episodic_control/README.md). Model-free
// episodic control (Blundell et al. 2016) writes the best return of each key. Neural episodic
// control (Pritzel et al. 2017) moves values towards n-step targets and may train its keys. Tables
// change only between inner iterations, from episodes that ended, so a unit has one policy
// throughout. Steps of an open episode wait for its end. Nothing is meta-learned.
#include "methods/episodic_control/loop.h"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "agents/adam.h"
#include "agents/worker_pool.h"
#include "common/check.h"
#include "methods/base/loop_parts.h"

namespace mentor::methods {
namespace episodic_loop {

using torch::Tensor;

// Room in messages to actors (rpc::StreamOptions), less the rest of the message.
constexpr int64_t kPolicyBytesMax = int64_t{60} << 20;

// Steps in their order: of an open episode, or the ones that NEC trains on.
struct Steps {
  std::vector<float> observations;  // [n, D]
  std::vector<int64_t> actions;     // [n]
  std::vector<double> rewards;      // [n]
  std::vector<double> values;       // [n]: of the action when it was taken; NEC only
  std::vector<double> greatest;     // [n]: the greatest value of all actions then; NEC only
};

// A ring: a new step replaces the step `oldest` once there is no room.
struct Replay {
  std::vector<float> observations, targets;  // [n, D], [n]
  std::vector<int64_t> actions;              // [n]
  int64_t oldest = 0;

  int64_t size() const { return static_cast<int64_t>(actions.size()); }
};

struct Agent {
  std::vector<EpisodicTable<float>> tables;  // [A]
  agents::AgentBatch encoder;                // [1, P]: weights of the key network and Adam
  Replay replay;
  Steps pending;
  int64_t clock = 0;  // Writes so far, into all tables.

  const float* weights() const { return encoder.theta.const_data_ptr<float>(); }
};

// The steps of an agent in an inner iteration.
struct Counts {
  int64_t writes = 0, hits = 0, evicted = 0, episodes = 0, episode_steps = 0;
  // Squared differences between targets and the values that the steps acted on, summed.
  double squared_errors = 0;
  uint64_t nonfinite = 0;
};

// Upper bounds of what one agent holds, in numbers of four bytes.
struct Bounds {
  int64_t rows = 0;    // In all its tables.
  int64_t policy = 0;  // In the form that actors get.
  int64_t saved = 0;   // In a snapshot.
};

Bounds BoundsOf(const EpisodicConfig& config, const v1::Shard& shard) {
  // A step writes one row.
  const int64_t steps =
      int64_t{shard.spec().lifetime().iterations()} * shard.spec().lifetime().steps_per_iteration();
  const int64_t d = config.network.observation, weights = config.network.num_weights();
  Bounds bounds;
  bounds.rows = std::min(config.capacity * config.actions, steps);
  bounds.policy = weights + config.actions + bounds.rows * (config.network.key + 1);
  // Observations, an action and two or three doubles.
  const int64_t step = d + 2 + 2 * 3;
  bounds.saved = 3 * weights + bounds.rows * (config.network.key + 3 + (config.nec ? d : 0)) +
                 std::min<int64_t>(steps, shard.shape().episode_steps()) * step +
                 (config.trains() ? std::min(steps, config.replay) * (d + 3) : 0) +
                 2 * config.actions + 16;
  return bounds;
}

// The random network that an agent begins with. Weights are normals: in the first layer times 3 /
// sqrt(D), in others over the square root of their inputs; a single layer over sqrt(K). Biases are
// 0.
Tensor InitialWeights(const KeyNetwork& network, const RandomStream& random) {
  Tensor weights = torch::zeros({1, network.num_weights()});
  const auto fill = [&](uint32_t tensor, int64_t offset, int64_t count, double scale) {
    std::vector<double> normals(static_cast<size_t>(count));
    random.Normals(tensor, normals);
    float* const first = weights.mutable_data_ptr<float>() + offset;
    for (size_t i = 0; i < normals.size(); ++i) first[i] = static_cast<float>(scale * normals[i]);
  };
  const int64_t d = network.observation, h = network.hidden, k = network.key;
  const auto root = [](int64_t size) { return std::sqrt(static_cast<double>(size)); };
  if (h > 0) {
    fill(0, 0, h * d, 3 / root(d));
    fill(2, h * d + h, k * h, 1 / root(h));
  } else if (!network.is_identity()) {
    fill(0, 0, k * d, 1 / root(k));
  }
  return weights;
}

// Numbers of one kind of all agents, one agent after the other.
template <typename T>
struct Joined {
  std::vector<T> numbers;
  void Add(std::span<const T> more) { numbers.insert(numbers.end(), more.begin(), more.end()); }
  // [n / width, width], or [n] with width 0.
  Tensor ToTensor(int64_t width = 0) const {
    const auto size = static_cast<int64_t>(numbers.size());
    const std::vector<int64_t> shape =
        width > 0 ? std::vector<int64_t>{size / width, width} : std::vector<int64_t>{size};
    Tensor all = torch::empty(shape, c10::CppTypeToScalarType<T>::value);
    std::copy(numbers.begin(), numbers.end(), all.mutable_data_ptr<T>());
    return all;
  }
};

// The numbers of a saved tensor, taken piece by piece.
template <typename T>
class Pieces {
 public:
  // [rows, width], or [rows] with width 0.
  absl::Status Read(const TensorMap& state, const std::string& name, int64_t rows,
                    int64_t width = 0) {
    width_ = std::max<int64_t>(1, width);
    const std::vector<int64_t> shape =
        width > 0 ? std::vector<int64_t>{rows, width} : std::vector<int64_t>{rows};
    MENTOR_ASSIGN_OR_RETURN(
        tensor_,
        ReadTensor(state, name, shape, c10::CppTypeToScalarType<T>::value, "the inner loop"));
    left_ = {tensor_.const_data_ptr<T>(), static_cast<size_t>(tensor_.numel())};
    return absl::OkStatus();
  }
  std::span<const T> Take(int64_t rows) {
    const auto count = static_cast<size_t>(rows * width_);
    const std::span<const T> taken = left_.first(count);
    left_ = left_.subspan(count);
    return taken;
  }
  std::span<const T> all() const { return left_; }

 private:
  int64_t width_ = 1;
  Tensor tensor_;
  std::span<const T> left_;
};

template <typename T>
std::vector<T> ToVector(std::span<const T> numbers) {
  return {numbers.begin(), numbers.end()};
}

class EpisodicControl final : public InnerLoop {
 public:
  EpisodicControl(InnerLoopContext context, EpisodicConfig config)
      : InnerLoop(std::move(context)), config_(std::move(config)) {}

  void Begin() override {
    iterations_ = 0;
    agents_.clear();
    const KeyNetwork& network = config_.network;
    for (int64_t s = 0; s < context_.num_agents(); ++s) {
      Agent& agent = agents_.emplace_back();
      for (int64_t a = 0; a < config_.actions; ++a)
        agent.tables.emplace_back(config_.capacity, network.key, NameSize());
      agent.encoder = agents::NewAgents(
          InitialWeights(network, context_.Random(Purpose::kProjection, s, /*iteration=*/0)));
    }
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    MENTOR_ASSIGN_OR_RETURN(agents::Segment segment, collect(Policies()));
    const CpuTimer timer;
    std::vector<Counts> counts(agents_.size());
    MENTOR_RETURN_IF_ERROR(
        agents::ParallelFor(context_.pool, context_.num_agents(), [&](int64_t s) {
          Live(segment, s, iteration, &counts[static_cast<size_t>(s)]);
          return absl::OkStatus();
        }));
    Report(counts, report);
    ++iterations_;
    report->update_seconds += timer.Seconds();
    return segment;
  }

  std::vector<v1::PolicyWeights> Policies() const override {
    std::vector<v1::PolicyWeights> policies;
    for (const Agent& agent : agents_) {
      v1::PolicyWeights& policy = policies.emplace_back();
      policy.set_network(v1::POLICY_NETWORK_EPISODIC);
      policy.set_discrete(true);
      policy.set_observation_size(static_cast<uint32_t>(config_.network.observation));
      policy.set_action_size(static_cast<uint32_t>(config_.actions));
      *policy.mutable_episodic() = config_.sizes;
      policy.mutable_episodic()->set_epsilon(config_.EpsilonAt(iterations_));
      std::string* bytes = policy.mutable_weights();
      const auto append = [&](const void* numbers, size_t count) {
        bytes->append(static_cast<const char*>(numbers), 4 * count);
      };
      append(agent.weights(), static_cast<size_t>(config_.network.num_weights()));
      for (const EpisodicTable<float>& table : agent.tables) {
        const auto rows = static_cast<int32_t>(table.size());
        append(&rows, 1);
        append(table.rows().keys.data(), table.rows().keys.size());
        append(table.rows().values.data(), table.rows().values.size());
      }
    }
    return policies;
  }

  void State(StateFields* fields) override {
    fields->AddPart([this](TensorMap* state) { *state = SaveAll(); },
                    [this](const TensorMap& state) { return LoadAll(state); });
  }

 private:
  TensorMap SaveAll() const {
    const int64_t d = config_.network.observation;
    TensorMap state;
    state["iterations"] = torch::tensor({iterations_}, torch::kInt64);
    Joined<int64_t> clocks, sizes, times, pending_sizes, pending_actions;
    Joined<float> keys, values, names, pending_observations;
    Joined<double> pending_rewards, pending_values, pending_greatest;
    for (const Agent& agent : agents_) {
      clocks.numbers.push_back(agent.clock);
      for (const EpisodicTable<float>& table : agent.tables) {
        sizes.numbers.push_back(table.size());
        keys.Add(table.rows().keys);
        values.Add(table.rows().values);
        names.Add(table.names());
        times.Add(table.times());
      }
      const Steps& pending = agent.pending;
      pending_sizes.numbers.push_back(static_cast<int64_t>(pending.actions.size()));
      pending_observations.Add(pending.observations);
      pending_actions.Add(pending.actions);
      pending_rewards.Add(pending.rewards);
      pending_values.Add(pending.values);
      pending_greatest.Add(pending.greatest);
    }
    state["clock"] = clocks.ToTensor();
    state["tables.rows"] = sizes.ToTensor(config_.actions);
    state["tables.keys"] = keys.ToTensor(config_.network.key);
    state["tables.values"] = values.ToTensor();
    state["tables.times"] = times.ToTensor();
    state["pending.steps"] = pending_sizes.ToTensor();
    state["pending.observations"] = pending_observations.ToTensor(d);
    state["pending.actions"] = pending_actions.ToTensor();
    state["pending.rewards"] = pending_rewards.ToTensor();
    if (!config_.nec) return state;
    state["tables.observations"] = names.ToTensor(d);
    state["pending.values"] = pending_values.ToTensor();
    state["pending.greatest"] = pending_greatest.ToTensor();
    if (config_.trains()) SaveTraining(&state);
    return state;
  }

  absl::Status LoadAll(const TensorMap& state) {
    const int64_t s = context_.num_agents(), d = config_.network.observation;
    MENTOR_ASSIGN_OR_RETURN(const Tensor iterations,
                            ReadTensor(state, "iterations", {1}, torch::kInt64, "the inner loop"));
    iterations_ = iterations.item<int64_t>();
    Pieces<int64_t> clocks, sizes, times, pending_sizes, pending_actions;
    Pieces<float> keys, values, names, pending_observations;
    Pieces<double> pending_rewards, pending_values, pending_greatest;
    MENTOR_RETURN_IF_ERROR(clocks.Read(state, "clock", s));
    MENTOR_RETURN_IF_ERROR(sizes.Read(state, "tables.rows", s, config_.actions));
    MENTOR_RETURN_IF_ERROR(pending_sizes.Read(state, "pending.steps", s));
    MENTOR_ASSIGN_OR_RETURN(const int64_t rows,
                            SumOf("tables.rows", sizes.all(), config_.capacity));
    MENTOR_ASSIGN_OR_RETURN(const int64_t steps, SumOf("pending.steps", pending_sizes.all(),
                                                       context_.shard->shape().episode_steps()));
    MENTOR_RETURN_IF_ERROR(keys.Read(state, "tables.keys", rows, config_.network.key));
    MENTOR_RETURN_IF_ERROR(values.Read(state, "tables.values", rows));
    MENTOR_RETURN_IF_ERROR(times.Read(state, "tables.times", rows));
    MENTOR_RETURN_IF_ERROR(pending_observations.Read(state, "pending.observations", steps, d));
    MENTOR_RETURN_IF_ERROR(pending_actions.Read(state, "pending.actions", steps));
    MENTOR_RETURN_IF_ERROR(CheckActions("pending.actions", pending_actions.all()));
    MENTOR_RETURN_IF_ERROR(pending_rewards.Read(state, "pending.rewards", steps));
    if (config_.nec) {
      MENTOR_RETURN_IF_ERROR(names.Read(state, "tables.observations", rows, d));
      MENTOR_RETURN_IF_ERROR(pending_values.Read(state, "pending.values", steps));
      MENTOR_RETURN_IF_ERROR(pending_greatest.Read(state, "pending.greatest", steps));
    }
    for (Agent& agent : agents_) {
      agent.clock = clocks.Take(1)[0];
      const std::span<const int64_t> own = sizes.Take(1);
      for (size_t a = 0; a < own.size(); ++a) {
        const int64_t n = own[a];
        agent.tables[a].Load(config_.nec ? names.Take(n) : std::span<const float>(), keys.Take(n),
                             values.Take(n), times.Take(n));
      }
      const int64_t n = pending_sizes.Take(1)[0];
      agent.pending = {.observations = ToVector(pending_observations.Take(n)),
                       .actions = ToVector(pending_actions.Take(n)),
                       .rewards = ToVector(pending_rewards.Take(n)),
                       .values = {},
                       .greatest = {}};
      if (!config_.nec) continue;
      agent.pending.values = ToVector(pending_values.Take(n));
      agent.pending.greatest = ToVector(pending_greatest.Take(n));
    }
    return config_.trains() ? LoadTraining(state) : absl::OkStatus();
  }

  // Only NEC names its rows, by their observations.
  int64_t NameSize() const { return config_.nec ? config_.network.observation : 0; }

  // --- One agent in one inner iteration

  void Live(const agents::Segment& segment, int64_t s, uint32_t iteration, Counts* counts) {
    Agent& agent = agents_[static_cast<size_t>(s)];
    const int64_t d = config_.network.observation, num_steps = segment.observations.size(1);
    const Tensor observations = segment.observations[s].contiguous(),
                 actions = segment.actions[s].argmax(1).contiguous(),
                 rewards = segment.shaped_rewards[s].contiguous();
    const std::span<const float> seen(observations.const_data_ptr<float>(),
                                      static_cast<size_t>(num_steps * d));
    const int64_t* action = actions.const_data_ptr<int64_t>();
    const auto prev_done = segment.prev_done.accessor<float, 2>();
    const auto last_done = segment.last_done.accessor<float, 1>();
    // Values by the tables that acted, before any of them changes.
    std::vector<double> values, greatest, last;
    if (config_.nec) {
      Evaluate(agent, seen, action, &values, &greatest);
      if (config_.bootstraps) last = EvaluateCuts(agent, segment, s);
    }
    size_t cuts = 0;
    Steps& pending = agent.pending;
    for (int64_t t = 0; t < num_steps; ++t) {
      const auto now = seen.subspan(static_cast<size_t>(t * d), static_cast<size_t>(d));
      pending.observations.insert(pending.observations.end(), now.begin(), now.end());
      pending.actions.push_back(action[t]);
      pending.rewards.push_back(rewards.const_data_ptr<double>()[t]);
      if (config_.nec) {
        pending.values.push_back(values[static_cast<size_t>(t)]);
        pending.greatest.push_back(greatest[static_cast<size_t>(t)]);
      }
      if ((t + 1 < num_steps ? prev_done[s][t + 1] : last_done[s]) == 0) continue;
      const bool cut = config_.bootstraps && segment.truncated[s][t].item<float>() != 0;
      Learn(&agent, cut && config_.nec ? last[cuts++] : 0, counts);
      pending = {};
    }
    if (config_.trains()) Train(s, iteration, counts);
  }

  // Values of the actions taken in observations [n, D], and the greatest of all actions. Without
  // actions only the latter.
  void Evaluate(const Agent& agent, std::span<const float> observations, const int64_t* actions,
                std::vector<double>* values, std::vector<double>* greatest) const {
    const auto d = static_cast<size_t>(config_.network.observation);
    KeyEncoder<float> encoder(config_.network);
    Lookup<float> lookup(config_.sizes);
    std::vector<float> key(static_cast<size_t>(config_.network.key));
    std::vector<double> all(agent.tables.size());
    for (size_t begin = 0; begin < observations.size(); begin += d) {
      encoder.Encode(agent.weights(), observations.subspan(begin, d), key);
      for (size_t a = 0; a < all.size(); ++a) all[a] = lookup.Value(agent.tables[a].rows(), key);
      if (actions != nullptr) values->push_back(all[static_cast<size_t>(actions[begin / d])]);
      greatest->push_back(*std::max_element(all.begin(), all.end()));
    }
  }

  // The greatest values after episodes that a limit cut, in their order.
  std::vector<double> EvaluateCuts(const Agent& agent, const agents::Segment& segment,
                                   int64_t s) const {
    const auto cuts = segment.truncated[s].count_nonzero().item<int64_t>();
    const Tensor observations = segment.final_observations[s].narrow(0, 0, cuts).contiguous();
    std::vector<double> greatest;
    Evaluate(agent,
             {observations.const_data_ptr<float>(), static_cast<size_t>(observations.numel())},
             /*actions=*/nullptr, /*values=*/nullptr, &greatest);
    return greatest;
  }

  // Learns from the pending episode, which has ended. `last` is the value after its last step.
  void Learn(Agent* agent, double last, Counts* counts) {
    const Steps& episode = agent->pending;
    const auto steps = static_cast<int64_t>(episode.actions.size());
    const auto d = static_cast<size_t>(config_.network.observation);
    const std::vector<double> targets =
        config_.nec
            ? NStepTargets(episode.rewards, episode.greatest, last, config_.n, config_.gamma)
            : EpisodeReturns(episode.rewards, config_.gamma);
    KeyEncoder<float> encoder(config_.network);
    std::vector<float> key(static_cast<size_t>(config_.network.key));
    for (int64_t i = 0; i < steps; ++i) {
      // MFEC goes backwards from the end.
      const auto t = static_cast<size_t>(config_.nec ? i : steps - 1 - i);
      const auto seen = std::span<const float>(episode.observations).subspan(t * d, d);
      encoder.Encode(agent->weights(), seen, key);
      const auto target = static_cast<float>(targets[t]);
      const auto written = agent->tables[static_cast<size_t>(episode.actions[t])].Write(
          seen, key, target, ++agent->clock, config_.rewrite);
      counts->hits += written.hit;
      counts->evicted += written.evicted;
      if (!config_.nec) continue;
      const double error = targets[t] - episode.values[t];
      counts->squared_errors += error * error;
      if (config_.trains()) Keep(seen, episode.actions[t], target, &agent->replay);
    }
    counts->writes += steps;
    ++counts->episodes;
    counts->episode_steps += steps;
  }

  void Keep(std::span<const float> seen, int64_t action, float target, Replay* replay) const {
    if (replay->size() < config_.replay) {
      replay->observations.insert(replay->observations.end(), seen.begin(), seen.end());
      replay->actions.push_back(action);
      replay->targets.push_back(target);
      return;
    }
    const auto place = static_cast<size_t>(replay->oldest);
    std::copy(seen.begin(), seen.end(),
              replay->observations.begin() + static_cast<std::ptrdiff_t>(place * seen.size()));
    replay->actions[place] = action;
    replay->targets[place] = target;
    replay->oldest = (replay->oldest + 1) % config_.replay;
  }

  // --- Training of NEC's encoder

  void Train(int64_t s, uint32_t iteration, Counts* counts) {
    Agent& agent = agents_[static_cast<size_t>(s)];
    if (agent.replay.size() == 0) return;
    const RandomStream random = context_.Random(Purpose::kReplay, s, iteration);
    const agents::PpoConfig adam{.learning_rate = config_.learning_rate, .adam_epsilon = 1e-8};
    for (int64_t step = 0; step < config_.gradient_steps; ++step) {
      const Tensor gradient = Gradient(agent, random, static_cast<uint32_t>(step));
      agents::AgentBatch next = agents::OptimizerStep(agent.encoder, gradient, adam);
      if (next.theta.isfinite().all().item<bool>() && next.adam_v.isfinite().all().item<bool>())
        agent.encoder = std::move(next);
      else
        ++counts->nonfinite;
    }
    if (!config_.refresh_keys) return;
    KeyEncoder<float> encoder(config_.network);
    for (EpisodicTable<float>& table : agent.tables) {
      table.RefreshKeys([&](std::span<const float> seen, std::span<float> key) {
        encoder.Encode(agent.weights(), seen, key);
      });
    }
  }

  // [1, P]: gradient of the mean of (target - Q)^2 over a minibatch of the replay. Neighbours are
  // those of the present encoder, and constants.
  Tensor Gradient(const Agent& agent, const RandomStream& random, uint32_t step) const {
    const int64_t d = config_.network.observation, k = config_.network.key, batch = config_.batch;
    int64_t neighbours = 0;
    for (const EpisodicTable<float>& table : agent.tables)
      neighbours =
          std::max(neighbours, std::min<int64_t>(config_.sizes.neighbours(), table.size()));
    Tensor observations = torch::empty({batch, d}), targets = torch::empty({batch});
    Tensor keys = torch::zeros({batch, neighbours, k}), values = torch::zeros({batch, neighbours}),
           present = torch::zeros({batch, neighbours});
    KeyEncoder<float> encoder(config_.network);
    Lookup<float> lookup(config_.sizes);
    std::vector<float> key(static_cast<size_t>(k));
    for (int64_t b = 0; b < batch; ++b) {
      const auto drawn = static_cast<size_t>(
          random.Below(static_cast<uint64_t>(agent.replay.size()), step, static_cast<uint32_t>(b)));
      const auto seen = std::span<const float>(agent.replay.observations)
                            .subspan(drawn * static_cast<size_t>(d), static_cast<size_t>(d));
      std::copy(seen.begin(), seen.end(), observations.mutable_data_ptr<float>() + b * d);
      targets.mutable_data_ptr<float>()[b] = agent.replay.targets[drawn];
      encoder.Encode(agent.weights(), seen, key);
      const auto& table = agent.tables[static_cast<size_t>(agent.replay.actions[drawn])];
      int64_t place = b * neighbours;
      for (const auto& [distance, row] : lookup.Nearest(table.rows(), key)) {
        const auto from =
            table.rows().keys.subspan(static_cast<size_t>(row * k), static_cast<size_t>(k));
        std::copy(from.begin(), from.end(), keys.mutable_data_ptr<float>() + place * k);
        values.mutable_data_ptr<float>()[place] = table.rows().values[static_cast<size_t>(row)];
        present.mutable_data_ptr<float>()[place++] = 1;
      }
    }
    const c10::AutoGradMode gradients_on(true);
    const Tensor at = agent.encoder.theta[0].detach().clone().requires_grad_();
    const Tensor value = NeighbourValues(EncodeKeys(config_.network, at, observations), keys,
                                         values, present, config_.sizes.delta());
    return torch::autograd::grad({(targets - value).square().mean()}, {at})[0].unsqueeze(0);
  }

  // --- What all agents hold

  void Report(const std::vector<Counts>& counts, LoopReport* report) const {
    Counts sum;
    int64_t rows = 0;
    for (size_t s = 0; s < counts.size(); ++s) {
      sum.writes += counts[s].writes;
      sum.hits += counts[s].hits;
      sum.evicted += counts[s].evicted;
      sum.episodes += counts[s].episodes;
      sum.episode_steps += counts[s].episode_steps;
      sum.squared_errors += counts[s].squared_errors;
      report->nonfinite_updates += counts[s].nonfinite;
      for (const EpisodicTable<float>& table : agents_[s].tables) rows += table.size();
    }
    const auto share = [](auto part, int64_t whole) {
      return static_cast<double>(part) / static_cast<double>(whole);
    };
    auto& statistics = report->statistics;
    statistics["rows"] = share(rows, context_.num_agents());
    statistics["evicted"] = share(sum.evicted, context_.num_agents());
    statistics["epsilon"] = config_.EpsilonAt(iterations_);
    if (sum.episodes == 0) return;
    statistics["hits"] = share(sum.hits, sum.writes);
    statistics["episode_length"] = share(sum.episode_steps, sum.episodes);
    if (config_.nec) statistics["td_error"] = share(sum.squared_errors, sum.writes);
  }

  void SaveTraining(TensorMap* state) const {
    std::vector<agents::AgentBatch> own;
    Joined<int64_t> sizes, oldest, actions;
    Joined<float> observations, targets;
    for (const Agent& agent : agents_) {
      own.push_back(agent.encoder);
      sizes.numbers.push_back(agent.replay.size());
      oldest.numbers.push_back(agent.replay.oldest);
      observations.Add(agent.replay.observations);
      actions.Add(agent.replay.actions);
      targets.Add(agent.replay.targets);
    }
    agents::AgentBatch encoders = agents::JoinAgents(own);
    StateFields fields("the inner loop");
    AddAgents("agents", &encoders, &fields);
    state->merge(fields.Save(/*copies=*/false));
    (*state)["replay.steps"] = sizes.ToTensor();
    (*state)["replay.oldest"] = oldest.ToTensor();
    (*state)["replay.observations"] = observations.ToTensor(config_.network.observation);
    (*state)["replay.actions"] = actions.ToTensor();
    (*state)["replay.targets"] = targets.ToTensor();
  }

  absl::Status LoadTraining(const TensorMap& state) {
    const int64_t s = context_.num_agents(), d = config_.network.observation;
    agents::AgentBatch encoders =
        agents::NewAgents(torch::zeros({s, config_.network.num_weights()}));
    StateFields fields("the inner loop");
    AddAgents("agents", &encoders, &fields);
    MENTOR_RETURN_IF_ERROR(fields.Load(state));
    Pieces<int64_t> sizes, oldest, actions;
    Pieces<float> observations, targets;
    MENTOR_RETURN_IF_ERROR(sizes.Read(state, "replay.steps", s));
    MENTOR_RETURN_IF_ERROR(oldest.Read(state, "replay.oldest", s));
    MENTOR_ASSIGN_OR_RETURN(const int64_t steps,
                            SumOf("replay.steps", sizes.all(), config_.replay));
    MENTOR_RETURN_IF_ERROR(SumOf("replay.oldest", oldest.all(), config_.replay - 1).status());
    MENTOR_RETURN_IF_ERROR(observations.Read(state, "replay.observations", steps, d));
    MENTOR_RETURN_IF_ERROR(actions.Read(state, "replay.actions", steps));
    MENTOR_RETURN_IF_ERROR(CheckActions("replay.actions", actions.all()));
    MENTOR_RETURN_IF_ERROR(targets.Read(state, "replay.targets", steps));
    for (int64_t i = 0; i < s; ++i) {
      Agent& agent = agents_[static_cast<size_t>(i)];
      const auto row = [&](const Tensor& x) { return x.narrow(0, i, 1).clone(); };
      agent.encoder = {row(encoders.theta), row(encoders.adam_m), row(encoders.adam_v),
                       row(encoders.adam_steps)};
      const int64_t n = sizes.Take(1)[0];
      agent.replay = {.observations = ToVector(observations.Take(n)),
                      .targets = ToVector(targets.Take(n)),
                      .actions = ToVector(actions.Take(n)),
                      .oldest = oldest.Take(1)[0]};
    }
    return absl::OkStatus();
  }

  // Sum of counts from a snapshot, each from 0 to `most`.
  static absl::StatusOr<int64_t> SumOf(const char* name, std::span<const int64_t> counts,
                                       int64_t most) {
    int64_t sum = 0;
    for (const int64_t count : counts) {
      if (count < 0 || count > most) {
        return absl::DataLossError(absl::StrFormat(
            "'%s' in the state of the inner loop has %d; 0 to %d are possible", name, count, most));
      }
      sum += count;
    }
    return sum;
  }
  absl::Status CheckActions(const char* name, std::span<const int64_t> actions) const {
    for (const int64_t action : actions) {
      if (action >= 0 && action < config_.actions) continue;
      return absl::DataLossError(
          absl::StrFormat("'%s' in the state of the inner loop has action %d of %d", name, action,
                          config_.actions));
    }
    return absl::OkStatus();
  }

  const EpisodicConfig config_;
  std::vector<Agent> agents_;
  int64_t iterations_ = 0;  // Iterations so far.
};

struct Options : EpisodicConfig {
  int64_t projection;
  double epsilon, delta;
  float alpha;
  uint32_t k, neighbours;
};

const auto kOptions = Bind<Options>(
    {{&Options::nec,
      "algorithm",
      {{"mfec", false}, {"nec", true}},
      "Model-free episodic control (greatest returns), or neural episodic control (n-step "
      "targets)."},
     {&Options::gamma, "gamma", "1", 0, 1, "Discount per step."},
     {&Options::capacity, "capacity", "100000", 1, 1000000,
      "Rows of each action's table; then the one written longest ago gives way."},
     {&Options::k, "k", "11", 1, 1000, "mfec: nearest neighbours whose mean is a value."},
     {&Options::projection, "projection", "64", 0, 4096,
      "mfec: numbers of a key, a random linear map of the observation; 0, or as many as the "
      "observation has: the observation itself."},
     {&Options::epsilon, "epsilon", "0.005", 0, 1,
      "mfec: probability of an action drawn uniformly."},
     {&Options::neighbours, "neighbours", "50", 1, 1000000, "nec: nearest neighbours that count."},
     {In(&Options::network, &KeyNetwork::key), "key", "16", 1, 4096, "nec: numbers of a key."},
     {In(&Options::network, &KeyNetwork::hidden), "hidden", "32", 1, 4096,
      "nec: units of the encoder's hidden layer."},
     {&Options::delta, "delta", "1e-3", 1e-12, 1,
      "nec: added to squared distances, whose inverse is a neighbour's weight."},
     {&Options::n, "n", "100", 1, 1000000, "nec: rewards in a target."},
     {&Options::alpha, "alpha", "0.1", 0, 1,
      "nec: share of the way to its target that a value goes when its row is written again."},
     {&Options::epsilon_start, "epsilon_start", "1", 0, 1,
      "nec: probability of an action drawn uniformly, in the first iteration."},
     {&Options::epsilon_end, "epsilon_end", "0.001", 0, 1, "nec: what that falls to, linearly."},
     {&Options::epsilon_iterations, "epsilon_iterations", "10", 1, 1000000,
      "nec: inner iterations of the fall."},
     {&Options::replay, "replay", "100000", 1, 1000000, "nec: steps kept to train the encoder on."},
     {&Options::batch, "batch", "32", 1, 1000000, "nec: steps of a minibatch."},
     {&Options::gradient_steps, "gradient_steps", "5", 0, 10000,
      "nec: Adam steps after each iteration."},
     {&Options::learning_rate, "learning_rate", "1e-4", 0, 1,
      "nec: learning rate of Adam; 0: the encoder stays random."},
     {&Options::refresh_keys, "refresh_keys", true,
      "nec: all keys are computed again after training; otherwise when their row is written."}});

MetricTable Metrics() {
  return {
      {.name = "rows", .help = "Rows of an agent's tables together, mean over agents."},
      {.name = "hits",
       .help = "Share of the steps of ended episodes whose row was in the table already."},
      {.name = "evicted",
       .help = "Rows that gave way to others in an inner iteration, mean over agents."},
      {.name = "td_error",
       .help = "Mean squared difference between a step's target and the value that it acted on.",
       .log_scale = true},
      {.name = "epsilon", .help = "Probability of an action drawn uniformly."},
      {.name = "episode_length", .help = "Mean steps of the episodes that ended."}};
}

void Check(const InnerLoopContext& context, Violations* violations) {
  const v1::Shard& shard = *context.shard;
  const EpisodicConfig config = ReadEpisodicControl(context.options, shard);
  CheckChoices(context, "episodic control keeps a table for each action", "maze", violations);
  // The number of tables below would be that of an action's numbers.
  if (!shard.shape().discrete_actions()) return;
  if (config.epsilon_start < config.epsilon_end) {
    violations->Add("rule.option.epsilon_start",
                    absl::StrFormat("is %g, less than epsilon_end, %g, to which it falls: raise it "
                                    "or lower epsilon_end",
                                    config.epsilon_start, config.epsilon_end));
  }
  const Bounds bounds = BoundsOf(config, shard);
  if (4 * bounds.policy > kPolicyBytesMax) {
    const int64_t fixed = bounds.policy - bounds.rows * (config.network.key + 1);
    const int64_t rows =
        std::max<int64_t>(0, kPolicyBytesMax / 4 - fixed) / (config.network.key + 1);
    violations->Add(
        "rule.option.capacity",
        absl::StrFormat(
            "is %d, so an agent may come to %d rows with keys of %d numbers, %d MiB, "
            "and a message to an actor holds %d MiB; give %s shorter keys, or shorter "
            "lifetimes",
            config.capacity, bounds.rows, config.network.key, 4 * bounds.policy >> 20,
            kPolicyBytesMax >> 20,
            rows < config.actions ? "" : absl::StrFormat("at most %d, or", rows / config.actions)));
  }
}

LoopSizes Sizes(const InnerLoopContext& context, int64_t /*num_meta_parameters*/) {
  const EpisodicConfig config = ReadEpisodicControl(context.options, *context.shard);
  const Bounds bounds = BoundsOf(config, *context.shard);
  const int64_t neighbours = std::min<int64_t>(config.sizes.neighbours(), bounds.rows);
  const int64_t graph =
      config.network.observation + 4 * config.network.hidden + neighbours * 3 * config.network.key;
  return {// Vectors grow to twice what they hold; a row's hash.
          .state = 2 * bounds.saved + 2 * bounds.rows,
          .saved = bounds.saved,
          .policy = bounds.policy,
          // Values of all steps, as doubles, and the neighbours of one.
          .per_thread = 6 * context.steps() + 4 * neighbours +
                        (config.trains() ? 2 * config.batch * graph : 0)};
}

const RegisterInnerLoop kEpisodicControl({
    .name = "episodic_control",
    .summary = "agents that remember what came of their actions (MFEC, NEC)",
    .options = kOptions.table(),
    .metrics = Metrics(),
    .check = Check,
    .make =
        [](const InnerLoopContext& context) {
          return MakeEpisodicControl(context, ReadEpisodicControl(context.options, *context.shard));
        },
    .sizes = Sizes,
});

}  // namespace episodic_loop

double EpisodicConfig::EpsilonAt(int64_t iteration) const {
  const double fallen = static_cast<double>(std::min(iteration, epsilon_iterations)) /
                        static_cast<double>(epsilon_iterations);
  return epsilon_start + (epsilon_end - epsilon_start) * fallen;
}

EpisodicConfig ReadEpisodicControl(const OptionValues& options, const v1::Shard& shard) {
  const int64_t d = shard.shape().observation_size();
  const auto own = episodic_loop::kOptions.Read(options);
  EpisodicConfig config = own;
  if (config.nec) {
    config.network.observation = d;
    config.sizes.set_neighbours(own.neighbours);
    config.sizes.set_kernel(v1::LOOKUP_KERNEL_INVERSE);
    config.sizes.set_delta(own.delta);
    config.rewrite = [alpha = own.alpha](float stored, float written) {
      return stored + alpha * (written - stored);
    };
  } else {
    // Without the options of NEC.
    config = {.capacity = own.capacity, .gamma = own.gamma};
    config.network = {.observation = d, .key = own.projection == 0 ? d : own.projection};
    config.sizes.set_neighbours(own.k);
    config.sizes.set_kernel(v1::LOOKUP_KERNEL_MEAN);
    config.rewrite = [](float stored, float written) { return std::max(stored, written); };
    config.epsilon_start = config.epsilon_end = own.epsilon;
  }
  config.actions = shard.shape().action_size();
  config.bootstraps = shard.spec().agent().bootstrap_on_truncation();
  config.sizes.set_key(static_cast<uint32_t>(config.network.key));
  config.sizes.set_hidden(static_cast<uint32_t>(config.network.hidden));
  return config;
}

std::unique_ptr<InnerLoop> MakeEpisodicControl(InnerLoopContext context, EpisodicConfig config) {
  return std::make_unique<episodic_loop::EpisodicControl>(std::move(context), std::move(config));
}

}  // namespace mentor::methods
