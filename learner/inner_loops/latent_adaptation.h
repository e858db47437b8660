// How MAESN's agents adapt (docs/algorithms/latent_adaptation.md#the-step), for the inner loop
// "latent_adaptation" and for its outer rule, which makes the same steps again. Pure functions,
// differentiable, generic in dtype; threads may share.
//
// The policy sees a latent z behind the observation, drawn from N(mu, diag sigma^2) once an
// episode. An adaptation step moves mu and log sigma alone, by the score function of z.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "common/options.h"
#include "common/rng.h"
#include "learner/agents/agent_shape.h"
#include "learner/agents/segment.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::learner {

struct LatentConfig {
  AgentShape policy;             // As actors see it, without the latent; no critic.
  int64_t latent = 2;            // dz
  int64_t episode_steps = 1;     // M
  int64_t episodes = 1;          // E, of an inner iteration.
  int64_t steps = 1;             // K: iterations with a step after them, in training,
  int64_t evaluation_steps = 3;  // and in evaluations.
  bool shaped = false;           // Adapts to the shaped reward; otherwise to the success signal.
};

OptionTable LatentOptions();
LatentConfig ReadLatent(const OptionValues& options, const v1::ExperimentSpec& spec,
                        const v1::EnvironmentShape& shape);
void CheckLatent(const LatentConfig& config, const v1::ExperimentSpec& spec,
                 const v1::EnvironmentShape& shape, Violations* violations);

// The policy's own parameters, which come first: AgentLayout with D + dz inputs.
ParamLayout LatentPolicyLayout(const LatentConfig& config);
// The meta-parameters: the policy, alpha_mu [dz], alpha_log_sigma [dz], then mu [n, dz] and
// log_sigma [n, dz] of the n listed training tasks.
ParamLayout LatentLayout(const LatentConfig& config, int64_t num_tasks);

struct Latent {
  torch::Tensor mu, log_sigma;  // [dz], or with axes before: [..., dz]
};

// Where a task that is not listed begins: N(0, I), float64.
Latent PriorLatent(const LatentConfig& config);
// KL(N(mu, sigma) || N(0, I)), summed over all that it has: a scalar.
torch::Tensor LatentKl(const Latent& latent);
// eps of episodes first .. first + count - 1 of a lifetime, [count, dz] float64.
torch::Tensor LatentNoise(const RandomStream& stream, int64_t first, int64_t count, int64_t latent);
// z = mu + sigma eps: [E, dz].
torch::Tensor DrawLatents(const Latent& latent, const torch::Tensor& eps);
// Of rewards [E, M]: sums of episodes, standardised over the episodes; 0 where all are equal. [E]
// float64.
torch::Tensor EpisodeAdvantages(const torch::Tensor& rewards);
// The same of what agent `agent` lived through from step `begin` on, E episodes.
torch::Tensor EpisodeAdvantages(const LatentConfig& config, const Segment& segment, int64_t agent,
                                int64_t begin);

// Gradient of -mean_e A_e log p(z_e): z [E, dz] as constants, advantages [E].
Latent ScoreGradient(const Latent& latent, const torch::Tensor& z, const torch::Tensor& advantages);
// One step down that gradient with the rates alpha [dz] of each.
Latent AdaptLatent(const Latent& latent, const Latent& rates, const torch::Tensor& z,
                   const torch::Tensor& advantages);
bool IsFinite(const Latent& latent);

}  // namespace mentor::learner
