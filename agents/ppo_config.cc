#include "agents/ppo_config.h"

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::agents {

PpoConfig PpoConfigFromSpec(const v1::AgentSpec& spec, int64_t update, int64_t num_updates) {
  MENTOR_CHECK(update >= 1 && update <= num_updates);
  PpoConfig config;
  config.epochs = spec.epochs();
  config.minibatches = spec.minibatches();
  config.gamma = spec.gamma();
  config.gae_lambda = spec.gae_lambda();
  config.clip = spec.clip();
  if (spec.surrogate() == v1::DPO) {
    config.drift.emplace();
    if (spec.has_dpo_alpha()) config.drift->alpha = spec.dpo_alpha();
    if (spec.has_dpo_beta()) config.drift->beta = spec.dpo_beta();
  }
  config.value_coef = spec.value_coef();
  config.entropy_coef = spec.entropy_coef();
  config.max_grad_norm = spec.max_grad_norm();
  config.adam = spec.optimizer() == v1::ADAM;
  config.learning_rate = spec.learning_rate();
  if (spec.anneal_learning_rate()) {
    config.learning_rate *= 1 - static_cast<double>(update - 1) / static_cast<double>(num_updates);
  }
  config.adam_beta1 = spec.adam_beta1();
  config.adam_beta2 = spec.adam_beta2();
  config.adam_epsilon = spec.adam_epsilon();
  config.normalize_advantage = spec.normalize_advantage();
  config.clip_value_loss = spec.clip_value_loss();
  config.bootstrap_on_truncation = spec.bootstrap_on_truncation();
  if (spec.has_target_kl()) config.target_kl = spec.target_kl();
  return config;
}

absl::Status CheckMinibatches(int64_t minibatches, bool normalize_advantage, int64_t steps) {
  if (minibatches < 1 || minibatches > steps) {
    return absl::InvalidArgumentError(absl::StrCat(
        "agent.minibatches: ", minibatches, " minibatches of ", steps, " steps; use 1 to ", steps));
  }
  if (!normalize_advantage) return absl::OkStatus();
  const int64_t size = MinibatchSteps(steps, minibatches), rest = steps % size;
  if (size > 1 && rest != 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("agent.minibatches: ", minibatches, " minibatches of ", steps,
                   " steps leave a minibatch of one step, whose ",
                   "advantage cannot be standardised; change minibatches or "
                   "lifetime.steps_per_iteration, or set ",
                   "agent.normalize_advantage to false"));
}

}  // namespace mentor::agents
