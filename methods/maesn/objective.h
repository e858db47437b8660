// What MAESN's outer step needs of the lifetimes (methods/maesn/README.md#outer-step): their loss
// as a function of the meta-parameters,
//
//   loss = mean over lifetimes of -mean(surrogate) + kl_coef KL(N(mu_i, sigma_i) || N(0, I)).
//
// The surrogate is the ratio of densities times the advantage, clipped or not, over the steps of
// the adapted agents. Their latents z' = mu' + sigma' eps' depend on mu, sigma and the step sizes
// through the adaptation, in which the recorded z are constants.
//
// Generic in dtype; sums over lifetimes are in float64, in their order. Memory: the graph of one
// lifetime for each thread. Not thread-safe.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include <absl/status/statusor.h>

#include "agents/worker_pool.h"
#include "methods/maesn/loop.h"
#include "methods/shared/state_std_policy.h"
#include "methods/shared/trpo.h"

namespace mentor::methods {

struct MaesnLifetime {
  struct Step {
    torch::Tensor eps;         // [E, dz]
    torch::Tensor advantages;  // [E]
  };
  int64_t task = 0;              // Its row of mu and log_sigma.
  std::vector<Step> steps = {};  // K
  // The steps of the adapted agent.
  torch::Tensor eps = {};           // [E, dz]
  torch::Tensor observations = {};  // [E, M, D]
  torch::Tensor actions = {};       // [E, M, A]
  torch::Tensor advantages = {};    // [E, M]
};

struct MaesnLoss {
  std::optional<double> clip;  // Unset: the plain ratio.
  double kl_coef = 0;
};

class MaesnObjective {
 public:
  // weights [Q] are those of the agents in their lives. A null pool runs on the calling thread.
  MaesnObjective(const LatentConfig& config, const MaesnLoss& loss, int64_t num_tasks,
                 torch::Tensor weights, std::vector<MaesnLifetime> lifetimes,
                 agents::WorkerPool* pool);

  // Draws the latents and adapts all agents. Call it first.
  absl::Status Prepare();
  // The adapted latent of lifetime i, and its policy's log-probabilities of the actions taken, [E,
  // M].
  const Latent& adapted(int64_t i) const { return prepared_[i].adapted; }
  const torch::Tensor& log_probs(int64_t i) const { return prepared_[i].log_probs; }
  // Replaces log_probs(i) as the density of the actions.
  void SetOldLogProbs(int64_t i, torch::Tensor log_probs);

  // [Q] float64, at these meta-parameters.
  absl::StatusOr<torch::Tensor> Gradient(const torch::Tensor& weights) const;
  // Hessian of the mean KL divergence of the adapted policies, at the weights of the agents' lives,
  // times v.
  absl::StatusOr<torch::Tensor> HessianVector(const torch::Tensor& v) const;
  absl::StatusOr<TrpoValue> Evaluate(const torch::Tensor& weights) const;

 private:
  struct Prepared {
    std::vector<torch::Tensor> z;  // [E, dz] of each step; undefined if it was not finite.
    Latent adapted;
    ActionDistribution acted;
    torch::Tensor log_probs;
  };
  Latent LatentOf(int64_t task, const torch::Tensor& weights) const;
  Latent RatesOf(const torch::Tensor& weights) const;
  Latent AdaptedLatent(int64_t i, const torch::Tensor& weights) const;
  // The policy's output at all steps of the adapted agent, [E M, A].
  ActionDistribution Forward(int64_t i, const torch::Tensor& weights) const;
  torch::Tensor Actions(int64_t i) const;
  torch::Tensor Loss(int64_t i, const torch::Tensor& weights, const ActionDistribution& now) const;
  torch::Tensor Leaf(const torch::Tensor& weights) const;
  int64_t size() const { return static_cast<int64_t>(lifetimes_.size()); }

  // Fixed after construction.
  const LatentConfig config_;
  const MaesnLoss loss_;
  const agents::ParamLayout policy_, layout_;
  const torch::Tensor weights_;
  const std::vector<MaesnLifetime> lifetimes_;
  agents::WorkerPool* const pool_;
  // Set by Prepare.
  std::vector<Prepared> prepared_;
};

}  // namespace mentor::methods
