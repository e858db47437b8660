#include "methods/shared/folded_input.h"

#include <algorithm>
#include <vector>

#include <absl/strings/match.h>
#include <absl/strings/str_format.h>

#include "common/check.h"

namespace mentor::methods {

using torch::Tensor;

agents::AgentShape WithInput(const agents::AgentShape& shape, int64_t extra) {
  agents::AgentShape whole = shape;
  whole.observation_size += extra;
  return whole;
}

Tensor FoldInput(const agents::AgentShape& shape, const Tensor& theta, const Tensor& constant) {
  const agents::ParamLayout layout = agents::AgentLayout(WithInput(shape, constant.size(1)));
  std::vector<Tensor> parts = layout.Split(theta);
  MENTOR_CHECK(constant.size(0) == theta.size(0));
  const Tensor c = constant.to(torch::kFloat64).unsqueeze(2);  // [R, E, 1]
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!absl::EndsWith(layout.slices()[i].name, ".W1")) continue;
    const Tensor own = parts[i].narrow(2, shape.observation_size, c.size(1)).to(torch::kFloat64);
    // Rows one by one, so that the number of rows does not change their bits.
    const Tensor moved = (own * c.transpose(1, 2)).sum(2);
    parts[i + 1] = (parts[i + 1].to(torch::kFloat64) + moved).to(theta.scalar_type());
    parts[i] = parts[i].narrow(2, 0, shape.observation_size);
  }
  for (Tensor& part : parts) part = part.reshape({theta.size(0), -1});
  return torch::cat(parts, 1);
}

void CheckEpisodesOfIteration(const v1::ExperimentSpec& spec, const v1::EnvironmentShape& shape,
                              Violations* violations) {
  const uint32_t steps = spec.lifetime().steps_per_iteration(), episode = shape.episode_steps();
  if (!shape.independent_episodes()) {
    violations->Add("lifetime.steps_per_iteration",
                    absl::StrFormat("is %d, but episodes of this environment may end early or "
                                    "depend on those before, and an agent has one policy for each "
                                    "episode: take an environment, or options, whose episodes all "
                                    "have %d steps",
                                    steps, episode));
  } else if (episode > 0 && steps % episode != 0) {
    violations->Add("lifetime.steps_per_iteration",
                    absl::StrFormat("is %d; an agent has one policy for each episode of %d steps: "
                                    "give a multiple of %d",
                                    steps, episode, episode));
  }
}

int64_t EpisodesOfIteration(const v1::ExperimentSpec& spec, const v1::EnvironmentShape& shape) {
  return spec.lifetime().steps_per_iteration() / std::max(1U, shape.episode_steps());
}

}  // namespace mentor::methods
