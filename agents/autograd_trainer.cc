#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <utility>

#include "agents/adam.h"
#include "agents/agent_trainer.h"
#include "agents/policy.h"
#include "agents/ppo_loss.h"
#include "agents/trace_column.h"

namespace mentor::agents {
namespace {

// All agents at once, by LibTorch.
class StackedAgents {
 public:
  StackedAgents(const TrainerSetup& setup, const TrainingData& data, AgentBatch agents)
      : layout_(AgentLayout(setup.shape)),
        config_(setup.config),
        policy_loss_(setup.policy_loss),
        minibatch_order_(setup.order),
        data_(data),
        num_agents_(data.advantages.size(0)),
        steps_(data.advantages.size(1)),
        before_(agents),
        agents_(std::move(agents)),
        running_(torch::ones({num_agents_}, data.advantages.options().dtype(torch::kBool))),
        nonfinite_(torch::zeros_like(running_)),
        first_row_(
            torch::arange(num_agents_, running_.options().dtype(torch::kInt64)).unsqueeze(1) *
            steps_),
        trace_(EmptyTrace(config_, data)) {}

  void BeginEpoch(int64_t epoch) {
    torch::Tensor order = torch::empty({num_agents_, steps_}, torch::kInt64);
    for (int64_t s = 0; s < num_agents_; ++s) {
      minibatch_order_(s, epoch,
                       {order.data_ptr<int64_t>() + s * steps_, static_cast<size_t>(steps_)});
    }
    rows_ = order + first_row_;
  }

  void Step(int64_t step, int64_t begin, int64_t count) {
    const torch::Tensor rows = rows_.narrow(1, begin, count).flatten();
    const auto take = [&](const torch::Tensor& x) {
      if (!x.defined()) return x;
      std::vector<int64_t> shape = x.sizes().vec();
      shape[1] = count;
      return x.flatten(0, 1).index_select(0, rows).view(shape);
    };
    const Minibatch batch{take(data_.observations), take(data_.actions), take(data_.log_probs),
                          take(data_.advantages),   take(data_.returns), take(data_.values)};
    LossTerms terms;
    torch::Tensor grad;
    {
      const c10::AutoGradMode gradients_on(true);
      const torch::Tensor theta = agents_.theta.detach().requires_grad_(true);
      terms = PpoLoss(layout_, theta, batch, config_, policy_loss_);
      // The sum keeps agents independent.
      grad = torch::autograd::grad({terms.loss.sum()}, {theta})[0];
    }
    const torch::Tensor norm = GradNorm(grad), loss = terms.loss.detach();
    const torch::Tensor value_loss =
        terms.value_loss.defined() ? terms.value_loss : torch::zeros_like(loss);
    const torch::Tensor row = torch::stack({loss, terms.policy_loss, value_loss, terms.entropy,
                                            terms.approx_kl, terms.clip_fraction, norm},
                                           1)
                                  .detach()
                                  .to(torch::kFloat64);
    trace_.select(1, step).copy_(torch::where(running_.unsqueeze(1), row, trace_.select(1, step)));
    last_kl_ = terms.approx_kl.detach();
    const torch::Tensor finite = loss.isfinite().logical_and(norm.isfinite());
    nonfinite_ = nonfinite_.logical_or(running_.logical_and(finite.logical_not()));
    running_ = running_.logical_and(finite);
    const AgentBatch next =
        OptimizerStep(agents_, grad * ClipScale(norm, config_).unsqueeze(1), config_);
    agents_ = ChooseAgents(running_, next, agents_);
  }

  bool EndEpoch() {
    if (!config_.target_kl) return true;
    running_ = running_.logical_and((last_kl_ > *config_.target_kl).logical_not());
    return running_.any().item<bool>();
  }

  // An agent with a number that is not finite stays as it was.
  AgentBatch Finish() const { return ChooseAgents(nonfinite_, before_, agents_); }
  torch::Tensor nonfinite() const { return nonfinite_; }
  torch::Tensor trace() const { return trace_; }

 private:
  const ParamLayout layout_;
  const PpoConfig& config_;
  const PolicyLoss& policy_loss_;
  const MinibatchOrder& minibatch_order_;
  const TrainingData& data_;
  const int64_t num_agents_, steps_;
  const AgentBatch before_;
  AgentBatch agents_;
  torch::Tensor running_, nonfinite_;  // [S] bool
  torch::Tensor first_row_;            // [S, 1]: of each agent in the flattened data
  torch::Tensor rows_;                 // [S, T]: the epoch's order as rows of the flattened data
  torch::Tensor last_kl_;              // [S]
  torch::Tensor trace_;                // [S, steps, columns]
};

class AutogradTrainer : public AgentTrainer {
 public:
  using AgentTrainer::AgentTrainer;

  absl::StatusOr<torch::Tensor> Values(const torch::Tensor& theta,
                                       const torch::Tensor& observations) override {
    return Forward(SplitAgents(AgentLayout(setup_.shape), theta).value, observations).squeeze(-1);
  }

  absl::StatusOr<TrainedAgents> Train(const AgentBatch& agents, const TrainingData& data) override {
    StackedAgents stacked(setup_, data, agents);
    MENTOR_RETURN_IF_ERROR(RunEpochs(setup_.config, data.advantages.size(1), &stacked));
    const torch::Tensor flags = stacked.nonfinite();
    const bool* nonfinite = flags.const_data_ptr<bool>();
    return TrainedAgents{stacked.Finish(), stacked.trace(),
                         std::vector<char>(nonfinite, nonfinite + flags.numel())};
  }
};

}  // namespace

std::unique_ptr<AgentTrainer> NewAutogradTrainer(const TrainerSetup& setup) {
  return std::make_unique<AutogradTrainer>(setup);
}

}  // namespace mentor::agents
