// The PPO update by kernels made of phases (ppo_step.h), all agents side by side, on a device or
// its emulation. The launcher (launch.h) starts kernels.
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "agents/agent_trainer.h"
#include "agents/ppo_constants.h"
#include "agents/ppo_step.h"
#include "agents/ppo_values.h"
#include "common/check.h"

namespace mentor::agents {

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
      : AgentTrainer(setup), work_(*setup.work), launcher_(std::move(launcher)) {}

  absl::StatusOr<torch::Tensor> Values(const torch::Tensor& theta,
                                       const torch::Tensor& observations) override {
    const int64_t num_agents = theta.size(0), rows = observations.size(1);
    MENTOR_ASSIGN_OR_RETURN(const T* const weights, There(theta));
    MENTOR_ASSIGN_OR_RETURN(const T* const seen, There(observations));
    MENTOR_ASSIGN_OR_RETURN(const kernels::DeviceArray<T> values,
                            work_.Allocate<T>(num_agents * rows));
    MENTOR_RETURN_IF_ERROR(WithPpoSizes<T>(
        launcher_.has_clusters, PpoSizesOf(setup_.shape, std::min(rows, kValueRows)),
        [&]<class S>(const S& sizes) -> absl::Status {
          const int64_t blocks = ValueBlocks(sizes, num_agents, rows);
          MENTOR_ASSIGN_OR_RETURN(const kernels::DeviceArray<T> workspace,
                                  Workspace(num_agents * blocks, PpoLayout<S>{sizes}));
          return Launch(PpoValues<T, S>(sizes, {.theta = weights,
                                                .observations = seen,
                                                .values = values.data(),
                                                .rows = static_cast<int32_t>(rows),
                                                .blocks = static_cast<int32_t>(blocks),
                                                .workspace = workspace.data()}),
                        num_agents * blocks);
        }));
    return work_.ToHost(values, {num_agents, rows});
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
    return work_.Run([&] { return launcher_.Launch(kernel, clusters); });
  }

  // What the device holds of a tensor, which is sent there once.
  absl::StatusOr<const T*> There(const torch::Tensor& x) {
    if (!x.defined()) return nullptr;
    for (const auto& [here, there] : sent_)
      if (here.is_same(x)) return there.data();
    MENTOR_ASSIGN_OR_RETURN(kernels::DeviceArray<T> there, work_.ToDevice<T>(x));
    sent_.emplace_back(x, std::move(there));
    return sent_.back().second.data();
  }
  template <class S>
  absl::StatusOr<kernels::DeviceArray<T>> Workspace(int64_t networks, const PpoLayout<S>& layout) {
    return work_.Allocate<T>(S::kShared ? 0 : networks * layout.num_numbers(false));
  }

  template <class S, int blocks>
  absl::Status TrainBy(const S& sizes, const AgentBatch& agents, const TrainingData& data,
                       TrainedAgents* trained) {
    const PpoConfig& config = setup_.config;
    const PpoLayout<S> layout{sizes};
    const int64_t num_agents = data.advantages.size(0), steps = data.advantages.size(1);
    const torch::Tensor empty_trace = EmptyTrace(config, data);
    std::vector<PpoAgentState> states(num_agents);
    for (int64_t s = 0; s < num_agents; ++s)
      states[s].adam_steps = agents.adam_steps.const_data_ptr<int64_t>()[s];

    PpoEpochData<T> epoch_data{};
    epoch_data.constants = ConstantsOf(config);
    epoch_data.critic = setup_.shape.critic;
    epoch_data.steps = static_cast<int32_t>(steps);
    epoch_data.minibatch = static_cast<int32_t>(MinibatchRows(config, steps));
    epoch_data.trace_rows = empty_trace.size(1);
    for (const auto& [to, from] : {std::pair(&epoch_data.observations, &data.observations),
                                   {&epoch_data.actions, &data.actions},
                                   {&epoch_data.log_probs, &data.log_probs},
                                   {&epoch_data.advantages, &data.advantages},
                                   {&epoch_data.returns, &data.returns},
                                   {&epoch_data.values, &data.values}}) {
      MENTOR_ASSIGN_OR_RETURN(*to, There(*from));
    }
    MENTOR_ASSIGN_OR_RETURN(const T* const before, There(agents.theta));
    MENTOR_ASSIGN_OR_RETURN(const kernels::DeviceArray<T> theta,
                            work_.Copy(before, agents.theta.numel()));
    MENTOR_ASSIGN_OR_RETURN(const kernels::DeviceArray<T> m, work_.ToDevice<T>(agents.adam_m));
    MENTOR_ASSIGN_OR_RETURN(const kernels::DeviceArray<T> v, work_.ToDevice<T>(agents.adam_v));
    MENTOR_ASSIGN_OR_RETURN(const kernels::DeviceArray<T> workspace,
                            Workspace(num_agents * 2, layout));
    MENTOR_ASSIGN_OR_RETURN(
        const kernels::DeviceArray<double> double_workspace,
        work_.Allocate<double>(S::kShared ? 0 : num_agents * 2 * layout.num_doubles()));
    MENTOR_ASSIGN_OR_RETURN(const kernels::DeviceArray<double> trace,
                            work_.ToDevice<double>(empty_trace));
    MENTOR_ASSIGN_OR_RETURN(const kernels::DeviceArray<PpoAgentState> states_there,
                            work_.ToDevice(std::span<const PpoAgentState>(states)));
    epoch_data.theta = theta.data();
    epoch_data.m = m.data();
    epoch_data.v = v.data();
    epoch_data.states = states_there.data();
    epoch_data.trace = trace.data();
    epoch_data.workspace = workspace.data();
    epoch_data.double_workspace = double_workspace.data();
    const auto read_states = [&] {
      return work_.ToHost(states_there, std::span<PpoAgentState>(states));
    };
    for (int64_t epoch = 0; epoch < config.epochs; ++epoch) {
      // A cancelled update ends here.
      MENTOR_ASSIGN_OR_RETURN(const kernels::DeviceArray<uint32_t> order,
                              Order(epoch, num_agents, steps));
      epoch_data.order = order.data();
      epoch_data.first_trace_row = epoch * StepsOfEpoch(config, steps);
      MENTOR_RETURN_IF_ERROR(Launch(PpoEpoch<T, S, blocks>(sizes, epoch_data), num_agents));
      if (config.target_kl) {
        MENTOR_RETURN_IF_ERROR(read_states());
        const auto runs = [](const PpoAgentState& one) { return one.stop == PpoStop::kNone; };
        if (std::none_of(states.begin(), states.end(), runs)) break;
      }
    }

    MENTOR_RETURN_IF_ERROR(read_states());
    trained->agents.adam_steps = agents.adam_steps.clone();
    for (const auto& [to, from, old] : {std::tuple(&trained->agents.theta, &theta, &agents.theta),
                                        {&trained->agents.adam_m, &m, &agents.adam_m},
                                        {&trained->agents.adam_v, &v, &agents.adam_v}}) {
      MENTOR_ASSIGN_OR_RETURN(*to, work_.ToHost(*from, old->sizes()));
    }
    MENTOR_ASSIGN_OR_RETURN(trained->trace, work_.ToHost(trace, empty_trace.sizes()));
    Settle(states, agents, trained);
    return absl::OkStatus();
  }

  // Agents whose numbers are not finite stay as they were.
  static void Settle(std::span<const PpoAgentState> states, const AgentBatch& before,
                     TrainedAgents* trained) {
    for (int64_t s = 0; s < std::ssize(states); ++s) {
      trained->nonfinite.push_back(states[s].stop == PpoStop::kNonfinite);
      if (!trained->nonfinite.back()) {
        trained->agents.adam_steps.data_ptr<int64_t>()[s] = states[s].adam_steps;
        continue;
      }
      trained->agents.theta[s].copy_(before.theta[s]);
      trained->agents.adam_m[s].copy_(before.adam_m[s]);
      trained->agents.adam_v[s].copy_(before.adam_v[s]);
    }
  }

  // [S, T] for all agents, on the device. CANCELLED when the update is cancelled.
  absl::StatusOr<kernels::DeviceArray<uint32_t>> Order(int64_t epoch, int64_t num_agents,
                                                       int64_t steps) {
    std::vector<uint32_t> order(num_agents * steps);
    MENTOR_RETURN_IF_ERROR(ParallelFor(setup_.pool, num_agents, [&](int64_t s) {
      std::vector<int64_t> rows(steps);
      setup_.order(s, epoch, rows);
      std::copy(rows.begin(), rows.end(), order.begin() + s * steps);
      return absl::OkStatus();
    }));
    return work_.ToDevice(std::span<const uint32_t>(order));
  }

  kernels::DeviceWork& work_;
  Launcher launcher_;
  std::vector<std::pair<torch::Tensor, kernels::DeviceArray<T>>> sent_;
};

}  // namespace mentor::agents
