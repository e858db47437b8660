#include <algorithm>
#include <limits>

#include "agents/agent_trainer.h"
#include "agents/phase_trainer.h"

namespace mentor::agents {

std::optional<int64_t> PpoDeviceBytes(const AgentShape& shape, const PpoConfig& config,
                                      int64_t num_agents, int64_t steps) {
  if (config.minibatches < 1 || steps < config.minibatches) return std::nullopt;
  // As without clusters: arrays outside of shared memory lie here.
  const int64_t rows = MinibatchRows(config, steps), pass = std::min(steps, kValueRows),
                inputs = shape.observation_size, hidden = shape.hidden_units,
                actions = shape.action_size, critic = shape.critic ? 1 : 0;
  // Kernels count in 32 bits within a network's memory, up to three times this.
  const double largest =
      static_cast<double>(std::max(rows, pass)) *
          static_cast<double>(inputs + 2 * hidden + 2 * actions + 16) +
      3.0 * static_cast<double>(hidden) * static_cast<double>(inputs + hidden + actions + 16);
  if (3 * largest > std::numeric_limits<int32_t>::max() ||
      steps > std::numeric_limits<int32_t>::max()) {
    return std::nullopt;
  }
  const PpoLayout<AnyPpoSizes> train{PpoSizesOf(shape, rows)}, values{PpoSizesOf(shape, pass)};
  const int64_t params = AgentLayout(shape).size(),
                optimizer_steps = config.epochs * StepsOfEpoch(config, steps);
  // theta as received and as trained, and both moments.
  int64_t floats = num_agents * 4 * params;
  // The data of minibatches, and the order of an epoch.
  floats += num_agents * steps * (inputs + actions + 2 + 2 * critic + 1);
  // Observations after the segment and at truncations.
  const int64_t cut = config.bootstrap_on_truncation ? 1 : 0;
  floats += critic * num_agents * (1 + cut * steps) * inputs;
  // The two run one after the other; the second one has its values besides.
  floats += std::max(
      num_agents * 2 * train.num_numbers(false),
      critic * num_agents *
          (steps + ValueBlocks(values.sizes, num_agents, steps) * values.num_numbers(false)));
  const int64_t doubles =
      num_agents * 2 * train.num_doubles() + num_agents * (optimizer_steps * kNumTraceColumns + 6);
  constexpr int64_t kArrays = 20;
  return floats * int64_t{sizeof(float)} + doubles * int64_t{sizeof(double)} +
         kArrays * kernels::kArrayAlignment;
}

}  // namespace mentor::agents
