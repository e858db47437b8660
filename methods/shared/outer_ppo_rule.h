// The common part of rules that train by outer PPO: settings, checks of recorded lifetimes,
// advantages, checkpoints and metrics.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "agents/worker_pool.h"
#include "common/options.h"
#include "methods/base/outer_rule.h"
#include "methods/base/state.h"
#include "methods/shared/meta_advantage.h"
#include "methods/shared/outer_ppo.h"
#include "methods/shared/reward_normaliser.h"
#include "methods/shared/trained_weights.h"

namespace mentor::methods {

struct OuterPpoSettings {
  OuterPpoConfig ppo;
  bool shaped_objective = true;
  double target_mean = 1e-4, advantage_std_floor = 0;
  double anneal = 0;  // See Annealed.
  bool gradient_variance = false;
};

// Defaults that differ between rules, as text, and words for their help.
struct OuterPpoDefaults {
  std::string learning_rate, entropy_coef, target_kl, epochs, target_mean;
  std::string entropy_help;
  std::string trained;  // "the signal network"
};

// The options of AdamOptions, and anneal, clip, entropy_coef, value_coef, max_grad_norm, target_kl,
// epochs, k, num_minibatches, gradient_variance, objective, target_mean, advantage_std_floor and
// group_lifetimes.
BoundOptions<OuterPpoSettings> OuterPpoOptions(const OuterPpoDefaults& defaults);
// The metrics that OuterPpoRule reports.
MetricTable OuterPpoMetrics();

// Checks that `steps` trained steps of a lifetime can be cut into pieces, and that there are
// displacements for `epochs`. `what` names the steps: "all but the last iteration".
void CheckPieces(const OuterPpoConfig& config, int64_t steps, const std::string& what,
                 Violations* violations);

// The part in which such rules differ, beside the network.
struct OuterPpoRuleConfig {
  OuterPpoSettings settings;
  MetaAdvantageConfig advantage;
  int64_t lifetimes = 30;        // N
  int64_t lifetime_steps = 0;    // L
  int64_t trained_steps = 0;     // n: the first of them, which have advantages
  bool sampled_signals = false;  // The batch has signals and their densities.
};

// A rule that trains a recurrent network, for which every lifetime is one episode, by PPO. The
// reward is the normalised shaped reward or the success signal (options objective and target_mean).
class OuterPpoRule : public TrainedRule {
 public:
  void State(StateFields* fields) override;
  int64_t DeviceBytes() const override;

 protected:
  OuterPpoRule(const RuleContext& context, const OuterPpoRuleConfig& config, torch::Tensor weights);

  const OuterPpoRuleConfig config_;

 private:
  virtual TrainedNetwork network() const = 0;
  // Inputs and outputs of the network in the trained steps. advantages and returns [N, n] are raw.
  virtual absl::StatusOr<OuterPpoBatch> Recorded(const agents::Segment& steps,
                                                 torch::Tensor advantages, torch::Tensor returns,
                                                 agents::WorkerPool* pool) const = 0;

  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t outer_step) override;
  absl::Status CheckBatch(const LifetimeBatch& batch) const;
  // Standardised advantages and returns [N, n]; zeros for regression, which does not use them.
  // Enters the rewards into the normaliser.
  absl::StatusOr<std::pair<torch::Tensor, torch::Tensor>> Estimate(const LifetimeBatch& batch,
                                                                   RewardNormaliser* normaliser,
                                                                   RuleReport* report) const;
  std::pair<torch::Tensor, torch::Tensor> AdvantagesOf(const LifetimeBatch& batch,
                                                       const RewardNormaliser& normaliser) const;

  // Fixed after construction.
  const OuterPpoSettings settings_;
  const OuterPpoConfig ppo_;
  RewardNormaliser normaliser_;
};

// INVALID_ARGUMENT unless x is [lifetimes, steps] (axes 2) or [lifetimes, steps, ...] (axes 3) and
// finite. Names the tensor, lifetime and step of the first number that is not.
absl::Status CheckTensor(const char* name, const torch::Tensor& x, int64_t lifetimes, int64_t steps,
                         int64_t axes);
// prev_done is 0 or 1, and 0 at the first step of each lifetime.
absl::Status CheckPrevDone(const torch::Tensor& prev_done);

}  // namespace mentor::methods
