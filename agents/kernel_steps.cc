#include "agents/kernel_steps.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "agents/ppo.h"
#include "agents/trace_column.h"
#include "common/check.h"
#include "common/exact_math.h"
#include "common/pause_point.h"
#include "kernels/optimizer.h"

namespace mentor::agents {

using torch::Tensor;

bool HaveKernelSteps(const AgentShape& shape, const UpdateConfig& config) {
  return HavePpoKernels(shape, config.ppo) && !config.policy_gradient && !config.rms_prop &&
         config.stop_second_moment && !config.first_order && config.last_n == 0;
}

// TensorFlow's step has both corrections of bias in the rate and m / (sqrt(v) + eps), which is m /
// (sqrt(v / c) + eps / sqrt(c)) with c = 1 - beta2^step.
kernels::AdamConfig AdamAt(const PpoConfig& config, bool tensorflow_epsilon, int64_t step) {
  kernels::AdamConfig adam = config.Adam();
  if (tensorflow_epsilon) adam.epsilon /= std::sqrt(1 - exact::Power(adam.beta2, step));
  return adam;
}

double ClipFactor(const PpoConfig& config, bool tensorflow_clip, double norm) {
  if (!config.max_grad_norm) return 1;
  const double most = *config.max_grad_norm;
  return tensorflow_clip ? most / std::max(norm, most) : kernels::ClipScale(norm, most);
}

KernelSizes SizesOf(const AgentShape& shape) {
  return {shape.observation_size, shape.action_size, shape.hidden_units, shape.critic};
}

AgentBatch CopyOf(const AgentBatch& agents) {
  const auto copy = [](const Tensor& x) { return x.clone(at::MemoryFormat::Contiguous); };
  return {copy(agents.theta), copy(agents.adam_m), copy(agents.adam_v), copy(agents.adam_steps)};
}

template <typename T>
AgentState<T> StateOfAgent(const AgentBatch& agents, int64_t agent) {
  const int64_t first = agent * agents.theta.size(1);
  return {agents.theta.data_ptr<T>() + first, agents.adam_m.data_ptr<T>() + first,
          agents.adam_v.data_ptr<T>() + first, agents.adam_steps.data_ptr<int64_t>() + agent};
}

template <typename T>
AgentRows<T> RowsOfAgent(const UpdateInputs& inputs, int64_t agent, const T* advantages,
                         const T* returns) {
  const auto of = [&](const Tensor& x) {
    MENTOR_CHECK(x.is_contiguous());
    return x.const_data_ptr<T>() + agent * x.stride(0);
  };
  return {of(inputs.observations),
          of(inputs.actions),
          of(inputs.log_probs),
          advantages,
          returns,
          inputs.values.defined() ? of(inputs.values) : nullptr};
}

void StepNumbers::WriteTo(double* trace_row) const {
  trace_row[kLoss] = loss.loss;
  trace_row[kPolicyLoss] = loss.policy_loss;
  trace_row[kValueLoss] = loss.value_loss;
  trace_row[kEntropy] = loss.entropy;
  trace_row[kApproxKl] = loss.approx_kl;
  trace_row[kClipFraction] = loss.clip_fraction;
  trace_row[kGradNorm] = grad_norm;
}

UpdateTrace TraceOf(const Tensor& trace) {
  const auto column = [&](TraceColumn c) { return trace.select(2, c); };
  return {column(kLoss),     column(kPolicyLoss),   column(kValueLoss), column(kEntropy),
          column(kApproxKl), column(kClipFraction), column(kGradNorm)};
}

template <typename T>
KernelSteps<T>::KernelSteps(const AgentShape& shape, const UpdateConfig& config, int64_t rows_max,
                            bool differentiable)
    : config_(config),
      kernels_(SizesOf(shape), config.ppo, rows_max,
               {.advantage_ddof = config.advantage_ddof, .advantage_gradient = differentiable}),
      grad_(AgentLayout(shape).size()) {
  MENTOR_CHECK(HaveKernelSteps(shape, config));
  if (differentiable) direction_.resize(grad_.size());
}

template <typename T>
StepNumbers KernelSteps<T>::Step(const AgentRows<T>& data, std::span<const int64_t> rows,
                                 const AgentState<T>& agent) {
  StepNumbers numbers;
  numbers.loss = kernels_.LossAndGradient(agent.theta, data, rows, grad_.data());
  numbers.grad_norm = std::sqrt(kernels::SquaredNorm<T>(grad_));
  numbers.finite = std::isfinite(numbers.loss.loss) && std::isfinite(numbers.grad_norm);
  if (!numbers.finite) return numbers;
  norm_ = numbers.grad_norm;
  scale_ = ClipFactor(config_.ppo, config_.tensorflow_clip, norm_);
  const int64_t step = ++*agent.adam_steps;
  kernels::AdamStepInPlace<T>(AdamAt(config_.ppo, config_.tensorflow_epsilon, step), step, scale_,
                              grad_, agent.theta, agent.m, agent.v);
  return numbers;
}

// methods/lirpg/README.md#kernels-of-a-minibatch: u is the direction.
template <typename T>
void KernelSteps<T>::Differentiate(const AgentRows<T>& data, std::span<const int64_t> rows,
                                   const AgentState<T>& after, std::span<const T> by_theta,
                                   std::span<double> by_advantage) {
  const int64_t step = *after.adam_steps;
  const kernels::AdamStep<T> adam(AdamAt(config_.ppo, config_.tensorflow_epsilon, step), step, 1);
  const T factor = -adam.fresh1 * adam.rate;
  double product = 0;
  std::fill(direction_.begin(), direction_.end(), T{0});
  for (size_t i = 0; i < by_theta.size(); ++i) {
    direction_[i] = factor * by_theta[i] / (std::sqrt(after.v[i]) * adam.root + adam.epsilon);
    product += static_cast<double>(direction_[i]) * grad_[i];
  }
  // A factor below 1 falls with the norm.
  const bool falls = scale_ < 1 && !config_.stop_clip;
  const double divisor = norm_ + (config_.tensorflow_clip ? 0 : 1e-6);
  const T scale = static_cast<T>(scale_);
  const T along = static_cast<T>(falls ? -scale_ / divisor * product / norm_ : 0);
  for (size_t i = 0; i < direction_.size(); ++i)
    direction_[i] = scale * direction_[i] + along * grad_[i];
  kernels_.AdvantageGradient(data, rows, direction_.data(), by_advantage);
}

namespace {

template <typename T>
absl::StatusOr<UpdateOutputs> RunAgents(const AgentShape& shape, const UpdateConfig& config,
                                        const UpdateInputs& inputs, WorkerPool* pool) {
  const AgentBatch& before = inputs.agents;
  AgentBatch after = CopyOf(before);
  const int64_t num_agents = before.theta.size(0);
  int64_t rows_max = 0;
  for (const Tensor& rows : inputs.minibatches) rows_max = std::max(rows_max, rows.size(1));
  const Tensor trace = torch::full({num_agents, inputs.steps(), kNumTraceColumns},
                                   std::numeric_limits<double>::quiet_NaN(), torch::kFloat64);
  const Tensor advantages = inputs.advantages.contiguous();
  const Tensor returns = shape.critic ? (advantages + inputs.values).contiguous() : Tensor();
  MENTOR_RETURN_IF_ERROR(ParallelFor(pool, num_agents, [&](int64_t s) -> absl::Status {
    KernelSteps<T> steps(shape, config, rows_max, /*differentiable=*/false);
    const AgentRows<T> data =
        RowsOfAgent<T>(inputs, s, advantages[s].const_data_ptr<T>(),
                       shape.critic ? returns[s].const_data_ptr<T>() : nullptr);
    const AgentState<T> agent = StateOfAgent<T>(after, s);
    double* row = trace[s].data_ptr<double>();
    for (const Tensor& minibatch : inputs.minibatches) {
      MENTOR_RETURN_IF_ERROR(PausePoint());
      const Tensor rows = minibatch[s].contiguous();
      const StepNumbers numbers = steps.Step(
          data, {rows.const_data_ptr<int64_t>(), static_cast<size_t>(rows.numel())}, agent);
      numbers.WriteTo(row);
      row += kNumTraceColumns;
      if (numbers.finite) continue;
      after.theta[s].copy_(before.theta[s]);
      after.adam_m[s].copy_(before.adam_m[s]);
      after.adam_v[s].copy_(before.adam_v[s]);
      after.adam_steps[s].copy_(before.adam_steps[s]);
      break;
    }
    return absl::OkStatus();
  }));
  return UpdateOutputs{std::move(after), TraceOf(trace)};
}

}  // namespace

absl::StatusOr<UpdateOutputs> RunUpdateByKernels(const AgentShape& shape,
                                                 const UpdateConfig& config,
                                                 const UpdateInputs& inputs, WorkerPool* pool) {
  return inputs.agents.theta.scalar_type() == torch::kFloat32
             ? RunAgents<float>(shape, config, inputs, pool)
             : RunAgents<double>(shape, config, inputs, pool);
}

template AgentState<float> StateOfAgent(const AgentBatch&, int64_t);
template AgentState<double> StateOfAgent(const AgentBatch&, int64_t);
template AgentRows<float> RowsOfAgent(const UpdateInputs&, int64_t, const float*, const float*);
template AgentRows<double> RowsOfAgent(const UpdateInputs&, int64_t, const double*, const double*);
template class KernelSteps<float>;
template class KernelSteps<double>;

}  // namespace mentor::agents
