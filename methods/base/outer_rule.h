// An outer rule: how lifetimes change the meta-parameters, which are the weights of the signal
// network, or whatever else is meta-learned. One file that implements OuterRule and registers a
// factory. Rules know tensors only: no network, no files.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "agents/agent_shape.h"
#include "agents/segment.h"
#include "common/metric_info.h"
#include "common/options.h"
#include "common/registry.h"
#include "mentor/v1/shard_service.pb.h"
#include "mentor/v1/spec.pb.h"
#include "methods/base/state.h"
#include "signals/signal_network.h"

namespace mentor::agents {
class WorkerPool;
}  // namespace mentor::agents

namespace mentor::methods {
struct InnerLoopEntry;

// The result of the inner loop of one shard.
struct ShardGradient {
  int64_t lifetimes = 0;
  torch::Tensor gradient;  // [Q] float64, summed over the lifetimes; undefined when there is none.
};

// Holds all lifetimes of a round in the order of their numbers. N lifetimes, L steps.
struct LifetimeBatch {
  std::vector<std::string> environments;  // [N]: names for normalisers
  torch::Tensor task_indices = {};        // [N] int64: Lifetime.task_index, -1 where absent
  int64_t steps_per_iteration = 0;        // T
  // Joins all segments: [N, L, ...]; last_done [N] and next_observations [N, D] belong to the last
  // step. Without RuleNeeds::segments it holds only what an evaluation needs.
  agents::Segment steps;
  std::vector<ShardGradient> shards;  // In the order of their lifetimes.
};

// A lifetime that a rule names itself.
struct RequestedLifetime {
  std::vector<double> parameters;  // The task's, in the benchmark's first training set.
  uint32_t variant = 0;            // Lifetime.variant
  uint32_t noise_number = 0;       // Lifetime.noise_number
};

// A round of lifetimes in place of those that the benchmark draws.
struct RoundRequest {
  std::vector<RequestedLifetime> lifetimes;  // At least one.
  uint32_t first_number = 0;                 // Lifetime.number of the first; the others follow.
  bool outer_learning = false;               // Shard.outer_learning
  uint32_t deterministic_episodes = 0;       // Shard.deterministic_episodes
  torch::Tensor meta_parameters;             // [Q] float32: what the learners get.
};

// What collects lifetimes for an outer rule. A rule asks for lifetimes in the middle of its update
// and goes on with what they were; learners and actors stay out of its sight. Used by one thread.
class Fleet {
 public:
  virtual ~Fleet() = default;
  // The lifetimes of this outer update, which live by the rule's meta-parameters. The benchmark and
  // the curriculum draw their tasks. With RuleNeeds::decisions_inside_lifetime: their next inner
  // iteration. A rule calls it once in an update.
  virtual absl::StatusOr<LifetimeBatch> Collect() = 0;
  // Lifetimes that the rule names (RuleNeeds::names_tasks), as often as it likes. The batch holds
  // outcomes only.
  virtual absl::StatusOr<LifetimeBatch> Collect(const RoundRequest& request) = 0;
  // After Collect() of a rule with decisions inside the lifetime: lifetime i continues with the
  // agent of lifetime parents[i]. One entry for each lifetime of the round, in their order.
  virtual absl::Status GoOnAs(std::vector<uint32_t> parents) = 0;
};

// What a rule needs from the services.
struct RuleNeeds {
  // What the spec's signal network, whose weights are the meta-parameters, must have: nothing more,
  // a density of its signals, or their gradient by its weights. kConditioning: the gradient, and
  // the agents' policies see the meta-parameters. kNone: the rule learns no signal network.
  enum class Network { kNone, kAny, kDensity, kGradient, kConditioning };
  Network network = Network::kAny;
  // An outer update is one inner iteration of agents that live on, not their whole lives.
  bool decisions_inside_lifetime = false;
  // Differentiates through the agents' updates.
  bool second_order = false;
  // The rule reads LifetimeBatch::steps; otherwise outcomes and gradients are enough.
  bool segments = true;
  // kPairs: the lifetimes 2i and 2i + 1 share their task and their random numbers. They differ only
  // by what the rule itself varies. kTask: all lifetimes of an environment live on one task, which
  // each outer update draws anew for new agents.
  enum class Alike { kNone, kPairs, kTask };
  Alike alike = Alike::kNone;
  // The rule names the tasks and lifetimes of its rounds (Fleet::Collect(request)), in place of the
  // benchmark's draw.
  bool names_tasks = false;
  // Agents learn within their lifetimes, which takes at least two inner iterations.
  bool inner_updates = true;
  // Agents or rule learn from the task's own rewards or successes.
  bool task_rewards = true;
  // False: outer updates leave the meta-parameters as they are.
  bool meta_learns = true;
  // Inner iterations of a lifetime in training; 0: as the spec says. Evaluations follow the spec.
  uint32_t training_iterations = 0;

  bool signal_network() const { return network != Network::kNone; }
  bool conditions() const { return network == Network::kConditioning; }
  bool pairs() const { return alike == Alike::kPairs; }
  // Inner iterations of a training lifetime, and those of it in an outer update.
  uint32_t iterations(const v1::LifetimeSpec& lifetime) const {
    return training_iterations > 0 ? training_iterations : lifetime.iterations();
  }
  uint32_t iterations_of_update(const v1::LifetimeSpec& lifetime) const {
    return decisions_inside_lifetime ? 1 : iterations(lifetime);
  }
};

// Sum of the shards' gradients in double, in the order of the lifetimes: [size] float64. Undefined
// when no shard has one. INVALID_ARGUMENT when only some have one, a number is not finite, or there
// are not `lifetimes` of them with `size` numbers each.
absl::StatusOr<torch::Tensor> SumGradients(const LifetimeBatch& batch, int64_t lifetimes,
                                           int64_t size);

// Metrics of an outer update, by name: "loss", "kl", ... The rule's entry declares them.
using RuleReport = std::map<std::string, double>;

// Reports the outer gradient [Q] float64 and returns it. It is the mean of independent gradients of
// lifetimes, given as sums over parts of them. Reports outer_grad_norm. From two parts on it also
// reports outer_grad_variance, the trace of its covariance, estimated without bias from the spread
// of the parts; and outer_grad_noise, that variance over the squared norm. The latter is the noise
// scale of McCandlish et al. 2018 over the number of lifetimes, up to the signal's share of the
// norm.
torch::Tensor ReportGradient(const std::vector<ShardGradient>& parts, RuleReport* report);
// The metrics that ReportGradient adds; part of the table of each rule that calls it.
MetricTable GradientMetrics();

// Upper bounds of what a rule holds beside its lifetimes (experiment/spec_memory.h).
struct RuleSizes {
  int64_t meta_parameters = 0;  // Numbers that learners get.
  // State, temporaries of an update, and its checkpoint. At least eight times StateBytes counts.
  double bytes = 0;
  double bytes_per_thread = 0;         // Per thread that works on an update.
  int64_t deterministic_episodes = 0;  // Per round that the rule names.
};
// Sizes of a rule that has weights only: optimizer, gradients, and their copies in a checkpoint.
RuleSizes SizesOfWeights(int64_t meta_parameters);

struct RuleContext {
  v1::ExperimentSpec spec = {};
  OptionValues options = {};  // Values for the rule's own table and its loop's.
  v1::EnvironmentShape shape = {};
  std::shared_ptr<const signals::SignalNetwork> network = nullptr;
  int64_t listed_tasks = 0;  // Training tasks with a task_index; 0: tasks are drawn.
  bool has_labels = true;    // Steps have labels (envs::EnvironmentInfo::has_labels).
  // The process's pool for parallel updates. Null: everything runs on the calling thread. Never
  // changes a bit of the result. Outlives the rule.
  agents::WorkerPool* pool = nullptr;
  // False for a rule that is only looked at: its first weights are zeros, in the right number.
  // Orthogonal weights of the widest legal network take minutes.
  bool draws_weights = true;

  int64_t lifetimes() const { return spec.rule().lifetimes_per_update(); }  // N
  uint32_t outer_updates() const { return spec.rule().outer_updates(); }
  uint32_t iterations() const { return spec.lifetime().iterations(); }
  int64_t steps() const { return spec.lifetime().steps_per_iteration(); }  // T
  // The first weights: draw(), which has `size` of them.
  torch::Tensor Initial(int64_t size, const std::function<torch::Tensor()>& draw) const;
  // The same for the signal network, and for the agent of the first lifetime.
  torch::Tensor InitialNetwork() const;
  torch::Tensor InitialAgent(const agents::AgentShape& agent) const;
};

// Not thread-safe; owned by one experiment.
class OuterRule {
 public:
  explicit OuterRule(RuleContext context = {}) : context_(std::move(context)) {}
  virtual ~OuterRule() = default;
  virtual RuleNeeds needs() const = 0;
  // The meta-parameters now, [Q] float32.
  virtual torch::Tensor meta_parameters() const = 0;
  // One outer update: collects lifetimes from the fleet and learns from them. Exceptions of
  // LibTorch become INTERNAL. After an error a rule that names its tasks must Load; others keep
  // their state.
  absl::StatusOr<RuleReport> Run(Fleet* fleet, uint32_t outer_step);
  // The same, with these lifetimes in place of the benchmark's.
  absl::StatusOr<RuleReport> Update(const LifetimeBatch& batch, uint32_t outer_step);
  // Names everything that the next updates depend on: weights, optimizer, normalisers.
  virtual void State(methods::StateFields* fields) = 0;
  TensorMap Save();
  // Bytes of the tensors that State names.
  int64_t StateBytes();
  // An error changes nothing.
  absl::Status Load(const TensorMap& state);
  // Texts for people, by the name of a file ("lineage.csv"). A function of the state; written with
  // each checkpoint.
  virtual std::map<std::string, std::string> Tables() const { return {}; }
  // Settings that are legal but hardly meant, as "rule.option.k: ...". `mentor run --check` and the
  // services print them.
  virtual std::vector<std::string> Warnings() const { return {}; }
  virtual RuleSizes Sizes() const { return SizesOfWeights(meta_parameters().numel()); }
  // Upper bound of the device memory of an outer update; 0 without kernels there.
  virtual int64_t DeviceBytes() const { return 0; }

 protected:
  const RuleContext context_;

 private:
  // By default DoRun collects the benchmark's lifetimes once and DoUpdate learns from them. A rule
  // implements one of the two, unless it meta-learns nothing.
  virtual absl::StatusOr<RuleReport> DoRun(Fleet* fleet, uint32_t outer_step);
  virtual absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t outer_step);
};

struct RuleEntry {
  std::string name;
  std::string summary;
  // The inner loop of its agents; the loop's options are options of the rule.
  std::string inner_loop = "ppo";
  OptionTable options;  // The rule's own.
  // Metrics of its reports, without its inner loop's. An update that reports others fails.
  MetricTable metrics = {};
  // Fields of a spec that this rule needs where the defaults do not fit, as text: "signal { name:
  // 'bottleneck' }".
  std::string example = {};
  // Adds violations under "rule." when spec and rule do not fit. Called before make; may be null.
  std::function<void(const RuleContext&, Violations*)> check = nullptr;
  std::function<std::unique_ptr<OuterRule>(const RuleContext&)> make;
};

const std::vector<const RuleEntry*>& OuterRules();
const methods::InnerLoopEntry& LoopOf(const RuleEntry& entry);
// The rule's own options and its inner loop's.
OptionTable AllOptions(const RuleEntry& entry);
// Returns all metrics that an experiment with this rule reports: the common ones, the rule's and
// its inner loop's. No name is declared twice.
MetricTable AllMetrics(const RuleEntry& entry);
// The same by the rule's name. Returns the common metrics when this build does not know the rule.
MetricTable AllMetrics(std::string_view rule);
// Adds the rule's name and its example to a spec.
void AddExample(const RuleEntry& entry, v1::ExperimentSpec* spec);
// The inner loop of the spec's rule, with the spec's settings. The rule must exist.
v1::InnerLoopSpec InnerLoopOf(const v1::RuleSpec& spec);
// Reads the spec's options into the context.
std::unique_ptr<OuterRule> MakeOuterRule(RuleContext context, Violations* violations);

// The factory of a rule that its context alone makes.
template <class Rule>
std::unique_ptr<OuterRule> MadeRule(const RuleContext& context) {
  return std::make_unique<Rule>(context);
}

using RegisterRule = Registration<RuleEntry>;

}  // namespace mentor::methods
