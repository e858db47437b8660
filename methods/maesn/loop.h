// How MAESN's agents adapt (methods/maesn/README.md#the-step). For the inner loop
// "latent_adaptation", and for its outer rule, which repeats the same steps. Pure functions,
// differentiable, generic in dtype; threads may share.
//
// The policy sees a latent z behind the observation, drawn from N(mu, diag sigma^2) once an
// episode. An adaptation step moves only mu and log sigma, by the score function of z.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "agents/agent_shape.h"
#include "agents/segment.h"
#include "common/options.h"
#include "common/rng.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::methods {

struct LatentConfig {
  agents::AgentShape policy;     // The shape that actors see: without the latent, no critic.
  int64_t latent = 2;            // dz
  int64_t episode_steps = 1;     // M
  int64_t episodes = 1;          // E, in an inner iteration.
  int64_t steps = 1;             // K: iterations that a step follows, in training,
  int64_t evaluation_steps = 3;  // and in evaluations.
  bool shaped = false;           // Adapts to the shaped reward; otherwise to the success signal.
};

LatentConfig ReadLatent(const OptionValues& options, const v1::ExperimentSpec& spec,
                        const v1::EnvironmentShape& shape);
void CheckLatent(const LatentConfig& config, const v1::ExperimentSpec& spec,
                 const v1::EnvironmentShape& shape, Violations* violations);

// The policy's own parameters, which come first: AgentLayout with D + dz inputs.
agents::ParamLayout LatentPolicyLayout(const LatentConfig& config);
// The meta-parameters: the policy, alpha_mu [dz], alpha_log_sigma [dz], then mu [n, dz] and
// log_sigma [n, dz] of the n listed training tasks.
agents::ParamLayout LatentLayout(const LatentConfig& config, int64_t num_tasks);

struct Latent {
  torch::Tensor mu, log_sigma;  // [dz], or with axes before: [..., dz]
};

// The latent with which a task that is not listed begins: N(0, I), float64.
Latent PriorLatent(const LatentConfig& config);
// KL(N(mu, sigma) || N(0, I)), summed over all axes: a scalar.
torch::Tensor LatentKl(const Latent& latent);
// eps of episodes first .. first + count - 1 of a lifetime, [count, dz] float64.
torch::Tensor LatentNoise(const RandomStream& stream, int64_t first, int64_t count, int64_t latent);
// z = mu + sigma eps: [E, dz].
torch::Tensor DrawLatents(const Latent& latent, const torch::Tensor& eps);
// Advantages [E] float64 of rewards [E, M]: sums of episodes, standardised over the episodes; 0
// when all are equal.
torch::Tensor EpisodeAdvantages(const torch::Tensor& rewards);
// The same for the E episodes of agent `agent` from step `begin` on.
torch::Tensor EpisodeAdvantages(const LatentConfig& config, const agents::Segment& segment,
                                int64_t agent, int64_t begin);

// Gradient of -mean_e A_e log p(z_e): z [E, dz] as constants, advantages [E].
Latent ScoreGradient(const Latent& latent, const torch::Tensor& z, const torch::Tensor& advantages);
// One step down that gradient with its rates alpha [dz].
Latent AdaptLatent(const Latent& latent, const Latent& rates, const torch::Tensor& z,
                   const torch::Tensor& advantages);
bool IsFinite(const Latent& latent);

}  // namespace mentor::methods
