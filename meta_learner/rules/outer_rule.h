// An outer rule: how lifetimes change the meta-parameters, which are the weights of the signal
// network, or whatever else is meta-learned. One file that implements OuterRule and registers a
// factory. Rules know tensors only: no network, no files.
#pragma once

#include <torch/types.h>

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
#include "learner/inner_loops/tensor_map.h"
#include "learner/signals/signal_network.h"
#include "mentor/v1/shard_service.pb.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::learner {
class WorkerPool;
}  // namespace mentor::learner

namespace mentor::meta_learner {

// What a rule needs of the services.
struct RuleNeeds {
  // The meta-parameters are the weights of the spec's signal network.
  bool signal_network = true;
  // It must say the density of its signals, or their gradient with respect to its weights.
  bool signal_density = false;
  bool signal_gradient = false;
  // An outer update is one inner iteration of agents that live on, not their whole lives.
  bool decisions_inside_lifetime = false;
  // Differentiates through the agents' updates.
  bool second_order = false;
  // The agents' policies see meta-parameters.
  bool conditioned_policy = false;
  // All that was collected (LifetimeBatch::steps); otherwise outcomes and gradients are enough.
  bool segments = true;
  // The lifetimes 2i and 2i + 1 have one task and one chance: only what the rule itself varies by
  // their numbers sets them apart.
  bool paired_noise = false;
  // The rule says of each round which tasks and which of its rows it wants (Plan), in place of the
  // benchmark's draw. An outer update is then as many rounds as it asks for.
  bool plans_rounds = false;
  // Agents learn within their lifetimes, which takes two inner iterations or more.
  bool inner_updates = true;
  // Steps have labels (envs::EnvironmentInfo::has_labels).
  bool labels = false;
  // Inner iterations of a lifetime in training; 0: as many as the spec says, as in evaluations.
  uint32_t training_iterations = 0;
};

// What the inner loop of one shard gives.
struct ShardGradient {
  int64_t lifetimes = 0;
  torch::Tensor gradient;  // [Q] float64, summed over the lifetimes; undefined when there is none.
};

// All lifetimes of one outer update in the order of their numbers. N lifetimes, L steps.
struct LifetimeBatch {
  std::vector<std::string> environments;  // [N]: names for normalisers
  torch::Tensor task_indices = {};        // [N] int64: Lifetime.task_index, -1 where absent
  int64_t steps_per_iteration = 0;        // T
  // All segments joined: [N, L, ...]; last_done [N] and next_observations [N, D] of the last. With
  // !needs().segments only what an evaluation needs.
  learner::Segment steps;
  std::vector<ShardGradient> shards;  // In the order of their lifetimes.
};

// Sum of the shards' gradients, in the order of the lifetimes and in double: [size] float64,
// undefined when no shard has one. INVALID_ARGUMENT when some have none, when a number is not
// finite, or when there are not `lifetimes` of them and `size` numbers in each.
absl::StatusOr<torch::Tensor> SumGradients(const LifetimeBatch& batch, int64_t lifetimes,
                                           int64_t size);

// Metrics of an outer update, by name: "loss", "kl", ... The rule's entry declares them.
using RuleReport = std::map<std::string, double>;

// Reports and returns the outer gradient [Q] float64, the mean of independent gradients of
// lifetimes, of which sums over parts of them are known: outer_grad_norm, and from two parts on
// outer_grad_variance, the trace of its covariance estimated without bias from how the parts
// differ, and outer_grad_noise, that variance as a share of the squared norm (the noise scale of
// McCandlish et al. 2018 over the number of lifetimes, up to what the signal itself adds to the
// norm).
torch::Tensor ReportGradient(const std::vector<ShardGradient>& parts, RuleReport* report);
// What it reports; part of the table of each rule that calls it.
MetricTable GradientMetrics();

using learner::TensorMap;

// A lifetime of a round that the rule plans.
struct Planned {
  std::vector<double> parameters;  // Of its task, of the benchmark's first training set.
  uint32_t variant = 0;            // Lifetime.variant
  uint32_t noise_number = 0;       // Lifetime.noise_number
};
struct PlannedRound {
  std::vector<Planned> lifetimes;       // None: the outer update is done.
  uint32_t first_number = 0;            // Lifetime.number of the first; the others follow.
  bool outer_learning = false;          // Shard.outer_learning
  uint32_t deterministic_episodes = 0;  // Shard.deterministic_episodes
};

// What a rule holds at its worst, beside the lifetimes that it gets: bounds, for
// experiment/spec_memory.h.
struct RuleSizes {
  int64_t meta_parameters = 0;         // Numbers that learners get.
  double bytes = 0;                    // State, what an update makes of it, and its checkpoint.
  double bytes_per_thread = 0;         // Of each thread that works on an update.
  int64_t deterministic_episodes = 0;  // Of a round that it plans.
};
// Of a rule that has weights alone: optimizer, gradients, and their copies in a checkpoint.
RuleSizes SizesOfWeights(int64_t meta_parameters);

// Not thread-safe; owned by one experiment.
class OuterRule {
 public:
  virtual ~OuterRule() = default;
  virtual RuleNeeds needs() const = 0;
  // The meta-parameters now, [Q] float32.
  virtual torch::Tensor meta_parameters() const = 0;
  // One outer update. An error leaves the state as it was; what LibTorch throws becomes INTERNAL.
  absl::StatusOr<RuleReport> Update(const LifetimeBatch& batch, uint32_t outer_step);
  // Everything that the next updates depend on: weights, optimizer, normalisers.
  virtual TensorMap Save() const = 0;
  virtual absl::Status Load(const TensorMap& state) = 0;
  // With needs().plans_rounds: what is to be collected next. After each round comes an Update, all
  // with the number of the outer update; it is kept when no round is left, and the process may end
  // before. A function of the state and the seed.
  virtual PlannedRound Plan(uint32_t outer_step) const;
  // Asked after each update of a rule with decisions inside the lifetime: whose agent each of the
  // round's lifetimes goes on with, [F] places in their order. Nothing: each with its own.
  virtual std::optional<std::vector<uint32_t>> TakeParents() { return std::nullopt; }
  // What it says for people beside its metrics, as text by the name of a file ("lineage.csv"). A
  // function of the state; written with each checkpoint.
  virtual std::map<std::string, std::string> Tables() const { return {}; }
  virtual RuleSizes Sizes() const { return SizesOfWeights(meta_parameters().numel()); }
  // The memory that an outer update takes of a device, if it has kernels there: a bound.
  virtual int64_t DeviceBytes() const { return 0; }

 private:
  virtual absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t outer_step) = 0;
};

struct RuleContext {
  v1::ExperimentSpec spec;
  v1::EnvironmentShape shape = {};
  std::shared_ptr<const learner::SignalNetwork> network = nullptr;
  int64_t listed_tasks = 0;  // Training tasks that have a task_index; 0: they are drawn.
  // Of the process, for the threads' worth of an update; null: all on the calling thread. Never
  // changes a bit of the result. It outlives the rule.
  learner::WorkerPool* pool = nullptr;
};

struct RuleEntry {
  std::string name;
  std::string summary;
  // How its agents live; the loop's options are options of the rule.
  std::string inner_loop = "ppo";
  OptionTable options;  // Its own.
  // What its reports hold, without those of its inner loop. An update that reports others fails.
  MetricTable metrics = {};
  // What a spec must say for this rule where the defaults do not fit, as text:
  // "signal { name: 'bottleneck' }".
  std::string example = {};
  // Null with violations under "rule." when spec and rule do not fit.
  std::function<std::unique_ptr<OuterRule>(const RuleContext&, const OptionValues&, Violations*)>
      make;
};

const std::vector<const RuleEntry*>& OuterRules();
// Its own and those of its inner loop.
OptionTable AllOptions(const RuleEntry& entry);
// Adds the rule's name and its example to a spec.
void AddExample(const RuleEntry& entry, v1::ExperimentSpec* spec);
// The inner loop of the spec's rule with the settings that the spec gives it. The rule must exist.
v1::InnerLoopSpec InnerLoopOf(const v1::RuleSpec& spec);
std::unique_ptr<OuterRule> MakeOuterRule(const RuleContext& context, Violations* violations);

struct RegisterRule {
  explicit RegisterRule(RuleEntry entry);
};

}  // namespace mentor::meta_learner
