// How MAML's agents learn (docs/algorithms/initial_weights.md#maml), for the inner loop
// "adaptation" and for its outer rule, which adapts the same agents again. Pure functions; threads
// may share.
//
// The meta-parameters are [P + 1] numbers: the weights of the policy that every agent begins with,
// then the mean adaptation reward m of the last lifetimes, which the agents' baseline needs and the
// rule alone can know.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "common/options.h"
#include "learner/agents/segment.h"
#include "learner/agents/vanilla_policy_gradient.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::learner {

struct AdaptationConfig {
  StateStdPolicy::Shape policy;
  int64_t steps = 2;            // K: iterations with a step after them.
  double learning_rate = 0.07;  // Step size of plain gradient descent.
  double gamma = 0.995;
  bool shaped = false;  // Learns from the shaped reward; otherwise from the success signal.
};

OptionTable AdaptationOptions();
AdaptationConfig ReadAdaptation(const OptionValues& options, const v1::EnvironmentShape& shape);
void CheckAdaptation(const AdaptationConfig& config, const v1::ExperimentSpec& spec,
                     Violations* violations);

// Numbers of a forward pass through the policy with its graph, for one step.
int64_t GraphNumbersPerStep(const StateStdPolicy::Shape& policy);

// What agents learn from: [S, T].
torch::Tensor AdaptationRewards(const AdaptationConfig& config, const Segment& segment);

// What agent `agent` learns from its steps begin .. begin + num_steps - 1, one inner iteration, in
// the dtype of the observations.
PolicyGradientData AdaptationData(const AdaptationConfig& config, const Segment& segment,
                                  int64_t agent, int64_t begin, int64_t num_steps,
                                  double mean_reward);

// weights [P] after one adaptation step; the weights themselves when the step is not finite.
torch::Tensor Adapt(const AdaptationConfig& config, const StateStdPolicy& policy,
                    const torch::Tensor& weights, const PolicyGradientData& data);

}  // namespace mentor::learner
