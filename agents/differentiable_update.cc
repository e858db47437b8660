#include "agents/differentiable_update.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <utility>

#include "agents/ppo_loss.h"
#include "agents/row_statistics.h"
#include "agents/worker_pool.h"
#include "common/check.h"

namespace mentor::agents {
namespace {

using torch::Tensor;

Tensor Loss(const ParamLayout& layout, const UpdateConfig& config, const UpdateInputs& inputs,
            const Tensor& rows, const Tensor& theta, const Tensor& advantages, LossTerms* terms) {
  const Tensor advantage = TakeRows(advantages, rows), value = TakeRows(inputs.values, rows);
  PpoConfig ppo = config.ppo;
  ppo.normalize_advantage = false;
  Minibatch batch{TakeRows(inputs.observations, rows),
                  TakeRows(inputs.actions, rows),
                  TakeRows(inputs.log_probs, rows),
                  config.ppo.normalize_advantage
                      ? Standardised(advantage, {.ddof = config.advantage_ddof,
                                                 .epsilon = config.ppo.advantage_epsilon})
                      : advantage,
                  value.defined() ? advantage + value : Tensor(),
                  value};
  *terms = PpoLoss(layout, theta, batch, ppo);
  if (config.policy_gradient) {
    const Tensor clipped = terms->policy_loss;
    terms->policy_loss = -Mean(batch.advantages * terms->log_probs);
    terms->loss = terms->policy_loss - ppo.entropy_coef * terms->entropy;
    if (terms->value_loss.defined()) terms->loss = terms->loss + ppo.value_coef * terms->value_loss;
  }
  return terms->loss;
}

Tensor ClippedGradient(const UpdateConfig& config, const Tensor& grad, Tensor* norm) {
  *norm = SafeSqrt(grad.square().sum(1));
  if (!config.ppo.max_grad_norm) return grad;
  const double most = *config.ppo.max_grad_norm;
  Tensor scale =
      config.tensorflow_clip ? most / norm->clamp_min(most) : (most / (*norm + 1e-6)).clamp_max(1);
  if (config.stop_clip) scale = scale.detach();
  return grad * scale.unsqueeze(1);
}

// beta^steps [S, 1] of the agents, in double.
Tensor Power(double beta, const Tensor& steps) {
  return torch::pow(beta, steps.to(torch::kFloat64)).unsqueeze(1);
}

AgentBatch OptimizerStep(const UpdateConfig& config, const AgentBatch& x, const Tensor& grad) {
  const PpoConfig& ppo = config.ppo;
  AgentBatch next = x;
  next.adam_steps = x.adam_steps + 1;
  const Tensor square = (config.stop_second_moment ? grad.detach() : grad).square();
  if (config.rms_prop) {
    next.adam_v = config.rms_decay * x.adam_v + (1 - config.rms_decay) * square;
    next.theta = x.theta - ppo.learning_rate * grad / (next.adam_v + ppo.adam_epsilon).sqrt();
    return next;
  }
  if (!ppo.adam) {
    next.theta = x.theta - ppo.learning_rate * grad;
    return next;
  }
  next.adam_m = ppo.adam_beta1 * x.adam_m + (1 - ppo.adam_beta1) * grad;
  next.adam_v = ppo.adam_beta2 * x.adam_v + (1 - ppo.adam_beta2) * square;
  const torch::Dtype dtype = grad.scalar_type();
  const Tensor root = (1 - Power(ppo.adam_beta2, next.adam_steps)).sqrt();
  const Tensor rate = ppo.learning_rate / (1 - Power(ppo.adam_beta1, next.adam_steps));
  const Tensor deviation = SafeSqrt(next.adam_v);
  const Tensor step =
      config.tensorflow_epsilon
          ? (rate * root).to(dtype) * next.adam_m / (deviation + ppo.adam_epsilon)
          : rate.to(dtype) * next.adam_m / (deviation / root.to(dtype) + ppo.adam_epsilon);
  next.theta = x.theta - step;
  return next;
}

// Optimizer steps down any loss.
class Steps {
 public:
  Steps(const UpdateConfig& config, const AgentBatch& agents, int64_t steps, const StepLoss& loss,
        const std::vector<Tensor>& inputs)
      : config_(config), agents_(agents), steps_(steps), loss_(loss), inputs_(inputs) {
    MENTOR_CHECK(steps > 0 && config.last_n >= 0);
  }

  // Steps [0, end) without a graph. Adds the agents before each step to *path unless it is null.
  absl::StatusOr<AgentBatch> Run(int64_t end, std::vector<AgentBatch>* path) {
    AgentBatch x = Detached(agents_);
    const std::vector<Tensor> inputs = Leaves(/*graph=*/false);
    for (int64_t k = 0; k < end; ++k) {
      MENTOR_RETURN_IF_ERROR(CheckInterrupt());
      if (path != nullptr) path->push_back(x);
      x = Step(x, inputs, k, /*graph=*/false);
    }
    return x;
  }

  absl::StatusOr<StepsGradient> Unrolled(const AgentLoss& outer_loss) {
    const int64_t first = FirstStep();
    MENTOR_ASSIGN_OR_RETURN(AgentBatch x, Run(first, nullptr));
    const c10::AutoGradMode gradients(true);
    const Tensor theta = x.theta.requires_grad_(true);
    const std::vector<Tensor> inputs = Leaves(/*graph=*/true);
    for (int64_t k = first; k < steps_; ++k) {
      MENTOR_RETURN_IF_ERROR(CheckInterrupt());
      x = Step(x, inputs, k, /*graph=*/true);
    }
    StepsGradient result;
    const Tensor loss = outer_loss(x.theta);
    std::vector<Tensor> by = {x.theta, theta};
    by.insert(by.end(), inputs.begin(), inputs.end());
    const auto grads = torch::autograd::grad({loss.sum()}, by, {}, /*retain_graph=*/false,
                                             /*create_graph=*/false, /*allow_unused=*/true);
    result.after = Detached(x);
    result.outer_loss = loss.detach();
    result.outer_theta = OrZeros(grads[0], theta);
    result.theta = OrZeros(grads[1], theta);
    for (size_t i = 0; i < inputs.size(); ++i)
      result.inputs.push_back(OrZeros(grads[2 + i], inputs[i]));
    result.grad_norm = GradNorms();
    return result;
  }

  absl::StatusOr<StepsGradient> Replay(const AgentLoss& outer_loss) {
    std::vector<AgentBatch> path;
    MENTOR_ASSIGN_OR_RETURN(const AgentBatch after, Run(steps_, &path));
    const c10::AutoGradMode gradients(true);
    StepsGradient result;
    result.after = after;
    const Tensor end = after.theta.detach().requires_grad_(true);
    const Tensor loss = outer_loss(end);
    result.outer_loss = loss.detach();
    result.outer_theta = torch::autograd::grad({loss.sum()}, {end})[0];
    for (const Tensor& input : inputs_) result.inputs.push_back(torch::zeros_like(input));

    // Cotangents of (theta, m, v) after step k.
    Tensor theta_bar = result.outer_theta, m_bar = torch::zeros_like(theta_bar),
           v_bar = torch::zeros_like(theta_bar);
    for (int64_t k = steps_ - 1; k >= FirstStep(); --k) {
      MENTOR_RETURN_IF_ERROR(CheckInterrupt());
      AgentBatch x = Detached(path[k]);
      std::vector<Tensor> by;
      for (Tensor* leaf : {&x.theta, &x.adam_m, &x.adam_v})
        by.push_back(leaf->requires_grad_(true));
      const std::vector<Tensor> inputs = Leaves(/*graph=*/true);
      by.insert(by.end(), inputs.begin(), inputs.end());
      const AgentBatch next = Step(x, inputs, k, /*graph=*/true);
      const Tensor product = (next.theta * theta_bar).sum() + (next.adam_m * m_bar).sum() +
                             (next.adam_v * v_bar).sum();
      const auto grads = torch::autograd::grad({product}, by, {}, /*retain_graph=*/false,
                                               /*create_graph=*/false, /*allow_unused=*/true);
      theta_bar = OrZeros(grads[0], theta_bar);
      m_bar = OrZeros(grads[1], m_bar);
      v_bar = OrZeros(grads[2], v_bar);
      for (size_t i = 0; i < inputs.size(); ++i)
        result.inputs[i] = result.inputs[i] + OrZeros(grads[3 + i], inputs[i]);
      path.pop_back();
    }
    result.theta = theta_bar;
    result.grad_norm = GradNorms();
    return result;
  }

  absl::StatusOr<StepsGradient> Differentiate(const AgentLoss& outer_loss,
                                              UpdateImplementation implementation) {
    if (implementation == UpdateImplementation::kAuto) {
      implementation = steps_ > kUnrolledStepsMax ? UpdateImplementation::kReplay
                                                  : UpdateImplementation::kUnrolled;
    }
    return implementation == UpdateImplementation::kReplay ? Replay(outer_loss)
                                                           : Unrolled(outer_loss);
  }

  // [S, K]
  Tensor GradNorms() const { return torch::stack(grad_norms_, 1); }

 private:
  // Step k. With `graph`, differentiable from x.theta (and the rest of x) and `inputs` to the
  // result.
  AgentBatch Step(const AgentBatch& x, const std::vector<Tensor>& inputs, int64_t k, bool graph) {
    const c10::AutoGradMode gradients(true);
    const bool leaf = !graph || config_.first_order;
    const Tensor at = leaf ? x.theta.detach().requires_grad_(true) : x.theta;
    const Tensor loss = loss_(at, inputs, k);
    Tensor grad = torch::autograd::grad({loss.sum()}, {at}, {}, graph, graph)[0];
    const c10::AutoGradMode rest(graph);
    Tensor norm;
    grad = ClippedGradient(config_, grad, &norm);
    if (static_cast<int64_t>(grad_norms_.size()) == k) grad_norms_.push_back(norm.detach());
    return OptimizerStep(config_, x, grad);
  }

  // The first step that carries a graph.
  int64_t FirstStep() const {
    return config_.last_n == 0 ? 0 : std::max<int64_t>(0, steps_ - config_.last_n);
  }
  std::vector<Tensor> Leaves(bool graph) const {
    std::vector<Tensor> leaves;
    for (const Tensor& input : inputs_) leaves.push_back(input.detach().requires_grad_(graph));
    return leaves;
  }
  static AgentBatch Detached(const AgentBatch& x) {
    return {x.theta.detach(), x.adam_m.detach(), x.adam_v.detach(), x.adam_steps};
  }
  static Tensor OrZeros(const Tensor& x, const Tensor& like) {
    return x.defined() ? x : torch::zeros_like(like);
  }

  const UpdateConfig& config_;
  const AgentBatch& agents_;
  const int64_t steps_;
  const StepLoss& loss_;
  const std::vector<Tensor>& inputs_;
  std::vector<Tensor> grad_norms_;
};

// The PPO loss of step k by the advantages, and the numbers of each step when it is first made.
class PpoSteps {
 public:
  PpoSteps(const AgentShape& shape, const UpdateConfig& config, const UpdateInputs& inputs)
      : layout_(AgentLayout(shape)), config_(config), inputs_(inputs) {
    MENTOR_CHECK(inputs.values.defined() == shape.critic);
  }

  StepLoss Loss() {
    return [this](const Tensor& theta, const std::vector<Tensor>& inputs, int64_t k) {
      LossTerms terms;
      const Tensor loss =
          agents::Loss(layout_, config_, inputs_, inputs_.minibatches[k], theta, inputs[0], &terms);
      if (static_cast<int64_t>(trace_.size()) == k) {
        trace_.push_back(
            {loss.detach(), terms.policy_loss.detach(),
             terms.value_loss.defined() ? terms.value_loss.detach() : torch::zeros_like(loss),
             terms.entropy.detach(), terms.approx_kl.detach(), terms.clip_fraction, Tensor()});
      }
      return loss;
    };
  }

  UpdateTrace Trace(const Tensor& grad_norms) const {
    const auto column = [&](Tensor UpdateTrace::*member) {
      std::vector<Tensor> steps;
      for (const UpdateTrace& step : trace_) steps.push_back((step.*member).detach());
      return torch::stack(steps, 1);
    };
    return {column(&UpdateTrace::loss),
            column(&UpdateTrace::policy_loss),
            column(&UpdateTrace::value_loss),
            column(&UpdateTrace::entropy),
            column(&UpdateTrace::approx_kl),
            column(&UpdateTrace::clip_fraction),
            grad_norms};
  }

 private:
  const ParamLayout layout_;
  const UpdateConfig& config_;
  const UpdateInputs& inputs_;
  std::vector<UpdateTrace> trace_;  // A step has numbers [S], and no grad_norm.
};

}  // namespace

UpdateInputs UpdateInputs::Agents(int64_t first, int64_t count) const {
  UpdateInputs some = *this;
  some.agents = SomeAgents(agents, first, count);
  for (Tensor* x :
       {&some.observations, &some.actions, &some.log_probs, &some.values, &some.advantages})
    if (x->defined()) *x = x->narrow(0, first, count);
  for (Tensor& rows : some.minibatches) rows = rows.narrow(0, first, count);
  return some;
}

Tensor TakeRows(const Tensor& x, const Tensor& rows) {
  if (!x.defined()) return x;
  std::vector<int64_t> shape = x.sizes().vec();
  shape[1] = rows.size(1);
  const Tensor first = torch::arange(x.size(0), rows.options()).unsqueeze(1) * x.size(1);
  return x.flatten(0, 1).index_select(0, (rows + first).flatten()).view(shape);
}

absl::StatusOr<std::vector<Tensor>> DrawMinibatches(const MinibatchOrder& order, int64_t num_agents,
                                                    int64_t steps, int64_t epochs,
                                                    int64_t minibatches) {
  const int64_t size = MinibatchSteps(steps, minibatches);
  std::vector<Tensor> drawn;
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    MENTOR_RETURN_IF_ERROR(CheckInterrupt());
    Tensor rows = torch::empty({num_agents, steps}, torch::kInt64);
    for (int64_t s = 0; s < num_agents; ++s) {
      order(s, epoch, {rows.data_ptr<int64_t>() + s * steps, static_cast<size_t>(steps)});
    }
    for (int64_t begin = 0; begin < steps; begin += size)
      drawn.push_back(rows.narrow(1, begin, std::min(size, steps - begin)));
  }
  return drawn;
}

absl::StatusOr<UpdateOutputs> RunUpdate(const AgentShape& shape, const UpdateConfig& config,
                                        const UpdateInputs& inputs) {
  PpoSteps ppo(shape, config, inputs);
  const StepLoss loss = ppo.Loss();
  const std::vector<Tensor> leaves = {inputs.advantages};
  Steps steps(config, inputs.agents, inputs.steps(), loss, leaves);
  MENTOR_ASSIGN_OR_RETURN(AgentBatch after, steps.Run(inputs.steps(), nullptr));
  return UpdateOutputs{std::move(after), ppo.Trace(steps.GradNorms())};
}

absl::StatusOr<UpdateGradient> DifferentiateUpdate(const AgentShape& shape,
                                                   const UpdateConfig& config,
                                                   const UpdateInputs& inputs,
                                                   const AgentLoss& outer_loss,
                                                   UpdateImplementation implementation) {
  PpoSteps ppo(shape, config, inputs);
  MENTOR_ASSIGN_OR_RETURN(const StepsGradient steps,
                          DifferentiateSteps(config, inputs.agents, inputs.steps(), ppo.Loss(),
                                             {inputs.advantages}, outer_loss, implementation));
  return UpdateGradient{.after = {steps.after, ppo.Trace(steps.grad_norm)},
                        .outer_loss = steps.outer_loss,
                        .outer_theta = steps.outer_theta,
                        .advantages = steps.inputs[0],
                        .theta = steps.theta};
}

absl::StatusOr<AgentBatch> RunSteps(const UpdateConfig& config, const AgentBatch& agents,
                                    int64_t steps, const StepLoss& loss,
                                    const std::vector<Tensor>& inputs) {
  return Steps(config, agents, steps, loss, inputs).Run(steps, nullptr);
}

absl::StatusOr<StepsGradient> DifferentiateSteps(const UpdateConfig& config,
                                                 const AgentBatch& agents, int64_t steps,
                                                 const StepLoss& loss,
                                                 const std::vector<Tensor>& inputs,
                                                 const AgentLoss& outer_loss,
                                                 UpdateImplementation implementation) {
  return Steps(config, agents, steps, loss, inputs).Differentiate(outer_loss, implementation);
}

}  // namespace mentor::agents
