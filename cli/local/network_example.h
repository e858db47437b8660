// What a network that gives no signals makes of drawn numbers: a loss, skills, a drift. Exports
// hold it, so that another program can compare its own. Pure functions.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mentor/v1/spec.pb.h"
#include "signals/signal_network.h"

namespace mentor {

// Normals for data that no lifetime has: a critic's values, a loss's inputs. Float32.
torch::Tensor DrawNumbers(uint32_t number, const std::vector<int64_t>& shape);

struct NetworkExample {
  std::string kind;  // "loss", "skills" or "drift"; empty for a network that gives signals.
  int64_t steps = 0;
  std::vector<std::pair<std::string, torch::Tensor>> tensors = {};  // Inputs, then the results.
};

// weights [Q]
NetworkExample ExampleOf(const std::shared_ptr<const signals::SignalNetwork>& network,
                         const torch::Tensor& weights, const signals::SignalContext& context,
                         const v1::AgentSpec& agent);

}  // namespace mentor
