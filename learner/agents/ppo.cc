#include "learner/agents/ppo.h"

#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "learner/agents/adam.h"
#include "learner/agents/gae.h"
#include "learner/agents/policy.h"
#include "learner/agents/ppo_kernels.h"
#include "learner/agents/ppo_loss.h"
#include "learner/kernels/optimizer.h"

namespace mentor::learner {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
// Rows of one pass when values of a whole segment are computed by the kernels.
constexpr int64_t kValueRows = 128;

// What all minibatches are cut from; dtype and device of theta.
struct TrainingData {
  torch::Tensor observations, actions, log_probs;  // [S, T, D], [S, T, A], [S, T]
  torch::Tensor advantages, returns, values;       // [S, T]; the last two with a critic only
};

// Takes a group of agents through optimizer steps. An agent stops when its loss or gradient is not
// finite, or by the target KL; a group is done when all its agents have stopped.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual void BeginEpoch(int64_t epoch) = 0;
  // One optimizer step on elements [begin, begin + count) of the epoch's order; fills row `step` of
  // the trace.
  virtual void Step(int64_t step, int64_t begin, int64_t count) = 0;
  // False when the group is done.
  virtual bool EndEpoch() = 0;
};

// The update (docs/algorithms/ppo.md#the-update), for whatever engine.
void RunEpochs(const PpoConfig& config, int64_t steps, Engine* engine) {
  const int64_t size = steps / config.minibatches;
  int64_t step = 0;
  for (int64_t epoch = 0; epoch < config.epochs; ++epoch) {
    engine->BeginEpoch(epoch);
    for (int64_t begin = 0; begin < steps; begin += size) {
      engine->Step(step++, begin, std::min(size, steps - begin));
    }
    if (!engine->EndEpoch()) return;
  }
}

int64_t NumSteps(const PpoConfig& config, int64_t steps) {
  const int64_t size = steps / config.minibatches;
  return config.epochs * ((steps + size - 1) / size);
}

KernelSizes SizesOf(const AgentShape& shape) {
  return {shape.observation_size, shape.action_size, shape.hidden_units, shape.critic};
}

// One agent, by the kernels. Touches only its own rows of *agents, *trace and *nonfinite.
template <typename T>
class KernelEngine : public Engine {
 public:
  KernelEngine(const AgentShape& shape, const PpoConfig& config, const MinibatchOrder& order,
               const TrainingData& data, int64_t agent, AgentBatch* agents, torch::Tensor* trace,
               std::vector<char>* nonfinite)
      : config_(config),
        minibatch_order_(order),
        agent_(agent),
        kernels_(SizesOf(shape), config, data.advantages.size(1) / config.minibatches),
        agents_(agents),
        theta_(agents->theta[agent].clone()),
        m_(agents->adam_m[agent].clone()),
        v_(agents->adam_v[agent].clone()),
        grad_(torch::empty_like(theta_)),
        adam_steps_(agents->adam_steps.data_ptr<int64_t>()[agent]),
        trace_((*trace)[agent].data_ptr<double>()),
        nonfinite_(&(*nonfinite)[agent]),
        order_(data.advantages.size(1)) {
    rows_.observations = data.observations[agent].const_data_ptr<T>();
    rows_.actions = data.actions[agent].const_data_ptr<T>();
    rows_.log_probs = data.log_probs[agent].const_data_ptr<T>();
    rows_.advantages = data.advantages[agent].const_data_ptr<T>();
    if (shape.critic) {
      rows_.returns = data.returns[agent].const_data_ptr<T>();
      rows_.values = data.values[agent].const_data_ptr<T>();
    }
  }

  void BeginEpoch(int64_t epoch) override { minibatch_order_(agent_, epoch, order_); }

  void Step(int64_t step, int64_t begin, int64_t count) override {
    if (*nonfinite_) return;
    const std::span<const int64_t> rows(order_.data() + begin, static_cast<size_t>(count));
    T* grad = grad_.data_ptr<T>();
    const std::span<const T> grad_span(grad, static_cast<size_t>(grad_.numel()));
    const MinibatchLoss loss =
        kernels_.LossAndGradient(theta_.const_data_ptr<T>(), rows_, rows, grad);
    const double norm = std::sqrt(SquaredNorm<T>(grad_span));
    double* row = trace_ + step * kNumTraceColumns;
    row[kLoss] = loss.loss;
    row[kPolicyLoss] = loss.policy_loss;
    row[kValueLoss] = loss.value_loss;
    row[kEntropy] = loss.entropy;
    row[kApproxKl] = loss.approx_kl;
    row[kClipFraction] = loss.clip_fraction;
    row[kGradNorm] = norm;
    last_kl_ = loss.approx_kl;
    if (!std::isfinite(loss.loss) || !std::isfinite(norm)) {
      *nonfinite_ = 1;
      return;
    }
    const double scale = config_.max_grad_norm ? ClipScale(norm, *config_.max_grad_norm) : 1.0;
    AdamStepInPlace<T>(config_.Adam(), ++adam_steps_, scale, grad_span, theta_.data_ptr<T>(),
                       m_.data_ptr<T>(), v_.data_ptr<T>());
  }

  bool EndEpoch() override {
    return !*nonfinite_ && !(config_.target_kl && last_kl_ > *config_.target_kl);
  }

  // Keeps what was learned, unless something was not finite.
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
  PpoKernels<T> kernels_;
  AgentRows<T> rows_;
  AgentBatch* agents_;
  // Own copies: whole cache lines, whatever the agent's place in the batch.
  torch::Tensor theta_, m_, v_, grad_;  // [P]
  int64_t adam_steps_;
  double* trace_;
  char* nonfinite_;
  std::vector<int64_t> order_;
  double last_kl_ = 0;
};

// All agents at once, by LibTorch, on any device. Nothing is copied to the host but once an epoch
// with a target KL.
class TensorEngine : public Engine {
 public:
  TensorEngine(const AgentShape& shape, const PpoConfig& config, const MinibatchOrder& order,
               const TrainingData& data, AgentBatch agents)
      : layout_(AgentLayout(shape)),
        config_(config),
        minibatch_order_(order),
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
        trace_(torch::full({num_agents_, NumSteps(config, steps_), kNumTraceColumns}, kNaN,
                           running_.options().dtype(torch::kFloat64))) {}

  void BeginEpoch(int64_t epoch) override {
    torch::Tensor order = torch::empty({num_agents_, steps_}, torch::kInt64);
    for (int64_t s = 0; s < num_agents_; ++s) {
      minibatch_order_(s, epoch,
                       {order.data_ptr<int64_t>() + s * steps_, static_cast<size_t>(steps_)});
    }
    rows_ = order.to(running_.device()) + first_row_;
  }

  void Step(int64_t step, int64_t begin, int64_t count) override {
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
      terms = PpoLoss(layout_, theta, batch, config_);
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
    agents_ = Choose(running_, next, agents_);
  }

  bool EndEpoch() override {
    if (!config_.target_kl) return true;
    running_ = running_.logical_and((last_kl_ > *config_.target_kl).logical_not());
    return running_.any().item<bool>();
  }

  // An agent with something not finite stays as it was.
  AgentBatch Finish() const { return Choose(nonfinite_, before_, agents_); }
  torch::Tensor nonfinite() const { return nonfinite_; }
  torch::Tensor trace() const { return trace_; }

 private:
  static AgentBatch Choose(const torch::Tensor& mask, const AgentBatch& yes, const AgentBatch& no) {
    const torch::Tensor rows = mask.unsqueeze(1);
    return {torch::where(rows, yes.theta, no.theta), torch::where(rows, yes.adam_m, no.adam_m),
            torch::where(rows, yes.adam_v, no.adam_v),
            torch::where(mask, yes.adam_steps, no.adam_steps)};
  }

  const ParamLayout layout_;
  const PpoConfig& config_;
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

template <typename T>
absl::Status KernelValues(const AgentShape& shape, const PpoConfig& config,
                          const torch::Tensor& theta, const torch::Tensor& observations,
                          WorkerPool* pool, torch::Tensor* values) {
  const int64_t rows = observations.size(1);
  *values = torch::empty({theta.size(0), rows}, theta.options());
  const AgentShape sizes = shape;
  return ParallelFor(pool, theta.size(0), [&](int64_t s) {
    PpoKernels<T> kernels(SizesOf(sizes), config, std::min(rows, kValueRows));
    kernels.Values(theta[s].const_data_ptr<T>(), observations[s].const_data_ptr<T>(), rows,
                   (*values)[s].data_ptr<T>());
    return absl::OkStatus();
  });
}

absl::Status Values(bool kernels, const AgentShape& shape, const PpoConfig& config,
                    const torch::Tensor& theta, const torch::Tensor& observations, WorkerPool* pool,
                    torch::Tensor* values) {
  if (!kernels) {
    *values = Forward(SplitAgents(AgentLayout(shape), theta).value, observations).squeeze(-1);
    return absl::OkStatus();
  }
  return theta.scalar_type() == torch::kFloat32
             ? KernelValues<float>(shape, config, theta, observations, pool, values)
             : KernelValues<double>(shape, config, theta, observations, pool, values);
}

template <typename T>
absl::Status RunKernels(const AgentShape& shape, const PpoConfig& config,
                        const MinibatchOrder& order, const TrainingData& data, WorkerPool* pool,
                        UpdateResult* result, std::vector<char>* nonfinite) {
  return ParallelFor(pool, data.advantages.size(0), [&](int64_t s) {
    KernelEngine<T> engine(shape, config, order, data, s, &result->agents, &result->trace,
                           nonfinite);
    RunEpochs(config, data.advantages.size(1), &engine);
    engine.Finish();
    return absl::OkStatus();
  });
}

absl::Status CheckShape(const char* name, const torch::Tensor& x,
                        const std::vector<int64_t>& want) {
  if (!x.defined()) return absl::InvalidArgumentError(absl::StrCat(name, ": missing"));
  if (x.sizes() != torch::IntArrayRef(want)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": shape [", absl::StrJoin(x.sizes().vec(), ", "), "], expected [",
                     absl::StrJoin(want, ", "), "]"));
  }
  return absl::OkStatus();
}

// The kernels are for Gaussian policies and Adam.
bool HaveKernels(const AgentShape& shape, const PpoConfig& config) {
  return !shape.discrete && config.adam;
}

absl::Status CheckInput(const AgentShape& shape, const AgentBatch& agents, const Segment& segment,
                        const torch::Tensor& signal, const PpoConfig& config,
                        GradientSource gradient) {
  const int64_t p = AgentLayout(shape).size();
  if (!signal.defined() || signal.dim() != 2 || signal.numel() == 0) {
    return absl::InvalidArgumentError("signal: expected shape [agents, steps], none of them zero");
  }
  const int64_t s = signal.size(0), t = signal.size(1);
  MENTOR_RETURN_IF_ERROR(CheckShape("theta", agents.theta, {s, p}));
  MENTOR_RETURN_IF_ERROR(CheckShape("adam_m", agents.adam_m, {s, p}));
  MENTOR_RETURN_IF_ERROR(CheckShape("adam_v", agents.adam_v, {s, p}));
  MENTOR_RETURN_IF_ERROR(CheckShape("adam_steps", agents.adam_steps, {s}));
  MENTOR_RETURN_IF_ERROR(
      CheckShape("observations", segment.observations, {s, t, shape.observation_size}));
  MENTOR_RETURN_IF_ERROR(CheckShape("actions", segment.actions, {s, t, shape.action_size}));
  MENTOR_RETURN_IF_ERROR(CheckShape("log_probs", segment.log_probs, {s, t}));
  if (shape.critic) {
    MENTOR_RETURN_IF_ERROR(CheckShape("prev_done", segment.prev_done, {s, t}));
    MENTOR_RETURN_IF_ERROR(CheckShape("last_done", segment.last_done, {s}));
    MENTOR_RETURN_IF_ERROR(
        CheckShape("next_observations", segment.next_observations, {s, shape.observation_size}));
    if (config.bootstrap_on_truncation) {
      MENTOR_RETURN_IF_ERROR(CheckShape("truncated", segment.truncated, {s, t}));
      const torch::Tensor& last = segment.final_observations;
      const int64_t count = segment.truncated.ne(0).sum(1).max().item<int64_t>();
      MENTOR_RETURN_IF_ERROR(
          CheckShape("final_observations", last,
                     {s, last.defined() && last.dim() == 3 ? std::max(last.size(1), count) : count,
                      shape.observation_size}));
    }
  }
  const torch::Dtype dtype = agents.theta.scalar_type();
  if (dtype != torch::kFloat32 && dtype != torch::kFloat64) {
    return absl::InvalidArgumentError("theta: dtype must be float32 or float64");
  }
  if (gradient == GradientSource::kKernels && !agents.theta.is_cpu()) {
    return absl::InvalidArgumentError(
        "theta: the kernels are for the CPU; use GradientSource::kAutograd");
  }
  if (gradient == GradientSource::kKernels && !HaveKernels(shape, config)) {
    return absl::InvalidArgumentError(
        "the kernels are for continuous actions and Adam; use GradientSource::kAutograd");
  }
  return CheckMinibatches(config.minibatches, config.normalize_advantage, t);
}

std::vector<AgentReport> Reports(const torch::Tensor& trace, const std::vector<char>& nonfinite) {
  std::vector<AgentReport> reports(nonfinite.size());
  for (size_t s = 0; s < reports.size(); ++s) {
    AgentReport& report = reports[s];
    report.nonfinite = nonfinite[s];
    const double* row =
        trace.const_data_ptr<double>() + static_cast<int64_t>(s) * trace.size(1) * kNumTraceColumns;
    double sums[kNumTraceColumns] = {};
    for (int64_t i = 0; i < trace.size(1); ++i, row += kNumTraceColumns) {
      // Steps after a stop have none; an agent whose own log std is not finite has done no step.
      if (std::isnan(row[kEntropy])) break;
      ++report.optimizer_steps;
      for (int64_t k = 0; k < kNumTraceColumns; ++k) sums[k] += row[k];
    }
    const double n = static_cast<double>(std::max<int64_t>(1, report.optimizer_steps));
    report.loss = sums[kLoss] / n;
    report.policy_loss = sums[kPolicyLoss] / n;
    report.value_loss = sums[kValueLoss] / n;
    report.entropy = sums[kEntropy] / n;
    report.approx_kl = sums[kApproxKl] / n;
    report.clip_fraction = sums[kClipFraction] / n;
    report.grad_norm = sums[kGradNorm] / n;
  }
  return reports;
}

absl::StatusOr<UpdateResult> CheckedUpdate(const AgentShape& shape, const AgentBatch& agents,
                                           const Segment& segment, const torch::Tensor& signal,
                                           const PpoConfig& config, const MinibatchOrder& order,
                                           const PpoOptions& options) {
  const torch::Device device = agents.theta.device();
  const torch::Dtype dtype = agents.theta.scalar_type();
  const bool kernels = options.gradient == GradientSource::kKernels ||
                       (options.gradient == GradientSource::kDefault && device.is_cpu() &&
                        HaveKernels(shape, config));
  const auto convert = [&](const torch::Tensor& x) {
    return x.detach().to(device, dtype).contiguous();
  };
  const torch::Tensor theta = agents.theta.detach().contiguous();

  UpdateResult result;
  TrainingData data;
  data.observations = convert(segment.observations);
  data.actions = convert(segment.actions);
  data.log_probs = convert(segment.log_probs);
  if (shape.critic) {
    // Once an update, with the weights that collected the segment.
    MENTOR_RETURN_IF_ERROR(
        Values(kernels, shape, config, theta, data.observations, options.pool, &data.values));
    torch::Tensor last;
    MENTOR_RETURN_IF_ERROR(Values(kernels, shape, config, theta,
                                  convert(segment.next_observations).unsqueeze(1), options.pool,
                                  &last));
    result.last_values = last.squeeze(1);
    Truncations truncations;
    if (config.bootstrap_on_truncation) {
      torch::Tensor of_final;
      MENTOR_RETURN_IF_ERROR(Values(kernels, shape, config, theta,
                                    convert(segment.final_observations), options.pool, &of_final));
      result.final_values = AtTruncations(of_final, segment.truncated);
      truncations = {segment.truncated, result.final_values};
    }
    const Advantages gae = Gae(signal, data.values, segment.prev_done, segment.last_done,
                               result.last_values, config.gamma, config.gae_lambda, truncations);
    data.advantages = convert(gae.advantages);
    data.returns = convert(gae.returns);
    result.values = data.values;
    result.advantages = data.advantages;
    result.returns = data.returns;
  } else {
    data.advantages = convert(signal);
  }

  const int64_t num_agents = signal.size(0), steps = signal.size(1);
  std::vector<char> nonfinite(num_agents, 0);
  if (kernels) {
    result.agents = {theta.clone(), convert(agents.adam_m).clone(), convert(agents.adam_v).clone(),
                     agents.adam_steps.to(device, torch::kInt64).contiguous().clone()};
    result.trace =
        torch::full({num_agents, NumSteps(config, steps), kNumTraceColumns}, kNaN, torch::kFloat64);
    MENTOR_RETURN_IF_ERROR(
        dtype == torch::kFloat32
            ? RunKernels<float>(shape, config, order, data, options.pool, &result, &nonfinite)
            : RunKernels<double>(shape, config, order, data, options.pool, &result, &nonfinite));
  } else {
    TensorEngine engine(shape, config, order, data,
                        {theta, convert(agents.adam_m), convert(agents.adam_v),
                         agents.adam_steps.to(device, torch::kInt64)});
    RunEpochs(config, steps, &engine);
    result.agents = engine.Finish();
    result.trace = engine.trace().cpu();
    const torch::Tensor flags = engine.nonfinite().cpu();
    for (int64_t s = 0; s < num_agents; ++s) nonfinite[s] = flags.const_data_ptr<bool>()[s];
  }
  result.nonfinite = std::count(nonfinite.begin(), nonfinite.end(), 1);
  result.reports = Reports(result.trace, nonfinite);
  return result;
}

}  // namespace

absl::StatusOr<UpdateResult> PpoUpdate(const AgentShape& shape, const AgentBatch& agents,
                                       const Segment& segment, const torch::Tensor& signal,
                                       const PpoConfig& config, const MinibatchOrder& order,
                                       const PpoOptions& options) {
  const c10::AutoGradMode gradients_off(false);
  try {
    MENTOR_RETURN_IF_ERROR(CheckInput(shape, agents, segment, signal, config, options.gradient));
    return CheckedUpdate(shape, agents, segment, signal, config, order, options);
  } catch (const c10::Error& error) {
    return absl::InternalError(absl::StrCat("PPO update: ", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("PPO update: ", error.what()));
  }
}

}  // namespace mentor::learner
