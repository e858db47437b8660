#include "agents/ppo.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "agents/agent_trainer.h"
#include "agents/gae.h"
#include "common/check.h"
#include "common/status.h"
#include "kernels/device_work.h"

namespace mentor::agents {
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

// The device that computes the update. The CPU makes the bits of every device, and has kernels for
// more cases.
kernels::Device DeviceOf(const AgentShape& shape, const PpoConfig& config, int64_t num_agents,
                         int64_t steps, const PpoOptions& options) {
  if (options.engine == PpoEngine::kEmulated) return {.kind = kernels::DeviceKind::kEmulated};
  const bool can = options.engine == PpoEngine::kDefault && !options.policy_loss &&
                   HavePpoKernels(shape, config) &&
                   PpoDeviceBytes(shape, config, num_agents, steps).has_value();
  return can ? options.device : kernels::Device{};
}

std::unique_ptr<AgentTrainer> NewTrainer(const TrainerSetup& setup, torch::Dtype dtype,
                                         PpoEngine engine) {
  if (engine == PpoEngine::kAutograd || setup.policy_loss ||
      !HavePpoKernels(setup.shape, setup.config)) {
    return NewAutogradTrainer(setup);
  }
  switch (setup.work->device().kind) {
    case kernels::DeviceKind::kCpu:
      return NewKernelTrainer(setup, dtype);
    case kernels::DeviceKind::kEmulated:
      return NewEmulatedTrainer(setup, dtype);
    case kernels::DeviceKind::kCuda:
      return NewCudaTrainer(setup);
  }
  return nullptr;
}

absl::Status CheckInput(const AgentShape& shape, const AgentBatch& agents, const Segment& segment,
                        const torch::Tensor& signal, const PpoConfig& config,
                        const PpoOptions& options) {
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
  const bool kernels =
      options.engine != PpoEngine::kDefault && options.engine != PpoEngine::kAutograd;
  if (kernels && (options.policy_loss || !HavePpoKernels(shape, config))) {
    return absl::InvalidArgumentError(
        "this engine is for continuous actions, Adam and the policy's loss of PPO; use "
        "PpoEngine::kAutograd");
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
      // Steps after a stop have no row; an agent whose log std is not finite made no step.
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

absl::Status CheckedUpdate(const AgentShape& shape, const AgentBatch& agents,
                           const Segment& segment, const torch::Tensor& signal,
                           const PpoConfig& config, const MinibatchOrder& order,
                           const PpoOptions& options, kernels::DeviceWork* work,
                           UpdateResult* done) {
  const torch::Dtype dtype = agents.theta.scalar_type();
  const std::unique_ptr<AgentTrainer> trainer = NewTrainer(
      {shape, config, order, options.pool, work, options.policy_loss}, dtype, options.engine);
  const auto convert = [&](const torch::Tensor& x) {
    return x.defined() ? x.detach().to(dtype).contiguous() : x;
  };
  const torch::Tensor theta = convert(agents.theta);

  UpdateResult& result = *done;
  TrainingData data;
  data.observations = convert(segment.observations);
  data.actions = convert(segment.actions);
  data.log_probs = convert(segment.log_probs);
  if (shape.critic) {
    // Values are computed once an update, with the weights that collected the segment.
    MENTOR_ASSIGN_OR_RETURN(data.values, trainer->Values(theta, data.observations));
    MENTOR_ASSIGN_OR_RETURN(
        const torch::Tensor last,
        trainer->Values(theta, convert(segment.next_observations).unsqueeze(1)));
    Truncations truncations;
    if (config.bootstrap_on_truncation) {
      MENTOR_ASSIGN_OR_RETURN(const torch::Tensor of_final,
                              trainer->Values(theta, convert(segment.final_observations)));
      result.final_values = AtTruncations(of_final, segment.truncated);
      truncations = {segment.truncated, result.final_values};
    }
    result.last_values = last.squeeze(1);
    result.values = data.values;
    const Advantages targets =
        Gae(signal, data.values, segment.prev_done, segment.last_done, result.last_values,
            config.gamma, config.gae_lambda, truncations);
    data.advantages = result.advantages = convert(targets.advantages);
    data.returns = result.returns = convert(targets.returns);
  } else {
    data.advantages = convert(signal);
  }

  MENTOR_ASSIGN_OR_RETURN(TrainedAgents trained,
                          trainer->Train({theta, convert(agents.adam_m), convert(agents.adam_v),
                                          agents.adam_steps.to(torch::kInt64).contiguous()},
                                         data));
  result.reports = Reports(trained.trace, trained.nonfinite);
  result.nonfinite = std::count(trained.nonfinite.begin(), trained.nonfinite.end(), 1);
  result.trace = std::move(trained.trace);
  result.agents = std::move(trained.agents);
  return absl::OkStatus();
}

}  // namespace

bool HavePpoKernels(const AgentShape& shape, const PpoConfig& config) {
  return !shape.discrete && config.adam;
}

torch::Tensor EmptyTrace(const PpoConfig& config, const TrainingData& data) {
  const int64_t steps = config.epochs * StepsOfEpoch(config, data.advantages.size(1));
  return torch::full({data.advantages.size(0), steps, kNumTraceColumns},
                     std::numeric_limits<double>::quiet_NaN(), torch::kFloat64);
}

absl::StatusOr<UpdateResult> PpoUpdate(const AgentShape& shape, const AgentBatch& agents,
                                       const Segment& segment, const torch::Tensor& signal,
                                       const PpoConfig& config, const MinibatchOrder& order,
                                       const PpoOptions& options) {
  const c10::AutoGradMode gradients_off(false);
  MENTOR_RETURN_IF_ERROR(CheckInput(shape, agents, segment, signal, config, options));
  const int64_t num_agents = signal.size(0), steps = signal.size(1);
  const kernels::Device device = DeviceOf(shape, config, num_agents, steps, options);
  kernels::DeviceLease lease;
  if (device.kind != kernels::DeviceKind::kCpu && device.monitor != nullptr) {
    const auto bytes = static_cast<uint64_t>(*PpoDeviceBytes(shape, config, num_agents, steps));
    MENTOR_ASSIGN_OR_RETURN(
        lease, device.monitor->Take(bytes, "an update of a shard's agents",
                                    "make rule.shard_lifetimes or agent.hidden_units smaller, or "
                                    "take another device"));
  }
  UpdateResult result;
  const absl::Status status =
      kernels::OnDevice(device, kernels::DevicePhase::kPpo, [&](kernels::DeviceWork& work) {
        return CheckedUpdate(shape, agents, segment, signal, config, order, options, &work,
                             &result);
      });
  if (!status.ok()) return WithPrefix("PPO update: ", status);
  return result;
}

}  // namespace mentor::agents
