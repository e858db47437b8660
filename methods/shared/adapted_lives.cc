#include "methods/shared/adapted_lives.h"

#include <algorithm>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/check.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

constexpr double kRhoErrorMax = 1e-2;

}  // namespace

absl::Status CheckLives(const LifetimeBatch& batch, int64_t lifetimes, int64_t steps) {
  if (static_cast<int64_t>(batch.environments.size()) != lifetimes) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the outer update has %d lifetimes, expected %d", batch.environments.size(), lifetimes));
  }
  for (const agents::SegmentMember member :
       {&agents::Segment::observations, &agents::Segment::actions, &agents::Segment::log_probs,
        &agents::Segment::shaped_rewards, &agents::Segment::success_signals,
        &agents::Segment::successes, &agents::Segment::prev_done}) {
    const Tensor& tensor = batch.steps.*member;
    if (!tensor.defined() || tensor.dim() < 2 || tensor.size(0) != lifetimes ||
        tensor.size(1) != steps || !tensor.isfinite().all().item<bool>()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s of the lifetimes are not finite numbers of %d lifetimes with %d "
                          "steps",
                          agents::FieldOf(member).name, lifetimes, steps));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<double> CheckedRho(const LifetimeBatch& batch, int64_t begin,
                                  const std::function<Tensor(int64_t)>& log_probs) {
  double worst = 0;
  for (int64_t i = 0; i < batch.steps.log_probs.size(0); ++i) {
    const Tensor acted = batch.steps.log_probs[i].slice(0, begin);
    const double error = ((log_probs(i) - acted).exp() - 1).abs().max().item<double>();
    // NaN fails too.
    if (!(error <= kRhoErrorMax)) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "lifetime %d did not act with the policy that its adaptation gives here: densities "
          "differ by %g, at most %g is rounding",
          i, error, kRhoErrorMax));
    }
    worst = std::max(worst, error);
  }
  return worst;
}

RuleSizes SizesOverLifetimes(int64_t meta_parameters, int64_t lifetimes, int64_t kept,
                             int64_t graph, bool twice) {
  const auto q = static_cast<double>(meta_parameters);
  RuleSizes sizes = SizesOfWeights(meta_parameters);
  sizes.bytes += static_cast<double>(lifetimes) *
                 (sizeof(double) * q + sizeof(float) * static_cast<double>(kept));
  // Weights and gradients of one lifetime, in both precisions.
  sizes.bytes_per_thread =
      sizeof(float) * (8 * q + (twice ? 6.0 : 3.0) * static_cast<double>(graph));
  return sizes;
}

absl::StatusOr<Tensor> MeanOver(agents::WorkerPool* pool, int64_t n,
                                const std::function<Tensor(int64_t)>& of_lifetime) {
  std::vector<Tensor> parts(n);
  MENTOR_RETURN_IF_ERROR(agents::ParallelFor(pool, n, [&](int64_t i) {
    const c10::AutoGradMode gradients_on(true);
    parts[i] = of_lifetime(i).detach().to(torch::kFloat64);
    return absl::OkStatus();
  }));
  Tensor sum = torch::zeros_like(parts[0]);
  for (const Tensor& part : parts) sum += part;
  return sum / static_cast<double>(n);
}

absl::StatusOr<TrpoValue> MeanValue(agents::WorkerPool* pool, int64_t n,
                                    const std::function<TrpoValue(int64_t)>& of_lifetime) {
  std::vector<TrpoValue> values(n);
  MENTOR_RETURN_IF_ERROR(agents::ParallelFor(pool, n, [&](int64_t i) {
    values[i] = of_lifetime(i);
    return absl::OkStatus();
  }));
  TrpoValue mean;
  for (const TrpoValue& value : values) {
    mean.loss += value.loss / static_cast<double>(n);
    mean.kl += value.kl / static_cast<double>(n);
  }
  return mean;
}

}  // namespace mentor::methods
