// An inner loop: how the agents of a shard live and learn, and what their lives tell the outer
// rule. One file that implements InnerLoop and registers a factory. Loops know tensors only: no
// network, no files. Everything they do is a function of shard, meta-parameters and collected
// steps.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/metric_info.h"
#include "common/options.h"
#include "learner/agents/segment.h"
#include "learner/agents/worker_pool.h"
#include "learner/inner_loops/tensor_map.h"
#include "learner/kernels/device.h"
#include "learner/signals/signal_network.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::learner {

// Lets every agent act for T steps and returns what happened. policies: one for each agent, or n
// for each (agent-major), which then act for T / n steps one after the other; the borders must be
// ends of episodes.
using Collect = std::function<absl::StatusOr<Segment>(std::vector<v1::PolicyWeights> policies)>;

struct InnerLoopContext {
  const v1::Shard* shard = nullptr;  // Checked by CheckShard; outlives the loop.
  OptionValues options;              // Values for the loop's own table.
  // As the shard's spec says; null for baselines and for rules without a signal network.
  std::shared_ptr<const SignalNetwork> network;
  torch::Tensor meta_parameters;  // [Q] float32 on the CPU; undefined for baselines.
  WorkerPool* pool = nullptr;     // Null: everything on the calling thread.
  Device device;                  // Where kernels run; all tensors are the host's.

  int64_t num_agents() const { return shard->lifetimes_size(); }                    // S
  int64_t steps() const { return shard->spec().lifetime().steps_per_iteration(); }  // T
  // The iteration behind the shard's last one.
  uint32_t end() const { return shard->first_iteration() + shard->iterations(); }
  std::vector<uint32_t> lifetime_numbers() const;
  std::vector<uint32_t> noise_numbers() const;  // NoiseNumber of each.
  // Stream of one agent's random numbers.
  RandomStream Random(Purpose purpose, int64_t agent, uint32_t iteration) const;
};

// What a shard adds up besides its segments.
struct LoopReport {
  // What the outer rule gets: a gradient or displacement of the meta-parameters, summed over the
  // agents in their order: [Q] float64. Undefined when the loop has none, or nothing to teach.
  torch::Tensor outer_gradient;
  // Means over agents, for metrics; the entry declares them.
  std::map<std::string, double> statistics;
  uint64_t nonfinite_updates = 0;  // Agent updates that were skipped.
  double signal_seconds = 0;       // CPU time of the signal network,
  double update_seconds = 0;       // and of updates.
};

// What a loop holds of a shard at its worst, in numbers of four bytes: an upper bound, for
// learner/shard_memory.h.
struct LoopSizes {
  int64_t state = 0;       // Of each agent: weights, optimizer, and their copies in an update.
  int64_t saved = 0;       // Of each agent in a snapshot.
  int64_t policy = 0;      // Of the weights that one agent acts with.
  int64_t at_once = 0;     // Of what an update holds for all agents together.
  int64_t per_thread = 0;  // Of what one thread works on: scratch, graphs.
  // In bytes, and of a device where one computes: what its kernels take.
  int64_t device_bytes = 0;
};

// Not thread-safe; used by one thread.
class InnerLoop {
 public:
  virtual ~InnerLoop() = default;
  // New agents. Called once, unless Load is.
  virtual void Begin() = 0;
  // Lives through inner iteration `iteration`: collects as often as the entry says, and learns.
  // Returns all that was collected, joined along the steps, with the signals that were given.
  virtual absl::StatusOr<Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) = 0;
  // The agents' policies now, one for each.
  virtual std::vector<v1::PolicyWeights> Policies() const = 0;
  // Whether agents act without noise, also in inner iterations.
  virtual bool acts_with_means() const { return false; }
  // Whether it learns from labels, which the environment must know.
  virtual bool wants_labels() const { return false; }
  // Everything that the next iterations depend on.
  virtual TensorMap Save() const = 0;
  virtual absl::Status Load(const TensorMap& state) = 0;
};

struct InnerLoopEntry {
  std::string name;
  std::string summary;
  // Settings, given as options of the rule that uses the loop.
  OptionTable options;
  // What its statistics hold. A learner refuses to send others.
  MetricTable metrics = {};
  bool learned_loss = false;  // Its agents descend a network that is a loss; others refuse those.
  // The signal network that it takes alone, and that no other loop takes; empty: it takes others.
  std::string network = {};
  // Segment::final_observations are those of all episodes that ended, and are sent. For loops that
  // ask for independent episodes.
  bool all_final_observations = false;
  int collections = 1;  // How many, of T steps each, in an inner iteration.
  // Null with violations under "rule." when it does not fit the shard's spec.
  std::function<std::unique_ptr<InnerLoop>(const InnerLoopContext&, Violations*)> make;
  // For a shard that fits, with so many meta-parameters. Null: those of agents of the inner PPO.
  std::function<LoopSizes(const InnerLoopContext&, int64_t num_meta_parameters)> sizes = nullptr;
  // Whether a shard that fits comes with an outer gradient when all its numbers are finite. Null:
  // none does.
  std::function<bool(const InnerLoopContext&)> gives_gradient = nullptr;
};

const std::vector<const InnerLoopEntry*>& InnerLoops();
const InnerLoopEntry* FindInnerLoop(std::string_view name);  // Null when unknown.
// For the shard's loop, with its options and network; null with violations when it does not fit.
std::unique_ptr<InnerLoop> MakeInnerLoop(const v1::Shard& shard, torch::Tensor meta_parameters,
                                         WorkerPool* pool, const Device& device,
                                         Violations* violations);

// What the shard's signal network is made for.
SignalContext SignalContextOf(const v1::Shard& shard);
// Sizes of the shard's loop; nothing when it does not fit.
std::optional<LoopSizes> SizesOfLoop(const v1::Shard& shard, int64_t num_meta_parameters);
// See InnerLoopEntry::gives_gradient; false for a shard that does not fit.
bool GivesGradient(const v1::Shard& shard);

struct RegisterInnerLoop {
  explicit RegisterInnerLoop(InnerLoopEntry entry);
};

}  // namespace mentor::learner
