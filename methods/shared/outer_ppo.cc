#include "methods/shared/outer_ppo.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <absl/strings/str_format.h>

#include "agents/worker_pool.h"
#include "common/check.h"

namespace mentor::methods {

int64_t NumPieces(int64_t n, int64_t k) {
  return n / k;
}

std::vector<Piece> SplitIntoPieces(int64_t n, int64_t k, int64_t displacement, int64_t unit) {
  MENTOR_CHECK(unit >= 1 && n % unit == 0 && k % unit == 0);
  n /= unit;
  k /= unit;
  MENTOR_CHECK(k >= 1 && n >= 2 * k && displacement >= 1 && displacement <= k);
  std::vector<Piece> pieces = {{0, displacement}};
  const int64_t parts = NumPieces(n, k) - 1;
  const int64_t length = (n - displacement) / parts, longer = (n - displacement) % parts;
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t begin = pieces.back().end;
    pieces.push_back({begin, begin + length + (i < longer ? 1 : 0)});
  }
  MENTOR_CHECK(pieces.back().end == n);
  for (Piece& piece : pieces) {
    piece.begin *= unit;
    piece.end *= unit;
  }
  return pieces;
}

int64_t GreatestPiece(int64_t n, int64_t k, int64_t unit) {
  const int64_t parts = NumPieces(n, k) - 1;
  return std::max(k, (n / unit - 1 + parts - 1) / parts * unit);
}

std::vector<int64_t> StepBoundaries(int64_t num_pieces, int64_t num_minibatches) {
  MENTOR_CHECK(num_minibatches >= 0 && num_minibatches <= num_pieces);
  const int64_t steps = num_minibatches == 0 ? num_pieces : num_minibatches;
  std::vector<int64_t> boundaries;
  for (int64_t i = 1; i <= steps; ++i) boundaries.push_back(i * num_pieces / steps);
  return boundaries;
}
namespace {

using torch::Tensor;

// Lifetimes whose gradient is one task. By default a function of their number alone, because it
// fixes the order of sums. Five keep a CPU's multipliers busy, fit its caches, and divide 30
// lifetimes evenly among 1, 2, 3 or 6 threads. Larger batches, whose networks are smaller, get at
// most twelve tasks.
int64_t GroupLifetimes(const OuterPpoConfig& config, int64_t lifetimes) {
  if (config.group_lifetimes > 0) return config.group_lifetimes;
  return std::max<int64_t>(5, (lifetimes + 11) / 12);
}

struct GroupResult {
  kernels::OuterLossTerms sums;  // Over its steps.
  Tensor gradient;               // [P]: its share of the batch's gradient
  std::vector<Tensor> final_recurrent;
};

Tensor Numbers(const Tensor& x) {
  return x.to(torch::kCPU, torch::kFloat64).contiguous();
}

// The recorded inputs of a piece, and of as many steps behind it as the network looks ahead.
Tensor PieceFeatures(const OuterPpoBatch& batch, const Piece& piece, int64_t looks_ahead,
                     int64_t first, int64_t count) {
  const int64_t end =
      std::min(batch.features.size(1), (piece.end + looks_ahead - 1) / looks_ahead * looks_ahead);
  const auto steps = [&](const Tensor& x, int64_t begin, int64_t end) {
    return x.narrow(0, first, count).narrow(1, begin, end - begin);
  };
  if (!batch.cut_features.defined()) return steps(batch.features, piece.begin, end);
  return torch::cat({steps(batch.cut_features, piece.begin, piece.begin + 1),
                     steps(batch.features, piece.begin + 1, end)},
                    1);
}

void EvaluateGroup(const signals::PieceGradient& gradient_of, int64_t looks_ahead,
                   const OuterPpoConfig& config, const OuterPpoBatch& batch, const Piece& piece,
                   const std::vector<Tensor>& recurrent, int64_t first, int64_t count,
                   GroupResult* group) {
  const auto part = [&](const Tensor& x) {
    return x.narrow(0, first, count).narrow(1, piece.begin, piece.end - piece.begin);
  };
  std::vector<Tensor> entering;
  for (const Tensor& x : recurrent) entering.push_back(x.narrow(0, first, count));
  const Tensor log_probs = Numbers(part(batch.log_probs)),
               advantages = Numbers(part(batch.advantages)), targets = Numbers(part(batch.returns));
  const int64_t steps = piece.end - piece.begin;
  const auto numbers = static_cast<double>(batch.advantages.size(0) * steps);
  group->final_recurrent = gradient_of(
      PieceFeatures(batch, piece, looks_ahead, first, count), part(batch.outputs), entering,
      [&](int64_t lifetime, int64_t step, const kernels::StepTerms& now) {
        const auto in = [i = lifetime * steps + step](const Tensor& x) {
          return x.const_data_ptr<double>()[i];
        };
        const kernels::OuterStep adds =
            config.regression ? kernels::OuterStep{.terms = {.pg = -now.log_prob},
                                                   .derivatives = {.log_prob = -1 / numbers}}
                              : kernels::EvaluateOuterStep(config.loss, numbers, now,
                                                           {.log_prob = in(log_probs),
                                                            .advantage = in(advantages),
                                                            .target = in(targets)});
        kernels::AddTerms(adds.terms, &group->sums);
        return adds.derivatives;
      },
      &group->gradient);
}

signals::PieceTrainerSetup SetupOf(const OuterPpoConfig& config, int64_t lifetimes, int64_t steps) {
  return {.loss = config.loss,
          .adam = config.adam,
          .max_grad_norm = config.max_grad_norm,
          .group_lifetimes = GroupLifetimes(config, lifetimes),
          .piece_steps = GreatestPiece(steps, config.k, config.piece_unit),
          .pieces = NumPieces(steps, config.k)};
}

PieceReport ReportOf(const kernels::OuterLossConfig& loss, const Piece& piece, int64_t lifetimes,
                     const signals::PieceTrainer::Piece& trained) {
  const auto numbers = static_cast<double>(lifetimes * (piece.end - piece.begin));
  PieceReport report{.piece = piece, .grad_norm = trained.grad_norm};
  for (const kernels::OuterLossTerms& sums : trained.groups) {
    report.pg_loss += sums.pg / numbers;
    report.value_loss += sums.value / numbers;
    report.entropy += sums.entropy / numbers;
    report.kl += sums.kl / numbers;
    report.clip_fraction += sums.clipped / numbers;
    report.rho_error = kernels::GreaterRhoError(report.rho_error, sums.rho_error);
  }
  report.loss =
      report.pg_loss - loss.entropy_coef * report.entropy + loss.value_coef * report.value_loss;
  return report;
}

// Evaluates a piece at the given weights, with the sums of its groups.
absl::Status EvaluateGroups(const TrainedNetwork& network, const OuterPpoConfig& config,
                            const OuterPpoBatch& batch, const Piece& piece, const Tensor& weights,
                            const std::vector<Tensor>& recurrent, agents::WorkerPool* pool,
                            PieceResult* result, signals::PieceTrainer::Piece* trained) {
  const int64_t lifetimes = batch.advantages.size(0);
  const int64_t group = GroupLifetimes(config, lifetimes);
  const int64_t num_groups = (lifetimes + group - 1) / group;
  std::vector<GroupResult> groups(static_cast<size_t>(num_groups));
  const signals::PieceGradient gradient_of = network.gradient_at(weights);
  MENTOR_RETURN_IF_ERROR(agents::ParallelFor(pool, num_groups, [&](int64_t i) {
    const int64_t first = i * group;
    EvaluateGroup(gradient_of, network.looks_ahead, config, batch, piece, recurrent, first,
                  std::min(group, lifetimes - first), &groups[i]);
    return absl::OkStatus();
  }));

  result->group_lifetimes = group;
  for (const GroupResult& part : groups) {
    trained->groups.push_back(part.sums);
    result->group_gradients.push_back(part.gradient);
    if (result->gradient.defined()) {
      result->gradient.add_(part.gradient);
    } else {
      result->gradient = part.gradient.clone();
    }
  }
  for (size_t j = 0; j < recurrent.size(); ++j) {
    std::vector<Tensor> parts;
    for (const GroupResult& part : groups) parts.push_back(part.final_recurrent[j]);
    result->final_recurrent.push_back(torch::cat(parts));
  }
  trained->grad_norm = GradientNorm(result->gradient);
  return absl::OkStatus();
}

// Trains on the CPU's threads, a group of lifetimes at a time. Changes weights and *adam in place.
class GroupTrainer : public signals::PieceTrainer {
 public:
  GroupTrainer(const TrainedNetwork& network, const OuterPpoConfig& config,
               const OuterPpoBatch& batch, Tensor weights, AdamState* adam,
               agents::WorkerPool* pool)
      : network_(network),
        config_(config),
        batch_(batch),
        weights_(std::move(weights)),
        adam_(adam),
        pool_(pool) {}

  absl::Status BeginEpoch() override {
    pieces_.clear();
    recurrent_ = network_.initial_recurrent(batch_.advantages.size(0), weights_.scalar_type());
    return absl::OkStatus();
  }
  absl::Status Train(int64_t begin, int64_t end) override {
    PieceResult now;
    MENTOR_RETURN_IF_ERROR(EvaluateGroups(network_, config_, batch_, {begin, end}, weights_,
                                          recurrent_, pool_, &now, &pieces_.emplace_back()));
    recurrent_ = std::move(now.final_recurrent);
    gradient_ = gradient_.defined() ? gradient_ + now.gradient : now.gradient;
    return absl::OkStatus();
  }
  absl::Status Step(int64_t step) override {
    ClipAndStep(config_.adam, config_.max_grad_norm, gradient_, weights_, adam_);
    MENTOR_CHECK(adam_->step == step);
    gradient_ = Tensor();
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<Piece>> EndEpoch() override { return std::move(pieces_); }
  absl::Status Read(Tensor, Tensor, Tensor) override { return absl::OkStatus(); }

 private:
  const TrainedNetwork& network_;
  const OuterPpoConfig& config_;
  const OuterPpoBatch& batch_;
  Tensor weights_;
  AdamState* adam_;
  agents::WorkerPool* pool_;
  // Detached at every cut; computed with the weights of earlier steps of the epoch.
  std::vector<Tensor> recurrent_;
  Tensor gradient_;            // Since the last optimizer step.
  std::vector<Piece> pieces_;  // Since the epoch began.
};

absl::StatusOr<std::unique_ptr<signals::PieceTrainer>> NewTrainer(const TrainedNetwork& network,
                                                                  const OuterPpoConfig& config,
                                                                  const OuterPpoBatch& batch,
                                                                  Tensor weights, AdamState* adam,
                                                                  agents::WorkerPool* pool) {
  if (network.new_trainer != nullptr) {
    signals::PieceTrainerSetup setup =
        SetupOf(config, batch.advantages.size(0), batch.advantages.size(1));
    setup.pool = pool;
    MENTOR_ASSIGN_OR_RETURN(auto trainer, network.new_trainer(setup,
                                                              {.features = batch.features,
                                                               .cut_features = batch.cut_features,
                                                               .signals = batch.outputs,
                                                               .log_probs = batch.log_probs,
                                                               .advantages = batch.advantages,
                                                               .returns = batch.returns},
                                                              weights, adam->m, adam->v));
    if (trainer != nullptr) return trainer;
  }
  return std::make_unique<GroupTrainer>(network, config, batch, std::move(weights), adam, pool);
}

// Epochs count from 1, pieces from 0.
absl::Status CheckPiece(const OuterPpoConfig& config, size_t epoch, size_t index,
                        const PieceReport& report) {
  const bool first = epoch == 1 && index == 0;
  // The comparison is written so that NaN fails too.
  if (first && !(report.rho_error <= config.rho_error_max)) {
    return absl::FailedPreconditionError(
        absl::StrFormat("the network that is trained is not the one that acted: before the first "
                        "optimizer step, max |rho - 1| is %g, expected at most %g; recorded "
                        "signals, densities, inputs or weights do not belong together",
                        report.rho_error, config.rho_error_max));
  }
  if (std::isfinite(report.loss) && std::isfinite(report.grad_norm)) return absl::OkStatus();
  return absl::InternalError(absl::StrFormat(
      "outer PPO, epoch %d, steps [%d, %d): loss %g and gradient norm %g are not both finite",
      epoch, report.piece.begin, report.piece.end, report.loss, report.grad_norm));
}

}  // namespace

int64_t OuterPpoDeviceBytes(const TrainedNetwork& network, const OuterPpoConfig& config,
                            int64_t lifetimes, int64_t steps) {
  return network.trainer_device_bytes == nullptr
             ? 0
             : network.trainer_device_bytes(SetupOf(config, lifetimes, steps), lifetimes, steps);
}

TrainedNetwork::TrainedNetwork(const signals::SignalNetwork& network)
    : looks_ahead(network.density()->looks_ahead()),
      initial_recurrent([signals = network.signals()](int64_t num_lifetimes, torch::Dtype dtype) {
        return signals->InitialState(num_lifetimes, dtype).recurrent;
      }),
      gradient_at([density = network.density()](const Tensor& weights) {
        return density->GradientAt(weights);
      }),
      new_trainer([density = network.density()](const auto&... arguments) {
        return density->NewTrainer(arguments...);
      }),
      trainer_device_bytes([density = network.density()](const auto&... arguments) {
        return density->TrainerDeviceBytes(arguments...);
      }) {}

OuterPpoBatch MakeOuterPpoBatch(const signals::SignalDensity& density, const agents::Segment& steps,
                                Tensor advantages, Tensor returns, bool zero_prev_at_cut) {
  const Tensor& signals = steps.signals;
  const Tensor previous = torch::cat(
      {torch::zeros_like(signals.narrow(1, 0, 1)), signals.narrow(1, 0, signals.size(1) - 1)},
      /*dim=*/1);
  OuterPpoBatch batch{.features = density.Features(steps, previous),
                      .cut_features = {},
                      .outputs = signals,
                      .log_probs = steps.signal_log_probs,
                      .advantages = std::move(advantages),
                      .returns = std::move(returns)};
  if (zero_prev_at_cut) batch.cut_features = density.Features(steps, torch::zeros_like(signals));
  return batch;
}

Tensor StandardiseAdvantages(const Tensor& advantages, double std_floor) {
  const Tensor x = Numbers(advantages);
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
                                          agents::WorkerPool* pool) {
  PieceResult result;
  signals::PieceTrainer::Piece trained;
  MENTOR_RETURN_IF_ERROR(
      EvaluateGroups(network, config, batch, piece, weights, recurrent, pool, &result, &trained));
  result.report = ReportOf(config.loss, piece, batch.advantages.size(0), trained);
  return result;
}

absl::StatusOr<OuterPpoResult> RunOuterPpo(const TrainedNetwork& network,
                                           const OuterPpoConfig& config, const OuterPpoBatch& batch,
                                           std::span<const int64_t> displacements, Tensor weights,
                                           AdamState* adam, agents::WorkerPool* pool) {
  MENTOR_ASSIGN_OR_RETURN(const std::unique_ptr<signals::PieceTrainer> trainer,
                          NewTrainer(network, config, batch, weights, adam, pool));
  OuterPpoResult result;
  int64_t step = adam->step;
  for (const int64_t displacement : displacements) {
    const std::vector<Piece> pieces =
        SplitIntoPieces(batch.advantages.size(1), config.k, displacement, config.piece_unit);
    const std::vector<int64_t> boundaries =
        StepBoundaries(static_cast<int64_t>(pieces.size()), config.num_minibatches);
    MENTOR_RETURN_IF_ERROR(trainer->BeginEpoch());
    for (int64_t i = 0; i < std::ssize(pieces); ++i) {
      MENTOR_RETURN_IF_ERROR(agents::CheckInterrupt());
      MENTOR_RETURN_IF_ERROR(trainer->Train(pieces[i].begin, pieces[i].end));
      if (std::ranges::binary_search(boundaries, i + 1)) {
        MENTOR_RETURN_IF_ERROR(trainer->Step(++step));
        ++result.optimizer_steps;
      }
    }
    // A device is waited for once an epoch.
    MENTOR_ASSIGN_OR_RETURN(const auto trained, trainer->EndEpoch());
    double kl = 0;
    std::vector<PieceReport>& reports = result.epochs.emplace_back();
    for (size_t i = 0; i < pieces.size(); ++i) {
      reports.push_back(ReportOf(config.loss, pieces[i], batch.advantages.size(0), trained[i]));
      MENTOR_RETURN_IF_ERROR(CheckPiece(config, result.epochs.size(), i, reports.back()));
      kl += reports.back().kl;
    }
    if (config.target_kl > 0 && kl / static_cast<double>(pieces.size()) > config.target_kl) break;
  }
  MENTOR_RETURN_IF_ERROR(trainer->Read(weights, adam->m, adam->v));
  adam->step = step;
  return result;
}

}  // namespace mentor::methods
