#include "agents/ppo_kernels.h"

#include <algorithm>
#include <cmath>

#include "common/check.h"
#include "common/exact_math.h"
#include "common/pause_point.h"
#include "kernels/clipped_surrogate.h"
#include "kernels/matrix_kernels.h"
#include "kernels/value_loss.h"

namespace mentor::learner {
namespace {

int64_t RoundUp(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// Distance between rows of n columns: whole registers, and never a multiple of 128 bytes. Otherwise
// the rows of one tile column compete for a few sets of the first-level cache.
template <typename T>
int64_t Stride(int64_t n) {
  const int64_t stride = RoundUp(n, Simd<T>::kWidth);
  return stride * sizeof(T) % 128 == 0 ? stride + 64 / sizeof(T) : stride;
}

template <typename T>
Matrix<const T> CopyRows(int64_t rows, int64_t columns, Matrix<const T> from, Matrix<T> to) {
  for (int64_t m = 0; m < rows; ++m)
    std::copy_n(from.data + m * from.stride, columns, to.data + m * to.stride);
  return {to.data, to.stride};
}

// Called between two products, which take milliseconds in large networks. Cancellation is checked
// between minibatches.
void LetOthers() {
  static_cast<void>(PausePoint());
}

}  // namespace

// One network: the place of its parameters in theta, and its scratch.
template <typename T>
struct PpoKernels<T>::Network {
  int64_t in, hidden, out;
  int64_t w1, b1, w2, b2, w3, b3;  // Offsets in theta.
  int64_t hidden_stride, out_stride;
  // Padding stays zero, so it adds neither values nor gradients.
  std::vector<T> w1t, w2t, w3t;  // Transposed: [in, hidden], [hidden, hidden], [hidden, out]
  // As in theta, padded; empty when theta's own rows are whole registers.
  std::vector<T> w2_rows, w3_rows;
  std::vector<T> bias1, bias2, bias3;
  std::vector<T> h1, h2;  // [rows, hidden]: activations, then gradients before the tanh
  std::vector<T> y, dy;   // [rows, out]: output and its gradient

  Network(int64_t in_size, int64_t hidden_size, int64_t out_size, int64_t offset, int64_t rows)
      : in(in_size), hidden(hidden_size), out(out_size) {
    w1 = offset;
    b1 = w1 + hidden * in;
    w2 = b1 + hidden;
    b2 = w2 + hidden * hidden;
    w3 = b2 + hidden;
    b3 = w3 + out * hidden;
    hidden_stride = Stride<T>(hidden);
    out_stride = RoundUp(out, Simd<T>::kWidth);
    w1t.resize(in * hidden_stride);
    w2t.resize(hidden * hidden_stride);
    w3t.resize(hidden * out_stride);
    if (hidden % Simd<T>::kWidth != 0) {
      w2_rows.resize(hidden * hidden_stride);
      w3_rows.resize(out * hidden_stride);
    }
    bias1.resize(hidden_stride);
    bias2.resize(hidden_stride);
    bias3.resize(out_stride);
    h1.resize(rows * hidden_stride);
    h2.resize(rows * hidden_stride);
    y.resize(rows * out_stride);
    dy.resize(rows * out_stride);
  }
};

template <typename T>
PpoKernels<T>::PpoKernels(const KernelSizes& sizes, const PpoConfig& config, int64_t rows_max)
    : sizes_(sizes), config_(config), rows_max_(rows_max) {
  const int64_t d = sizes.observation_size, a = sizes.action_size, h = sizes.hidden_units;
  MENTOR_CHECK(d > 0 && a > 0 && h > 0 && rows_max > 0);
  policy_ = std::make_unique<Network>(d, h, a, 0, rows_max);
  if (sizes.critic) {
    value_ = std::make_unique<Network>(d, h, 1, policy_->b3 + a + a, rows_max);
  }
  inputs_stride_ = Stride<T>(d);
  inputs_.resize(rows_max * inputs_stride_);
  advantages_.resize(rows_max);
  inverse_std_.resize(a);
  dlog_std_.resize(a);
}

template <typename T>
PpoKernels<T>::~PpoKernels() = default;

template <typename T>
void PpoKernels<T>::Forward(const T* theta, Network* n, int64_t rows) {
  const int64_t hs = n->hidden_stride;
  Transpose<T>(n->hidden, n->in, {theta + n->w1, n->in}, {n->w1t.data(), hs});
  Transpose<T>(n->hidden, n->hidden, {theta + n->w2, n->hidden}, {n->w2t.data(), hs});
  Transpose<T>(n->out, n->hidden, {theta + n->w3, n->hidden}, {n->w3t.data(), n->out_stride});
  std::copy_n(theta + n->b1, n->hidden, n->bias1.data());
  std::copy_n(theta + n->b2, n->hidden, n->bias2.data());
  std::copy_n(theta + n->b3, n->out, n->bias3.data());
  Multiply<Left::kRows, Then::kBiasTanh, T>(rows, n->hidden, n->in,
                                            {inputs_.data(), inputs_stride_}, {n->w1t.data(), hs},
                                            n->bias1.data(), {n->h1.data(), hs});
  LetOthers();
  Multiply<Left::kRows, Then::kBiasTanh, T>(rows, n->hidden, n->hidden, {n->h1.data(), hs},
                                            {n->w2t.data(), hs}, n->bias2.data(),
                                            {n->h2.data(), hs});
  Multiply<Left::kRows, Then::kBias, T>(rows, n->out, n->hidden, {n->h2.data(), hs},
                                        {n->w3t.data(), n->out_stride}, n->bias3.data(),
                                        {n->y.data(), n->out_stride});
}

template <typename T>
void PpoKernels<T>::Backward(const T* theta, Network* n, int64_t rows, T* grad) {
  const int64_t hs = n->hidden_stride, os = n->out_stride;
  Matrix<const T> w2 = {theta + n->w2, n->hidden}, w3 = {theta + n->w3, n->hidden};
  if (!n->w2_rows.empty()) {
    w2 = CopyRows<T>(n->hidden, n->hidden, w2, {n->w2_rows.data(), hs});
    w3 = CopyRows<T>(n->out, n->hidden, w3, {n->w3_rows.data(), hs});
  }
  // Output layer.
  Multiply<Left::kColumns, Then::kStore, T>(n->out, n->hidden, rows, {n->dy.data(), os},
                                            {n->h2.data(), hs}, nullptr, {grad + n->w3, n->hidden});
  SumRows<T>(rows, n->out, {n->dy.data(), os}, grad + n->b3);
  // Second hidden layer: h2 becomes its gradient before the tanh.
  Multiply<Left::kRows, Then::kTanhGrad, T>(rows, n->hidden, n->out, {n->dy.data(), os}, w3,
                                            nullptr, {n->h2.data(), hs});
  LetOthers();
  Multiply<Left::kColumns, Then::kStore, T>(n->hidden, n->hidden, rows, {n->h2.data(), hs},
                                            {n->h1.data(), hs}, nullptr, {grad + n->w2, n->hidden});
  SumRows<T>(rows, n->hidden, {n->h2.data(), hs}, grad + n->b2);
  // First hidden layer.
  LetOthers();
  Multiply<Left::kRows, Then::kTanhGrad, T>(rows, n->hidden, n->hidden, {n->h2.data(), hs}, w2,
                                            nullptr, {n->h1.data(), hs});
  Multiply<Left::kColumns, Then::kStore, T>(n->hidden, n->in, rows, {n->h1.data(), hs},
                                            {inputs_.data(), inputs_stride_}, nullptr,
                                            {grad + n->w1, n->in});
  SumRows<T>(rows, n->hidden, {n->h1.data(), hs}, grad + n->b1);
}

template <typename T>
void PpoKernels<T>::Values(const T* theta, const T* observations, int64_t rows, T* values) {
  MENTOR_CHECK(value_ != nullptr);
  const int64_t d = sizes_.observation_size;
  for (int64_t begin = 0; begin < rows; begin += rows_max_) {
    const int64_t count = std::min(rows_max_, rows - begin);
    for (int64_t b = 0; b < count; ++b) {
      std::copy_n(observations + (begin + b) * d, d, &inputs_[b * inputs_stride_]);
    }
    Forward(theta, value_.get(), count);
    for (int64_t b = 0; b < count; ++b) values[begin + b] = value_->y[b * value_->out_stride];
  }
}

template <typename T>
MinibatchLoss PpoKernels<T>::LossAndGradient(const T* theta, const AgentRows<T>& data,
                                             std::span<const int64_t> rows, T* grad) {
  const int64_t d = sizes_.observation_size, a = sizes_.action_size,
                count = static_cast<int64_t>(rows.size());
  MENTOR_CHECK(count > 0 && count <= rows_max_);
  for (int64_t b = 0; b < count; ++b) {
    std::copy_n(data.observations + rows[b] * d, d, &inputs_[b * inputs_stride_]);
  }
  Forward(theta, policy_.get(), count);
  if (value_) Forward(theta, value_.get(), count);

  // Advantages: two passes, unbiased.
  const double n = static_cast<double>(count);
  for (int64_t b = 0; b < count; ++b) advantages_[b] = data.advantages[rows[b]];
  if (config_.normalize_advantage) {
    double sum = 0, squares = 0;
    for (int64_t b = 0; b < count; ++b) sum += advantages_[b];
    const double mean = sum / n;
    for (int64_t b = 0; b < count; ++b)
      squares += (advantages_[b] - mean) * (advantages_[b] - mean);
    const double scale = 1 / (std::sqrt(squares / (n - 1)) + config_.advantage_epsilon);
    for (int64_t b = 0; b < count; ++b) advantages_[b] = (advantages_[b] - mean) * scale;
  }

  // Policy. d log_prob / d mean = z / std and d log_prob / d log_std = z^2 - 1 with
  // z = (action - mean) / std.
  MinibatchLoss result;
  const int64_t log_std = policy_->b3 + a;
  double log_prob_offset = 0;
  for (int64_t j = 0; j < a; ++j) {
    log_prob_offset -= theta[log_std + j] + exact::kHalfLogTwoPi;
    result.entropy += theta[log_std + j] + 0.5 + exact::kHalfLogTwoPi;
    inverse_std_[j] = exact::Exp(-static_cast<double>(theta[log_std + j]));
    dlog_std_[j] = 0;
  }
  for (int64_t b = 0; b < count; ++b) {
    const T* mean = &policy_->y[b * policy_->out_stride];
    const T* action = data.actions + rows[b] * a;
    T* dmean = &policy_->dy[b * policy_->out_stride];
    double log_prob = log_prob_offset;
    for (int64_t j = 0; j < a; ++j) {
      const double z = (static_cast<double>(action[j]) - mean[j]) * inverse_std_[j];
      log_prob -= 0.5 * z * z;
    }
    const ClippedStep step =
        ClippedSurrogate(log_prob, data.log_probs[rows[b]], advantages_[b], config_.clip, n);
    result.policy_loss += step.loss;
    result.approx_kl += step.kl;
    result.clip_fraction += step.clipped;
    for (int64_t j = 0; j < a; ++j) {
      const double z = (static_cast<double>(action[j]) - mean[j]) * inverse_std_[j];
      dmean[j] = static_cast<T>(step.d_log_prob * z * inverse_std_[j]);
      dlog_std_[j] += step.d_log_prob * (z * z - 1);
    }
  }
  result.policy_loss /= n;
  result.approx_kl /= n;
  result.clip_fraction /= n;
  result.loss = result.policy_loss - config_.entropy_coef * result.entropy;
  for (int64_t j = 0; j < a; ++j)
    grad[log_std + j] = static_cast<T>(dlog_std_[j] - config_.entropy_coef);
  Backward(theta, policy_.get(), count, grad);
  if (!value_) return result;

  // Value.
  const double factor = config_.value_coef / n;
  for (int64_t b = 0; b < count; ++b) {
    const double value = value_->y[b * value_->out_stride], target = data.returns[rows[b]];
    const ValueStep step =
        config_.clip_value_loss
            ? ClippedSquaredError(value, target, data.values[rows[b]], config_.clip)
            : SquaredError(value, target);
    result.value_loss += 0.5 * step.square;
    value_->dy[b * value_->out_stride] = static_cast<T>(factor * step.slope);
  }
  result.value_loss /= n;
  result.loss += config_.value_coef * result.value_loss;
  Backward(theta, value_.get(), count, grad);
  return result;
}

template class PpoKernels<float>;
template class PpoKernels<double>;

}  // namespace mentor::learner
