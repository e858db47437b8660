#include <span>

#include "agents/agent_trainer.h"
#include "agents/kernel_steps.h"
#include "agents/ppo_kernels.h"
#include "agents/trace_column.h"

namespace mentor::agents {
namespace {

// Rows of one pass when values of a whole segment are computed.
constexpr int64_t kValueRows = 128;

// One agent, by the kernels. Touches only its own rows of *all.
template <typename T>
class KernelAgent {
 public:
  KernelAgent(const TrainerSetup& setup, const TrainingData& data, int64_t agent,
              TrainedAgents* all)
      : config_(setup.config),
        minibatch_order_(setup.order),
        agent_(agent),
        steps_(setup.shape, {.ppo = config_}, MinibatchRows(config_, data.advantages.size(1)),
               /*differentiable=*/false),
        agents_(&all->agents),
        theta_(agents_->theta[agent].clone()),
        m_(agents_->adam_m[agent].clone()),
        v_(agents_->adam_v[agent].clone()),
        adam_steps_(agents_->adam_steps.data_ptr<int64_t>()[agent]),
        trace_(all->trace[agent].data_ptr<double>()),
        nonfinite_(&all->nonfinite[agent]),
        order_(data.advantages.size(1)) {
    rows_.observations = data.observations[agent].const_data_ptr<T>();
    rows_.actions = data.actions[agent].const_data_ptr<T>();
    rows_.log_probs = data.log_probs[agent].const_data_ptr<T>();
    rows_.advantages = data.advantages[agent].const_data_ptr<T>();
    if (setup.shape.critic) {
      rows_.returns = data.returns[agent].const_data_ptr<T>();
      rows_.values = data.values[agent].const_data_ptr<T>();
    }
  }

  void BeginEpoch(int64_t epoch) { minibatch_order_(agent_, epoch, order_); }

  void Step(int64_t step, int64_t begin, int64_t count) {
    if (*nonfinite_) return;
    const std::span<const int64_t> rows(order_.data() + begin, static_cast<size_t>(count));
    const StepNumbers numbers = steps_.Step(
        rows_, rows, {theta_.data_ptr<T>(), m_.data_ptr<T>(), v_.data_ptr<T>(), &adam_steps_});
    numbers.WriteTo(trace_ + step * kNumTraceColumns);
    last_kl_ = numbers.loss.approx_kl;
    if (!numbers.finite) *nonfinite_ = 1;
  }

  bool EndEpoch() { return !*nonfinite_ && !(config_.target_kl && last_kl_ > *config_.target_kl); }

  // Keeps the result, unless a number was not finite.
  void Finish() {
    if (*nonfinite_) return;
    agents_->theta[agent_].copy_(theta_);
    agents_->adam_m[agent_].copy_(m_);
    agents_->adam_v[agent_].copy_(v_);
    agents_->adam_steps.data_ptr<int64_t>()[agent_] = adam_steps_;
  }

 private:
  const PpoConfig& config_;
  const MinibatchOrder& minibatch_order_;
  const int64_t agent_;
  KernelSteps<T> steps_;
  AgentRows<T> rows_;
  AgentBatch* agents_;
  // Separate copies: whole cache lines, whatever the agent's place in the batch.
  torch::Tensor theta_, m_, v_;  // [P]
  int64_t adam_steps_;
  double* trace_;
  char* nonfinite_;
  std::vector<int64_t> order_;
  double last_kl_ = 0;
};

// Hand-written forward and backward passes (ppo_kernels.h), one agent at a time.
template <typename T>
class KernelTrainer : public AgentTrainer {
 public:
  using AgentTrainer::AgentTrainer;

  absl::StatusOr<torch::Tensor> Values(const torch::Tensor& theta,
                                       const torch::Tensor& observations) override {
    const int64_t rows = observations.size(1);
    torch::Tensor values = torch::empty({theta.size(0), rows}, theta.options());
    MENTOR_RETURN_IF_ERROR(ParallelFor(setup_.pool, theta.size(0), [&](int64_t s) {
      PpoKernels<T> kernels(SizesOf(setup_.shape), setup_.config, std::min(rows, kValueRows));
      kernels.Values(theta[s].const_data_ptr<T>(), observations[s].const_data_ptr<T>(), rows,
                     values[s].data_ptr<T>());
      return absl::OkStatus();
    }));
    return values;
  }

  absl::StatusOr<TrainedAgents> Train(const AgentBatch& agents, const TrainingData& data) override {
    const int64_t num_agents = data.advantages.size(0), steps = data.advantages.size(1);
    TrainedAgents all{{agents.theta.clone(), agents.adam_m.clone(), agents.adam_v.clone(),
                       agents.adam_steps.clone()},
                      EmptyTrace(setup_.config, data),
                      std::vector<char>(num_agents, 0)};
    MENTOR_RETURN_IF_ERROR(ParallelFor(setup_.pool, num_agents, [&](int64_t s) {
      KernelAgent<T> agent(setup_, data, s, &all);
      MENTOR_RETURN_IF_ERROR(RunEpochs(setup_.config, steps, &agent));
      agent.Finish();
      return absl::OkStatus();
    }));
    return all;
  }
};

}  // namespace

std::unique_ptr<AgentTrainer> NewKernelTrainer(const TrainerSetup& setup, torch::Dtype dtype) {
  if (dtype == torch::kFloat32) return std::make_unique<KernelTrainer<float>>(setup);
  return std::make_unique<KernelTrainer<double>>(setup);
}

}  // namespace mentor::agents
