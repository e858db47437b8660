#include "methods/shared/outer_ppo_rule.h"

#include <algorithm>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/rng.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

// Adds means over the pieces of the last epoch, and how far the update went.
void AddReport(const OuterPpoResult& result, RuleReport* report) {
  const std::vector<PieceReport>& last = result.epochs.back();
  const auto mean = [&](double PieceReport::*member) {
    double sum = 0;
    for (const PieceReport& piece : last) sum += piece.*member;
    return sum / static_cast<double>(last.size());
  };
  (*report)["loss"] = mean(&PieceReport::loss);
  (*report)["pg_loss"] = mean(&PieceReport::pg_loss);
  (*report)["value_loss"] = mean(&PieceReport::value_loss);
  (*report)["entropy"] = mean(&PieceReport::entropy);
  (*report)["kl"] = mean(&PieceReport::kl);
  (*report)["clip_fraction"] = mean(&PieceReport::clip_fraction);
  (*report)["grad_norm"] = mean(&PieceReport::grad_norm);
  (*report)["rho_error"] = result.epochs.front().front().rho_error;
  (*report)["epochs"] = static_cast<double>(result.epochs.size());
  (*report)["optimizer_steps"] = static_cast<double>(result.optimizer_steps);
}

// The gradient of the policy loss alone at the weights [P] that acted, with pieces added: for each
// group of lifetimes, the sum over them.
absl::StatusOr<std::vector<ShardGradient>> PolicyGradients(const TrainedNetwork& network,
                                                           OuterPpoConfig config,
                                                           const OuterPpoBatch& batch,
                                                           const Tensor& weights,
                                                           agents::WorkerPool* pool) {
  config.loss.entropy_coef = config.loss.value_coef = 0;
  const int64_t lifetimes = batch.advantages.size(0);
  std::vector<Tensor> recurrent = network.initial_recurrent(lifetimes, weights.scalar_type());
  std::vector<ShardGradient> groups;
  for (const Piece& piece : SplitIntoPieces(batch.advantages.size(1), config.k,
                                            config.k / config.piece_unit, config.piece_unit)) {
    MENTOR_ASSIGN_OR_RETURN(PieceResult now,
                            EvaluatePiece(network, config, batch, piece, weights, recurrent, pool));
    recurrent = std::move(now.final_recurrent);
    groups.resize(now.group_gradients.size());
    for (size_t i = 0; i < groups.size(); ++i) {
      const int64_t first = static_cast<int64_t>(i) * now.group_lifetimes;
      groups[i].lifetimes = std::min(now.group_lifetimes, lifetimes - first);
      // The group's share of the mean over all lifetimes.
      const Tensor sum = now.group_gradients[i].to(torch::kFloat64) * lifetimes;
      groups[i].gradient = groups[i].gradient.defined() ? groups[i].gradient + sum : sum;
    }
  }
  return groups;
}

}  // namespace

BoundOptions<OuterPpoSettings> OuterPpoOptions(const OuterPpoDefaults& defaults) {
  using Settings = OuterPpoSettings;
  return Bind<Settings>(
      {{In(&Settings::ppo, &OuterPpoConfig::adam), AdamOptions(defaults.learning_rate, "1e-5")},
       {&Settings::anneal, "anneal", "0", 0, 1, kAnnealHelp},
       {In(In(&Settings::ppo, &OuterPpoConfig::loss), &kernels::OuterLossConfig::clip), "clip",
        "0.2", 1e-9, 1, "Clip range of the ratio of densities."},
       {In(In(&Settings::ppo, &OuterPpoConfig::loss), &kernels::OuterLossConfig::entropy_coef),
        "entropy_coef", defaults.entropy_coef, 0, 1000, defaults.entropy_help},
       {In(In(&Settings::ppo, &OuterPpoConfig::loss), &kernels::OuterLossConfig::value_coef),
        "value_coef", "0.5", 0, 1000,
        "Weight of the value loss, itself half the mean squared error."},
       {In(&Settings::ppo, &OuterPpoConfig::max_grad_norm), "max_grad_norm", "0.5", 1e-30, 1e30,
        "Greatest gradient norm over all weights."},
       {In(&Settings::ppo, &OuterPpoConfig::target_kl), "target_kl", defaults.target_kl, 0, 1e30,
        "An outer update stops after an epoch with a greater mean KL; 0: never."},
       {In(&Settings::ppo, &OuterPpoConfig::epochs), "epochs", defaults.epochs, 1, 100000,
        "Greatest number of passes over the lifetimes in one outer update."},
       {In(&Settings::ppo, &OuterPpoConfig::k), "k", "400", 1, 1e9,
        "About how many steps a piece of truncated backpropagation through time has."},
       {In(&Settings::ppo, &OuterPpoConfig::num_minibatches), "num_minibatches", "0", 0, 1e9,
        "Optimizer steps of an epoch; 0: one for each piece."},
       {&Settings::gradient_variance, "gradient_variance", false,
        "Report the variance of the outer gradient, which takes one more pass over the lifetimes."},
       {&Settings::shaped_objective,
        "objective",
        {{"shaped", true}, {"success", false}},
        absl::StrCat("What ", defaults.trained,
                     " maximises: the normalised shaped reward or the sparse success signal.")},
       {&Settings::target_mean, "target_mean", defaults.target_mean, 1e-30, 1e30,
        "Mean of the normalised shaped reward; its root mean square where the mean is near 0 or "
        "negative."},
       {&Settings::advantage_std_floor, "advantage_std_floor", "0", 0, 1e30,
        "Advantages are divided by their standard deviation, but by no less than this (in units of "
        "the objective's reward), so that lifetimes in which nothing happened move little; 0: by "
        "whatever it is."},
       {In(&Settings::ppo, &OuterPpoConfig::group_lifetimes), "group_lifetimes", "0", 0, 1e9,
        "Lifetimes whose gradient is one task of the outer update, and one sum: fewer give more "
        "cores something to do, and other last bits; 0: 5, or a twelfth of them where that is "
        "more."}});
}

MetricTable OuterPpoMetrics() {
  using Panel = MetricInfo::Panel;
  MetricTable metrics = {
      {.name = "advantage_mean", .help = "Mean of the meta-advantages, before standardisation."},
      {.name = "advantage_std", .help = "Standard deviation of the meta-advantages."},
      {.name = "advantage_floored",
       .help = "1 where advantage_std is below advantage_std_floor, else 0."},
      {.name = "loss", .help = "Outer loss: policy, entropy and value; mean over the last epoch."},
      {.name = "pg_loss", .help = "Policy term of the outer loss."},
      {.name = "value_loss",
       .help = "Value term of the outer loss: half the mean squared error.",
       .label = "value loss",
       .panel = Panel::kOwn},
      {.name = "entropy",
       .unit = "nat",
       .help = "Entropy of what is trained, mean over the last epoch.",
       .label = "entropy",
       .panel = Panel::kOwn},
      {.name = "kl",
       .unit = "nat",
       .help = "Divergence from what acted, mean over the last epoch.",
       .label = "KL divergence",
       .panel = Panel::kOwn},
      {.name = "clip_fraction", .help = "Share of steps whose ratio is clipped."},
      {.name = "grad_norm",
       .help = "Norm of the gradient of the outer loss before clipping, mean over the pieces of "
               "the last epoch. Not that of the outer gradient, outer_grad_norm.",
       .label = "norm of the loss's gradient",
       .panel = Panel::kCompared,
       .log_scale = true},
      {.name = "rho_error",
       .help = "Greatest difference from 1 of the density ratio before the first step."},
      {.name = "epochs",
       .help = "Epochs until target_kl was reached, or all of them.",
       .label = "epochs run",
       .panel = Panel::kOwn},
      {.name = "optimizer_steps", .help = "Optimizer steps of the update."},
      {.name = "reward_mean/*",
       .help = "Running mean of the shaped reward of one environment.",
       .panel = Panel::kNone},
      {.name = "reward_rms/*",
       .help = "Running root mean square of the shaped reward of one environment that is "
               "normalised by it, since its mean was near 0 or negative.",
       .panel = Panel::kNone}};
  // Only with option gradient_variance.
  const MetricTable gradient = GradientMetrics();
  metrics.insert(metrics.end(), gradient.begin(), gradient.end());
  return metrics;
}

void CheckPieces(const OuterPpoConfig& config, int64_t steps, const std::string& what,
                 Violations* violations) {
  const int64_t k = config.k, unit = config.piece_unit;
  if (steps % unit != 0) {
    violations->Add(
        "lifetime.steps_per_iteration",
        absl::StrFormat("makes %d trained steps (%s), which is no multiple of %d, the steps that "
                        "the signal network sees as a whole; make it a multiple of %d",
                        steps, what, unit, unit));
  }
  if (k % unit != 0) {
    violations->Add("rule.option.k",
                    absl::StrFormat("is %d; pieces are whole numbers of the %d steps that the "
                                    "signal network sees as a whole: give a multiple of %d",
                                    k, unit, unit));
  }
  if (steps < 2 * k) {
    violations->Add("rule.option.k",
                    absl::StrFormat("is %d; the %d trained steps of a lifetime (%s) must hold two "
                                    "pieces, so k is at most %d; lower k or lengthen the lifetime",
                                    k, steps, what, steps / 2));
  } else if (config.num_minibatches > 0 && config.num_minibatches + 2 > steps / k) {
    violations->Add(
        "rule.option.num_minibatches",
        absl::StrFormat("is %d; an epoch has %d pieces, so at most %d minibatches are "
                        "possible; lower it, or k, or "
                        "give 0 for one optimizer step each piece",
                        config.num_minibatches, steps / k, std::max<int64_t>(0, steps / k - 2)));
  }
  if (config.epochs > k / unit) {
    violations->Add(
        "rule.option.epochs",
        absl::StrFormat(
            "is %d; each epoch has its own displacement from 1 to k%s = %d; lower epochs or raise "
            "k",
            config.epochs, unit == 1 ? "" : absl::StrFormat(" / %d", unit), k / unit));
  }
}

OuterPpoRule::OuterPpoRule(const RuleContext& context, const OuterPpoRuleConfig& config,
                           Tensor weights)
    : TrainedRule(context, std::move(weights)),
      config_(config),
      settings_(config.settings),
      ppo_(settings_.ppo) {}

void OuterPpoRule::State(StateFields* fields) {
  TrainedRule::State(fields);
  normaliser_.AddTo(fields);
}

int64_t OuterPpoRule::DeviceBytes() const {
  return OuterPpoDeviceBytes(network(), ppo_, config_.lifetimes, config_.trained_steps);
}

absl::Status OuterPpoRule::CheckBatch(const LifetimeBatch& batch) const {
  const int64_t lifetimes = config_.lifetimes, steps = config_.lifetime_steps;
  if (static_cast<int64_t>(batch.environments.size()) != lifetimes) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the outer update has %d lifetimes, expected %d", batch.environments.size(), lifetimes));
  }
  using agents::Segment;
  std::vector<agents::SegmentMember> members = {&Segment::observations,    &Segment::actions,
                                                &Segment::log_probs,       &Segment::shaped_rewards,
                                                &Segment::success_signals, &Segment::prev_done,
                                                &Segment::signal_values};
  if (ppo_.regression) members.push_back(&Segment::labels);
  if (config_.sampled_signals)
    members.insert(members.end(), {&Segment::signals, &Segment::signal_log_probs});
  for (const agents::SegmentMember member : members) {
    const agents::SegmentField& field = agents::FieldOf(member);
    MENTOR_RETURN_IF_ERROR(CheckTensor(field.name, batch.steps.*member, lifetimes, steps,
                                       static_cast<int64_t>(agents::ShapeOf(field, {}).size())));
  }
  return CheckPrevDone(batch.steps.prev_done);
}

// Advantages and returns [N, n] float64, not standardised.
std::pair<Tensor, Tensor> OuterPpoRule::AdvantagesOf(const LifetimeBatch& batch,
                                                     const RewardNormaliser& normaliser) const {
  const int64_t trained = config_.trained_steps;
  const auto length = static_cast<size_t>(config_.lifetime_steps);
  Tensor advantages = torch::empty({config_.lifetimes, trained}, torch::kFloat64),
         returns = torch::empty_like(advantages);
  for (int64_t l = 0; l < config_.lifetimes; ++l) {
    const Tensor rewards =
        (settings_.shaped_objective
             ? normaliser.Normalise(batch.environments[l], batch.steps.shaped_rewards[l],
                                    settings_.target_mean)
             : batch.steps.success_signals[l].to(torch::kFloat64))
            .contiguous();
    const Tensor values = batch.steps.signal_values[l].to(torch::kFloat64).contiguous();
    const Tensor prev_done = batch.steps.prev_done[l].to(torch::kUInt8).contiguous();
    const MetaAdvantages estimate = EstimateMetaAdvantages(
        config_.advantage, {rewards.const_data_ptr<double>(), length},
        {values.const_data_ptr<double>(), length}, {prev_done.const_data_ptr<uint8_t>(), length});
    // Steps without an estimate are cut off before any reduction.
    MENTOR_CHECK(std::all_of(estimate.valid.begin(), estimate.valid.begin() + trained,
                             [](uint8_t v) { return v; }));
    std::copy_n(estimate.advantages.begin(), trained, advantages[l].mutable_data_ptr<double>());
    std::copy_n(estimate.returns.begin(), trained, returns[l].mutable_data_ptr<double>());
  }
  return {advantages, returns};
}

absl::StatusOr<std::pair<Tensor, Tensor>> OuterPpoRule::Estimate(const LifetimeBatch& batch,
                                                                 RewardNormaliser* normaliser,
                                                                 RuleReport* report) const {
  if (ppo_.regression) {
    const Tensor none = torch::zeros({config_.lifetimes, config_.trained_steps}, torch::kFloat64);
    return std::pair(none, none);
  }
  if (settings_.shaped_objective) {
    for (int64_t l = 0; l < config_.lifetimes; ++l)
      normaliser->Add(batch.environments[l], batch.steps.shaped_rewards[l]);
    normaliser->AddSquares(batch.environments, batch.steps.shaped_rewards);
  }
  // Returns come from the raw advantages.
  const auto [advantages, returns] = AdvantagesOf(batch, *normaliser);
  const double std = advantages.std().item<double>();
  (*report)["advantage_mean"] = advantages.mean().item<double>();
  (*report)["advantage_std"] = std;
  (*report)["advantage_floored"] = std < settings_.advantage_std_floor ? 1 : 0;
  return std::pair(StandardiseAdvantages(advantages, settings_.advantage_std_floor), returns);
}

absl::StatusOr<RuleReport> OuterPpoRule::DoUpdate(const LifetimeBatch& batch, uint32_t outer_step) {
  MENTOR_RETURN_IF_ERROR(CheckBatch(batch));
  RewardNormaliser normaliser = normaliser_;
  RuleReport report;
  MENTOR_ASSIGN_OR_RETURN(auto estimate, Estimate(batch, &normaliser, &report));
  auto& [advantages, returns] = estimate;
  MENTOR_ASSIGN_OR_RETURN(
      const OuterPpoBatch recorded,
      Recorded(batch.steps, std::move(advantages), std::move(returns), context_.pool));
  MENTOR_RETURN_IF_ERROR(
      CheckTensor("input of the trained network (the density of an action may be too great)",
                  recorded.features, config_.lifetimes, config_.trained_steps, 3));
  const TrainedNetwork trained = network();
  if (settings_.gradient_variance) {
    MENTOR_ASSIGN_OR_RETURN(const std::vector<ShardGradient> parts,
                            PolicyGradients(trained, ppo_, recorded, weights_, context_.pool));
    ReportGradient(parts, &report);
  }

  const RandomStream stream{
      .seed = context_.spec.seed(), .purpose = Purpose::kDisplacements, .lifetime = outer_step};
  OuterPpoConfig ppo = ppo_;
  ppo.adam = Annealed(ppo.adam, settings_.anneal, outer_step, context_.outer_updates());
  Tensor weights = weights_.clone();
  AdamState adam{adam_.m.clone(), adam_.v.clone(), adam_.step};
  const std::vector<int64_t> displacements =
      DrawDisplacements(stream, ppo_.k / ppo_.piece_unit, ppo_.epochs);
  MENTOR_ASSIGN_OR_RETURN(
      const OuterPpoResult result,
      RunOuterPpo(trained, ppo, recorded, displacements, weights, &adam, context_.pool));
  weights_ = std::move(weights);
  adam_ = std::move(adam);
  normaliser_ = std::move(normaliser);
  AddReport(result, &report);
  normaliser_.AddTo(&report);
  return report;
}

absl::Status CheckTensor(const char* name, const Tensor& x, int64_t lifetimes, int64_t steps,
                         int64_t axes) {
  if (!x.defined())
    return absl::InvalidArgumentError(absl::StrFormat("lifetimes have no %s", name));
  if (x.dim() != axes || x.size(0) != lifetimes || x.size(1) != steps) {
    return absl::InvalidArgumentError(absl::StrFormat("%s has shape %s, expected [%d, %d%s]", name,
                                                      c10::str(x.sizes()), lifetimes, steps,
                                                      axes == 3 ? ", ..." : ""));
  }
  const Tensor finite = x.isfinite();
  if (finite.all().item<bool>()) return absl::OkStatus();
  const Tensor at = finite.reshape({lifetimes * steps, -1}).all(1).logical_not().nonzero()[0];
  const int64_t row = at.item<int64_t>();
  return absl::InvalidArgumentError(absl::StrFormat("%s of lifetime %d is not finite at step %d",
                                                    name, row / steps, row % steps));
}

absl::Status CheckPrevDone(const Tensor& prev_done) {
  if ((prev_done.eq(0) | prev_done.eq(1)).all().item<bool>() &&
      !prev_done.select(1, 0).ne(0).any().item<bool>()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "prev_done must be 0 or 1, and 0 at the first step of a lifetime");
}

}  // namespace mentor::methods
