#include "learner/agents/ppo.h"

#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

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
#include "learner/agents/agent_trainer.h"
#include "learner/agents/gae.h"
#include "learner/kernels/device_memory.h"

namespace mentor::learner {
namespace {

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

PpoEngine EngineOf(const Device& device) {
  switch (device.kind) {
    case DeviceKind::kCpu:
      return PpoEngine::kDefault;
    case DeviceKind::kEmulated:
      return PpoEngine::kEmulated;
    case DeviceKind::kCuda:
      return PpoEngine::kCuda;
  }
  return PpoEngine::kDefault;
}

AgentBatch AgentsOn(torch::Device memory, const AgentBatch& agents) {
  return {agents.theta.to(memory), agents.adam_m.to(memory), agents.adam_v.to(memory),
          agents.adam_steps.to(memory)};
}

std::unique_ptr<AgentTrainer> NewTrainer(const TrainerSetup& setup, const AgentBatch& agents,
                                         const PpoOptions& options) {
  const torch::Dtype dtype = agents.theta.scalar_type();
  switch (options.engine) {
    case PpoEngine::kKernels:
      return NewKernelTrainer(setup, dtype);
    case PpoEngine::kCuda:
      return NewCudaTrainer(setup, agents.theta.device(), options.cuda.stream,
                            options.cuda.has_clusters);
    case PpoEngine::kEmulated:
      return NewEmulatedTrainer(setup, dtype);
    case PpoEngine::kAutograd:
      return NewAutogradTrainer(setup);
    case PpoEngine::kDefault:
      break;
  }
  return agents.theta.is_cpu() && HavePpoKernels(setup.shape, setup.config)
             ? NewKernelTrainer(setup, dtype)
             : NewAutogradTrainer(setup);
}

absl::Status CheckInput(const AgentShape& shape, const AgentBatch& agents, const Segment& segment,
                        const torch::Tensor& signal, const PpoConfig& config, PpoEngine engine) {
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
  if (engine != PpoEngine::kDefault && engine != PpoEngine::kAutograd) {
    if (!HavePpoKernels(shape, config)) {
      return absl::InvalidArgumentError(
          "this engine is for continuous actions and Adam; use PpoEngine::kAutograd");
    }
    const bool cuda = engine == PpoEngine::kCuda;
    if (cuda ? !agents.theta.is_cuda() || dtype != torch::kFloat32 : !agents.theta.is_cpu()) {
      return absl::InvalidArgumentError(absl::StrCat("theta: this engine is for ",
                                                     cuda ? "float32 on a CUDA device" : "the CPU",
                                                     "; use PpoEngine::kAutograd"));
    }
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
  const std::unique_ptr<AgentTrainer> trainer =
      NewTrainer({shape, config, order, options.pool}, agents, options);
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
    MENTOR_ASSIGN_OR_RETURN(data.values, trainer->Values(theta, data.observations));
    MENTOR_ASSIGN_OR_RETURN(
        const torch::Tensor last,
        trainer->Values(theta, convert(segment.next_observations).unsqueeze(1)));
    result.last_values = last.squeeze(1);
    Truncations truncations;
    if (config.bootstrap_on_truncation) {
      MENTOR_ASSIGN_OR_RETURN(const torch::Tensor of_final,
                              trainer->Values(theta, convert(segment.final_observations)));
      result.final_values = AtTruncations(of_final, segment.truncated);
      truncations = {segment.truncated, result.final_values};
    }
    MENTOR_ASSIGN_OR_RETURN(
        const Advantages targets,
        trainer->Targets(signal, data.values, segment, result.last_values, truncations));
    data.advantages = targets.advantages;
    data.returns = targets.returns;
    result.values = data.values;
    result.advantages = data.advantages;
    result.returns = data.returns;
  } else {
    data.advantages = convert(signal);
  }

  MENTOR_ASSIGN_OR_RETURN(TrainedAgents trained,
                          trainer->Train({theta, convert(agents.adam_m), convert(agents.adam_v),
                                          agents.adam_steps.to(device, torch::kInt64).contiguous()},
                                         data));
  result.reports = Reports(trained.trace, trained.nonfinite);
  result.nonfinite = std::count(trained.nonfinite.begin(), trained.nonfinite.end(), 1);
  result.agents = std::move(trained.agents);
  result.trace = std::move(trained.trace);
  return result;
}

}  // namespace

bool HavePpoKernels(const AgentShape& shape, const PpoConfig& config) {
  return !shape.discrete && config.adam;
}

torch::Tensor EmptyTrace(const PpoConfig& config, const TrainingData& data, torch::Device device) {
  const int64_t steps = config.epochs * StepsOfEpoch(config, data.advantages.size(1));
  return torch::full({data.advantages.size(0), steps, kNumTraceColumns},
                     std::numeric_limits<double>::quiet_NaN(),
                     torch::TensorOptions(torch::kFloat64).device(device));
}

absl::StatusOr<Advantages> AgentTrainer::Targets(const torch::Tensor& rewards,
                                                 const torch::Tensor& values,
                                                 const Segment& segment,
                                                 const torch::Tensor& last_values,
                                                 const Truncations& truncations) {
  const Advantages targets = Gae(rewards, values, segment.prev_done, segment.last_done, last_values,
                                 setup_.config.gamma, setup_.config.gae_lambda, truncations);
  return Advantages{targets.advantages.to(values.options()), targets.returns.to(values.options())};
}

absl::StatusOr<UpdateResult> PpoUpdate(const AgentShape& shape, const AgentBatch& agents,
                                       const Segment& segment, const torch::Tensor& signal,
                                       const PpoConfig& config, const MinibatchOrder& order,
                                       const PpoOptions& options) {
  const c10::AutoGradMode gradients_off(false);
  try {
    MENTOR_RETURN_IF_ERROR(CheckInput(shape, agents, segment, signal, config, options.engine));
    return CheckedUpdate(shape, agents, segment, signal, config, order, options);
  } catch (const c10::Error& error) {
    return absl::InternalError(absl::StrCat("PPO update: ", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("PPO update: ", error.what()));
  }
}

absl::StatusOr<UpdateResult> UpdateOnDevice(const Device& device, const AgentShape& shape,
                                            const AgentBatch& agents, const Segment& segment,
                                            const torch::Tensor& signal, const PpoConfig& config,
                                            const MinibatchOrder& order, WorkerPool* pool) {
  const Device where = HavePpoKernels(shape, config) ? device : Device{};
  const UseDevice use(where);
  MENTOR_ASSIGN_OR_RETURN(
      UpdateResult result,
      PpoUpdate(shape, AgentsOn(MemoryOf(where), agents), segment, signal, config, order,
                {.engine = EngineOf(where),
                 .cuda = {.stream = nullptr, .has_clusters = where.has_clusters},
                 .pool = pool}));
  result.agents = AgentsOn(torch::kCPU, result.agents);
  return result;
}

}  // namespace mentor::learner
