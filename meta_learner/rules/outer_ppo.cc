#include "meta_learner/rules/outer_ppo.h"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include <absl/strings/str_format.h>

#include "common/check.h"
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

// base^exponent by squaring: the same bits everywhere, unlike the library's.
double Power(double base, int64_t exponent) {
  double power = 1;
  for (; exponent > 0; exponent /= 2, base *= base) {
    if (exponent % 2) power *= base;
  }
  return power;
}

// The recorded inputs of a piece.
Tensor PieceFeatures(const learner::SignalNetwork& network, const OuterPpoConfig& config,
                     const OuterPpoBatch& batch, const Piece& piece, int64_t first, int64_t count) {
  const Tensor features =
      batch.features.narrow(0, first, count).narrow(1, piece.begin, piece.end - piece.begin);
  if (!config.zero_prev_at_cut) return features;
  learner::Segment cut;
  for (auto member : {&learner::Segment::observations, &learner::Segment::actions,
                      &learner::Segment::log_probs, &learner::Segment::shaped_rewards,
                      &learner::Segment::success_signals, &learner::Segment::prev_done}) {
    const Tensor& whole = batch.steps.*member;
    if (whole.defined()) cut.*member = whole.narrow(0, first, count).narrow(1, piece.begin, 1);
  }
  const Tensor begin =
      network.Features(cut, torch::zeros_like(cut.log_probs)).to(features.scalar_type());
  return torch::cat({begin, features.narrow(1, 1, features.size(1) - 1)}, 1);
}

GroupResult EvaluateGroup(const learner::SignalNetwork& network, const OuterPpoConfig& config,
                          const OuterPpoBatch& batch, const Piece& piece, const Tensor& weights,
                          const std::vector<Tensor>& recurrent, int64_t first, int64_t count) {
  const at::AutoGradMode gradients(true);
  const auto part = [&](const Tensor& x) {
    return x.narrow(0, first, count).narrow(1, piece.begin, piece.end - piece.begin);
  };
  std::vector<Tensor> entering;
  for (const Tensor& x : recurrent) entering.push_back(x.narrow(0, first, count));
  const Tensor leaf = weights.detach().requires_grad_(true);
  learner::SignalEvaluation evaluation =
      network.Evaluate(leaf, PieceFeatures(network, config, batch, piece, first, count),
                       part(batch.steps.signals), entering);

  const Tensor advantages = ToDouble(part(batch.advantages));
  const Tensor log_rho =
      ToDouble(evaluation.log_probs) - ToDouble(part(batch.steps.signal_log_probs));
  const Tensor rho = log_rho.exp();
  const Tensor pg =
      torch::max(-advantages * rho, -advantages * rho.clamp(1 - config.clip, 1 + config.clip))
          .sum();
  const Tensor entropy = (ToDouble(evaluation.log_stds) + kEntropyOfUnitNormal).sum();
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

OuterPpoBatch MakeOuterPpoBatch(const learner::SignalNetwork& network, learner::Segment steps,
                                Tensor advantages, Tensor returns) {
  const Tensor& signals = steps.signals;
  const Tensor previous = torch::cat(
      {torch::zeros_like(signals.narrow(1, 0, 1)), signals.narrow(1, 0, signals.size(1) - 1)},
      /*dim=*/1);
  Tensor features = network.Features(steps, previous);
  return {std::move(steps), std::move(features), std::move(advantages), std::move(returns)};
}

Tensor StandardiseAdvantages(const Tensor& advantages) {
  const Tensor x = ToDouble(advantages).contiguous();
  const double* value = x.const_data_ptr<double>();
  const int64_t count = x.numel();
  MENTOR_CHECK(count >= 2);
  double mean = 0, squares = 0;
  for (int64_t i = 0; i < count; ++i) mean += value[i];
  mean /= static_cast<double>(count);
  for (int64_t i = 0; i < count; ++i) squares += (value[i] - mean) * (value[i] - mean);
  return (x - mean) / (std::sqrt(squares / static_cast<double>(count - 1)) + 1e-8);
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

absl::StatusOr<PieceResult> EvaluatePiece(const learner::SignalNetwork& network,
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
  PieceReport& report = result.report;
  report.piece = piece;
  for (const GroupResult& sums : groups) {
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
  const double rate = config.learning_rate / (1 - Power(config.adam_beta1, adam->step));
  const double root = std::sqrt(1 - Power(config.adam_beta2, adam->step));
  weights.sub_(rate * adam->m / (adam->v.sqrt() / root + config.adam_epsilon));
}

absl::StatusOr<OuterPpoResult> RunOuterPpo(const learner::SignalNetwork& network,
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
    std::vector<Tensor> recurrent =
        network.InitialState(lifetimes, weights.scalar_type()).recurrent;
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
