// An outer rule: how whole lifetimes change the signal network. One file that implements OuterRule
// and registers a factory. Rules know tensors only: no network, no files.
#pragma once

#include <torch/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/options.h"
#include "learner/segment.h"
#include "learner/signals/signal_network.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::meta_learner {

// What a rule needs of the services.
struct RuleNeeds {
  bool signal_network = true;
  // Signal weights change while agents live: a decision after each inner iteration.
  bool decisions_inside_lifetime = false;
  // Differentiates through the agents' updates.
  bool second_order = false;
};

// All lifetimes of one outer update in the order of their numbers. N lifetimes, L steps.
struct LifetimeBatch {
  std::vector<std::string> environments;  // [N]: names for normalisers
  int64_t steps_per_iteration = 0;        // T
  learner::Segment
      steps;  // All segments joined: [N, L, ...]; last_done and next_observations undefined
};

// Numbers for the metrics of an outer update, by name: "loss", "kl", ...
using RuleReport = std::map<std::string, double>;

// Named tensors of a checkpoint.
using TensorMap = std::map<std::string, torch::Tensor>;

// Not thread-safe; owned by one experiment.
class OuterRule {
 public:
  virtual ~OuterRule() = default;
  virtual RuleNeeds needs() const = 0;
  // Weights of the signal network now, [P] float32.
  virtual torch::Tensor signal_weights() const = 0;
  // One outer update. An error leaves the state as it was.
  virtual absl::StatusOr<RuleReport> Update(const LifetimeBatch& batch, uint32_t outer_step) = 0;
  // Everything that the next updates depend on: weights, optimizer, normalisers.
  virtual TensorMap Save() const = 0;
  virtual absl::Status Load(const TensorMap& state) = 0;
};

struct RuleContext {
  v1::ExperimentSpec spec;
  std::shared_ptr<const learner::SignalNetwork> network;
  int num_threads = 1;  // Never changes a bit of the result.
};

struct RuleEntry {
  std::string name;
  std::string summary;
  OptionTable options;
  // Null with violations under "rule." when spec and rule do not fit.
  std::function<std::unique_ptr<OuterRule>(const RuleContext&, const OptionValues&, Violations*)>
      make;
};

const std::vector<const RuleEntry*>& OuterRules();
std::unique_ptr<OuterRule> MakeOuterRule(const RuleContext& context, Violations* violations);

struct RegisterRule {
  explicit RegisterRule(RuleEntry entry);
};

}  // namespace mentor::meta_learner
