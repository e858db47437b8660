// The response-gradient rule's mathematics against golden numbers
// (methods/response_gradient/README.md).
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "agents/differentiable_update.h"
#include "agents/gae.h"
#include "agents/row_statistics.h"
#include "methods/response_gradient/conditioned_policy.h"
#include "methods/response_gradient/response_terms.h"
#include "signals/signal_network.h"
#include "tests/golden.h"
#include "tests/policy_step.h"
#include "tests/specs.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::CheckNear;
using mentor::testing::GoldenTolerance;
using mentor::testing::Json;
using mentor::testing::ReadGolden;
using mentor::testing::ToTensor;
using torch::Tensor;

constexpr const char* kTheta[] = {"actor.W1", "actor.b1", "actor.W2", "actor.b2",
                                  "actor.W3", "actor.b3", "cln.Wg",   "cln.bg",
                                  "cln.Wb",   "cln.bb",   "logstd"};

agents::ParamLayout Layout(const Json& theta) {
  std::vector<std::pair<std::string, std::vector<int64_t>>> tensors;
  for (const char* name : kTheta)
    tensors.push_back({name, theta.at(name).at("shape").get<std::vector<int64_t>>()});
  return agents::ParamLayout(std::move(tensors));
}

// [1, P]
Tensor Theta(const Json& theta) {
  std::vector<Tensor> parts;
  for (const char* name : kTheta) parts.push_back(ToTensor(theta.at(name)).flatten());
  return torch::cat(parts).unsqueeze(0);
}

// [Q]: one hidden layer, bottleneck, output.
Tensor SignalWeights(const Json& one) {
  std::vector<Tensor> parts;
  for (const char* name : {"body.W", "body.b"})
    parts.push_back(ToTensor(one.at("signal_body").at(name)).flatten());
  for (const char* name : {"bot.W", "bot.b", "out.W", "out.b"})
    parts.push_back(ToTensor(one.at("signal_tail").at(name)).flatten());
  return torch::cat(parts);
}

std::unique_ptr<signals::SignalNetwork> Network(const Json& one, bool bounded) {
  v1::SignalSpec spec;
  spec.set_name("bottleneck");
  for (const auto& [name, value] : {std::pair<const char*, int64_t>{"hidden", one.at("H2")},
                                    {"layers", 1},
                                    {"bottleneck", one.at("bottleneck")}})
    testing::SetOption(&spec, name, std::to_string(value));
  testing::SetOption(&spec, "bounded", bounded ? "true" : "false");
  Violations violations;
  auto network = signals::MakeSignalNetwork(
      spec, {.observation_size = one.at("D"), .action_size = one.at("A")}, &violations);
  REQUIRE(network != nullptr);
  return network;
}

Tensor Signals(const signals::SignalNetwork& network, const Tensor& weights, const Json& round) {
  agents::Segment segment;
  segment.observations = ToTensor(round.at("obs")).unsqueeze(0);
  segment.actions = ToTensor(round.at("act")).unsqueeze(0);
  signals::SignalState state = network.signals()->InitialState(1, torch::kFloat64);
  return network.gradient()->Signals(weights, segment, &state);
}

LogProbs Density(const agents::ParamLayout& layout, const Json& round) {
  const Tensor observations = ToTensor(round.at("obs")).unsqueeze(0),
               actions = ToTensor(round.at("act")).unsqueeze(0);
  return [=](const Tensor& theta, const Tensor& eta) {
    const ConditionedPolicy policy = SplitConditioned(layout, theta);
    const Modulation modulation = Fold(policy, eta.reshape({1, 1, -1}));
    return agents::LogProb(Forward(policy, modulation, observations), policy.log_std, actions);
  };
}

void CheckScalar(const std::string& what, double got, const Json& want, const Json& file) {
  CheckNear(what, torch::full({}, got, torch::kFloat64), ToTensor(want), GoldenTolerance(file));
}

TEST_CASE("golden: conditional layer normalisation", "[golden]") {
  const Json file = ReadGolden("stn_cln");
  const auto tolerance = GoldenTolerance(file);
  for (const Json& one : file.at("cases")) {
    INFO(one.at("name").get<std::string>());
    const Json& want = one.at("expected");
    const agents::ParamLayout layout = Layout(one.at("theta"));
    const auto network = Network(one, /*bounded=*/false);
    const Tensor weights = SignalWeights(one);
    const int64_t eta_size = network->gradient()->conditioning_size();
    REQUIRE(weights.numel() == network->layout().size());
    const Tensor
        eta = weights.narrow(0, weights.numel() - eta_size, eta_size).clone().requires_grad_(true),
        theta = Theta(one.at("theta")).requires_grad_(true);
    CheckNear("eta", eta.detach(), ToTensor(want.at("eta")), tolerance);

    const ConditionedPolicy policy = SplitConditioned(layout, theta);
    const Modulation modulation = Fold(policy, eta.reshape({1, 1, -1}));
    CheckNear("gain", modulation.gain.detach()[0][0], ToTensor(want.at("gain")), tolerance);
    CheckNear("offset", modulation.offset.detach()[0][0], ToTensor(want.at("offset")), tolerance);
    const Tensor observations = ToTensor(one.at("obs")).unsqueeze(0);
    CheckNear("mean", Forward(policy, modulation, observations).detach()[0],
              ToTensor(want.at("mean")), tolerance);
    const Tensor log_probs = Density(layout, one)(theta, eta);
    CheckNear("logp", log_probs.detach()[0], ToTensor(want.at("logp")), tolerance);
    CheckNear("r_in", Signals(*network, weights, one)[0], ToTensor(want.at("r_in")), tolerance);

    const Tensor g = (ToTensor(one.at("weight_c")) * log_probs[0]).sum();
    CheckScalar("G", g.item<double>(), want.at("G"), file);
    const auto gradients = torch::autograd::grad({g}, {eta, theta});
    CheckNear("dG_deta", gradients[0], ToTensor(want.at("dG_deta")), tolerance);
    CheckNear("dG_dtheta", gradients[1], Theta(want.at("dG_dtheta")), tolerance);
  }
}

TEST_CASE("golden: policy round, validation round and the three terms on a network", "[golden]") {
  const Json file = ReadGolden("stn_rounds");
  const auto tolerance = GoldenTolerance(file);
  for (const Json& one : file.at("cases")) {
    INFO(one.at("name").get<std::string>());
    const Json &want = one.at("expected"), &config = one.at("config"), &first = one.at("round_k");
    const double c_in = config.at("c_in"), c_ex = config.at("c_ex"), gamma = config.at("gamma"),
                 lambda = config.at("lambda"), clip = config.at("clip");
    const agents::ParamLayout layout = Layout(one.at("theta"));
    const auto network = Network(one, /*bounded=*/true);
    const Tensor theta = Theta(one.at("theta"));
    const Tensor weights = SignalWeights(one).requires_grad_(true);
    const int64_t eta_size = network->gradient()->conditioning_size(),
                  body = weights.numel() - eta_size;
    const Tensor eta = weights.detach().narrow(0, body, eta_size);

    const Tensor signals = Signals(*network, weights, first);
    CheckNear("r_in", signals.detach()[0], ToTensor(want.at("r_in")), tolerance);
    const Tensor rewards =
        c_in * signals.detach() + c_ex * ToTensor(first.at("extrinsic")).unsqueeze(0);
    const Tensor prev_done = ToTensor(first.at("prev_done")).unsqueeze(0);
    const Tensor advantages =
        agents::Gae(rewards, ToTensor(first.at("value")).unsqueeze(0), prev_done,
                    ToTensor(first.at("last_done")).reshape({1}),
                    ToTensor(first.at("last_value")).reshape({1}), gamma, lambda)
            .advantages;
    CheckNear("A_in", agents::Standardised(advantages)[0], ToTensor(want.at("A_in")), tolerance);
    const LogProbs density = Density(layout, first);
    const Tensor log_probs = density(theta, eta);
    CheckNear("logp_old", log_probs[0], ToTensor(want.at("logp_old")), tolerance);
    CheckScalar(
        "J_in",
        ClippedSurrogate(log_probs, log_probs, agents::Standardised(advantages), {.range = clip})
            .objective.item<double>(),
        want.at("J_in"), file);
    const agents::PolicyStep step{
        .log_probs = log_probs, .advantages = advantages, .length = config.at("lr"), .clip = clip};
    const Tensor theta1 = agents::AfterPolicyStep(density, theta, eta, step);
    CheckNear("theta1", theta1, Theta(want.at("theta1")), tolerance);
    CheckNear("dJ_in_dtheta", (theta1 - theta) / step.length, Theta(want.at("dJ_in_dtheta")),
              tolerance);

    // The validation round, with each denominator.
    const Json& second = one.at("round_k1");
    const LogProbs density1 = Density(layout, second);
    const Tensor round_k = density1(theta, eta), behaviour = density1(theta1, eta),
                 task_advantages = ToTensor(second.at("A_ex")).unsqueeze(0);
    CheckNear("logp_round_k", round_k[0], ToTensor(want.at("logp_round_k")), tolerance);
    CheckNear("logp_behaviour", behaviour[0], ToTensor(want.at("logp_behaviour")), tolerance);
    struct Variant {
      std::string name;
      Tensor denominator;
      bool clip_only;
    };
    for (const Variant& variant : {Variant{"round_k_min", round_k, false},
                                   {"behaviour_min", behaviour, false},
                                   {"round_k_clip_only", round_k, true}}) {
      INFO(variant.name);
      const DirectGradient direct =
          ThroughPolicy(density1, theta1, eta, variant.denominator, task_advantages,
                        {.range = clip, .clip_only = variant.clip_only});
      CheckScalar("objective", direct.surrogate.objective.item<double>(),
                  want.at("J_ex_" + variant.name), file);
      CheckNear("gradient", direct.eta, ToTensor(want.at("eq17_grad_" + variant.name)), tolerance);
      if (!variant.clip_only)
        CheckNear("ratio", direct.surrogate.ratio[0],
                  ToTensor(want.at("ratio_" + variant.name.substr(0, variant.name.size() - 4))),
                  tolerance);
    }

    const DirectGradient direct =
        ThroughPolicy(density1, theta1, eta, behaviour, task_advantages, {.range = clip});
    const StepGradient through = agents::ThroughPolicyStep(density, theta, eta, step, direct.theta);
    const Tensor of_rewards = agents::GaeAdjoint(through.advantages, prev_done, gamma, lambda);
    const Tensor term13 =
        torch::autograd::grad({(c_in * signals * of_rewards).sum()}, {weights})[0].narrow(0, body,
                                                                                          eta_size);
    CheckNear("term 11", direct.eta, ToTensor(want.at("term11_grad")), tolerance);
    CheckNear("term 12", through.eta, ToTensor(want.at("term12_grad")), tolerance);
    CheckNear("term 13", term13, ToTensor(want.at("term13_grad")), tolerance);
    CheckNear("total", direct.eta + through.eta + term13, ToTensor(want.at("total_grad")),
              tolerance);
  }
}

// One-step problems of one number theta and one number eta, with exact expectations: a weight w of
// N samples is an advantage of w N times the sample's.
struct Problem {
  bool gaussian = false;
  double kappa = 0, sigma = 1;

  LogProbs Density(const Tensor& actions) const {
    return [*this, actions](const Tensor& theta, const Tensor& eta) {
      const Tensor x = theta + kappa * eta.reshape({1, 1});  // [1, 1]
      if (!gaussian) return torch::log_sigmoid((2 * actions - 1) * x);
      return -0.5 * ((actions - x) / sigma).square() -
             std::log(sigma * std::sqrt(2 * std::acos(-1.0)));
    };
  }
};

Tensor Weighted(const Tensor& x, const Tensor& weight) {
  return x * weight * static_cast<double>(weight.size(1));
}

TEST_CASE("golden: the four terms with exact expectations", "[golden]") {
  const Json file = ReadGolden("stn_terms");
  for (const Json& one : file.at("cases")) {
    INFO(one.at("kind").get<std::string>() + " " + one.at("name").get<std::string>());
    const Json &config = one.at("config"), &want = one.at("expected"), &k = one.at("samples_k"),
               &k1 = one.at("samples_k1");
    const auto row = [](const Json& json) { return ToTensor(json).unsqueeze(0); };
    Problem problem{.gaussian = one.at("kind") == "gaussian", .kappa = config.at("kappa")};
    if (problem.gaussian) problem.sigma = config.at("sigma");
    const Tensor theta = ToTensor(config.at("theta")).reshape({1, 1}),
                 eta = ToTensor(config.at("eta")).reshape({1});
    const LogProbs density = problem.Density(row(k.at("a")));
    CheckNear("logp_old", density(theta, eta), row(k.at("logp_old")), GoldenTolerance(file));
    const agents::PolicyStep step{.log_probs = row(k.at("logp_old")),
                                  .advantages = Weighted(row(k.at("A_in")), row(k.at("weight"))),
                                  .standardise = false,
                                  .length = config.at("alpha")};
    const Tensor theta1 = agents::AfterPolicyStep(density, theta, eta, step);
    CheckScalar("theta1", theta1.item<double>(), want.at("theta1"), file);

    const LogProbs density1 = problem.Density(row(k1.at("a")));
    const DirectGradient direct =
        ThroughPolicy(density1, theta1, eta, density1(theta1, eta),
                      Weighted(row(k1.at("A_ex")), row(k1.at("weight"))), {});
    const StepGradient through = agents::ThroughPolicyStep(density, theta, eta, step, direct.theta);
    const double term11 = direct.eta.item<double>(), term12 = through.eta.item<double>();
    const double term13 =
        (through.advantages * Weighted(row(k.at("dA_in_deta")), row(k.at("weight"))))
            .sum()
            .item<double>();
    CheckScalar("dJ_dtheta1", direct.theta.item<double>(), want.at("dJ_dtheta1"), file);
    CheckScalar("term 11", term11, want.at("term11"), file);
    CheckScalar("term 12", term12, want.at("term12"), file);
    CheckScalar("term 13", term13, want.at("term13"), file);

    // Term 14 is what theta_k(eta) adds: theta_k moves with eta inside the step, and by itself.
    const double moves = config.at("dtheta_k_deta");
    const LogProbs moving = [&](const Tensor& t, const Tensor& e) {
      return density(t + moves * (e - eta).reshape({1, 1}), e);
    };
    const double term14 =
        agents::ThroughPolicyStep(moving, theta, eta, step, direct.theta).eta.item<double>() -
        term12 + moves * direct.theta.item<double>();
    CheckScalar("term 14", term14, want.at("term14"), file);
    CheckScalar("total", term11 + term12 + term13 + term14, want.at("total"), file);
    // Without the products of scores term 12 is another number; the printed form is not used.
    if (problem.kappa != 0)
      CHECK(std::abs(term12 - want.at("term12_literal").get<double>()) > 1e-4);
  }
}

TEST_CASE("golden: a response is identified by perturbations only", "[golden]") {
  const Json file = ReadGolden("stn_perturb");
  const auto tolerance = GoldenTolerance(file);
  for (const Json& one : file.at("cases")) {
    INFO(one.at("name").get<std::string>());
    const Json &config = one.at("config"), &want = one.at("expected");
    const double a = config.at("a"), b = config.at("b"), c = config.at("c"),
                 sigma = config.at("sigma");
    // w = phi0 + phi1 eta is a gain of one unit: offset and the rest are not used.
    const Tensor phi = torch::stack({ToTensor(config.at("phi0")), ToTensor(config.at("phi1"))})
                           .requires_grad_(true);
    const auto response = [&](const Tensor& eta) {
      ConditionedPolicy policy;
      policy.gain_bias = policy.offset_bias = phi[0].reshape({1, 1});
      policy.gain_map = policy.offset_map = phi[1].reshape({1, 1, 1});
      return Fold(policy, eta.reshape({1, -1, 1})).gain.flatten();
    };
    const Tensor noise = ToTensor(one.at("eps"));
    const Tensor eta = ToTensor(config.at("eta"));
    const Tensor perturbed = eta + sigma * noise;
    const Tensor loss = 0.5 * (response(perturbed) - a * perturbed - b).square().mean();
    CheckScalar("L_T", loss.item<double>(), want.at("L_T"), file);
    const Tensor gradient = torch::autograd::grad({loss}, {phi}, {}, true, true)[0];
    CheckNear("dL_T_dphi", gradient.detach(), ToTensor(want.at("dL_T_dphi")), tolerance);
    const Tensor hessian = torch::stack({torch::autograd::grad({gradient[0]}, {phi}, {}, true)[0],
                                         torch::autograd::grad({gradient[1]}, {phi}, {}, true)[0]});
    CheckNear("hessian", hessian, ToTensor(want.at("hessian_phi")), tolerance);
    CheckScalar("determinant",
                (hessian[0][0] * hessian[1][1] - hessian[0][1] * hessian[1][0]).item<double>(),
                want.at("hessian_det"), file);
    const Tensor plain = eta.clone().requires_grad_(true);
    const Tensor validation = 0.5 * (response(plain) - c).square().sum();
    CheckNear("response gradient", torch::autograd::grad({validation}, {plain})[0],
              ToTensor(want.at("response_gradient")), tolerance);
  }
}

// C1 of methods/response_gradient/README.md#experiments: a bandit of two arms, r_in = eta a, task
// reward a, 500 rounds of a policy step and a step of eta along the three terms.
double BestArmAfterLearning(double theta_start, double eta_start, double kappa) {
  const Problem problem{.gaussian = false, .kappa = kappa};
  Tensor theta = torch::full({1, 1}, theta_start, torch::kFloat64),
         eta = torch::full({1}, eta_start, torch::kFloat64);
  const Tensor arms = torch::arange(2, torch::kFloat64).unsqueeze(0);
  const LogProbs density = problem.Density(arms);
  for (int round = 0; round < 500; ++round) {
    const Tensor log_probs = density(theta, eta), weight = log_probs.exp();
    const Tensor centred = arms - (weight * arms).sum();
    const agents::PolicyStep step{.log_probs = log_probs,
                                  .advantages = Weighted(eta * centred, weight),
                                  .standardise = false,
                                  .length = 0.5};
    const Tensor theta1 = agents::AfterPolicyStep(density, theta, eta, step);
    const Tensor log_probs1 = density(theta1, eta), weight1 = log_probs1.exp();
    const DirectGradient direct = ThroughPolicy(
        density, theta1, eta, log_probs1, Weighted(arms - (weight1 * arms).sum(), weight1), {});
    const StepGradient through = agents::ThroughPolicyStep(density, theta, eta, step, direct.theta);
    const Tensor term13 = (through.advantages * Weighted(centred, weight)).sum();
    theta = theta1;
    eta = eta + 0.5 * (direct.eta + through.eta + term13);
  }
  return density(theta, eta).exp()[0][1].item<double>();
}

TEST_CASE("golden: a bandit learns through the conditioned policy where the reward alone is stuck",
          "[golden]") {
  CHECK(BestArmAfterLearning(0.4, 0.8, 0.5) > 0.99);
  CHECK(BestArmAfterLearning(0.4, 0.8, 0) > 0.99);
  CHECK(BestArmAfterLearning(-2, -1, 0.5) > 0.99);
  const double stuck = BestArmAfterLearning(-2, -1, 0);
  INFO(stuck);
  CHECK(stuck < 0.01);
}

// In order: the round as it is, its second moment differentiated, one plain step in its place.
enum class Round { kTaken, kThroughSecondMoment, kPlainStep };

StepGradient ThroughRound(const Json& one, Round kind, Tensor* after) {
  const Json &config = one.at("config"), &segment = one.at("segment");
  const agents::ParamLayout layout = Layout(one.at("params"));
  const Tensor observations = ToTensor(segment.at("obs")).unsqueeze(0),
               actions = ToTensor(segment.at("act")).unsqueeze(0);
  const auto act = [&](const Tensor& theta, const Tensor& eta, const Tensor& rows) -> RowDensities {
    const ConditionedPolicy policy = SplitConditioned(layout, theta);
    const Tensor output = Forward(policy, Fold(policy, eta.reshape({1, 1, -1})),
                                  agents::TakeRows(observations, rows));
    return {agents::LogProb(output, policy.log_std, agents::TakeRows(actions, rows)),
            agents::Entropy(output, policy.log_std)};
  };
  TakenRound round{
      .agents = {Theta(one.at("params")), Theta(one.at("m")), Theta(one.at("v")),
                 torch::full({1}, one.at("opt_steps_before").get<int64_t>(), torch::kInt64)},
      .log_probs = ToTensor(segment.at("logp")).unsqueeze(0),
      .advantages = ToTensor(segment.at("advantages")).unsqueeze(0),
      .stop_second_moment = kind != Round::kThroughSecondMoment};
  round.config.clip = config.at("clip");
  round.config.entropy_coef = config.at("entropy_coef");
  round.config.max_grad_norm = config.at("max_grad_norm").get<double>();
  round.config.learning_rate = config.at("lr");
  round.config.adam_epsilon = config.at("opt_eps");
  round.config.adam = kind != Round::kPlainStep;
  const Tensor rows = ToTensor(one.at("minibatches"), torch::kInt64);
  for (int64_t k = 0; k < rows.size(0); ++k) round.minibatches.push_back(rows[k].unsqueeze(0));
  const Tensor eta = ToTensor(one.at("eta"));
  if (after != nullptr) {
    agents::UpdateConfig update;
    update.ppo = round.config;
    *after = agents::DifferentiateSteps(
                 update, round.agents, rows.size(0),
                 [&](const Tensor& theta, const std::vector<Tensor>& inputs, int64_t k) {
                   return PolicyLoss(act(theta, eta, round.minibatches[k]), round, inputs[0],
                                     round.minibatches[k]);
                 },
                 {agents::Standardised(round.advantages)},
                 [](const Tensor& theta) { return theta.sum(1); })
                 ->after.theta;
  }
  return *ThroughPolicyRound(act, eta, round, Theta(one.at("u")));
}

TEST_CASE("golden: the terms through a round of Adam", "[golden]") {
  const Json file = ReadGolden("stn_adam_round");
  const auto tolerance = GoldenTolerance(file);
  for (const Json& one : file.at("cases")) {
    INFO(one.at("name").get<std::string>());
    const Json& want = one.at("expected");
    Tensor after;
    const StepGradient got = ThroughRound(one, Round::kTaken, &after);
    CheckNear("params_after", after, Theta(want.at("params_after")), tolerance);
    CheckNear("term 12", got.eta, ToTensor(want.at("term12")), tolerance);
    CheckNear("by the advantages", got.advantages[0], ToTensor(want.at("by_advantages")),
              tolerance);
    // Each mistake shows in both.
    for (const Round mistake : {Round::kThroughSecondMoment, Round::kPlainStep}) {
      const StepGradient wrong = ThroughRound(one, mistake, nullptr);
      CHECK((wrong.eta - ToTensor(want.at("term12"))).abs().max().item<double>() > 1e-6);
      CHECK((wrong.advantages[0] - ToTensor(want.at("by_advantages"))).abs().max().item<double>() >
            1e-6);
    }
  }
}

}  // namespace mentor::methods::TEST_FILE
