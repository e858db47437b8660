// The PPO update by kernels made of phases (ppo_step.h), all agents side by side. The launcher
// (launch.h) starts kernels and owns their memory: a device, or its emulation.
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "agents/agent_trainer.h"
#include "agents/gae_phases.h"
#include "agents/ppo_constants.h"
#include "agents/ppo_step.h"
#include "agents/ppo_values.h"
#include "common/check.h"

namespace mentor::learner {

// Calls use(sizes) with sizes for shared memory where such kernels exist; otherwise with the sizes
// as they are.
template <typename T, class Use>
absl::Status WithPpoSizes(bool clusters, const AnyPpoSizes& sizes, const Use& use) {
  if constexpr (sizeof(T) == sizeof(float)) {
    using Common = CommonPpoSizes;
    if (clusters && sizes.inputs == Common::inputs && sizes.hidden == Common::hidden &&
        sizes.actions == Common::actions && sizes.rows <= Common::rows) {
      return use(Common{});
    }
    using Most = SharedPpoSizes::Bounds;
    if (clusters && sizes.inputs <= Most::inputs && sizes.hidden == Most::hidden &&
        sizes.actions <= Most::actions && sizes.rows <= Most::rows) {
      return use(SharedPpoSizes{.inputs = sizes.inputs, .actions = sizes.actions});
    }
  }
  return use(sizes);
}

// Rows of one pass when values of a whole segment are computed.
inline constexpr int64_t kValueRows = CommonPpoSizes::rows;
// Blocks that share an agent's rows. Without shared memory there are as many as keep a device busy.
template <class Sizes>
int64_t ValueBlocks(const Sizes& sizes, int64_t num_agents, int64_t rows) {
  constexpr int64_t kWorkspaces = 256;
  const int64_t all = (rows + sizes.rows - 1) / sizes.rows;
  if constexpr (Sizes::kShared) return all;
  return std::clamp<int64_t>(kWorkspaces / num_agents, 1, all);
}

inline AnyPpoSizes PpoSizesOf(const AgentShape& shape, int64_t rows) {
  return {.inputs = static_cast<int>(shape.observation_size),
          .hidden = static_cast<int>(shape.hidden_units),
          .actions = static_cast<int>(shape.action_size),
          .rows = static_cast<int>(rows)};
}

template <typename T, class Launcher>
class PhaseTrainer : public AgentTrainer {
 public:
  PhaseTrainer(const TrainerSetup& setup, Launcher launcher)
      : AgentTrainer(setup), launcher_(std::move(launcher)) {}

  absl::StatusOr<torch::Tensor> Values(const torch::Tensor& theta,
                                       const torch::Tensor& observations) override {
    const int64_t num_agents = theta.size(0), rows = observations.size(1);
    torch::Tensor values = torch::empty({num_agents, rows}, theta.options());
    MENTOR_RETURN_IF_ERROR(WithPpoSizes<T>(
        launcher_.has_clusters, PpoSizesOf(setup_.shape, std::min(rows, kValueRows)),
        [&]<class S>(const S& sizes) {
          const int64_t blocks = ValueBlocks(sizes, num_agents, rows);
          const torch::Tensor workspace = Workspace(num_agents * blocks, PpoLayout<S>{sizes});
          return Launch(PpoValues<T, S>(sizes, {.theta = theta.const_data_ptr<T>(),
                                                .observations = observations.const_data_ptr<T>(),
                                                .values = values.data_ptr<T>(),
                                                .rows = static_cast<int32_t>(rows),
                                                .blocks = static_cast<int32_t>(blocks),
                                                .workspace = workspace.data_ptr<T>()}),
                        num_agents * blocks);
        }));
    return values;
  }

  absl::StatusOr<Advantages> Targets(const torch::Tensor& rewards, const torch::Tensor& values,
                                     const Segment& segment, const torch::Tensor& last_values,
                                     const Truncations& truncations) override {
    const int64_t num_agents = values.size(0);
    Advantages targets{torch::empty_like(values), torch::empty_like(values)};
    const auto wide = [&](const torch::Tensor& x) {
      return setup_.work->ToDevice(x, torch::kFloat64);
    };
    const torch::Tensor r = wide(rewards), done = wide(segment.prev_done),
                        last_done = wide(segment.last_done), cut = wide(truncations.truncated),
                        last = last_values.contiguous(),
                        final_values = cut.defined() ? truncations.final_values.contiguous() : cut;
    const GaeKernel<T> kernel = {
        .in = {.gamma = setup_.config.gamma,
               .lambda = setup_.config.gae_lambda,
               .steps = values.size(1),
               .rewards = r.const_data_ptr<double>(),
               .prev_done = done.const_data_ptr<double>(),
               .last_done = last_done.const_data_ptr<double>(),
               .values = values.const_data_ptr<T>(),
               .last_values = last.const_data_ptr<T>(),
               .truncated = cut.defined() ? cut.const_data_ptr<double>() : nullptr,
               .final_values = cut.defined() ? final_values.const_data_ptr<T>() : nullptr},
        .num_agents = num_agents,
        .advantages = targets.advantages.data_ptr<T>(),
        .returns = targets.returns.data_ptr<T>()};
    MENTOR_RETURN_IF_ERROR(Launch(kernel, kernel.Clusters()));
    return targets;
  }

  absl::StatusOr<TrainedAgents> Train(const AgentBatch& agents, const TrainingData& data) override {
    TrainedAgents trained;
    MENTOR_RETURN_IF_ERROR(WithPpoSizes<T>(
        launcher_.has_clusters,
        PpoSizesOf(setup_.shape, MinibatchRows(setup_.config, data.advantages.size(1))),
        [&]<class S>(const S& sizes) {
          if constexpr (S::kShared) {
            return setup_.shape.critic ? TrainBy<S, 2>(sizes, agents, data, &trained)
                                       : TrainBy<S, 1>(sizes, agents, data, &trained);
          } else {
            return TrainBy<S, 1>(sizes, agents, data, &trained);
          }
        }));
    return trained;
  }

 private:
  template <class Kernel>
  absl::Status Launch(const Kernel& kernel, int64_t clusters) {
    return setup_.work->Run([&] { return launcher_.Launch(kernel, clusters); });
  }

  torch::TensorOptions Options(torch::Dtype dtype) const {
    return torch::TensorOptions(dtype).device(setup_.work->memory());
  }
  template <class S>
  torch::Tensor Workspace(int64_t networks, const PpoLayout<S>& layout) const {
    return torch::empty({S::kShared ? 0 : networks, layout.num_numbers(false)},
                        Options(c10::CppTypeToScalarType<T>::value));
  }

  template <class S, int blocks>
  absl::Status TrainBy(const S& sizes, const AgentBatch& agents, const TrainingData& data,
                       TrainedAgents* trained) {
    const PpoConfig& config = setup_.config;
    const PpoLayout<S> layout{sizes};
    const int64_t num_agents = data.advantages.size(0), steps = data.advantages.size(1);
    const torch::Tensor theta = agents.theta.clone(), m = agents.adam_m.clone(),
                        v = agents.adam_v.clone(), workspace = Workspace(num_agents * 2, layout),
                        double_workspace =
                            torch::empty({S::kShared ? 0 : num_agents * 2, layout.num_doubles()},
                                         Options(torch::kFloat64)),
                        trace = EmptyTrace(config, data, setup_.work->memory());
    // The device's layout; 16 bytes each.
    static_assert(sizeof(PpoAgentState) == 2 * sizeof(int64_t));
    torch::Tensor states = torch::zeros({num_agents, 2}, Options(torch::kInt64));
    states.select(1, 0).copy_(agents.adam_steps);

    const auto pointer = [](const torch::Tensor& x) {
      return x.defined() ? x.const_data_ptr<T>() : nullptr;
    };
    PpoEpochData<T> epoch_data = {.constants = ConstantsOf(config),
                                  .critic = setup_.shape.critic,
                                  .steps = static_cast<int32_t>(steps),
                                  .minibatch = static_cast<int32_t>(MinibatchRows(config, steps)),
                                  .observations = pointer(data.observations),
                                  .actions = pointer(data.actions),
                                  .log_probs = pointer(data.log_probs),
                                  .advantages = pointer(data.advantages),
                                  .returns = pointer(data.returns),
                                  .values = pointer(data.values),
                                  .order = nullptr,
                                  .theta = theta.data_ptr<T>(),
                                  .m = m.data_ptr<T>(),
                                  .v = v.data_ptr<T>(),
                                  .states = static_cast<PpoAgentState*>(states.data_ptr()),
                                  .trace = trace.data_ptr<double>(),
                                  .trace_rows = trace.size(1),
                                  .first_trace_row = 0,
                                  .workspace = workspace.data_ptr<T>(),
                                  .double_workspace = double_workspace.data_ptr<double>()};
    for (int64_t epoch = 0; epoch < config.epochs; ++epoch) {
      // A cancelled update ends here.
      MENTOR_ASSIGN_OR_RETURN(const torch::Tensor order, Order(epoch, num_agents, steps));
      epoch_data.order = static_cast<const uint32_t*>(order.const_data_ptr());
      epoch_data.first_trace_row = epoch * StepsOfEpoch(config, steps);
      MENTOR_RETURN_IF_ERROR(Launch(PpoEpoch<T, S, blocks>(sizes, epoch_data), num_agents));
      if (config.target_kl) {
        MENTOR_ASSIGN_OR_RETURN(const torch::Tensor now, setup_.work->ToHost(states));
        if (Stops(now).ne(kNone).all().template item<bool>()) break;
      }
    }

    const torch::Tensor nonfinite = Stops(states).eq(kNonfinite), rows = nonfinite.unsqueeze(1);
    trained->agents = {torch::where(rows, agents.theta, theta),
                       torch::where(rows, agents.adam_m, m), torch::where(rows, agents.adam_v, v),
                       torch::where(nonfinite, agents.adam_steps, states.select(1, 0))};
    MENTOR_ASSIGN_OR_RETURN(trained->trace, setup_.work->ToHost(trace));
    MENTOR_ASSIGN_OR_RETURN(const torch::Tensor flags, setup_.work->ToHost(nonfinite));
    trained->nonfinite.assign(flags.const_data_ptr<bool>(),
                              flags.const_data_ptr<bool>() + num_agents);
    return absl::OkStatus();
  }

  static constexpr auto kNone = static_cast<int32_t>(PpoStop::kNone),
                        kNonfinite = static_cast<int32_t>(PpoStop::kNonfinite);
  static torch::Tensor Stops(const torch::Tensor& states) {
    return states.view(torch::kInt32).select(1, 2);
  }

  // [S, T] for all agents, on the device. CANCELLED when the update is cancelled.
  absl::StatusOr<torch::Tensor> Order(int64_t epoch, int64_t num_agents, int64_t steps) const {
    torch::Tensor order = torch::empty({num_agents, steps}, torch::kInt32);
    MENTOR_RETURN_IF_ERROR(ParallelFor(setup_.pool, num_agents, [&](int64_t s) {
      std::vector<int64_t> rows(steps);
      setup_.order(s, epoch, rows);
      std::copy(rows.begin(), rows.end(), order.data_ptr<int32_t>() + s * steps);
      return absl::OkStatus();
    }));
    return setup_.work->ToDevice(order, torch::kInt32);
  }

  Launcher launcher_;
};

}  // namespace mentor::learner
