// Agents with made-up numbers to learn from, for the kernels of ppo_step.h: PPO by the CPU's
// kernels and by phases, which must have the same bits. Without LibTorch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "agents/minibatch_order.h"
#include "agents/ppo_constants.h"
#include "agents/ppo_kernels.h"
#include "agents/ppo_step.h"
#include "common/rng.h"
#include "kernels/optimizer.h"

namespace mentor::testing {

struct PpoProblemShape {
  int inputs = 0, hidden = 0, actions = 0;
  bool critic = true;
  int steps = 0, minibatch = 0;
  int agents = 1;
};

template <typename T>
class PpoProblem {
 public:
  const PpoProblemShape shape;
  agents::PpoConfig config;
  std::vector<T> observations, actions, log_probs, advantages, returns, values;
  std::vector<T> theta, m, v;  // [S, P]: by phases
  std::vector<agents::PpoAgentState> states;
  std::vector<double> trace;

  explicit PpoProblem(const PpoProblemShape& s) : shape(s) {
    config.learning_rate = 1e-3;
    config.entropy_coef = 0.01;
    config.clip_value_loss = true;
    const auto layout = Layout();
    const int64_t rows = int64_t{s.agents} * s.steps, parameters = NumParams();
    observations = Normals(rows * s.inputs, 1);
    actions = Normals(rows * s.actions, 0.5);
    log_probs = Normals(rows, 0.5);
    for (T& x : log_probs) x -= static_cast<T>(s.actions * 0.6);
    advantages = Normals(rows, 1);
    returns = Normals(rows, 2);
    values = Normals(rows, 2);
    theta = Normals(s.agents * parameters, 0.15);
    for (int64_t agent = 0; agent < s.agents; ++agent) {
      T* own = &theta[agent * parameters];
      for (int j = 0; j < s.actions; ++j) own[layout.theta_log_std() + j] = T(-0.7);
      // Subnormal numbers and signed zeros on the way.
      for (int i = 0; i < s.hidden; ++i) own[i * s.inputs] = i % 3 ? T(1e-40) : T(-0.0);
    }
    for (int64_t i = 0; i < rows * s.inputs; i += 17) observations[i] = i % 2 ? T(-0.0) : T(1e-41);
    m.resize(theta.size());
    v.resize(theta.size());
    states.resize(s.agents);
  }

  int64_t NumParams() const { return Layout().num_params_of(shape.critic ? 2 : 1); }
  int64_t StepsOfEpoch() const { return (shape.steps + shape.minibatch - 1) / shape.minibatch; }

  // Runs one epoch by each; run(kernel, clusters) runs a kernel of phases.
  template <class Sizes, int blocks, int workers, class Run>
  void Epoch(const Sizes& sizes, const Run& run) {
    if (epoch_ == 0) by_kernels_ = {theta, m, v, {}, states};
    order_.resize(int64_t{shape.agents} * shape.steps);
    std::vector<int64_t> order(shape.steps);
    for (int s = 0; s < shape.agents; ++s) {
      agents::Permutation({.seed = 5, .lifetime = static_cast<uint32_t>(s)}, epoch_, order);
      std::copy(order.begin(), order.end(), &order_[int64_t{s} * shape.steps]);
    }
    const int64_t rows = (epoch_ + 1) * StepsOfEpoch();
    // Rows of one agent lie together.
    std::vector<double> longer(shape.agents * rows * agents::kNumTraceColumns, -1);
    workspace_.assign(shape.agents * 2 * Layout().num_numbers(false) + 4,
                      std::numeric_limits<T>::quiet_NaN());
    double_workspace_.assign(shape.agents * 2 * Layout().num_doubles(), 0);
    const agents::PpoEpochData<T> data = {.constants = agents::ConstantsOf(config),
                                          .critic = shape.critic,
                                          .steps = shape.steps,
                                          .minibatch = shape.minibatch,
                                          .observations = observations.data(),
                                          .actions = actions.data(),
                                          .log_probs = log_probs.data(),
                                          .advantages = advantages.data(),
                                          .returns = shape.critic ? returns.data() : nullptr,
                                          .values = shape.critic ? values.data() : nullptr,
                                          .order = order_.data(),
                                          .theta = theta.data(),
                                          .m = m.data(),
                                          .v = v.data(),
                                          .states = states.data(),
                                          .trace = longer.data(),
                                          .trace_rows = rows,
                                          .first_trace_row = rows - StepsOfEpoch(),
                                          .workspace = workspace_.data(),
                                          .double_workspace = double_workspace_.data()};
    run(agents::PpoEpoch<T, Sizes, blocks, workers>(sizes, data), shape.agents);
    trace = std::move(longer);
    ByKernels(rows);
    ++epoch_;
  }

  // Returns the first difference after the last epoch, or "".
  std::string Difference() const {
    const State& want = by_kernels_;
    const int64_t parameters = NumParams();
    for (int s = 0; s < shape.agents; ++s) {
      const std::string agent = " of agent " + std::to_string(s);
      if (states[s].stop != want.states[s].stop) return "stop" + agent;
      if (want.states[s].stop == agents::PpoStop::kNonfinite) continue;
      if (states[s].adam_steps != want.states[s].adam_steps) return "adam_steps" + agent;
      const auto same = [&](const std::vector<T>& a, const std::vector<T>& b) {
        return std::memcmp(&a[s * parameters], &b[s * parameters], parameters * sizeof(T)) == 0;
      };
      if (!same(theta, want.theta)) return "theta" + agent;
      if (!same(m, want.m)) return "m" + agent;
      if (!same(v, want.v)) return "v" + agent;
    }
    const int64_t columns = agents::kNumTraceColumns, rows = epoch_ * StepsOfEpoch();
    for (int64_t i = 0; i < static_cast<int64_t>(trace.size()); ++i) {
      // Which NaN it is depends on the processor.
      const double got = trace[i], expected = want.trace[i];
      if ((std::isnan(got) && std::isnan(expected)) || std::memcmp(&got, &expected, 8) == 0)
        continue;
      return "trace of agent " + std::to_string(i / columns / rows) + ", step " +
             std::to_string(i / columns % rows) + ", column " + std::to_string(i % columns);
    }
    return "";
  }

 private:
  struct State {
    std::vector<T> theta, m, v;
    std::vector<double> trace;
    std::vector<agents::PpoAgentState> states;
  };

  agents::PpoLayout<agents::AnyPpoSizes> Layout() const {
    return {{shape.inputs, shape.hidden, shape.actions, shape.minibatch}};
  }
  std::vector<T> Normals(int64_t size, double scale) {
    std::vector<double> x(size);
    RandomStream{.seed = 7}.Normals(stream_++, x);
    std::vector<T> scaled(size);
    for (int64_t i = 0; i < size; ++i) scaled[i] = static_cast<T>(scale * x[i]);
    return scaled;
  }
  // The epoch by the CPU's kernels, as in a KernelTrainer.
  void ByKernels(int64_t trace_rows) {
    const int64_t parameters = NumParams(), steps = shape.steps;
    State& state = by_kernels_;
    // Numbers that no step has written are unchanged.
    state.trace = std::vector<double>(shape.agents * trace_rows * agents::kNumTraceColumns, -1);
    std::vector<T> grad(parameters);
    for (int64_t s = 0; s < shape.agents; ++s) {
      agents::PpoAgentState& agent = state.states[s];
      if (agent.stop != agents::PpoStop::kNone) continue;
      agents::PpoKernels<T> kernels({shape.inputs, shape.actions, shape.hidden, shape.critic},
                                    config, shape.minibatch);
      const int64_t first = s * steps;
      const agents::AgentRows<T> rows = {&observations[first * shape.inputs],
                                         &actions[first * shape.actions],
                                         &log_probs[first],
                                         &advantages[first],
                                         shape.critic ? &returns[first] : nullptr,
                                         shape.critic ? &values[first] : nullptr};
      double* row =
          &state.trace[(s * trace_rows + trace_rows - StepsOfEpoch()) * agents::kNumTraceColumns];
      double kl = 0;
      for (int64_t begin = 0; begin < steps; begin += shape.minibatch) {
        const std::vector<int64_t> order(
            order_.begin() + first + begin,
            order_.begin() + first + std::min<int64_t>(steps, begin + shape.minibatch));
        T* theta_of = &state.theta[s * parameters];
        const agents::MinibatchLoss loss =
            kernels.LossAndGradient(theta_of, rows, order, grad.data());
        const double norm = std::sqrt(kernels::SquaredNorm<T>(grad));
        for (double x : {loss.loss, loss.policy_loss, loss.value_loss, loss.entropy, loss.approx_kl,
                         loss.clip_fraction, norm}) {
          *row++ = x;
        }
        kl = loss.approx_kl;
        if (!std::isfinite(loss.loss) || !std::isfinite(norm)) {
          agent.stop = agents::PpoStop::kNonfinite;
          break;
        }
        const double scale =
            config.max_grad_norm ? kernels::ClipScale(norm, *config.max_grad_norm) : 1.0;
        kernels::AdamStepInPlace<T>(config.Adam(), ++agent.adam_steps, scale, grad, theta_of,
                                    &state.m[s * parameters], &state.v[s * parameters]);
      }
      if (agent.stop == agents::PpoStop::kNone && config.target_kl && kl > *config.target_kl)
        agent.stop = agents::PpoStop::kTargetKl;
    }
  }

  State by_kernels_;
  std::vector<uint32_t> order_;
  std::vector<T> workspace_;
  std::vector<double> double_workspace_;
  uint32_t stream_ = 0, epoch_ = 0;
};

}  // namespace mentor::testing
