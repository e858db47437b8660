// Agents whose policy is conditioned on eta, the last weights of the signal network
// (methods/response_gradient/README.md). An inner iteration is two rounds, each on its own
// collection:
//
//   policy round      theta += Adam(grad_theta mean min(rho A_in, clip(rho) A_in)),
//                     rewards c_ex r_ex + c_in r_in, eta fixed (perturbed, if asked for)
//   validation round  eta += Adam(grad_eta mean min(rho A_ex, clip(rho) A_ex)), rewards r_ex,
//                     theta fixed
//
// Terms 12 and 13, through the steps of the policy round, are added when they have a weight.
// With frozen meta-parameters there is nothing to validate, so both collections are policy rounds.
#include "methods/response_gradient/loop.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include <cmath>
#include <vector>

#include <absl/strings/str_format.h>

#include "agents/adam.h"
#include "agents/differentiable_update.h"
#include "agents/gae.h"
#include "agents/row_statistics.h"
#include "agents/segment.h"
#include "agents/worker_pool.h"
#include "common/check.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"

namespace mentor::methods {
namespace response_loop {

using torch::Tensor;

// Tensor numbers of the value networks' initial weights; the policy's begin at 0.
constexpr uint32_t kInnerValueTensors = 100, kTaskValueTensors = 200;
// Relative size of the change of eta whose effect on the policy is reported.
constexpr double kReportedPerturbation = 0.1;

using Config = ResponseGradientConfig;

const auto kOptions = Bind<Config>(
    {{&Config::c_in, "c_in", "1", 0, 1000, "Weight of the learned reward in the policy round."},
     {&Config::c_ex, "c_ex", "1", 0, 1000,
      "Weight of the task reward in the policy round; the manuscript has 0."},
     {&Config::shaped_objective,
      "objective",
      {{"shaped", true}, {"success", false}},
      "The task reward: the shaped reward or the sparse success signal."},
     {&Config::w11, "w11", "1", 0, 1000, "Weight of the direct term, equation 17."},
     {&Config::w12, "w12", "0", 0, 1000,
      "Weight of the term through the conditioned policy round (second order)."},
     {&Config::w13, "w13", "0", 0, 1000,
      "Weight of the term through the learned reward, which alone is LIRPG (second order); above 0 "
      "all of the signal network learns."},
     {In(&Config::conditioning, &Conditioning::film),
      "conditioning",
      {{"layer_norm", false}, {"film", true}},
      "What gain and offset act on: the normalised layer, or the layer as it is (FiLM)."},
     {In(&Config::conditioning, &Conditioning::layers), "map_layers", "0", 0, 8,
      "Hidden tanh layers of the maps from eta to gain and offset; 0: linear, as in the "
      "manuscript."},
     {In(&Config::conditioning, &Conditioning::units), "map_units", "32", 1, 4096,
      "Units of each of these."},
     {&Config::round_k,
      "denominator",
      {{"round_k", true}, {"behaviour", false}},
      "Policy in the denominator of the validation round's ratio: that before the policy round, or "
      "that which collected."},
     {In(&Config::clipping, &Clipping::clip_only), "clip_only", false,
      "clip(rho) A without the minimum with rho A, as printed."},
     {&Config::map_std, "map_std", "0.3", 0, 100,
      "Standard deviation of the initial maps from eta to gain and offset."},
     {&Config::epochs, "validation_epochs", "4", 1, 10000,
      "Passes over the validation collection."},
     {&Config::minibatches, "validation_minibatches", "8", 1, 100000, "Minibatches of each."},
     {In(&Config::outer, &agents::PpoConfig::learning_rate), "learning_rate", "3e-3", 0, 10,
      "Learning rate of Adam for eta (and the body, with w13)."},
     {In(&Config::outer, &agents::PpoConfig::max_grad_norm), "max_grad_norm", "0.5", 1e-30, 1e30,
      "Greatest norm of their gradient."},
     {In(&Config::value, &agents::PpoConfig::learning_rate), "value_learning_rate", "1e-3", 0, 10,
      "Learning rate of Adam for both value networks."},
     {&Config::warmup, "warmup", "0", 0, 1000000,
      "Iterations of a lifetime before the first step of eta."},
     {&Config::perturbation, "perturbation", "0", 0, 10,
      "Standard deviation of the noise on eta in the policy round, relative to the root mean "
      "square of each tensor; the manuscript has 0, STN 0.1."},
     {&Config::parts, "perturbed_parts", "8", 1, 4096,
      "Equal parts of a collection, each with its own noise."},
     {&Config::antithetic, "antithetic", true, "Parts in pairs with opposite noise."},
     {&Config::local,
      "outer_steps",
      {{"local", true}, {"one", false}},
      "Where steps of eta are taken: several by the learner (one shard), or one by the "
      "meta-learner along the mean gradient."}});

// A collection as the agents see it. S agents, T steps.
struct Round {
  agents::Segment segment;  // Raw observations.
  Tensor observations;      // [S, T, D]: as the policy sees them.
  Tensor noise;             // [S, E, Qe]: added to eta in E equal parts of the steps.
  Tensor task_rewards;      // [S, T] float64
};

Tensor Leaf(const Tensor& x) {
  return x.detach().clone().requires_grad_(true);
}

double MeanOf(const Tensor& x) {
  return x.to(torch::kFloat64).mean().item<double>();
}

class ResponseGradient : public InnerLoop {
 public:
  explicit ResponseGradient(const InnerLoopContext& context)
      : InnerLoop(context),
        config_(ReadResponseGradient(spec().agent(), context_.options)),
        shape_(ShapeOfAgents(*context_.shard)),
        gradient_(*context_.network->gradient()),
        eta_size_(gradient_.conditioning_size()),
        layout_(ConditionedLayout(shape_, eta_size_, config_.conditioning)),
        value_layout_(ValueLayout(shape_)),
        normaliser_(NormaliserOf(context_)) {}

  void Begin() override {
    policy_ = Fresh(layout_, 0);
    inner_value_ = Fresh(value_layout_, kInnerValueTensors);
    task_value_ = Fresh(value_layout_, kTaskValueTensors);
    outer_ = agents::NewAgents(context_.meta_parameters.unsqueeze(0));
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    const bool learning = context_.shard->outer_learning();
    const bool perturbed = learning && config_.perturbation > 0;
    const Tensor none = torch::zeros({num_agents(), 1, eta_size_}, phi().options());
    const Tensor noise = perturbed ? Noise(iteration, config_.parts, config_.perturbation) : none;
    MENTOR_ASSIGN_OR_RETURN(agents::Segment first_segment, collect(PoliciesWith(noise)));
    Round first = See(&first_segment, noise, report);
    MENTOR_ASSIGN_OR_RETURN(const TakenRound taken, PolicyRound(iteration, 0, first, report));

    MENTOR_ASSIGN_OR_RETURN(agents::Segment second_segment, collect(Policies()));
    Round second = See(&second_segment, none, report);
    if (learning) {
      const CpuTimer timer;
      ReportRounds(first, second, taken.agents.theta, report);
      MENTOR_RETURN_IF_ERROR(Validate(iteration, first, taken, second, report));
      report->update_seconds += timer.Seconds();
    } else if (iteration + 1 < spec().lifetime().iterations()) {
      MENTOR_RETURN_IF_ERROR(PolicyRound(iteration, 1, second, report).status());
    }
    normaliser_.Add(first_segment.observations);
    normaliser_.Add(second_segment.observations);
    return agents::Join({first_segment, second_segment});
  }

  std::vector<v1::PolicyWeights> Policies() const override {
    return PoliciesWith(torch::zeros({num_agents(), 1, eta_size_}, phi().options()));
  }

  void State(StateFields* fields) override {
    AddAgents("policy", &policy_, fields);
    AddAgents("inner_value", &inner_value_, fields);
    AddAgents("task_value", &task_value_, fields);
    AddAgents("outer", &outer_, fields);
    // The meta-learner has the last word on the meta-parameters.
    fields->AfterLoad([this] { outer_.theta = context_.meta_parameters.unsqueeze(0).clone(); });
    AddNormaliser(&normaliser_, fields);
  }

 private:
  int64_t num_agents() const { return context_.num_agents(); }
  Tensor phi() const { return outer_.theta[0]; }  // [Q]
  int64_t body_size() const { return outer_.theta.size(1) - eta_size_; }
  Tensor EtaOf(const Tensor& phi) const { return phi.narrow(0, body_size(), eta_size_); }

  agents::AgentBatch Fresh(const agents::ParamLayout& layout, uint32_t first_tensor) const {
    std::vector<Tensor> rows;
    for (int64_t s = 0; s < num_agents(); ++s) {
      rows.push_back(InitialParameters(
          layout, shape_, spec().agent().initial_std(), config_.map_std,
          context_.Random(Purpose::kAgentWeights, s, /*iteration=*/0), first_tensor));
    }
    return agents::NewAgents(torch::stack(rows));
  }

  // Perturbations [S, parts, Qe] of eta, relative to the root mean square of each of its tensors.
  Tensor Noise(uint32_t iteration, int64_t parts, double size) const {
    std::vector<double> scale;
    const Tensor weights = phi().cpu().to(torch::kFloat64);
    for (const agents::ParamSlice& slice : context_.network->layout().slices()) {
      if (slice.offset < body_size()) continue;
      const Tensor part = weights.narrow(0, slice.offset, slice.size);
      scale.insert(scale.end(), static_cast<size_t>(slice.size),
                   size * part.square().mean().sqrt().item<double>());
    }
    Tensor noise = torch::empty({num_agents(), parts, eta_size_}, torch::kFloat32);
    float* to = noise.mutable_data_ptr<float>();
    std::vector<double> normals(scale.size());
    for (int64_t s = 0; s < num_agents(); ++s) {
      const RandomStream random = context_.Random(Purpose::kResponseNoise, s, iteration);
      for (int64_t part = 0; part < parts; ++part) {
        const bool mirrored = config_.antithetic && part % 2 == 1;
        random.Normals(static_cast<uint32_t>(mirrored ? part - 1 : part), normals);
        for (size_t q = 0; q < scale.size(); ++q)
          *to++ = static_cast<float>((mirrored ? -1 : 1) * scale[q] * normals[q]);
      }
    }
    return noise;
  }

  // One policy for each agent and row of the noise.
  std::vector<v1::PolicyWeights> PoliciesWith(const Tensor& noise) const {
    // Gain and offset do not depend on observations, so the learner uses the same ones.
    const ConditionedPolicy policy =
        SplitConditioned(layout_, normaliser_.Fold(shape_, policy_.theta));
    return ToPolicyWeights(shape_, policy, Fold(policy, EtaOf(phi()) + noise));
  }

  // Gives the segment its signals.
  Round See(agents::Segment* segment, const Tensor& noise, LoopReport* report) const {
    const CpuTimer timer;
    Round round;
    round.segment = *segment;
    round.observations = normaliser_.Normalise(round.segment.observations);
    round.noise = noise;
    round.task_rewards =
        config_.shaped_objective
            ? round.segment.shaped_rewards
            : round.segment.success_signals.to(round.segment.shaped_rewards.options());
    round.segment.signals = SignalsOf(phi(), round);
    segment->signals = round.segment.signals.cpu();
    report->signal_seconds += timer.Seconds();
    return round;
  }

  // [S, T], with a graph back to phi.
  Tensor SignalsOf(const Tensor& phi, const Round& round) const {
    signals::SignalState state = gradient_.InitialState(num_agents(), torch::kFloat32);
    const int64_t parts = round.noise.size(1), steps = context_.steps() / parts;
    if (parts == 1) return gradient_.Signals(phi, round.segment, &state);
    std::vector<Tensor> agents;
    for (int64_t s = 0; s < num_agents(); ++s) {
      std::vector<Tensor> of_parts;
      for (int64_t part = 0; part < parts; ++part) {
        const Tensor weights =
            torch::cat({phi.narrow(0, 0, body_size()), EtaOf(phi) + round.noise[s][part]});
        agents::Segment piece;
        const auto cut = [&](const Tensor& x) {
          return x.narrow(0, s, 1).narrow(1, part * steps, steps);
        };
        // A network without memory sees nothing else.
        piece.observations = cut(round.segment.observations);
        piece.actions = cut(round.segment.actions);
        of_parts.push_back(gradient_.Signals(weights, piece, &state));
      }
      agents.push_back(torch::cat(of_parts, 1));
    }
    return torch::cat(agents, 0);
  }

  struct Outputs {
    Tensor output, log_std, log_probs;
  };
  // Acts on rows [S, B] of a round; on all of it when rows are undefined.
  Outputs Act(const Tensor& theta, const Tensor& eta, const Round& round,
              const Tensor& rows = {}) const {
    const ConditionedPolicy policy = SplitConditioned(layout_, theta);
    Modulation modulation = Fold(policy, eta + round.noise);
    if (const int64_t parts = round.noise.size(1); parts > 1) {
      // Selects each row's modulation by a product with ones and zeros: exact, and its gradient is
      // a fixed sum.
      const Tensor steps = rows.defined()
                               ? rows
                               : torch::arange(context_.steps(), eta.options().dtype(torch::kInt64))
                                     .expand({num_agents(), context_.steps()});
      const Tensor part = steps.floor_divide(context_.steps() / parts);
      const Tensor chosen = part.unsqueeze(-1)
                                .eq(torch::arange(parts, part.options()).reshape({1, 1, parts}))
                                .to(theta.scalar_type());
      modulation = {torch::bmm(chosen, modulation.gain), torch::bmm(chosen, modulation.offset)};
    }
    const auto of = [&](const Tensor& x) { return rows.defined() ? agents::TakeRows(x, rows) : x; };
    const Tensor output = Forward(policy, modulation, of(round.observations));
    return {output, policy.log_std,
            agents::LogProb(output, policy.log_std, of(round.segment.actions))};
  }

  LogProbs Density(const Round& round, const Tensor& rows = {}) const {
    return [this, &round, rows](const Tensor& theta, const Tensor& eta) {
      return Act(theta, eta, round, rows).log_probs;
    };
  }

  Tensor ValuesOf(const agents::AgentBatch& value, const Tensor& observations) const {
    return Forward(SplitValue(value_layout_, value.theta), observations).squeeze(-1);
  }
  // Values [S, T + 1 + K] of all observations, of the one after the last step, and of the last ones
  // of truncated episodes where these are wanted (else K = 0).
  Tensor Values(const agents::AgentBatch& value, const Round& round) const {
    std::vector<Tensor> all = {round.observations,
                               normaliser_.Normalise(round.segment.next_observations.unsqueeze(1))};
    if (round.segment.truncated.defined())
      all.push_back(normaliser_.Normalise(round.segment.final_observations));
    return ValuesOf(value, torch::cat(all, 1));
  }

  // values: from Values.
  agents::Advantages AdvantagesOf(const Round& round, const Tensor& rewards,
                                  const Tensor& values) const {
    const int64_t steps = context_.steps();
    agents::Truncations truncations;
    if (round.segment.truncated.defined()) {
      truncations = {round.segment.truncated,
                     agents::AtTruncations(values.narrow(1, steps + 1, values.size(1) - steps - 1),
                                           round.segment.truncated)};
    }
    agents::Advantages advantages = agents::Gae(
        rewards, values.narrow(1, 0, steps), round.segment.prev_done, round.segment.last_done,
        values.select(1, steps), spec().agent().gamma(), spec().agent().gae_lambda(), truncations);
    advantages.advantages = advantages.advantages.to(values.options());
    advantages.returns = advantages.returns.to(values.options());
    return advantages;
  }
  Tensor InnerRewards(const Round& round, const Tensor& signals) const {
    return config_.c_ex * round.task_rewards + config_.c_in * signals.to(torch::kFloat64);
  }
  Tensor AsUsed(const Tensor& advantages) const {
    return spec().agent().normalize_advantage() ? agents::Standardised(advantages) : advantages;
  }

  absl::StatusOr<std::vector<Tensor>> Minibatches(uint32_t iteration, uint32_t round,
                                                  int64_t epochs, int64_t minibatches) const {
    return context_.Minibatches(2 * iteration + round, epochs, minibatches);
  }

  void ValueStep(const agents::PpoConfig& config, const Tensor& observations, const Tensor& returns,
                 agents::AgentBatch* value) const {
    const torch::AutoGradMode with_gradients(true);
    agents::AgentBatch at = *value;
    at.theta = Leaf(value->theta);
    const Tensor loss = 0.5 * (ValuesOf(at, observations) - returns).square().sum() /
                        static_cast<double>(returns.size(1));
    const Tensor gradient = torch::autograd::grad({loss}, {at.theta})[0];
    const torch::NoGradGuard no_grad;
    *value = agents::ClippedStep(*value, gradient, config);
  }

  RowDensities OnRows(const Tensor& theta, const Tensor& eta, const Round& round,
                      const Tensor& rows) const {
    const Outputs outputs = Act(theta, eta, round, rows);
    return {outputs.log_probs, spec().agent().entropy_coef() != 0
                                   ? agents::Entropy(outputs.output, outputs.log_std)
                                   : Tensor()};
  }

  // Equation 23. `number`: the round's number in its iteration. CANCELLED between two steps.
  absl::StatusOr<TakenRound> PolicyRound(uint32_t iteration, uint32_t number, const Round& round,
                                         LoopReport* report) {
    const CpuTimer timer;
    const v1::AgentSpec& agent = spec().agent();
    const agents::Advantages estimate = AdvantagesOf(
        round, InnerRewards(round, round.segment.signals), Values(inner_value_, round));
    TakenRound taken{
        .agents = policy_,
        .log_probs = round.segment.log_probs,
        .advantages = estimate.advantages,
        .standardise = agent.normalize_advantage(),
        .config = agents::PpoConfigFromSpec(agent, iteration + 1, spec().lifetime().iterations()),
        .minibatches = {}};
    MENTOR_ASSIGN_OR_RETURN(taken.minibatches, Minibatches(iteration, number, taken.config.epochs,
                                                           taken.config.minibatches));
    const Tensor advantages = AsUsed(estimate.advantages), eta = EtaOf(phi());
    const agents::AgentBatch value_before = inner_value_;
    for (const Tensor& rows : taken.minibatches) {
      MENTOR_RETURN_IF_ERROR(agents::CheckInterrupt());
      Tensor gradient;
      {
        const torch::AutoGradMode with_gradients(true);
        const Tensor theta = Leaf(policy_.theta);
        const Tensor loss = PolicyLoss(OnRows(theta, eta, round, rows), taken, advantages, rows);
        gradient = torch::autograd::grad({loss.sum()}, {theta})[0];
      }
      policy_ = agents::ClippedStep(policy_, gradient, taken.config);
      ValueStep(config_.value, agents::TakeRows(round.observations, rows),
                agents::TakeRows(estimate.returns, rows), &inner_value_);
    }
    const Tensor finite =
        policy_.theta.isfinite().all(1).logical_and(inner_value_.theta.isfinite().all(1));
    report->nonfinite_updates += static_cast<uint64_t>(num_agents() - finite.sum().item<int64_t>());
    policy_ = agents::ChooseAgents(finite, policy_, taken.agents);
    inner_value_ = agents::ChooseAgents(finite, inner_value_, value_before);
    report->update_seconds += timer.Seconds();
    return taken;
  }

  // Equation 24: the gradient by phi, or the step that it made. `taken`: the policy round.
  // CANCELLED between two steps.
  absl::Status Validate(uint32_t iteration, const Round& first, const TakenRound& taken,
                        const Round& second, LoopReport* report) {
    const Tensor& theta_k = taken.agents.theta;
    const Tensor denominator =
        config_.round_k ? Act(theta_k, EtaOf(phi()), second).log_probs : second.segment.log_probs;
    const agents::Advantages estimate =
        AdvantagesOf(second, second.task_rewards, Values(task_value_, second));
    const Tensor advantages = AsUsed(estimate.advantages);
    const agents::AgentBatch value_before = task_value_;
    const v1::AgentSpec& agent = spec().agent();
    MENTOR_ASSIGN_OR_RETURN(const std::vector<Tensor> critics_minibatches,
                            Minibatches(iteration, 1, agent.epochs(), agent.minibatches()));
    for (const Tensor& rows : critics_minibatches) {
      MENTOR_RETURN_IF_ERROR(agents::CheckInterrupt());
      ValueStep(config_.value, agents::TakeRows(second.observations, rows),
                agents::TakeRows(estimate.returns, rows), &task_value_);
    }
    task_value_ =
        agents::ChooseAgents(task_value_.theta.isfinite().all(1), task_value_, value_before);
    if (iteration < config_.warmup) return absl::OkStatus();

    // Terms 12 and 13 are taken once, where the steps of eta begin: they lead through the whole
    // policy round (methods/response_gradient/README.md#reading-terms-once).
    Tensor through = torch::zeros_like(phi());
    if (config_.through_round()) {
      const DirectGradient direct = ThroughPolicy(Density(second), policy_.theta, EtaOf(phi()),
                                                  denominator, advantages, config_.clipping);
      MENTOR_ASSIGN_OR_RETURN(through, ThroughRound(first, taken, direct.theta, report));
    }
    if (!config_.local) {
      const Tensor gradient =
          DirectTerm(second, {}, denominator, advantages, /*first_step=*/true, report) + through;
      if (gradient.isfinite().all().item<bool>()) {
        report->outer_gradient = gradient.cpu().to(torch::kFloat64);
      } else {
        ++report->nonfinite_updates;
      }
      return absl::OkStatus();
    }
    const agents::AgentBatch before = outer_;
    bool first_step = true;
    MENTOR_ASSIGN_OR_RETURN(const std::vector<Tensor> minibatches,
                            Minibatches(iteration, 1, config_.epochs, config_.minibatches));
    for (const Tensor& rows : minibatches) {
      MENTOR_RETURN_IF_ERROR(agents::CheckInterrupt());
      const Tensor gradient =
          (DirectTerm(second, rows, denominator, advantages, first_step, report) + through) /
          static_cast<double>(num_agents());
      outer_ = agents::ClippedStep(outer_, gradient.unsqueeze(0), config_.outer);
      first_step = false;
    }
    if (!outer_.theta.isfinite().all().item<bool>()) {
      ++report->nonfinite_updates;
      outer_ = before;
    }
    const auto exact = [](const agents::AgentBatch& batch) {
      return batch.theta[0].cpu().to(torch::kFloat64);
    };
    report->outer_gradient = exact(outer_) - exact(before);
    report->statistics["eta_displacement"] = EtaOf(report->outer_gradient).norm().item<double>();
    report->statistics["kl_validation_round"] = MeanOf(
        Divergence(second.segment.log_probs, Act(policy_.theta, EtaOf(phi()), second).log_probs));
    return absl::OkStatus();
  }

  // Gradient [Q] of the outer loss (minus the task return), summed over the agents: term 11 on
  // these rows,
  Tensor DirectTerm(const Round& second, const Tensor& rows, const Tensor& denominator,
                    const Tensor& advantages, bool first_step, LoopReport* report) const {
    const auto of = [&](const Tensor& x) { return rows.defined() ? agents::TakeRows(x, rows) : x; };
    const DirectGradient direct = ThroughPolicy(Density(second, rows), policy_.theta, EtaOf(phi()),
                                                of(denominator), of(advantages), config_.clipping);
    Tensor gradient = torch::zeros_like(phi());
    EtaOf(gradient).sub_(config_.w11 * direct.eta);
    if (first_step) {
      report->statistics["active_fraction"] = MeanOf(direct.surrogate.active);
      report->statistics["term11_norm"] = direct.eta.norm().item<double>();
    }
    return gradient;
  }

  // and terms 12 and 13, with u [S, P] the task return's gradient after the policy round.
  absl::StatusOr<Tensor> ThroughRound(const Round& first, const TakenRound& taken, const Tensor& u,
                                      LoopReport* report) const {
    Tensor leaf, signals;
    {
      const torch::AutoGradMode with_gradients(true);
      leaf = Leaf(phi());
      signals = SignalsOf(leaf, first);
    }
    MENTOR_ASSIGN_OR_RETURN(
        const StepGradient through,
        ThroughPolicyRound([&](const Tensor& theta, const Tensor& eta,
                               const Tensor& rows) { return OnRows(theta, eta, first, rows); },
                           EtaOf(phi()), taken, u));
    const Tensor of_rewards =
        agents::GaeAdjoint(through.advantages, first.segment.prev_done, spec().agent().gamma(),
                           spec().agent().gae_lambda());
    const Tensor term13 = torch::autograd::grad(
        {signals}, {leaf},
        {config_.c_in * of_rewards.to(signals.options().requires_grad(false))})[0];
    Tensor gradient = -config_.w13 * term13;
    EtaOf(gradient).sub_(config_.w12 * through.eta);
    report->statistics["term12_norm"] = through.eta.norm().item<double>();
    report->statistics["term13_norm"] = term13.norm().item<double>();
    return gradient;
  }

  // Estimate of KL(old, new) from actions of the old policy: [S].
  static Tensor Divergence(const Tensor& old_log_probs, const Tensor& new_log_probs) {
    return agents::ApproxKl(new_log_probs.to(torch::kFloat64) - old_log_probs.to(torch::kFloat64));
  }

  void ReportRounds(const Round& first, const Round& second, const Tensor& theta_k,
                    LoopReport* report) const {
    std::map<std::string, double>& numbers = report->statistics;
    const Tensor eta = EtaOf(phi());
    ReportReturn("policy_round_return", first.segment, report);
    ReportReturn("validation_return", second.segment, report);
    numbers["signal_mean"] = MeanOf(first.segment.signals);
    numbers["signal_std"] = MeanOf(first.segment.signals.std(1));
    numbers["kl_policy_round"] =
        MeanOf(Divergence(first.segment.log_probs, Act(policy_.theta, eta, first).log_probs));
    // Actors and learner must agree on the policy (methods/response_gradient/README.md#pitfalls,
    // 7).
    numbers["rho_error"] = MeanOf(
        ((Act(theta_k, eta, first).log_probs - first.segment.log_probs).exp() - 1).abs().amax(1));
    // How far the mean action (or logit) moves with eta.
    Round moved = second;
    moved.noise = Noise(static_cast<uint32_t>(0), 1, kReportedPerturbation);
    numbers["response"] = MeanOf(
        (Act(policy_.theta, eta, moved).output - Act(policy_.theta, eta, second).output).abs());
  }

  // Shaped return of the episodes that ended in a round: the mean over the agents that have one.
  static void ReportReturn(const char* name, const agents::Segment& segment, LoopReport* report) {
    double sum = 0;
    int64_t agents = 0;
    for (const auto& episodes : agents::EndedEpisodes(segment)) {
      if (episodes.empty()) continue;
      double total = 0;
      for (const agents::EndedEpisode& episode : episodes) total += episode.shaped_return;
      sum += total / static_cast<double>(episodes.size());
      ++agents;
    }
    if (agents > 0) report->statistics[name] = sum / static_cast<double>(agents);
  }

  // Fixed after construction.
  const Config config_;
  const agents::AgentShape shape_;
  const signals::SignalGradient& gradient_;  // The context keeps it.
  const int64_t eta_size_;                   // Qe
  const agents::ParamLayout layout_, value_layout_;
  // Between iterations.
  agents::ObservationNormaliser normaliser_;
  agents::AgentBatch policy_;  // theta [S, P]
  agents::AgentBatch inner_value_,
      task_value_;            // [S, Pv]: two, because A_ex needs a baseline of its own.
  agents::AgentBatch outer_;  // phi as its only row, with Adam's state.
};

MetricTable Metrics() {
  return {
      {.name = "policy_round_return", .help = "Shaped return of an episode of the policy round."},
      {.name = "validation_return", .help = "Shaped return of an episode of the validation round."},
      {.name = "signal_mean", .help = "Mean of the signals of the policy round."},
      {.name = "signal_std",
       .help = "Standard deviation of the signals along the steps of an agent."},
      {.name = "kl_policy_round",
       .unit = "nat",
       .help = "Divergence of the policies from those before the policy round."},
      {.name = "kl_validation_round",
       .unit = "nat",
       .help = "Divergence of the policies by the steps of eta (outer_steps local)."},
      {.name = "rho_error",
       .help = "Greatest difference from 1 of the density ratio of learner and actor."},
      {.name = "response",
       .help = "How far the mean action (or logit) moves with a perturbation of eta."},
      {.name = "eta_displacement",
       .help = "How far eta moved (outer_steps local).",
       .log_scale = true},
      {.name = "active_fraction", .help = "Share of steps that the outer loss does not clip."},
      {.name = "term11_norm", .help = "Norm of the direct term.", .log_scale = true},
      {.name = "term12_norm",
       .help = "Norm of the term through the conditioned policy step (w12 above 0).",
       .log_scale = true},
      {.name = "term13_norm",
       .help = "Norm of the term through the learned reward (w13 above 0).",
       .log_scale = true},
  };
}

void Check(const InnerLoopContext& context, Violations* violations) {
  const v1::ExperimentSpec& spec = context.spec();
  const v1::EnvironmentShape& shape = context.shape();
  const Config config = ReadResponseGradient(spec.agent(), context.options);
  const auto add = [&](const char* field, const std::string& what) {
    violations->Add(field, what);
  };
  if (ConditioningSize(context.network.get()) == 0) {
    add("signal.name",
        absl::StrFormat("is '%s', which has no weights that a policy can be conditioned on; the "
                        "response-gradient rule needs 'bottleneck'",
                        spec.signal().name()));
  }
  if (spec.signal().role() != v1::REWARD) {
    add("signal.role", "is not REWARD; the response-gradient rule learns a reward, so set REWARD");
  }
  if (spec.agent().hidden_units() < 2) {
    add("agent.hidden_units",
        "is 1; the normalisation over the units of a layer makes a single one constant: give at "
        "least 2");
  }
  if (spec.agent().has_target_kl())
    add("agent.target_kl",
        "is set; the rounds of the response-gradient rule do not stop early: leave it out");
  if (spec.agent().clip_value_loss())
    add("agent.clip_value_loss",
        "is true; the value networks of the response-gradient rule are not clipped: leave it out");
  if (config.w11 == 0 && config.w12 == 0 && config.w13 == 0)
    add("rule.option.w11",
        "is 0 as are w12 and w13: nothing would be learned; give one of them a weight");
  const int64_t steps = context.steps();
  if (steps < 2 * config.minibatches || steps < 2 * int64_t{spec.agent().minibatches()}) {
    add("rule.option.validation_minibatches",
        absl::StrFormat(
            "is %d, and agent.minibatches %d, of %d steps; a minibatch needs at least 2 steps",
            config.minibatches, spec.agent().minibatches(), steps));
  }
  if (config.local && spec.rule().lifetimes_per_update() > spec.rule().shard_lifetimes()) {
    add("rule.option.outer_steps",
        absl::StrFormat("is 'local', but %d lifetimes in shards of %d are several shards, which "
                        "cannot take steps together: set 'one', or shard_lifetimes to %d",
                        spec.rule().lifetimes_per_update(), spec.rule().shard_lifetimes(),
                        spec.rule().lifetimes_per_update()));
  }
  if (config.perturbation == 0) return;
  if (!shape.independent_episodes() ||
      steps % (config.parts * int64_t{shape.episode_steps()}) != 0) {
    add("rule.option.perturbation",
        absl::StrFormat(
            "is %g; each of the %d parts of a collection of %d steps must be whole episodes of "
            "fixed length (%d steps): change perturbed_parts or lifetime.steps_per_iteration, or "
            "take an environment whose episodes do not end early",
            config.perturbation, config.parts, steps, shape.episode_steps()));
  }
  if (config.antithetic && config.parts % 2 != 0)
    add("rule.option.perturbed_parts",
        absl::StrFormat(
            "is %d; antithetic parts come in pairs: give an even number, or antithetic false",
            config.parts));
}

// Policy, two value networks, and what both rounds hold at once, minibatches' rows as int64 too.
LoopSizes Sizes(const InnerLoopContext& context, int64_t num_meta_parameters) {
  const Config config = ReadResponseGradient(context.shard->spec().agent(), context.options);
  const agents::AgentShape shape = ShapeOfAgents(*context.shard);
  const int64_t eta = ConditioningSize(context.network.get());
  const int64_t policy = ConditionedLayout(shape, eta, config.conditioning).size();
  const int64_t all = policy + 2 * ValueLayout(shape).size() + num_meta_parameters;
  const int64_t agents = context.num_agents(), steps = context.steps();
  const int64_t graph =
      GraphNumbersPerStep(shape) + context.network->NumbersPerStep(/*graph=*/true);
  const v1::AgentSpec& agent = context.shard->spec().agent();
  const int64_t permutations = int64_t{agent.epochs()} + config.epochs;
  // Terms 12 and 13 go through a step of the policy round and back, and keep the agents before
  // each of its steps.
  const int64_t kept = int64_t{agent.epochs()} * agent.minibatches() * 3 * policy;
  return {
      .state = 9 * all,
      .saved = 3 * all,
      .policy = policy + (config.parts + 1) * eta,
      .at_once = agents * (steps * ((config.through_round() ? 8 : 4) * graph + 2 * permutations) +
                           (config.through_round() ? kept : 0))};
}

const RegisterInnerLoop kResponseGradient({
    .name = "response_gradient",
    .summary = "Policy and validation rounds of policies conditioned on the signal network",
    .options = kOptions.table(),
    .metrics = Metrics(),
    .collections = 2,
    .check = Check,
    .make = MadeLoop<ResponseGradient>,
    .sizes = Sizes,
    .gives_gradient =
        [](const InnerLoopContext& context) {
          const Config config =
              ReadResponseGradient(context.shard->spec().agent(), context.options);
          return context.shard->outer_learning() && context.end() > config.warmup;
        },
});

}  // namespace response_loop

ResponseGradientConfig ReadResponseGradient(const v1::AgentSpec& agent,
                                            const OptionValues& options) {
  auto config = response_loop::kOptions.Read(options, {.clipping = {.range = agent.clip()}});
  config.value.max_grad_norm = std::nullopt;
  return config;
}

}  // namespace mentor::methods
