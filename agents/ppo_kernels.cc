#include "agents/ppo_kernels.h"

#include <algorithm>
#include <optional>

#include "common/check.h"
#include "common/exact_math.h"
#include "kernels/ppo_terms.h"

namespace mentor::agents {

template <typename T>
double ValueLoss(std::span<const int64_t> rows, const T* targets, const T* old, const double* clip,
                 double factor, kernels::TanhRows<T>* x, double* curvatures) {
  double loss = 0;
  for (size_t b = 0; b < rows.size(); ++b) {
    const double value = x->y[b * x->out_stride], target = targets[rows[b]];
    const kernels::ValueStep step =
        clip ? kernels::ClippedSquaredError(value, target, old[rows[b]], *clip)
             : kernels::SquaredError(value, target);
    loss += 0.5 * step.square;
    x->dy[b * x->out_stride] = static_cast<T>(factor * step.slope);
    if (curvatures) curvatures[b] = step.curvature;
  }
  return loss;
}

// One network: the place of its parameters in theta, and its scratch.
template <typename T>
struct PpoKernels<T>::Network {
  const int64_t offset;
  kernels::TanhNetwork<T> layers;
  kernels::TanhRows<T> x;
  std::optional<kernels::TanhTangents<T>> kept;

  Network(const kernels::TanhSizes& sizes, int64_t first, int64_t rows, bool keeps)
      : offset(first), layers(sizes), x(sizes, rows) {
    if (keeps) kept.emplace(sizes, rows);
  }

  void Forward(const T* theta, kernels::Matrix<const T> inputs, int64_t rows) {
    layers.Load(theta + offset);
    layers.Forward(inputs, rows, &x);
  }
  void Backward(kernels::Matrix<const T> inputs, int64_t rows, T* grad) {
    if (kept) layers.Keep(x, rows, &*kept);
    layers.Backward(inputs, rows, &x, grad + offset);
  }
};

template <typename T>
PpoKernels<T>::PpoKernels(const KernelSizes& sizes, const PpoConfig& config, int64_t rows_max,
                          const KernelOptions& options)
    : sizes_(sizes),
      config_(config),
      rows_max_(rows_max),
      inputs_stride_(kernels::RowStride<T>(sizes.observation_size)),
      standardiser_(options.advantage_ddof, config.advantage_epsilon) {
  const int64_t d = sizes.observation_size, a = sizes.action_size, h = sizes.hidden_units;
  MENTOR_CHECK(rows_max > 0);
  const kernels::TanhSizes policy{d, h, a}, value{d, h, 1};
  const bool keeps = options.advantage_gradient;
  policy_ = std::make_unique<Network>(policy, 0, rows_max, keeps);
  if (sizes.critic)
    value_ = std::make_unique<Network>(value, policy.num_params() + a, rows_max, keeps);
  inputs_.resize(rows_max * inputs_stride_);
  advantages_.resize(rows_max);
  inverse_std_.resize(a);
  dlog_std_.resize(a);
  mixed_.resize(rows_max);
  curvatures_.resize(rows_max);
}

template <typename T>
PpoKernels<T>::~PpoKernels() = default;

template <typename T>
void PpoKernels<T>::Values(const T* theta, const T* observations, int64_t rows, T* values) {
  MENTOR_CHECK(value_ != nullptr);
  const int64_t d = sizes_.observation_size;
  value_->layers.Load(theta + value_->offset);
  for (int64_t begin = 0; begin < rows; begin += rows_max_) {
    const int64_t count = std::min(rows_max_, rows - begin);
    for (int64_t b = 0; b < count; ++b) {
      std::copy_n(observations + (begin + b) * d, d, &inputs_[b * inputs_stride_]);
    }
    value_->layers.Forward(Inputs(), count, &value_->x);
    for (int64_t b = 0; b < count; ++b) values[begin + b] = value_->x.y[b * value_->x.out_stride];
  }
}

template <typename T>
MinibatchLoss PpoKernels<T>::LossAndGradient(const T* theta, const AgentRows<T>& data,
                                             std::span<const int64_t> rows, T* grad) {
  const int64_t a = sizes_.action_size, count = static_cast<int64_t>(rows.size());
  MENTOR_CHECK(count > 0 && count <= rows_max_);
  kernels::GatherRows<T>(data.observations, sizes_.observation_size, rows,
                         {inputs_.data(), inputs_stride_});
  policy_->Forward(theta, Inputs(), count);
  if (value_) value_->Forward(theta, Inputs(), count);

  MinibatchLoss result;
  PolicyLoss(theta, data, rows, &result);
  const int64_t log_std = policy_->layers.sizes().num_params();
  for (int64_t j = 0; j < a; ++j)
    grad[log_std + j] = static_cast<T>(dlog_std_[j] - config_.entropy_coef);
  policy_->Backward(Inputs(), count, grad);
  if (!value_) return result;

  const double n = static_cast<double>(count);
  result.value_loss = ValueLoss<T>(rows, data.returns, data.values,
                                   config_.clip_value_loss ? &config_.clip : nullptr,
                                   config_.value_coef / n, &value_->x, curvatures_.data()) /
                      n;
  result.loss += config_.value_coef * result.value_loss;
  value_->Backward(Inputs(), count, grad);
  return result;
}

// d log_prob / d mean = z / std and d log_prob / d log_std = z^2 - 1 with z = (action - mean) /
// std.
template <typename T>
void PpoKernels<T>::PolicyLoss(const T* theta, const AgentRows<T>& data,
                               std::span<const int64_t> rows, MinibatchLoss* result) {
  const int64_t a = sizes_.action_size, count = static_cast<int64_t>(rows.size());
  const double n = static_cast<double>(count);
  for (int64_t b = 0; b < count; ++b) advantages_[b] = data.advantages[rows[b]];
  if (config_.normalize_advantage) standardiser_.Apply({advantages_.data(), rows.size()});

  const T* log_std = theta + policy_->layers.sizes().num_params();
  double log_prob_offset = 0;
  for (int64_t j = 0; j < a; ++j) {
    log_prob_offset -= log_std[j] + exact::kHalfLogTwoPi;
    result->entropy += log_std[j] + 0.5 + exact::kHalfLogTwoPi;
    inverse_std_[j] = exact::Exp(-static_cast<double>(log_std[j]));
    dlog_std_[j] = 0;
  }
  kernels::TanhRows<T>& x = policy_->x;
  const kernels::Surrogate surrogate = config_.Surrogate();
  for (int64_t b = 0; b < count; ++b) {
    const T* mean = &x.y[b * x.out_stride];
    const T* action = data.actions + rows[b] * a;
    T* dmean = &x.dy[b * x.out_stride];
    double log_prob = log_prob_offset;
    for (int64_t j = 0; j < a; ++j) {
      const double z = (static_cast<double>(action[j]) - mean[j]) * inverse_std_[j];
      log_prob -= 0.5 * z * z;
    }
    const kernels::SurrogateStep step =
        kernels::EvaluateSurrogate(surrogate, log_prob, data.log_probs[rows[b]], advantages_[b], n);
    result->policy_loss += step.loss;
    result->approx_kl += step.kl;
    result->clip_fraction += step.clipped;
    mixed_[b] = step.by_advantage;
    for (int64_t j = 0; j < a; ++j) {
      const double z = (static_cast<double>(action[j]) - mean[j]) * inverse_std_[j];
      dmean[j] = static_cast<T>(step.d_log_prob * z * inverse_std_[j]);
      dlog_std_[j] += step.d_log_prob * (z * z - 1);
    }
  }
  result->policy_loss /= n;
  result->approx_kl /= n;
  result->clip_fraction /= n;
  result->loss = result->policy_loss - config_.entropy_coef * result->entropy;
}

// <direction, grad> is a sum over rows: the loss's slopes times derivatives along the direction, of
// the log-density and of the value. The policy's slopes depend on the row's own standardised
// advantage (mixed_), and those of the value are linear in the targets.
template <typename T>
void PpoKernels<T>::AdvantageGradient(const AgentRows<T>& data, std::span<const int64_t> rows,
                                      const T* direction, std::span<double> by_advantage) {
  MENTOR_CHECK(policy_->kept && by_advantage.size() == rows.size());
  const int64_t a = sizes_.action_size, count = static_cast<int64_t>(rows.size());
  const T* along_log_std = direction + policy_->layers.sizes().num_params();
  policy_->layers.Tangents(direction, Inputs(), count, &*policy_->kept);
  for (int64_t b = 0; b < count; ++b) {
    const T* mean = &policy_->x.y[b * policy_->x.out_stride];
    const T* along = &policy_->kept->dy[b * policy_->kept->out_stride];
    const T* action = data.actions + rows[b] * a;
    double log_prob = 0;
    for (int64_t j = 0; j < a; ++j) {
      const double z = (static_cast<double>(action[j]) - mean[j]) * inverse_std_[j];
      log_prob += z * inverse_std_[j] * along[j] + (z * z - 1) * along_log_std[j];
    }
    by_advantage[b] = mixed_[b] * log_prob;
  }
  if (config_.normalize_advantage)
    standardiser_.Adjoint({advantages_.data(), rows.size()}, by_advantage);
  if (!value_) return;
  value_->layers.Tangents(direction + value_->offset, Inputs(), count, &*value_->kept);
  const double factor = config_.value_coef / static_cast<double>(count);
  for (int64_t b = 0; b < count; ++b)
    by_advantage[b] -= factor * curvatures_[b] * value_->kept->dy[b * value_->kept->out_stride];
}

template double ValueLoss<float>(std::span<const int64_t>, const float*, const float*,
                                 const double*, double, kernels::TanhRows<float>*, double*);
template double ValueLoss<double>(std::span<const int64_t>, const double*, const double*,
                                  const double*, double, kernels::TanhRows<double>*, double*);
template class PpoKernels<float>;
template class PpoKernels<double>;

}  // namespace mentor::agents
