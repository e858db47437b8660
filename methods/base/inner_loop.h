// An inner loop: how the agents of a shard live and learn, and what the outer rule hears of it. A
// loop is one file that implements InnerLoop and registers a factory. Loops know tensors only: no
// network, no files. A loop is a function of the shard, the meta-parameters and the collected
// steps.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "agents/minibatch_order.h"
#include "agents/segment.h"
#include "agents/worker_pool.h"
#include "common/metric_info.h"
#include "common/options.h"
#include "kernels/device.h"
#include "mentor/v1/shard_service.pb.h"
#include "methods/base/state.h"
#include "signals/signal_network.h"

namespace mentor::methods {

// Lets every agent act for T steps and returns what happened. `policies` holds one policy for each
// agent, or n for each (agent-major). With n, each policy acts for T / n steps in turn; these parts
// must end with episodes.
using Collect =
    std::function<absl::StatusOr<agents::Segment>(std::vector<v1::PolicyWeights> policies)>;

struct InnerLoopContext {
  const v1::Shard* shard = nullptr;  // Checked by CheckShard; outlives the loop.
  OptionValues options;              // Values for the loop's own table.
  // As the shard's spec says; null for baselines and for rules without a signal network.
  std::shared_ptr<const signals::SignalNetwork> network;
  torch::Tensor meta_parameters;       // [Q] float32 on the CPU; undefined for baselines.
  agents::WorkerPool* pool = nullptr;  // Null: everything on the calling thread.
  kernels::Device device;              // Where kernels run; all tensors are the host's.

  const v1::ExperimentSpec& spec() const { return shard->spec(); }
  const v1::EnvironmentShape& shape() const { return shard->shape(); }
  int64_t num_agents() const { return shard->lifetimes_size(); }             // S
  int64_t steps() const { return spec().lifetime().steps_per_iteration(); }  // T
  // One past the shard's last iteration.
  uint32_t end() const { return shard->first_iteration() + shard->iterations(); }
  std::vector<uint32_t> lifetime_numbers() const;
  std::vector<uint32_t> noise_numbers() const;  // NoiseNumber of each.
  // The stream of one agent's random numbers.
  RandomStream Random(Purpose purpose, int64_t agent, uint32_t iteration) const;
  // The permutations of the agents' steps in an inner iteration.
  agents::MinibatchOrder Order(uint32_t iteration) const;
  // The minibatches of these permutations (DrawMinibatches), from `first_epoch` on.
  absl::StatusOr<std::vector<torch::Tensor>> Minibatches(uint32_t iteration, int64_t epochs,
                                                         int64_t minibatches,
                                                         int64_t first_epoch = 0) const;
};

// What a shard reports beside its segments.
struct LoopReport {
  // For the outer rule: a gradient or displacement of the meta-parameters, [Q] float64, summed over
  // the agents in their order. Undefined when the loop has none or the shard does not teach.
  torch::Tensor outer_gradient;
  // Means over agents, for metrics; the entry declares them.
  std::map<std::string, double> statistics;
  uint64_t nonfinite_updates = 0;  // Agent updates that were skipped.
  double signal_seconds = 0;       // CPU time of the signal network,
  double update_seconds = 0;       // and of updates.
};

// Upper bounds of what a loop holds for a shard, in numbers of four bytes (shards/shard_memory.h).
struct LoopSizes {
  int64_t state = 0;       // Per agent: weights, optimizer, and their copies in an update.
  int64_t saved = 0;       // Per agent, in a snapshot.
  int64_t policy = 0;      // Weights that one agent acts with.
  int64_t at_once = 0;     // The memory that an update needs for all agents together.
  int64_t per_thread = 0;  // What one thread works on: scratch, graphs.
  // Device memory of the kernels, in bytes; 0 without a device.
  int64_t device_bytes = 0;
};

// Not thread-safe; used by one thread.
class InnerLoop {
 public:
  explicit InnerLoop(InnerLoopContext context = {}) : context_(std::move(context)) {}
  virtual ~InnerLoop() = default;
  // Makes new agents. Called once, unless Load is.
  virtual void Begin() = 0;
  // Lives through inner iteration `iteration`: collects as often as the entry says, and learns.
  // Returns everything collected, joined along the steps, with the signals that were given.
  virtual absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                                  LoopReport* report) = 0;
  // The agents' policies now, one for each.
  virtual std::vector<v1::PolicyWeights> Policies() const = 0;
  // True if agents act without noise, also in inner iterations.
  virtual bool acts_with_means() const { return false; }
  // True if the loop learns from labels, which the environment must provide.
  virtual bool wants_labels() const { return false; }
  // Names everything that the next iterations depend on.
  virtual void State(StateFields* fields) = 0;
  TensorMap Save();
  // Calls Begin and takes this state. After an error the loop is unusable.
  absl::Status Load(const TensorMap& state);

 protected:
  // Gives the tensors of the state the shapes that Load expects.
  virtual void PrepareLoad() { Begin(); }
  const v1::ExperimentSpec& spec() const { return context_.spec(); }

  const InnerLoopContext context_;
};

struct InnerLoopEntry {
  std::string name;
  std::string summary;
  // Settings, given as options of the rule that uses the loop.
  OptionTable options;
  // Metrics of its statistics. A learner refuses to send others.
  MetricTable metrics = {};
  // True if the agents descend a network that is a loss; other loops refuse such networks.
  bool learned_loss = false;
  // True if the agents descend the loss of agents::PpoConfig. Other loops refuse a surrogate of
  // agent.surrogate that is not the clip.
  bool surrogate = false;
  // The only signal network that this loop takes, and that no other loop takes. Empty: any other.
  std::string network = {};
  // Segment::final_observations holds the last observation of every episode that ended, and is
  // sent. Needs independent episodes.
  bool all_final_observations = false;
  int collections = 1;  // Collections of T steps each in an inner iteration.
  // Adds violations under "rule." when the loop does not fit the shard's spec. Called before make;
  // may be null.
  std::function<void(const InnerLoopContext&, Violations*)> check = nullptr;
  std::function<std::unique_ptr<InnerLoop>(const InnerLoopContext&)> make;
  // Required: bounds for a shard that fits, with so many meta-parameters. A loop that holds no more
  // than its inner PPO agents gives SizesOfPpoAgents (loop_parts.h).
  std::function<LoopSizes(const InnerLoopContext&, int64_t num_meta_parameters)> sizes = nullptr;
  // Settings of agent.* that the loop's taught agents do not read in an evaluation, as "gamma", for
  // a shard that fits, beside those of every loop (UnreadSettings). Null: no others.
  std::function<std::vector<std::string>(const InnerLoopContext&)> unread = nullptr;
  // True if a shard that fits returns an outer gradient when all its numbers are finite. Null: it
  // never does.
  std::function<bool(const InnerLoopContext&)> gives_gradient = nullptr;
};

const std::vector<const InnerLoopEntry*>& InnerLoops();
const InnerLoopEntry* FindInnerLoop(std::string_view name);  // Null when unknown.
// The shard's loop, with its options and network. Null with violations when it does not fit.
std::unique_ptr<InnerLoop> MakeInnerLoop(const v1::Shard& shard, torch::Tensor meta_parameters,
                                         agents::WorkerPool* pool, const kernels::Device& device,
                                         Violations* violations);

// The sizes and settings for which the shard's signal network is made.
signals::SignalContext SignalContextOf(const v1::Shard& shard);
// Sizes of the shard's loop; nothing when it does not fit.
std::optional<LoopSizes> SizesOfLoop(const v1::Shard& shard, int64_t num_meta_parameters);
// Settings of agent.* that the shard's agents do not read, as "gamma"; none for a shard that does
// not fit.
std::vector<std::string> UnreadSettings(const v1::Shard& shard);
// See InnerLoopEntry::gives_gradient; false for a shard that does not fit.
bool GivesGradient(const v1::Shard& shard);

// The factory of a loop that its context alone makes.
template <class Loop>
std::unique_ptr<InnerLoop> MadeLoop(const InnerLoopContext& context) {
  return std::make_unique<Loop>(context);
}

struct RegisterInnerLoop {
  explicit RegisterInnerLoop(InnerLoopEntry entry);
};

}  // namespace mentor::methods
