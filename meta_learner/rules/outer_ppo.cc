#include "meta_learner/rules/outer_ppo.h"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/exact_math.h"
#include "learner/agents/worker_pool.h"

namespace mentor::meta_learner {
namespace {

using torch::Tensor;

// Lifetimes whose gradient is one task, a function of their number alone: part of the order of
// sums. Five keep a CPU's multipliers busy, fit its caches, and share 30 lifetimes evenly among 1,
// 2, 3 or 6 threads. Larger batches, whose networks are smaller, have no more tasks than twelve.
int64_t GroupLifetimes(int64_t lifetimes) {
  return std::max<int64_t>(5, (lifetimes + 11) / 12);
}
constexpr double kEntropyOfUnitNormal = 1.4189385332046727;  // (1 + ln 2 pi) / 2

// Sums over one group of lifetimes.
struct GroupResult {
  Tensor gradient;  // [P]: its share of the batch's gradient
  std::vector<Tensor> final_recurrent;
  double pg = 0, value = 0, entropy = 0, kl = 0, clipped = 0, rho_error = 0;
};

Tensor ToDouble(const Tensor& x) {
  return x.to(torch::kFloat64);
}

double Sum(const Tensor& x) {
  return x.detach().sum().item<double>();
}

// In a fixed order, in double.
double Norm(const Tensor& x) {
  const Tensor values = ToDouble(x).contiguous().cpu();
  const double* value = values.const_data_ptr<double>();
  double sum = 0;
  for (int64_t i = 0; i < values.numel(); ++i) sum += value[i] * value[i];
  return std::sqrt(sum);
}

// The recorded inputs of a piece.
Tensor PieceFeatures(const OuterPpoBatch& batch, const Piece& piece, int64_t first, int64_t count) {
  const auto steps = [&](const Tensor& x, int64_t begin, int64_t end) {
    return x.narrow(0, first, count).narrow(1, begin, end - begin);
  };
  if (!batch.cut_features.defined()) return steps(batch.features, piece.begin, piece.end);
  return torch::cat({steps(batch.cut_features, piece.begin, piece.begin + 1),
                     steps(batch.features, piece.begin + 1, piece.end)},
                    1);
}

GroupResult EvaluateGroup(const TrainedNetwork& network, const OuterPpoConfig& config,
                          const OuterPpoBatch& batch, const Piece& piece, const Tensor& weights,
                          const std::vector<Tensor>& recurrent, int64_t first, int64_t count) {
  const at::AutoGradMode gradients(true);
  const auto part = [&](const Tensor& x) {
    return x.narrow(0, first, count).narrow(1, piece.begin, piece.end - piece.begin);
  };
  std::vector<Tensor> entering;
  for (const Tensor& x : recurrent) entering.push_back(x.narrow(0, first, count));
  const Tensor leaf = weights.detach().requires_grad_(true);
  PieceEvaluation evaluation = network.evaluate(leaf, PieceFeatures(batch, piece, first, count),
                                                part(batch.outputs), entering);

  const Tensor advantages = ToDouble(part(batch.advantages));
  const Tensor log_rho = ToDouble(evaluation.log_probs) - ToDouble(part(batch.log_probs));
  const Tensor rho = log_rho.exp();
  const Tensor pg =
      torch::max(-advantages * rho, -advantages * rho.clamp(1 - config.clip, 1 + config.clip))
          .sum();
  const Tensor entropy = evaluation.entropies.sum();
  const Tensor value =
      0.5 * (ToDouble(evaluation.values) - ToDouble(part(batch.returns))).square().sum();
  const auto numbers = static_cast<double>(batch.advantages.size(0) * (piece.end - piece.begin));
  const Tensor loss = (pg - config.entropy_coef * entropy + config.value_coef * value) / numbers;

  GroupResult result;
  result.gradient = torch::autograd::grad({loss}, {leaf})[0];
  result.final_recurrent = std::move(evaluation.final_recurrent);
  result.pg = Sum(pg);
  result.entropy = Sum(entropy);
  result.value = Sum(value);
  const Tensor error = (rho.detach() - 1).abs();
  result.kl = Sum(rho - 1 - log_rho);
  result.clipped = Sum(ToDouble(error > config.clip));
  result.rho_error = error.max().item<double>();
  return result;
}

absl::Status CheckFirstPiece(const OuterPpoConfig& config, const PieceReport& report) {
  // Written so that NaN fails too.
  if (report.rho_error <= config.rho_error_max) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "the network that is trained is not the one that acted: before the first optimizer step, max "
      "|rho - 1| is %g, "
      "expected at most %g; recorded signals, densities, inputs or weights do not belong together",
      report.rho_error, config.rho_error_max));
}

}  // namespace

TrainedNetwork::TrainedNetwork(const learner::SignalNetwork& network)
    : initial_recurrent([&network](int64_t num_lifetimes, torch::Dtype dtype) {
        return network.InitialState(num_lifetimes, dtype).recurrent;
      }),
      evaluate([&network](const Tensor& weights, const Tensor& features, const Tensor& signals,
                          const std::vector<Tensor>& recurrent) -> PieceEvaluation {
        learner::SignalEvaluation evaluation =
            network.Evaluate(weights, features, signals, recurrent);
        return {.log_probs = evaluation.log_probs,
                .entropies = ToDouble(evaluation.log_stds) + kEntropyOfUnitNormal,
                .values = evaluation.values,
                .final_recurrent = std::move(evaluation.final_recurrent)};
      }) {}

OuterPpoBatch MakeOuterPpoBatch(const learner::SignalNetwork& network,
                                const learner::Segment& steps, Tensor advantages, Tensor returns,
                                bool zero_prev_at_cut) {
  const Tensor& signals = steps.signals;
  const Tensor previous = torch::cat(
      {torch::zeros_like(signals.narrow(1, 0, 1)), signals.narrow(1, 0, signals.size(1) - 1)},
      /*dim=*/1);
  OuterPpoBatch batch{.features = network.Features(steps, previous),
                      .cut_features = {},
                      .outputs = signals,
                      .log_probs = steps.signal_log_probs,
                      .advantages = std::move(advantages),
                      .returns = std::move(returns)};
  if (zero_prev_at_cut) batch.cut_features = network.Features(steps, torch::zeros_like(signals));
  return batch;
}

Tensor StandardiseAdvantages(const Tensor& advantages, double std_floor) {
  const Tensor x = ToDouble(advantages).contiguous();
  const double* value = x.const_data_ptr<double>();
  const int64_t count = x.numel();
  MENTOR_CHECK(count >= 2);
  double mean = 0, squares = 0;
  for (int64_t i = 0; i < count; ++i) mean += value[i];
  mean /= static_cast<double>(count);
  for (int64_t i = 0; i < count; ++i) squares += (value[i] - mean) * (value[i] - mean);
  const double std = std::sqrt(squares / static_cast<double>(count - 1));
  return (x - mean) / (std::max(std, std_floor) + 1e-8);
}

std::vector<int64_t> DrawDisplacements(const RandomStream& stream, int64_t k, int64_t count) {
  MENTOR_CHECK(count <= k);
  std::vector<int64_t> numbers(static_cast<size_t>(k));
  std::iota(numbers.begin(), numbers.end(), 1);
  for (int64_t i = 0; i < count; ++i) {
    const auto left = static_cast<uint64_t>(k - i);
    const int64_t chosen =
        i + static_cast<int64_t>(stream.Below(left, static_cast<uint32_t>(i), /*draw=*/0));
    std::swap(numbers[i], numbers[chosen]);
  }
  numbers.resize(static_cast<size_t>(count));
  return numbers;
}

absl::StatusOr<PieceResult> EvaluatePiece(const TrainedNetwork& network,
                                          const OuterPpoConfig& config, const OuterPpoBatch& batch,
                                          const Piece& piece, const Tensor& weights,
                                          const std::vector<Tensor>& recurrent,
                                          learner::WorkerPool* pool) {
  const int64_t lifetimes = batch.advantages.size(0);
  const int64_t group = GroupLifetimes(lifetimes);
  const int64_t num_groups = (lifetimes + group - 1) / group;
  std::vector<GroupResult> groups(static_cast<size_t>(num_groups));
  MENTOR_RETURN_IF_ERROR(learner::ParallelFor(pool, num_groups, [&](int64_t i) {
    const int64_t first = i * group;
    groups[i] = EvaluateGroup(network, config, batch, piece, weights, recurrent, first,
                              std::min(group, lifetimes - first));
    return absl::OkStatus();
  }));

  const auto numbers = static_cast<double>(lifetimes * (piece.end - piece.begin));
  PieceResult result;
  result.group_lifetimes = group;
  PieceReport& report = result.report;
  report.piece = piece;
  for (const GroupResult& sums : groups) {
    result.group_gradients.push_back(sums.gradient);
    if (result.gradient.defined()) {
      result.gradient.add_(sums.gradient);
    } else {
      result.gradient = sums.gradient.clone();
    }
    report.pg_loss += sums.pg / numbers;
    report.value_loss += sums.value / numbers;
    report.entropy += sums.entropy / numbers;
    report.kl += sums.kl / numbers;
    report.clip_fraction += sums.clipped / numbers;
    // A NaN comes in and stays.
    if (std::isnan(sums.rho_error) || sums.rho_error > report.rho_error) {
      report.rho_error = sums.rho_error;
    }
  }
  for (size_t j = 0; j < recurrent.size(); ++j) {
    std::vector<Tensor> parts;
    for (const GroupResult& sums : groups) parts.push_back(sums.final_recurrent[j]);
    result.final_recurrent.push_back(torch::cat(parts));
  }
  report.loss =
      report.pg_loss - config.entropy_coef * report.entropy + config.value_coef * report.value_loss;
  report.grad_norm = Norm(result.gradient);
  return result;
}

void ClipAndStep(const OuterPpoConfig& config, const Tensor& gradient, Tensor weights,
                 AdamState* adam) {
  const at::NoGradGuard no_grad;
  const double scale = std::min(1.0, config.max_grad_norm / (Norm(gradient) + 1e-6));
  const Tensor clipped = gradient * scale;
  ++adam->step;
  adam->m = config.adam_beta1 * adam->m + (1 - config.adam_beta1) * clipped;
  adam->v = config.adam_beta2 * adam->v + (1 - config.adam_beta2) * clipped.square();
  const double rate = config.learning_rate / (1 - exact::Power(config.adam_beta1, adam->step));
  const double root = std::sqrt(1 - exact::Power(config.adam_beta2, adam->step));
  weights.sub_(rate * adam->m / (adam->v.sqrt() / root + config.adam_epsilon));
}

absl::StatusOr<OuterPpoResult> RunOuterPpo(const TrainedNetwork& network,
                                           const OuterPpoConfig& config, const OuterPpoBatch& batch,
                                           std::span<const int64_t> displacements, Tensor weights,
                                           AdamState* adam, learner::WorkerPool* pool) {
  const int64_t lifetimes = batch.advantages.size(0), steps = batch.advantages.size(1);
  OuterPpoResult result;
  for (const int64_t displacement : displacements) {
    const std::vector<Piece> pieces = SplitIntoPieces(steps, config.k, displacement);
    const std::vector<int64_t> boundaries =
        StepBoundaries(static_cast<int64_t>(pieces.size()), config.num_minibatches);
    // Detached at every cut; computed with the weights of earlier steps of the epoch.
    std::vector<Tensor> recurrent = network.initial_recurrent(lifetimes, weights.scalar_type());
    for (Tensor& x : recurrent) x = x.to(weights.device());
    Tensor gradient;
    std::vector<PieceReport>& reports = result.epochs.emplace_back();
    double kl = 0;
    for (const Piece& piece : pieces) {
      MENTOR_ASSIGN_OR_RETURN(
          PieceResult now, EvaluatePiece(network, config, batch, piece, weights, recurrent, pool));
      reports.push_back(now.report);
      if (result.epochs.size() == 1 && reports.size() == 1)
        MENTOR_RETURN_IF_ERROR(CheckFirstPiece(config, now.report));
      if (!std::isfinite(now.report.loss) || !std::isfinite(now.report.grad_norm)) {
        return absl::InternalError(absl::StrFormat(
            "outer PPO, epoch %d, steps [%d, %d): loss %g and gradient norm %g are not both finite",
            result.epochs.size(), piece.begin, piece.end, now.report.loss, now.report.grad_norm));
      }
      kl += now.report.kl;
      recurrent = std::move(now.final_recurrent);
      gradient = gradient.defined() ? gradient + now.gradient : now.gradient;
      if (std::binary_search(boundaries.begin(), boundaries.end(),
                             static_cast<int64_t>(reports.size()))) {
        ClipAndStep(config, gradient, weights, adam);
        gradient = Tensor();
        ++result.optimizer_steps;
      }
    }
    if (config.target_kl && kl / static_cast<double>(pieces.size()) > *config.target_kl) break;
  }
  return result;
}

}  // namespace mentor::meta_learner
