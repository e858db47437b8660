#include "signals/plain_layers.h"

#include <algorithm>

#include "common/check.h"
#include "common/exact_math.h"

namespace mentor::signals {

using torch::Tensor;

Tensor OrthogonalWeights(const agents::ParamLayout& layout, uint64_t seed,
                         const std::function<double(const std::string&)>& gain) {
  const RandomStream stream{.seed = seed, .purpose = Purpose::kSignalWeights};
  Tensor weights = torch::zeros({layout.size()}, torch::kFloat32);
  agents::FillMatrices(layout, stream, gain, weights);
  return weights;
}

Tensor LogDensity(const Tensor& y, const Tensor& mean, const Tensor& log_std) {
  return -0.5 * ((y - mean) / log_std.exp()).square() - log_std - exact::kHalfLogTwoPi;
}

Tensor EpisodeSteps(const Tensor& prev_done, Tensor* steps) {
  const Tensor starts = prev_done.to(torch::kCPU, torch::kFloat32).contiguous();
  Tensor carried = steps->to(torch::kCPU, torch::kFloat64, /*non_blocking=*/false, /*copy=*/true);
  MENTOR_CHECK(starts.dim() == 2 && carried.numel() == starts.size(0));
  Tensor result = torch::empty(starts.sizes(), torch::kFloat64);
  const float* start = starts.const_data_ptr<float>();
  double* next = carried.mutable_data_ptr<double>();
  double* to = result.mutable_data_ptr<double>();
  const int64_t length = starts.size(1);
  for (int64_t s = 0; s < starts.size(0); ++s) {
    for (int64_t t = s * length; t < (s + 1) * length; ++t) {
      if (start[t] != 0) next[s] = 0;
      to[t] = next[s]++;
    }
  }
  *steps = carried.to(steps->options());
  return result.to(prev_done.device());
}

int64_t StepsSeenWhole(const SignalContext& context) {
  return std::max<int64_t>(
      1, context.independent_episodes ? context.episode_steps : context.steps_per_iteration);
}

std::vector<SignalColumn> StepColumns(const SignalContext& context) {
  return {{.name = "observations", .size = context.observation_size},
          {.name = "actions",
           .size = context.action_size,
           .how = context.discrete_actions ? "one-hot" : "as drawn, before clipping"}};
}

void AddOutcomeColumns(v1::SignalInput input, const std::string& how_success,
                       const std::string& how_shaped, std::vector<SignalColumn>* columns) {
  if (input != v1::SHAPED) columns->push_back({.name = "success_signals", .how = how_success});
  if (input != v1::SUCCESS) columns->push_back({.name = "shaped_rewards", .how = how_shaped});
}

SignalColumn TimeColumn() {
  return {.name = "time", .how = "steps of the episode so far, divided by episode_steps"};
}

}  // namespace mentor::signals
