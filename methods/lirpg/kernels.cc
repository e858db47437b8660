#include "methods/lirpg/kernels.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "agents/gae.h"
#include "agents/kernel_steps.h"
#include "agents/trace_column.h"
#include "common/check.h"
#include "kernels/tanh_network.h"
#include "methods/shared/critic.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

// Steps of the segment that the reward network sees at once: their activations stay in the cache
// from layer to layer.
constexpr int64_t kRewardRows = 128;

// The segment in the kernels' types.
template <typename T>
LirpgSegment AsKernelsRead(const LirpgSegment& x) {
  const auto as = [](torch::Dtype dtype) {
    return [dtype](const Tensor& t) { return t.detach().to(torch::kCPU, dtype).contiguous(); };
  };
  const auto number = as(c10::CppTypeToScalarType<T>::value), exact = as(torch::kFloat64);
  LirpgSegment y;
  y.inputs.observations = number(x.inputs.observations);
  y.inputs.actions = number(x.inputs.actions);
  y.inputs.log_probs = number(x.inputs.log_probs);
  y.inputs.values = number(x.inputs.values);
  y.task_rewards = exact(x.task_rewards);
  y.prev_done = exact(x.prev_done);
  y.last_done = exact(x.last_done);
  y.last_values = number(x.last_values);
  y.task_values = number(x.task_values);
  y.task_advantages = number(x.task_advantages);
  return y;
}

// The reward network along an agent's segment.
template <typename T>
class RewardRows {
 public:
  // inputs: [T, F]
  RewardRows(const kernels::TanhSizes& sizes, const Tensor& inputs)
      : network_(sizes),
        steps_(inputs.size(0)),
        stride_(kernels::RowStride<T>(sizes.in)),
        inputs_(steps_ * stride_),
        part_(sizes.num_params()) {
    const T* from = inputs.const_data_ptr<T>();
    for (int64_t t = 0; t < steps_; ++t)
      std::copy_n(from + t * sizes.in, sizes.in, &inputs_[t * stride_]);
    for (int64_t t = 0; t < steps_; t += kRewardRows)
      rows_.emplace_back(sizes, std::min(kRewardRows, steps_ - t));
  }

  // rewards: [T]
  void Forward(const T* weights, double* rewards) {
    network_.Load(weights);
    Each([&](int64_t begin, int64_t count, kernels::TanhRows<T>* x) {
      network_.Forward(Inputs(begin), count, x);
      for (int64_t b = 0; b < count; ++b) rewards[begin + b] = x->y[b * x->out_stride];
    });
  }

  // After Forward: the gradient by the first weights of a sum whose gradient by the rewards is
  // by_reward [T].
  void Backward(const double* by_reward, T* grad) {
    const int64_t size = network_.sizes().num_params();
    Each([&](int64_t begin, int64_t count, kernels::TanhRows<T>* x) {
      for (int64_t b = 0; b < count; ++b) {
        const double y = x->y[b * x->out_stride];
        x->dy[b * x->out_stride] = static_cast<T>(
            by_reward[begin + b] * (network_.sizes().bounded ? (1 - y) * (1 + y) : 1));
      }
      network_.Backward(Inputs(begin), count, x, begin == 0 ? grad : part_.data());
      if (begin == 0) return;
      for (int64_t i = 0; i < size; ++i) grad[i] += part_[i];
    });
  }

 private:
  template <class Work>
  void Each(const Work& work) {
    for (int64_t begin = 0; begin < steps_; begin += kRewardRows)
      work(begin, std::min(kRewardRows, steps_ - begin), &rows_[begin / kRewardRows]);
  }
  kernels::Matrix<const T> Inputs(int64_t begin) const {
    return {&inputs_[begin * stride_], stride_};
  }

  kernels::TanhNetwork<T> network_;
  const int64_t steps_, stride_;
  std::vector<T> inputs_;  // [T, F]
  std::vector<kernels::TanhRows<T>> rows_;
  std::vector<T> part_;  // A gradient.
};

// Where one agent's step is written to.
template <typename T>
struct StepResult {
  agents::AgentState<T> agent;  // Before the step, and after it.
  T *by_weights, *by_critic;
  double *trace, *outer_loss, *outer_clip_fraction;
  char* left_out;
};

// One agent's minibatches.
template <typename T>
class LirpgAgent {
 public:
  LirpgAgent(const agents::AgentShape& shape, const LirpgConfig& config,
             const LirpgSegment& segment, const signals::StepLayers& rewards, int64_t agents,
             int64_t agent, int64_t rows_max)
      : config_(config),
        segment_(segment),
        agents_(agents),
        agent_(agent),
        steps_(segment.prev_done.size(1)),
        policy_params_(agents::AgentLayout(shape).size() - CriticSize(shape)),
        own_(shape, config.update, rows_max, /*differentiable=*/true),
        outer_(PolicyOf(shape), OuterLossConfig(config.outer), rows_max,
               {.advantage_ddof = config.outer.advantage_ddof}),
        reward_(rewards.sizes, rewards.inputs[agent]),
        critic_({shape.observation_size, shape.hidden_units, 1}),
        critic_rows_(critic_.sizes(), rows_max),
        critic_stride_(kernels::RowStride<T>(shape.observation_size)),
        critic_inputs_(rows_max * critic_stride_),
        advantages_(steps_),
        returns_(steps_),
        by_theta_(policy_params_),
        earned_(steps_),
        by_reward_(steps_),
        by_row_(rows_max) {
    own_data_ = agents::RowsOfAgent<T>(segment.inputs, agent, advantages_.data(), returns_.data());
    outer_data_ = own_data_;
    outer_data_.advantages = Of(segment.task_advantages);
    const T *advantages = Of(segment.task_advantages), *values = Of(segment.task_values);
    for (int64_t t = 0; t < steps_; ++t) task_returns_.push_back(values[t] + advantages[t]);
  }

  // Without a gradient by weights and critic where a number is not finite.
  void Step(const T* weights, const T* critic, std::span<const int64_t> rows,
            const StepResult<T>& to) {
    Earn(weights);
    const agents::StepNumbers numbers = own_.Step(own_data_, rows, to.agent);
    numbers.WriteTo(to.trace);
    const agents::MinibatchLoss outer =
        outer_.LossAndGradient(to.agent.theta, outer_data_, rows, by_theta_.data());
    *to.outer_loss = outer.policy_loss;
    *to.outer_clip_fraction = outer.clip_fraction;
    const std::span<double> by_row(by_row_.data(), rows.size());
    bool finite = numbers.finite && std::isfinite(outer.policy_loss);
    if (finite) {
      own_.Differentiate(own_data_, rows, to.agent, by_theta_, by_row);
      finite = std::all_of(by_row.begin(), by_row.end(), [](double x) { return std::isfinite(x); });
    }
    *to.left_out = !finite;
    if (!finite) return;
    ToRewards(rows);
    reward_.Backward(by_reward_.data(), to.by_weights);
    CriticGradient(critic, rows, to.by_critic);
  }

 private:
  static agents::KernelSizes PolicyOf(const agents::AgentShape& shape) {
    agents::KernelSizes sizes = agents::SizesOf(shape);
    sizes.critic = false;
    return sizes;
  }
  static agents::PpoConfig OuterLossConfig(const OuterConfig& outer) {
    agents::PpoConfig config;
    config.clip = outer.clip;
    config.entropy_coef = 0;
    config.advantage_epsilon = 1e-8;
    return config;
  }

  // The agent's row of [S, T].
  const T* Of(const Tensor& x) const { return x.const_data_ptr<T>() + agent_ * steps_; }
  const double* Exact(const Tensor& x) const {
    return x.const_data_ptr<double>() + agent_ * x.stride(0);
  }

  // The advantages of the mixed reward, and their returns.
  void Earn(const T* weights) {
    reward_.Forward(weights, earned_.data());
    const double* task = Exact(segment_.task_rewards);
    for (int64_t t = 0; t < steps_; ++t) earned_[t] = task[t] + config_.c_in * earned_[t];
    agents::GaeOfAgent<T>({.gamma = config_.update.ppo.gamma,
                           .lambda = config_.update.ppo.gae_lambda,
                           .steps = steps_,
                           .rewards = earned_.data(),
                           .prev_done = Exact(segment_.prev_done),
                           .last_done = Exact(segment_.last_done),
                           .values = Of(segment_.inputs.values),
                           .last_values = segment_.last_values.const_data_ptr<T>() + agent_,
                           .truncated = nullptr,
                           .final_values = nullptr},
                          advantages_.data(), returns_.data());
  }

  // A gradient by the rows' advantages becomes that by the learned rewards of all steps: GaeAdjoint
  // (gae.h).
  void ToRewards(std::span<const int64_t> rows) {
    const double* done = Exact(segment_.prev_done);
    const double decay = config_.update.ppo.gamma * config_.update.ppo.gae_lambda;
    const double weight = config_.c_in / static_cast<double>(agents_);
    std::fill(by_reward_.begin(), by_reward_.end(), 0.0);
    for (size_t b = 0; b < rows.size(); ++b) by_reward_[rows[b]] += by_row_[b];
    double before = 0;
    for (int64_t t = 0; t < steps_; ++t) {
      before = by_reward_[t] + (done[t] == 0 ? decay * before : 0);
      by_reward_[t] = weight * before;
    }
  }

  void CriticGradient(const T* critic, std::span<const int64_t> rows, T* grad) {
    const auto count = static_cast<int64_t>(rows.size());
    const kernels::Matrix<T> inputs = {critic_inputs_.data(), critic_stride_};
    kernels::GatherRows<T>(own_data_.observations, critic_.sizes().in, rows, inputs);
    critic_.Load(critic);
    critic_.Forward({inputs.data, inputs.stride}, count, &critic_rows_);
    agents::ValueLoss<T>(rows, task_returns_.data(), Of(segment_.task_values),
                         config_.value_clip > 0 ? &config_.value_clip : nullptr,
                         config_.value_coef / static_cast<double>(count), &critic_rows_);
    critic_.Backward({inputs.data, inputs.stride}, count, &critic_rows_, grad);
  }

  // Fixed after construction.
  const LirpgConfig& config_;
  const LirpgSegment& segment_;
  const int64_t agents_, agent_, steps_, policy_params_;
  agents::AgentRows<T> own_data_, outer_data_;
  std::vector<T> task_returns_;  // [T]
  // Scratch.
  agents::KernelSteps<T> own_;
  agents::PpoKernels<T> outer_;
  RewardRows<T> reward_;
  kernels::TanhNetwork<T> critic_;
  kernels::TanhRows<T> critic_rows_;
  const int64_t critic_stride_;
  std::vector<T> critic_inputs_;
  std::vector<T> advantages_, returns_;     // [T]
  std::vector<T> by_theta_;                 // [P] without the critic
  std::vector<double> earned_, by_reward_;  // [T]
  std::vector<double> by_row_;
};

template <typename T>
class LirpgKernelsOf : public LirpgKernels {
 public:
  LirpgKernelsOf(const agents::AgentShape& shape, const LirpgConfig& config,
                 const LirpgSegment& segment, const signals::StepLayers& rewards,
                 int64_t num_weights, int64_t rows_max, agents::WorkerPool* pool)
      : config_(config),
        segment_(AsKernelsRead<T>(segment)),
        num_weights_(num_weights),
        pool_(pool) {
    const int64_t num_agents = segment_.prev_done.size(0);
    const signals::StepLayers layers = {
        rewards.sizes,
        rewards.inputs.detach().to(torch::kCPU, segment_.inputs.values.scalar_type()).contiguous()};
    for (int64_t s = 0; s < num_agents; ++s) {
      agents_.push_back(std::make_unique<LirpgAgent<T>>(shape, config_, segment_, layers,
                                                        num_agents, s, rows_max));
    }
  }

  absl::StatusOr<LirpgGradient> Step(const agents::AgentBatch& agents, const Tensor& weights,
                                     const Tensor& critics, const Tensor& rows) override {
    const auto num_agents = static_cast<int64_t>(agents_.size());
    const Tensor phi = weights.contiguous(), psi = critics.contiguous(),
                 minibatch = rows.contiguous();
    LirpgGradient result;
    result.agents = agents::CopyOf(agents);
    result.critics = torch::zeros_like(psi);
    result.outer_loss = torch::empty({num_agents}, torch::kFloat64);
    result.outer.clip_fraction = torch::empty({num_agents}, torch::kFloat64);
    const Tensor trace = torch::empty({num_agents, 1, agents::kNumTraceColumns}, torch::kFloat64);
    const Tensor by_weights = torch::zeros({num_agents, num_weights_}, phi.options());
    std::vector<char> left_out(num_agents);
    MENTOR_RETURN_IF_ERROR(agents::ParallelFor(pool_, num_agents, [&](int64_t s) {
      agents_[s]->Step(
          phi.const_data_ptr<T>(), psi.const_data_ptr<T>() + s * psi.size(1),
          {minibatch.const_data_ptr<int64_t>() + s * rows.size(1),
           static_cast<size_t>(rows.size(1))},
          {.agent = agents::StateOfAgent<T>(result.agents, s),
           .by_weights = by_weights.data_ptr<T>() + s * num_weights_,
           .by_critic = result.critics.template data_ptr<T>() + s * psi.size(1),
           .trace = trace.data_ptr<double>() + s * agents::kNumTraceColumns,
           .outer_loss = result.outer_loss.template data_ptr<double>() + s,
           .outer_clip_fraction = result.outer.clip_fraction.template data_ptr<double>() + s,
           .left_out = &left_out[s]});
      return absl::OkStatus();
    }));
    result.weights = by_weights[0];
    for (int64_t s = 1; s < num_agents; ++s) result.weights += by_weights[s];
    result.trace = agents::TraceOf(trace);
    result.left_out = std::count(left_out.begin(), left_out.end(), 1);
    return result;
  }

 private:
  const LirpgConfig config_;
  const LirpgSegment segment_;
  const int64_t num_weights_;
  agents::WorkerPool* const pool_;
  std::vector<std::unique_ptr<LirpgAgent<T>>> agents_;
};

}  // namespace

bool HaveLirpgKernels(const agents::AgentShape& shape, const LirpgConfig& config) {
  const OuterConfig& outer = config.outer;
  return shape.critic && agents::HaveKernelSteps(shape, config.update) &&
         outer.form == OuterConfig::Form::kClippedRatio && outer.normalize_advantage &&
         outer.advantage_std_floor == 0;
}

std::unique_ptr<LirpgKernels> NewLirpgKernels(const agents::AgentShape& shape,
                                              const LirpgConfig& config,
                                              const LirpgSegment& segment,
                                              const signals::StepLayers& rewards,
                                              int64_t num_weights, int64_t rows_max,
                                              agents::WorkerPool* pool) {
  MENTOR_CHECK(HaveLirpgKernels(shape, config));
  if (segment.inputs.values.scalar_type() == torch::kFloat32) {
    return std::make_unique<LirpgKernelsOf<float>>(shape, config, segment, rewards, num_weights,
                                                   rows_max, pool);
  }
  return std::make_unique<LirpgKernelsOf<double>>(shape, config, segment, rewards, num_weights,
                                                  rows_max, pool);
}

}  // namespace mentor::methods
