// What rules that train by outer PPO share: its settings, its part of a checkpoint, its metrics and
// the checks of recorded lifetimes. Pure functions.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/options.h"
#include "learner/agents/worker_pool.h"
#include "learner/inner_loops/tensor_map.h"
#include "meta_learner/rules/outer_ppo.h"
#include "meta_learner/rules/outer_rule.h"

namespace mentor::meta_learner {

// Defaults that differ from rule to rule, as text, and what they say.
struct OuterPpoDefaults {
  std::string learning_rate, entropy_coef, target_kl, epochs;
  std::string entropy_help;
};

// learning_rate, adam_beta1, adam_beta2, adam_epsilon, clip, entropy_coef, value_coef,
// max_grad_norm, target_kl, epochs, k, num_minibatches and gradient_variance.
OptionTable OuterPpoOptions(const OuterPpoDefaults& defaults);
OuterPpoConfig ReadOuterPpo(const OptionValues& options);

// Whether `steps` trained steps of a lifetime can be cut into pieces, and `epochs` have
// displacements enough. what: "all but the last iteration".
void CheckPieces(const OuterPpoConfig& config, int64_t steps, const std::string& what,
                 Violations* violations);

// Into and out of a rule's state, under "adam.".
void SaveAdam(const AdamState& adam, learner::TensorMap* state);
absl::StatusOr<AdamState> LoadAdam(const learner::TensorMap& state, at::IntArrayRef shape);

// What such a rule is beside its advantages: weights, Adam, settings and threads.
class OuterPpoTrainer {
 public:
  OuterPpoTrainer(const OptionValues& options, uint64_t seed, torch::Tensor weights,
                  int num_threads);

  const torch::Tensor& weights() const { return weights_; }  // [P] float32

  // One outer update. batch.advantages [N, n] are raw; returns must come from them too. Reports
  // means over the pieces of the last epoch, how far the update went and, with the option
  // gradient_variance, what ReportGradient says of the policy loss at the weights that acted. An
  // error leaves everything as it was.
  absl::StatusOr<RuleReport> Update(const TrainedNetwork& network, OuterPpoBatch batch,
                                    uint32_t outer_step);

  // Under "weights" and "adam.".
  void Save(learner::TensorMap* state) const;
  absl::Status Load(const learner::TensorMap& state);

 private:
  // Fixed after construction.
  const OuterPpoConfig config_;
  const bool gradient_variance_;
  const uint64_t seed_;
  // Changed by Update and Load, as a whole or not at all.
  torch::Tensor weights_;  // [P] float32; replaced, never written to
  AdamState adam_;
  // Last, so that it stops first.
  learner::WorkerPool pool_;
};

// INVALID_ARGUMENT, naming the tensor and the lifetime and step of the first number that is not
// finite, unless x is [lifetimes, steps] (axes 2) or [lifetimes, steps, ...] (axes 3).
absl::Status CheckTensor(const char* name, const torch::Tensor& x, int64_t lifetimes, int64_t steps,
                         int64_t axes);
// prev_done is 0 or 1, and 0 at the first step of each lifetime.
absl::Status CheckPrevDone(const torch::Tensor& prev_done);

}  // namespace mentor::meta_learner
