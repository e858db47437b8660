#include "methods/meta_gradient/bootstrap.h"

#include <utility>

#include "agents/policy.h"
#include "agents/row_statistics.h"
#include "common/check.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

// In double: a divergence of 1e-6 is in the last digits of float32 log-densities.
struct Policy {
  Tensor output;   // [S, N, A]
  Tensor log_std;  // [S, 1, A]; undefined for discrete actions.

  Policy(const agents::ParamLayout& layout, const Tensor& theta, const Tensor& observations) {
    const agents::AgentNetworks networks = agents::SplitAgents(layout, theta);
    output = agents::Forward(networks.policy, observations).to(torch::kFloat64);
    if (networks.log_std.defined()) log_std = networks.log_std.unsqueeze(1).to(torch::kFloat64);
  }
};

}  // namespace

absl::StatusOr<Tensor> BootstrapTarget(const agents::AgentShape& shape,
                                       const agents::UpdateConfig& config,
                                       const agents::UpdateInputs& further,
                                       const agents::AgentLoss& task_loss) {
  agents::AgentBatch agents = further.agents;
  if (further.steps() > 0) {
    MENTOR_ASSIGN_OR_RETURN(agents::UpdateOutputs learned,
                            agents::RunUpdate(shape, config, further));
    agents = std::move(learned.agents);
  }
  const agents::StepLoss last = [&](const Tensor& theta, const std::vector<Tensor>&, int64_t) {
    return task_loss(theta);
  };
  MENTOR_ASSIGN_OR_RETURN(agents, agents::RunSteps(config, agents, /*steps=*/1, last, {}));
  return agents.theta;
}

Tensor MatchingLoss(const agents::ParamLayout& layout, const Tensor& target, const Tensor& theta,
                    const Tensor& observations) {
  const Policy p(layout, target.detach(), observations), q(layout, theta, observations);
  if (!p.log_std.defined()) {
    const Tensor log_p = p.output.log_softmax(-1), log_q = q.output.log_softmax(-1);
    return agents::Mean((log_p.exp() * (log_p - log_q)).sum(-1));
  }
  const Tensor squares = (2 * p.log_std).exp() + (p.output - q.output).square();
  return agents::Mean(
      (q.log_std - p.log_std + 0.5 * squares * (-2 * q.log_std).exp() - 0.5).sum(-1));
}

}  // namespace mentor::methods
